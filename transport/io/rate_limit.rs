//! How often a peer may do what nobody else counts, since it need not bring a message.

use std::time::{Duration, Instant};

use crate::FrameError;

/// The time that a limit is for.
const PERIOD: Duration = Duration::from_secs(1);

/// Counts what comes, and looks at the clock only when there was as much as may come in a second.
pub(crate) struct RateLimit {
    /// In words, for who sends too many of them.
    what: &'static str,
    max: u32,
    count: u32,
    since: Instant,
}

impl RateLimit {
    pub(crate) fn new(what: &'static str, max: u32) -> Self {
        Self { what, max, count: 0, since: Instant::now() }
    }

    /// An error if these are more than may be.
    pub(crate) fn count(&mut self, more: u32) -> Result<(), FrameError> {
        self.count_at(more, Instant::now)
    }

    fn count_at(&mut self, more: u32, now: impl FnOnce() -> Instant) -> Result<(), FrameError> {
        self.count = self.count.saturating_add(more);
        if self.count <= self.max {
            return Ok(());
        }
        let now = now();
        if now.duration_since(self.since) >= PERIOD {
            (self.count, self.since) = (more, now);
        }
        if self.count <= self.max {
            return Ok(());
        }
        Err(FrameError::TooMany { what: self.what, max: self.max, period: PERIOD })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_may_be_pass_within_a_second_and_not_one_more() {
        let mut tally = RateLimit::new("knocks", 3);
        let begin = tally.since;
        let mut passed = |ms: u64| {
            let now = || begin + Duration::from_millis(ms);
            (0..10).take_while(|_| tally.count_at(1, now).is_ok()).count()
        };
        assert_eq!([passed(0), passed(999), passed(1_000), passed(1_999), passed(5_000)], [3, 0, 3, 0, 3]);
        let error = tally.count_at(4, || begin + Duration::from_secs(9)).expect_err("four at once");
        assert_eq!(error.to_string(), "more than 3 knocks within 1s");
        assert_eq!(RateLimit::new("knocks", u32::MAX).count(u32::MAX), Ok(()), "no limit");
    }
}
