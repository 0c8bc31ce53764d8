//! How often a peer may do what nobody else counts, since it brings no message.

use std::time::Duration;

use tokio::time::Instant;

/// Counts, and looks at the clock only when there was as much as may be within [`Self::PERIOD`].
pub(crate) struct Tally {
    pub(crate) max: u32,
    count: u32,
    since: Instant,
}

impl Tally {
    pub(crate) const PERIOD: Duration = Duration::from_secs(1);

    pub(crate) fn new(max: u32) -> Self {
        Self { max, count: 0, since: Instant::now() }
    }

    /// `false` if this is more than may be.
    pub(crate) fn count(&mut self, more: u32) -> bool {
        self.count = self.count.saturating_add(more);
        if self.count > self.max && self.since.elapsed() >= Self::PERIOD {
            (self.count, self.since) = (more, Instant::now());
        }
        self.count <= self.max
    }
}
