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
    /// The smallest share of the moves that must arrive, of those that the link's own loss leaves.
    pub delivered_share_min: f64,
}

impl Criterion {
    /// The default criterion. People notice an age of a tenth of a second. Of the moves one in
    /// twenty may miss: at the window's edges and by chance, two runs of one rate differ by less.
    pub const PLAYABLE: Self = Self { age_p99_max_ms: 100, delivered_share_min: 0.95 };
}

/// The ratio below which values are not distinguished. Runs of seconds do not repeat more
/// precisely.
const RATIO_MIN: f64 = 1.15;
/// The consecutive failures that end the doubling after a value held. One failure may be chance.
const FAILURES_AFTER_HELD: usize = 2;
/// The consecutive failures that end the doubling before any value held. From 10 Hz on, the period
/// is then an eighth of the bound on age and no longer the cause.
const FAILURES_BEFORE_HELD: usize = 4;

/// The answer of a value that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value held.
    Held,
    /// The contender broke, or the processes that play and serve.
    Broke,
    /// The link's emulator broke.
    LinkBroke,
}

/// The progress of one search.
#[derive(Clone, Debug)]
pub struct Climb {
    from: u32,
    to: u32,
    /// The tried values in rising order, each with its answer.
    tried: Vec<(u32, Answer)>,
}

impl Climb {
    /// Begins a search.
    pub fn new(search: &Search) -> Self {
        Self { from: search.from.max(1), to: search.to, tried: Vec::new() }
    }

    /// Returns the value to try next; `None` at the end of the search.
    pub fn next(&self) -> Option<u32> {
        if self.tried.iter().any(|(_, answer)| *answer == Answer::LinkBroke) {
            return None;
        }
        self.next_doubling().or_else(|| self.next_halving())
    }

    fn next_doubling(&self) -> Option<u32> {
        let (mut value, mut failures, mut any_held) = (self.from, 0, false);
        while value <= self.to {
            match self.tried.iter().find(|(tried, _)| *tried == value) {
                None => return Some(value),
                Some((_, Answer::Held)) => (failures, any_held) = (0, true),
                Some(_) => failures += 1,
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

    /// Records the answer of a value.
    pub fn record(&mut self, value: u32, answer: Answer) {
        self.tried.push((value, answer));
        self.tried.sort_unstable_by_key(|(value, _)| *value);
    }

    /// Returns the highest value that has held.
    pub fn highest(&self) -> Option<u32> {
        self.tried.iter().rev().find(|(_, answer)| *answer == Answer::Held).map(|(value, _)| *value)
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

    /// Searches with these answers, and returns the highest value that held and the tried values.
    fn search_by(answer: impl Fn(u32) -> Answer) -> (Option<u32>, Vec<u32>) {
        let (mut climb, mut tried) = (Climb::new(&Search::RATE), Vec::new());
        while let Some(value) = climb.next() {
            climb.record(value, answer(value));
            tried.push(value);
            assert!(tried.len() <= Search::RATE.tries_max() as usize, "it ends");
        }
        (climb.highest(), tried)
    }

    fn search(holds: impl Fn(u32) -> bool) -> (Option<u32>, Vec<u32>) {
        search_by(|value| if holds(value) { Answer::Held } else { Answer::Broke })
    }

    #[test]
    fn finds_limit_within_ratio() {
        for limit_hz in [17, 100, 999, 5_000] {
            for lowest_hz in [0, limit_hz / 3] {
                let (found, _) = search(|rate_hz| (lowest_hz..=limit_hz).contains(&rate_hz));
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
        assert_eq!(search(|_| false), (None, vec![10, 20, 40, 80]));
        assert_eq!(search(|_| true).0, Some(Search::RATE.to));
    }

    #[test]
    fn one_failure_does_not_end_search() {
        assert!(search(|rate_hz| rate_hz != 40 && rate_hz <= 1_000).0 > Some(850));
        // After a value held, two failures in a row do end it.
        let (_, tried) = search(|rate_hz| rate_hz == 10 || rate_hz >= 80);
        assert_eq!(tried[..4], [10, 20, 40, 14]);
    }

    #[test]
    fn broken_link_ends_search() {
        let answer = |rate_hz| if rate_hz <= 60 { Answer::Held } else { Answer::LinkBroke };
        assert_eq!(search_by(answer), (Some(40), vec![10, 20, 40, 80]));
    }

    #[test]
    fn stops_between_neighbouring_values() {
        let few = Search { from: 1, to: 2, ..Search::PAIRS };
        let mut climb = Climb::new(&few);
        climb.record(1, Answer::Held);
        assert_eq!(climb.next(), Some(2));
        climb.record(2, Answer::Broke);
        assert_eq!((climb.highest(), climb.next()), (Some(1), None));
        assert_eq!(Climb::new(&Search { from: 0, ..few }).next(), Some(1), "0 is no value");
    }

    #[test]
    fn counts_tries_of_the_worst_search() {
        // 11 doublings from 10 to 10,240, and three halvings of a factor of two down to 15 %.
        assert_eq!(Search::RATE.tries_max(), 11 + 3);
        assert_eq!(Search { from: 0, to: 1, ..Search::PAIRS }.tries_max(), 1 + 3);
        assert_eq!(Search { from: 8, to: 4, ..Search::PAIRS }.tries_max(), 1 + 3);
    }
}
