//! Measures how long the server holds each move. Enabled only if a metrics endpoint is configured.
//!
//! The latency runs from when a session has taken a move out of its connection until the write to
//! the opponent has returned. Where one read brought several moves that leave together, the latency
//! is that of the first, which is the longest. The time in the system and in the connection is not
//! included.

use std::time::Instant;

use metrics::Histogram;
use netduel_transport::{CloseReason, Lane};

/// One of this many moves is timed. At the rates of games that gives each match some samples a
/// second, enough for a distribution. Reading the clock twice takes some 50 ns of a latency of 10
/// µs.
const SAMPLE_EVERY: u32 = 64;

/// Times some of the moves of one session.
pub(crate) struct RelayLatency {
    /// `None` without a metrics endpoint.
    histogram: Option<Histogram>,
    untimed: u32,
}

impl RelayLatency {
    pub(crate) fn new(histogram: Option<Histogram>) -> Self {
        Self { histogram, untimed: 0 }
    }

    /// Returns the time of arrival if `came` is a move that is to be timed.
    pub(crate) fn begin<T>(&mut self, came: &Result<(Lane, T), CloseReason>) -> Option<Instant> {
        if self.histogram.is_none() || !matches!(came, Ok((Lane::State, _))) {
            return None;
        }
        self.untimed += 1;
        self.untimed.is_multiple_of(SAMPLE_EVERY).then(Instant::now)
    }

    /// Records the latency of a move whose handling is over.
    pub(crate) fn end(&self, begun: Option<Instant>) {
        if let (Some(begun), Some(histogram)) = (begun, &self.histogram) {
            histogram.record(begun.elapsed());
        }
    }
}
