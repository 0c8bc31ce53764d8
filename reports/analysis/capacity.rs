//! The capacity that a search found: the highest value that each contender sustains on each link,
//! and the reason why the next value broke.
//!
//! Pure: the capacity follows from the runs alone, so a search can be interrupted anywhere.

use std::fmt;

use crate::{
    analysis::{
        repeats::Repeats,
        traffic::{dropped, offered, superseded},
    },
    data::{results::Results, run_result::RunResult},
    plan::{
        scenario::{Contender, Group, RunKey},
        search::{Climb, Criterion, Search, Searched},
    },
};

/// The share of the window beyond which a computing side is the cause of a break.
const BUSY_SHARE: f64 = 0.85;

/// The result of a value that was tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The value held.
    Held,
    /// The opponent's position was too old.
    Stale {
        /// The age at p99, in ms.
        age_p99_ms: f64,
    },
    /// Too many moves are unaccounted for.
    Lost {
        /// The share of the offered moves that is accounted for.
        accounted_share: f64,
    },
    /// Too few moves arrived for a judgement.
    TooFew,
    /// A run failed.
    Failed,
}

/// A value that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// The rate in moves per second, or the number of matches.
    pub value: u32,
    /// The result of the value.
    pub fate: Fate,
    /// Whether the players' process was saturated. In that case the harness broke, not the
    /// contender.
    pub players_busy: bool,
    /// Whether the server's process was saturated.
    pub server_busy: bool,
}

/// The capacity of a contender on one link.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// The contender.
    pub contender: Contender,
    /// 0, or the number of the A/A control.
    pub arm: u8,
    /// The group, at the first value tried.
    pub group: Group,
    /// The tried values, in rising order.
    pub tries: Vec<Try>,
    /// The next value to try; `None` at the end of the search.
    pub next: Option<u32>,
}

impl Capacity {
    /// Returns the highest value that held.
    pub fn highest(&self) -> Option<u32> {
        self.tries.iter().rev().find(|it| it.fate == Fate::Held).map(|it| it.value)
    }

    /// Returns the lowest value above [`Self::highest`], which broke.
    pub fn broke(&self) -> Option<&Try> {
        let highest = self.highest().unwrap_or(0);
        self.tries.iter().find(|it| it.value > highest)
    }

    /// Whether the harness broke, and not the contender or the server. In that case
    /// [`Self::highest`] is a lower bound.
    pub fn harness_broke(&self) -> bool {
        self.broke().is_some_and(|it| it.players_busy && !it.server_busy)
    }
}

/// Writes for example "age p99 132 ms, server busy".
impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fate {
            Fate::Held => write!(f, "held")?,
            Fate::Stale { age_p99_ms } => write!(f, "age p99 {age_p99_ms:.0} ms")?,
            Fate::Lost { accounted_share } => {
                write!(f, "{:.1} % of the moves accounted for", accounted_share * 100.0)?;
            }
            Fate::TooFew => write!(f, "too few moves for a judgement: raise --duration")?,
            Fate::Failed => write!(f, "a run failed")?,
        }
        if self.server_busy {
            write!(f, ", server busy")?;
        }
        if self.players_busy {
            write!(f, ", players busy")?;
        }
        Ok(())
    }
}

/// Returns the capacities of these results, in the order of the scenario; empty without a search.
pub fn capacities(results: &Results) -> Vec<Capacity> {
    let Some(search) = results.scenario.search else { return Vec::new() };
    let mut capacities = Vec::new();
    for group in results.scenario.groups() {
        let group = group_at(&group, search.of, search.from.max(1));
        for (contender, arm) in results.scenario.arms() {
            capacities.push(capacity(results, &search, contender, arm, &group));
        }
    }
    capacities
}

