//! Rate limits: token buckets for a player's messages and for an address's connections.

use std::time::Duration;

use netduel_protocol::clock;
use tokio::time::Instant;

/// A token bucket that holds the messages of one second: a burst after a stall passes, a flood does
/// not. Reads the clock only when the bucket is empty, since the hot path takes from it.
pub(crate) struct MessageLimit {
    per_s: u32,
    left: u32,
    refilled_us: u64,
}

impl MessageLimit {
    /// Creates a full bucket for `per_s` messages a second.
    pub(crate) fn new(per_s: u32) -> Self {
        Self { per_s, left: per_s, refilled_us: clock::now_us() }
    }

    /// Takes one message from the bucket. Returns `false` if the bucket is empty.
    pub(crate) fn take(&mut self) -> bool {
        if self.left == 0 {
            let now_us = clock::now_us();
            let earned = u128::from(now_us - self.refilled_us) * u128::from(self.per_s) / 1_000_000;
            self.left = u32::try_from(earned).unwrap_or(u32::MAX).min(self.per_s);
            self.refilled_us = now_us;
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

/// A token bucket stored as the time at which it is full again (the generic cell rate algorithm).
///
/// Costs and bursts are durations: the time in which the bucket refills by as much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Creates a full bucket.
    pub(crate) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes `cost` from a bucket that holds `burst`. Returns `false`, and takes nothing, if the
    /// bucket holds less than `cost`.
    pub(crate) fn take(&mut self, cost: Duration, burst: Duration, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + cost;
        let enough = full_at - now <= burst;
        if enough {
            self.full_at = full_at;
        }
        enough
    }

    /// Takes up to `cost` from a bucket that holds `burst`: the rest of it, if it holds less.
    pub(crate) fn charge(&mut self, cost: Duration, burst: Duration, now: Instant) {
        self.full_at = (self.full_at.max(now) + cost).min(now + burst);
    }

    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}
