//! The highest rate (or number of matches) that a contender bears on a link, found by trying. Pure: what to try next
//! follows from what was tried, and somebody else tries it.
//!
//! First every doubling of the lowest value is tried, since what fails at a low rate (the period alone is too long for the
//! bound on age) may hold at a higher one. Then the gap above the highest that held is halved, in ratio, until it is
//! narrow.

use serde::{Deserialize, Serialize};

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Searched {
    /// Moves per second and player.
    RateHz,
    /// Matches at once.
    Pairs,
}

/// A search: of what, between what, and by which criterion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// What is searched for.
    pub of: Searched,
    /// The first value tried.
    pub from: u32,
    /// The highest value tried.
    pub to: u32,
    /// What it means to bear a value.
    pub criterion: Criterion,
}

impl Search {
    /// Of the highest rate: from slower than any game that moves, to faster than any.
    pub const RATE: Self =
        Self { of: Searched::RateHz, from: 10, to: 10_240, criterion: Criterion::PLAYABLE };
    /// Of the most matches: up to what 1,000 connections, the server's own default bound, carry.
    pub const PAIRS: Self = Self { of: Searched::Pairs, from: 4, to: 512, criterion: Criterion::PLAYABLE };
}

/// What it means to bear a rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// The opponent's position may be older than this for 1 % of the time, in ms.
    pub age_p99_max_ms: u64,
    /// At least this share of the moves offered arrives as news, is superseded by newer news, or was lost by the link
    /// itself.
    pub accounted_share_min: f64,
}

impl Criterion {
    /// A tenth of a second is where people begin to notice; a hundredth of the moves is what a game hides.
    pub const PLAYABLE: Self = Self { age_p99_max_ms: 100, accounted_share_min: 0.99 };
}

/// Values closer than this ratio are not told apart: runs of seconds do not repeat better.
const RATIO_MIN: f64 = 1.15;
/// Failures in a row that end the doubling once something held: one may be chance.
const FAILURES_AFTER_HELD: usize = 2;
/// Failures in a row that end it before anything held: from 10 Hz on, the period is an eighth of the bound on age by then
/// and no longer to blame.
const FAILURES_BEFORE_HELD: usize = 4;

/// How far one search has come.
#[derive(Clone, Debug)]
pub struct Climb {
    from: u32,
    to: u32,
    /// What was tried, and whether it held; in order of the value.
    tried: Vec<(u32, bool)>,
}

impl Climb {
    /// At the beginning.
    pub fn new(search: &Search) -> Self {
        Self { from: search.from.max(1), to: search.to, tried: Vec::new() }
    }

    /// The value to try next; `None` once the answer is known.
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

    /// What became of a value.
    pub fn record(&mut self, value: u32, held: bool) {
        self.tried.push((value, held));
        self.tried.sort_unstable();
    }

    /// The highest value that held so far.
    pub fn highest(&self) -> Option<u32> {
        self.tried.iter().rev().find(|(_, held)| *held).map(|(value, _)| *value)
    }
}

impl Search {
    /// How many values a search tries at most, for the estimate.
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
    fn finds_the_break_within_its_grain_also_where_low_rates_fail() {
        for limit_hz in [17, 100, 999, 5_000] {
            for lowest_hz in [0, limit_hz / 3] {
                let (found, _) = answer(|rate_hz| (lowest_hz..=limit_hz).contains(&rate_hz));
                // No doubling of 10 up to 80 lies in 333..=999 or above: it is given up before.
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
    fn one_failure_by_chance_does_not_end_it() {
        assert!(answer(|rate_hz| rate_hz != 40 && rate_hz <= 1_000).0 > Some(850));
    }
}