/// Returns the combinations without a completed run.
pub fn without_result(results: &Results) -> Vec<String> {
    if results.scenario.search.is_some() {
        let all = capacities(results).into_iter();
        let unknown =
            all.filter(|it| it.tries.iter().all(|it| matches!(it.fate, Fate::Failed | Fate::TooFew)));
        return unknown.map(|it| format!("{} on {}", it.contender, it.group.link)).collect();
    }
    let any = |key: &RunKey| results.runs.iter().any(|run| run.key.combination() == *key);
    let first_repeats = results.scenario.runs().into_iter().filter(|key| key.repeat == 0);
    first_repeats.filter(|key| !any(key)).map(|key| format!("{key} on {}", key.group.link)).collect()
}

/// Returns the group with another value of the searched number.
pub(crate) fn group_at(group: &Group, of: Searched, value: u32) -> Group {
    match of {
        Searched::RateHz => Group { rate_hz: value, ..group.clone() },
        Searched::Pairs => Group { pairs: value, ..group.clone() },
    }
}

fn capacity(results: &Results, search: &Search, contender: Contender, arm: u8, group: &Group) -> Capacity {
    let mut climb = Climb::new(search);
    let mut tries = Vec::new();
    let next = loop {
        let Some(value) = climb.next() else { break None };
        let key = RunKey { contender, group: group_at(group, search.of, value), repeat: 0, arm };
        let Some(tried) = tried(results, search, &key, value) else { break Some(value) };
        climb.record(value, tried.fate == Fate::Held);
        tries.push(tried);
    };
    tries.sort_by_key(|it| it.value);
    Capacity { contender, arm, group: group.clone(), tries, next }
}

/// Returns the result of a value; `None` while some of its repeats have not run.
fn tried(results: &Results, search: &Search, key: &RunKey, value: u32) -> Option<Try> {
    let repeats = (0..results.scenario.repeats).map(|repeat| RunKey { repeat, ..key.clone() });
    if repeats.clone().any(|key| !results.is_done(&key)) {
        return None;
    }
    let runs: Vec<&RunResult> = repeats.filter_map(|key| results.run(&key)).collect();
    let window_us = results.scenario.duration_ms as f64 * 1e3;
    let busy = |cpu_us: fn(&RunResult) -> Option<u64>| {
        runs.iter().filter_map(|run| cpu_us(run)).max().unwrap_or(0) as f64 > window_us * BUSY_SHARE
    };
    let fate = match runs.len() == results.scenario.repeats as usize {
        true => fate(&runs, &search.criterion),
        false => Fate::Failed,
    };
    Some(Try {
        value,
        fate,
        players_busy: busy(|run| run.players.cpu_us),
        server_busy: busy(|run| run.server.cpu_us),
    })
}

fn fate(runs: &[&RunResult], criterion: &Criterion) -> Fate {
    let Some(age_p99_us) = Repeats::new(runs).merged(|run| &run.load.stats.age).quantile_us(0.99) else {
        return Fate::TooFew;
    };
    if age_p99_us > criterion.age_p99_max_ms * 1_000 {
        return Fate::Stale { age_p99_ms: age_p99_us as f64 / 1e3 };
    }
    let sum = |count: fn(&RunResult) -> u64| runs.iter().map(|run| count(run)).sum::<u64>() as f64;
    let news_or_overtaken =
        sum(|run| run.load.stats.fresh + run.load.stats.late + superseded(run).unwrap_or(0));
    let link_lost = sum(|run| run.link.as_ref().map_or(0, dropped));
    let link_offered = sum(|run| run.link.as_ref().map_or(0, offered));
    // A move crosses the link twice, and either crossing may lose it. The share counts both
    // directions together.
    let lost_share = if link_offered > 0.0 { 2.0 * link_lost / link_offered } else { 0.0 };
    let accounted_share = (news_or_overtaken / sum(|run| run.load.sent).max(1.0) + lost_share).min(1.0);
    if accounted_share < criterion.accounted_share_min {
        return Fate::Lost { accounted_share };
    }
    Fate::Held
}
