//! Rate limits as token buckets: [`RateLimit`] for the events of one connection, [`GcraBucket`] for
//! many addresses.

use std::time::Duration;

use tokio::time::Instant;

use crate::FrameError;

/// The time for which a limit counts, and for which the bucket holds tokens.
const PERIOD: Duration = Duration::from_secs(1);

/// A token bucket that holds one second's events: a burst after a stall passes, a flood does not.
///
/// The bucket looks at the clock only when it is empty, so that an event within the limit costs a
/// subtraction.
///
/// ```
/// # use netduel_transport::RateLimit;
/// let mut limit = RateLimit::new(2);
/// assert!(limit.take(1) && limit.take(1));
/// assert!(!limit.take(1));
/// ```
#[derive(Debug)]
pub struct RateLimit {
    per_s: u32,
    left: u32,
    refilled: Instant,
}

impl RateLimit {
    /// Returns a full bucket for this many events a second. [`u32::MAX`] means no limit in
    /// practice.
    pub fn new(per_s: u32) -> Self {
        Self::new_at(per_s, Instant::now())
    }

    /// Returns a full bucket for this many events a second, beginning at `now`.
    fn new_at(per_s: u32, now: Instant) -> Self {
        Self { per_s, left: per_s, refilled: now }
    }

    /// Takes `count` events out of the bucket. Returns `false` if they are more than the limit
    /// allows now.
    pub fn take(&mut self, count: u32) -> bool {
        self.take_at(count, Instant::now)
    }

    /// Takes `count` events out of the bucket by a clock of the caller's, which is read only if the
    /// bucket is empty. Returns `false` if they are more than the limit allows now.
    fn take_at(&mut self, count: u32, now: impl FnOnce() -> Instant) -> bool {
        if self.left < count {
            let now = now();
            let elapsed = now.saturating_duration_since(self.refilled).min(PERIOD);
            let earned = elapsed.as_micros() * u128::from(self.per_s) / PERIOD.as_micros();
            // Less than one event earns nothing yet, so its time is kept.
            if earned > 0 {
                let earned = u32::try_from(earned).unwrap_or(u32::MAX);
                self.left = self.left.saturating_add(earned).min(self.per_s);
                self.refilled = now;
            }
        }
        let taken = self.left.checked_sub(count);
        self.left = taken.unwrap_or(self.left);
        taken.is_some()
    }

    /// Takes `count` events named `what`, as [`Self::take`] does.
    pub(crate) fn count(&mut self, count: u32, what: &'static str) -> Result<(), FrameError> {
        let too_many = FrameError::TooMany { what, max: self.per_s, period: PERIOD };
        self.take(count).then_some(()).ok_or(too_many)
    }
}

/// A token bucket stored as the time at which it is full again (the generic cell rate algorithm).
///
/// Costs and bursts are durations: the time in which the bucket refills by as much. A full bucket
/// holds no information, so a table of buckets need not keep it.
///
/// ```
/// # use netduel_transport::GcraBucket;
/// # use std::time::Duration;
/// let (now, cost) = (tokio::time::Instant::now(), Duration::from_millis(100));
/// let mut bucket = GcraBucket::full(now);
/// assert!(bucket.take(cost, cost * 2, now) && bucket.take(cost, cost * 2, now));
/// assert!(!bucket.take(cost, cost * 2, now));
/// assert!(bucket.is_full(now + cost * 2));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GcraBucket {
    full_at: Instant,
}

impl GcraBucket {
    /// Returns a full bucket.
    pub const fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes `cost` from a bucket that holds `burst`. Returns `false`, and takes nothing, if the
    /// bucket holds less than `cost`.
    pub fn take(&mut self, cost: Duration, burst: Duration, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + cost;
        let enough = full_at - now <= burst;
        if enough {
            self.full_at = full_at;
        }
        enough
    }

    /// Takes up to `cost` from a bucket that holds `burst`: the rest of it, if it holds less.
    pub fn charge(&mut self, cost: Duration, burst: Duration, now: Instant) {
        self.full_at = (self.full_at.max(now) + cost).min(now + burst);
    }

    /// Whether the bucket is full.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refills_by_the_second() {
        let begin = Instant::now();
        let mut limit = RateLimit::new_at(3, begin);
        let mut passed = |ms: u64| {
            let now = || begin + Duration::from_millis(ms);
            (0..10).take_while(|_| limit.take_at(1, now)).count()
        };
        assert_eq!([passed(0), passed(300), passed(1_300), passed(1_634), passed(9_000)], [3, 0, 3, 1, 3]);
    }

    #[test]
    fn names_the_limit_in_its_error() {
        let error = RateLimit::new(3).count(4, "keep-alives").expect_err("four at once");
        assert_eq!(error.to_string(), "more than 3 keep-alives within 1s");
        assert_eq!(RateLimit::new(u32::MAX).count(u32::MAX, "keep-alives"), Ok(()), "no limit");
    }

    #[test]
    fn refills_by_what_was_taken() {
        let (begin, cost) = (Instant::now(), Duration::from_millis(100));
        let burst = cost * 3;
        let mut bucket = GcraBucket::full(begin);
        let mut passed = |costs: u32| {
            let now = begin + cost * costs;
            (0..10).take_while(|_| bucket.take(cost, burst, now)).count()
        };
        assert_eq!([passed(0), passed(0), passed(1), passed(3), passed(100)], [3, 0, 1, 2, 3]);
    }

    #[test]
    fn charges_no_more_than_the_burst() {
        let (begin, cost) = (Instant::now(), Duration::from_millis(100));
        let burst = cost * 3;
        let mut bucket = GcraBucket::full(begin);
        bucket.charge(cost * 16, burst, begin);
        assert!(!bucket.take(cost, burst, begin));
        assert!(!bucket.is_full(begin + cost * 2) && bucket.is_full(begin + burst));
    }
}
