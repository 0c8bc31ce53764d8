//! The highest update frequency that a transport bears on a link, found by trying. Pure: who tries is somebody else.
//!
//! First every doubling of the lowest rate is tried, since what fails at a low rate (the period alone is too long for the
//! bound on age) may hold at a higher one. Then the gap above the highest that held is halved, in ratio, until it is
//! narrow.

use serde::{Deserialize, Serialize};

/// What it means to bear a rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// The opponent's position may be older than this for 1 % of the time, in ms.
    pub age_p99_max_ms: u64,
    /// At least this share of the moves offered arrives as news, is superseded, or was lost by the link itself.
    pub accounted_share_min: f64,
}

impl Default for Criterion {
    /// A tenth of a second is where people begin to notice; a hundredth of the moves is what a game hides.
    fn default() -> Self {
        Self { age_p99_max_ms: 100, accounted_share_min: 0.99 }
    }
}

/// Slower than any game that moves.
pub const RATE_MIN_HZ: u32 = 10;
/// Faster than any; beyond it the players themselves cannot keep their beat.
pub const RATE_MAX_HZ: u32 = 10_240;
/// Rates closer than this ratio are not told apart: runs of a second and a half do not repeat better.
const RATIO_MIN: f64 = 1.15;

/// One search.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// What was tried, and whether it held; in order of rate.
    tried: Vec<(u32, bool)>,
}

impl Search {
    /// The rate to try next; `None` once the answer is known.
    pub fn next_hz(&self) -> Option<u32> {
        let mut doubling = RATE_MIN_HZ;
        while doubling <= RATE_MAX_HZ {
            if !self.tried.iter().any(|(rate_hz, _)| *rate_hz == doubling) {
                return Some(doubling);
            }
            doubling *= 2;
        }
        let held_hz = self.highest_hz()?;
        let (failed_hz, _) = self.tried.iter().find(|(rate_hz, _)| *rate_hz > held_hz)?;
        let middle_hz = (f64::from(held_hz) * f64::from(*failed_hz)).sqrt().round() as u32;
        let narrow = f64::from(*failed_hz) / f64::from(held_hz) < RATIO_MIN || middle_hz == held_hz;
        (!narrow).then_some(middle_hz)
    }

    /// What became of a rate.
    pub fn record(&mut self, rate_hz: u32, held: bool) {
        self.tried.push((rate_hz, held));
        self.tried.sort_unstable();
    }

    /// The highest rate that held so far.
    pub fn highest_hz(&self) -> Option<u32> {
        self.tried.iter().rev().find(|(_, held)| *held).map(|(rate_hz, _)| *rate_hz)
    }

    /// How many tries a search takes at most, for the estimate.
    pub fn tries_max() -> u32 {
        let doublings = (RATE_MAX_HZ / RATE_MIN_HZ).ilog2() + 1;
        let halvings = (2f64.ln() / RATIO_MIN.ln()).log2().ceil() as u32;
        doublings + halvings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(holds: impl Fn(u32) -> bool) -> (Option<u32>, u32) {
        let (mut search, mut tries) = (Search::default(), 0);
        while let Some(rate_hz) = search.next_hz() {
            search.record(rate_hz, holds(rate_hz));
            tries += 1;
            assert!(tries <= Search::tries_max(), "it ends");
        }
        (search.highest_hz(), tries)
    }

    #[test]
    fn finds_the_break_within_its_grain_also_where_low_rates_fail() {
        for limit_hz in [17, 100, 999, 5_000] {
            for lowest_hz in [0, limit_hz / 3] {
                let (found, _) = answer(|rate_hz| (lowest_hz..=limit_hz).contains(&rate_hz));
                let found = found.expect("some rate holds");
                assert!(
                    found <= limit_hz && f64::from(limit_hz) / f64::from(found) < RATIO_MIN,
                    "{limit_hz}: {found}"
                );
            }
        }
        assert_eq!(answer(|_| false).0, None);
        assert_eq!(answer(|_| true).0, Some(RATE_MAX_HZ));
    }
}
