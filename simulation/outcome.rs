//! The outcome of a world: its totals, or the violated invariant.

use std::time::Duration;

use netduel_server::Snapshot;

/// The totals of a world in which every invariant held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Hash of all events, in their order and at their times.
    pub trace_hash: u64,
    /// Number of events.
    pub events: u64,
    /// Number of connections that players tried to make.
    pub connections: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// The server's counters.
    pub counters: Snapshot,
}

/// A violated invariant: its time, its place and its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
