//! Exponential back-off with jitter.

use std::time::Duration;

use crate::bot_path::splitmix64;

/// Waits that double up to a maximum, each shortened by a random part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackOff {
    /// The wait before the first attempt, without jitter.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// The largest part of a wait, from 0 to 1, that jitter takes away, so that clients of one
    /// server do not all come back at the same moment.
    pub jitter: f64,
}

impl BackOff {
    /// Returns the wait before `attempt`, counted from 1. The same `seed` gives the same waits.
    pub fn wait_before(&self, attempt: u32, seed: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let longest = self.first.saturating_mul(1 << doublings).min(self.max);
        // The hash makes the jitter of neighbouring seeds independent.
        let random = (splitmix64(seed.wrapping_add(attempt.into())) >> 32) as f64 / 2_f64.powi(32);
        longest.mul_f64(1.0 - self.jitter * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_OFF: BackOff =
        BackOff { first: Duration::from_millis(100), max: Duration::from_secs(2), jitter: 0.5 };

    #[test]
    fn waits_double_up_to_the_maximum() {
        let waits: Vec<_> = (1..40).map(|attempt| BACK_OFF.wait_before(attempt, 7)).collect();
        for (wait, longest_ms) in waits.iter().zip([100, 200, 400, 800, 1_600, 2_000, 2_000]) {
            assert!((longest_ms / 2..=longest_ms).contains(&(wait.as_millis() as u64)), "{waits:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= BACK_OFF.max));
    }

    #[test]
    fn seeds_spread_the_waits() {
        assert_eq!(BACK_OFF.wait_before(4, 7), BACK_OFF.wait_before(4, 7), "a seed decides its waits");
        let waits: std::collections::HashSet<_> =
            (0..100).map(|seed| BACK_OFF.wait_before(1, seed)).collect();
        assert!(waits.len() > 90);
    }
}
