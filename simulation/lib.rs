//! Simulated worlds: the whole server with its players, in one thread and under a clock that jumps from one event to the
//! next. A seed, or the bytes of a script, decide who joins, moves, lies, leaves and is cut off, and what the paths
//! between them do. What must hold, `oracle.rs` says; the same seed does the same again.
//!
//! `world.rs` sets a world up, steps through it and ends it; `slot.rs` is a place in it that players come and
//! go at; `model.rs` what a player knows, `player.rs` what it can say; `path.rs` the way between; `choices.rs` who decides.

mod entropy;
mod oracle;
mod path;
mod player;
mod player_model;
mod slot;
mod trace;
mod world;

use std::time::Duration;

use netduel_server::Snapshot;

use entropy::Entropy;

/// What came of a world in which everything held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Names everything that happened, in its order and at its time.
    pub trace_hash: u64,
    /// How much did.
    pub events: u64,
    /// Connections that players tried to make.
    pub connections: u64,
    /// How long it took by the world's own clock.
    pub simulated: Duration,
    /// What the server counted.
    pub counters: Snapshot,
}

/// Something that must hold did not: when, where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the world of `seed`; `print` says on standard output what happens.
///
/// # Errors
/// What did not hold.
pub fn run(seed: u64, print: bool) -> Result<Outcome, Violation> {
    world::run(Entropy::from_seed(seed), print)
}

/// Runs the world that `script` decides; `print` as of [`run`].
///
/// # Errors
/// What did not hold.
pub fn run_script(script: &[u8], print: bool) -> Result<Outcome, Violation> {
    world::run(Entropy::from_script(script), print)
}
