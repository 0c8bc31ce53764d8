//! How long moves stay in the relay, for a server whose operator looks: from when a session has taken one out of its
//! connection until the write to the peer has returned. Where one read brought several that leave together, it is the
//! stay of the first, which is the longest. What the system and the connection did before is not in it.

use std::time::Instant;

use metrics::Histogram;
use netduel_transport::{CloseReason, Lane};

/// One of so many is timed: at the rates of games some a second of each match, which is enough for a distribution, and looking
/// at the clock twice, some 50 ns of a stay of 10 µs, is then nothing.
const SAMPLE_EVERY: u32 = 64;

/// Times some of the moves of one session.
pub(crate) struct RelayLatency {
    /// `None` if nobody looks.
    histogram: Option<Histogram>,
    untimed: u32,
}

impl RelayLatency {
    pub(crate) fn new(histogram: Option<Histogram>) -> Self {
        Self { histogram, untimed: 0 }
    }

    /// Something came. Tells when, if it is a move that is to be timed.
    pub(crate) fn begin<T>(&mut self, came: &Result<(Lane, T), CloseReason>) -> Option<Instant> {
        if self.histogram.is_none() || !matches!(came, Ok((Lane::State, _))) {
            return None;
        }
        self.untimed += 1;
        self.untimed.is_multiple_of(SAMPLE_EVERY).then(Instant::now)
    }

    /// It is dealt with.
    pub(crate) fn end(&self, begun: Option<Instant>) {
        if let (Some(begun), Some(histogram)) = (begun, &self.histogram) {
            histogram.record(begun.elapsed());
        }
    }
}
