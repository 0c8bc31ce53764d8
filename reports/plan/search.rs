//! The search for the highest rate or number of matches that a contender sustains on a link.
//!
//! Pure: the next value follows from the earlier results, and the caller runs it.
//!
//! The search first doubles the lowest value. A low rate may fail where a higher one holds, since
//! its period alone exceeds the bound on age. The search then halves the gap above the highest
//! value that held, by ratio, until the gap is narrow.

use serde::{Deserialize, Serialize};

/// The searched number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Searched {
    /// The rate, in moves per second and player.
    RateHz,
    /// The number of concurrent matches.
    Pairs,
}

/// A search: the number, its range and the criterion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The searched number.
    pub of: Searched,
    /// The first value tried.
    pub from: u32,
    /// The highest value tried.
    pub to: u32,
    /// The criterion that a value must satisfy.
    pub criterion: Criterion,
}

impl Search {
    /// The search for the highest rate: from slower than any game of motion to faster than any.
    pub const RATE: Self =
        Self { of: Searched::RateHz, from: 10, to: 10_240, criterion: Criterion::PLAYABLE };
    /// The search for the most matches, up to the number that 1,000 connections, the server's
    /// default limit, carry.
    pub const PAIRS: Self = Self { of: Searched::Pairs, from: 4, to: 512, criterion: Criterion::PLAYABLE };
}

/// The criterion of a playable game.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// The largest age of the opponent's position at p99 of the time, in ms.
    pub age_p99_max_ms: u64,
    /// The smallest share of the offered moves that is accounted for: arrived as news, superseded
    /// by newer moves, or lost by the link itself.
    pub accounted_share_min: f64,
}

impl Criterion {
    /// The default criterion. People notice an age of a tenth of a second, and a game hides the
    /// loss of a hundredth of the moves.
    pub const PLAYABLE: Self = Self { age_p99_max_ms: 100, accounted_share_min: 0.99 };
}

/// The ratio below which values are not distinguished. Runs of seconds do not repeat more
/// precisely.
const RATIO_MIN: f64 = 1.15;
/// The consecutive failures that end the doubling after a value held. One failure may be chance.
const FAILURES_AFTER_HELD: usize = 2;
/// The consecutive failures that end the doubling before any value held. From 10 Hz on, the period
/// is then an eighth of the bound on age and no longer the cause.
const FAILURES_BEFORE_HELD: usize = 4;

/// The progress of one search.
#[derive(Clone, Debug)]
pub struct Climb {
    from: u32,
    to: u32,
    /// The tried values in rising order, and whether each held.
    tried: Vec<(u32, bool)>,
}

impl Climb {
    /// Begins a search.
    pub fn new(search: &Search) -> Self {
        Self { from: search.from.max(1), to: search.to, tried: Vec::new() }
    }

    /// Returns the value to try next; `None` at the end of the search.
    pub fn next(&self) -> Option<u32> {
        self.next_doubling().or_else(|| self.next_halving())
    }

    fn next_doubling(&self) -> Option<u32> {
        let (mut value, mut failures, mut any_held) = (self.from, 0, false);
        while value <= self.to {
            match self.tried.iter().find(|(tried, _)| *tried == value) {
                None => return Some(value),
                Some((_, true)) => (failures, any_held) = (0, true),
                Some((_, false)) => failures += 1,
            }
            if failures >= if any_held { FAILURES_AFTER_HELD } else { FAILURES_BEFORE_HELD } {
                return None;
            }
            value *= 2;
        }
        None
    }

    fn next_halving(&self) -> Option<u32> {
        let held = self.highest()?;
        let (failed, _) = self.tried.iter().find(|(value, _)| *value > held)?;
        let middle = (f64::from(held) * f64::from(*failed)).sqrt().round() as u32;
        let narrow = f64::from(*failed) / f64::from(held) < RATIO_MIN || middle == held;
        (!narrow).then_some(middle)
    }

    /// Records the result of a value.
    pub fn record(&mut self, value: u32, held: bool) {
        self.tried.push((value, held));
        self.tried.sort_unstable();
    }

    /// Returns the highest value that has held.
    pub fn highest(&self) -> Option<u32> {
        self.tried.iter().rev().find(|(_, held)| *held).map(|(value, _)| *value)
    }
}

impl Search {
    /// Returns the largest number of values that a search tries, for the estimate of its duration.
    pub fn tries_max(&self) -> u32 {
        let doublings = (self.to / self.from.max(1)).max(1).ilog2() + 1;
        let halvings = (2f64.ln() / RATIO_MIN.ln()).log2().ceil() as u32;
        doublings + halvings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(holds: impl Fn(u32) -> bool) -> (Option<u32>, u32) {
        let (mut climb, mut tries) = (Climb::new(&Search::RATE), 0);
        while let Some(value) = climb.next() {
            climb.record(value, holds(value));
            tries += 1;
            assert!(tries <= Search::RATE.tries_max(), "it ends");
        }
        (climb.highest(), tries)
    }

    #[test]
    fn finds_limit_within_ratio() {
        for limit_hz in [17, 100, 999, 5_000] {
            for lowest_hz in [0, limit_hz / 3] {
                let (found, _) = answer(|rate_hz| (lowest_hz..=limit_hz).contains(&rate_hz));
                // No doubling of 10 up to 80 lies in 333..=999 or above, so the search ends before.
                let Some(found) = found else {
                    assert!(lowest_hz > 80, "{lowest_hz}");
                    continue;
                };
                assert!(
                    found <= limit_hz && f64::from(limit_hz) / f64::from(found) < RATIO_MIN,
                    "{limit_hz}: {found}"
                );
            }
        }
        assert_eq!(answer(|_| false), (None, 4));
        assert_eq!(answer(|_| true).0, Some(Search::RATE.to));
    }

    #[test]
    fn one_failure_does_not_end_search() {
        assert!(answer(|rate_hz| rate_hz != 40 && rate_hz <= 1_000).0 > Some(850));
    }
}
