//! The capacity that a search found: the highest value that each contender sustains on each link,
//! and the reason why the next value broke.
//!
//! A value holds if three things are true. The opponent's position is young enough. Enough moves
//! arrive: nearly as many as the link's own losses leave. The link can carry the moves at all.
//!
//! A loss of the contender itself never counts for it. A move that overflowed a queue is missing,
//! and so is a move that a newer one superseded before it left: a rate whose moves do not leave is
//! not sustained. A move that a newer one superseded on arrival has arrived. At high rates nearly
//! all moves do so, and their age is judged. The link's own losses are a share of the packets that
//! reached the lossy part, so acknowledgements and duplicates do not count as moves.
//!
//! Pure: the capacity follows from the runs alone, so a search can be interrupted anywhere.

use std::fmt;

use netduel_link::{Direction, LinkReport, Rate};

use crate::{
    analysis::{
        repeats::Repeats,
        traffic::{game_alone, superseded},
    },
    data::{results::Results, run_result::RunResult},
    plan::{
        contender::Contender,
        scenario::{Group, RunKey},
        search::{Answer, Climb, Criterion, Search, Searched},
    },
};

/// The share of the window beyond which a computing side is the cause of a break.
const BUSY_SHARE: f64 = 0.85;
/// The lateness of the players at p99 beyond which they are the cause of a break, as a share of the
/// bound on age. Another process may have their CPU, and they then hand their moves over late.
const LATE_SHARE: f64 = 0.1;
/// The smallest share of the planned moves that the players must send. Below it they did not play
/// the value; the missing twentieth is that of the criterion.
const SENT_SHARE_MIN: f64 = 0.95;
/// The players of a match.
const PLAYERS_PER_MATCH: f64 = 2.0;

/// The result of a value that was tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The value held.
    Held,
    /// The moves need more than the link's rate; [`Try::wire`] has the figures.
    BeyondLink,
    /// The opponent's position was too old.
    Stale {
        /// The age at p99, in ms.
        age_p99_ms: f64,
    },
    /// Too few moves arrived as news.
    Missing {
        /// The share of the sent moves that arrived as news.
        delivered_share: f64,
        /// The share that the link's own losses leave.
        allowed_share: f64,
        /// The share of the sent moves that newer ones superseded before they left.
        superseded_share: f64,
    },
    /// The players sent too few of the planned moves.
    Unsent {
        /// The share of the planned moves that the players sent.
        sent_share: f64,
    },
    /// Too few moves arrived for a judgement.
    TooFew,
    /// The link did not keep to its spec in any attempt.
    LinkLate,
    /// A run failed.
    Failed,
}

/// The capacity of a link for the moves of a contender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// The direction that is full first.
    pub direction: Direction,
    /// The bytes on the link for each move in this direction, headers and acknowledgements
    /// included.
    pub bytes_per_move: f64,
    /// The highest value that the link carries at this size.
    pub limit: f64,
}

/// A value that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// The rate in moves per second, or the number of matches.
    pub value: u32,
    /// The result of the value.
    pub fate: Fate,
    /// The capacity of the link; `None` on loopback, on a link without a constant rate, on a link
    /// for each player, and beside a bulk transfer.
    pub wire: Option<Wire>,
    /// Whether the players' process was saturated, or handed its moves over late.
    pub players_busy: bool,
    /// Whether the server's process was saturated.
    pub server_busy: bool,
    /// Whether the link's emulator was saturated or late.
    pub link_busy: bool,
}

impl Try {
    /// Whether the harness broke, and not the contender, the server or the link's rate.
    pub fn harness_broke(&self) -> bool {
        let of_harness = self.players_busy || self.link_busy || matches!(self.fate, Fate::Unsent { .. });
        of_harness && !self.server_busy && !matches!(self.fate, Fate::Held | Fate::BeyondLink)
    }

    fn answer(&self) -> Answer {
        match self.fate {
            Fate::Held => Answer::Held,
            _ if self.link_busy && self.harness_broke() => Answer::LinkBroke,
            _ => Answer::Broke,
        }
    }
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
        self.broke().is_some_and(Try::harness_broke)
    }

    /// Returns the capacity of the link for this contender's moves. Their size is that at the
    /// highest value that held, or else at the lowest that was tried.
    pub fn wire(&self) -> Option<Wire> {
        let held = self.tries.iter().rev().find(|it| it.fate == Fate::Held);
        held.or(self.tries.first())?.wire
    }
}

/// Writes for example "age p99 132 ms, server busy".
impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fate {
            Fate::Held => write!(f, "held")?,
            Fate::BeyondLink => write!(f, "more than the link's rate carries")?,
            Fate::Stale { age_p99_ms } => write!(f, "age p99 {age_p99_ms:.0} ms")?,
            Fate::Missing { delivered_share, allowed_share, superseded_share } => {
                write!(f, "{:.1} % of the moves arrived", delivered_share * 100.0)?;
                if allowed_share < 1.0 {
                    write!(f, " (the link leaves {:.1} %)", allowed_share * 100.0)?;
                }
                if superseded_share > 0.0 {
                    write!(f, ", {:.1} % were superseded", superseded_share * 100.0)?;
                }
            }
            Fate::Unsent { sent_share } => {
                write!(f, "the players sent {:.1} % of the moves", sent_share * 100.0)?;
            }
            Fate::TooFew => write!(f, "too few moves for a judgement: raise --duration")?,
            Fate::LinkLate => write!(f, "the link was late in each attempt")?,
            Fate::Failed => write!(f, "a run failed")?,
        }
        let busy =
            [(self.server_busy, "server"), (self.players_busy, "players"), (self.link_busy, "emulator")];
        busy.iter().filter(|(busy, _)| *busy).try_for_each(|(_, name)| write!(f, ", {name} busy"))
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
        let no_result = |it: &Try| matches!(it.fate, Fate::Failed | Fate::LinkLate | Fate::TooFew);
        let unknown = all.filter(|it| it.tries.iter().all(no_result));
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
        climb.record(value, tried.answer());
        tries.push(tried);
    };
    tries.sort_by_key(|it| it.value);
    Capacity { contender, arm, group: group.clone(), tries, next }
}

/// Returns the result of a value; `None` while some of its repeats have not run.
fn tried(results: &Results, search: &Search, key: &RunKey, value: u32) -> Option<Try> {
    let sampling = results.scenario.sampling_of(&key.group);
    let repeats = (0..sampling.repeats).map(|repeat| RunKey { repeat, ..key.clone() });
    if repeats.clone().any(|key| !results.is_done(&key)) {
        return None;
    }
    let missing: Vec<RunKey> = repeats.clone().filter(|key| results.run(key).is_none()).collect();
    let runs: Vec<&RunResult> = repeats.filter_map(|key| results.run(&key)).collect();
    let window_us = sampling.duration_ms as f64 * 1e3;
    let busy = |cpu_us: fn(&RunResult) -> Option<u64>| {
        runs.iter().filter_map(|run| cpu_us(run)).max().unwrap_or(0) as f64 > window_us * BUSY_SHARE
    };
    // A run that fails says nothing of the link; a run without a valid attempt does.
    let failed = |key: &RunKey| results.failures.iter().any(|failure| failure.key == *key);
    let link_late = missing.iter().any(|key| !failed(key));
    let wire = wire(&runs, key, search.of);
    let fate = match missing.is_empty() {
        true => fate(&runs, key, value, &search.criterion, window_us, wire),
        false if link_late => Fate::LinkLate,
        false => Fate::Failed,
    };
    let late_us_max = search.criterion.age_p99_max_ms as f64 * 1e3 * LATE_SHARE;
    let late = |run: &&RunResult| {
        run.load.lateness.quantile_us(0.99).is_some_and(|late_us| late_us as f64 > late_us_max)
    };
    Some(Try {
        value,
        fate,
        wire,
        players_busy: busy(|run| run.players.cpu_us) || runs.iter().any(late),
        server_busy: busy(|run| run.server.cpu_us),
        link_busy: link_late || runs.iter().flat_map(|run| links_of(run)).any(emulator_busy),
    })
}

fn emulator_busy(link: &LinkReport) -> bool {
    link.emulator_cpu_ms > link.elapsed_ms * BUSY_SHARE
}

fn fate(
    runs: &[&RunResult],
    key: &RunKey,
    value: u32,
    criterion: &Criterion,
    window_us: f64,
    wire: Option<Wire>,
) -> Fate {
    if wire.is_some_and(|wire| f64::from(value) > wire.limit) {
        return Fate::BeyondLink;
    }
    let Some(age_p99_us) = Repeats::new(runs).merged(|run| &run.load.stats.age).quantile_us(0.99) else {
        return Fate::TooFew;
    };
    if age_p99_us > criterion.age_p99_max_ms * 1_000 {
        return Fate::Stale { age_p99_ms: age_p99_us as f64 / 1e3 };
    }
    let sum = |count: fn(&RunResult) -> u64| runs.iter().map(|run| count(run)).sum::<u64>() as f64;
    let sent = sum(|run| run.load.sent);
    let planned = moves_per_s(&key.group) * window_us / 1e6 * runs.len() as f64;
    if sent < planned * SENT_SHARE_MIN {
        return Fate::Unsent { sent_share: sent / planned };
    }
    let delivered = sum(|run| run.load.stats.fresh + run.load.stats.superseded_on_arrival);
    let delivered_share = delivered / sent;
    let allowed_share = left_by_links(runs);
    if delivered_share < allowed_share * criterion.delivered_share_min {
        let superseded_share = sum(|run| superseded(run).unwrap_or(0)) / sent;
        return Fate::Missing { delivered_share, allowed_share, superseded_share };
    }
    Fate::Held
}

/// Returns the planned moves per second of all players together.
fn moves_per_s(group: &Group) -> f64 {
    PLAYERS_PER_MATCH * f64::from(group.pairs) * f64::from(group.rate_hz)
}

/// Returns the links of a run: one for all players, or one for each player of a match.
fn links_of(run: &RunResult) -> impl Iterator<Item = &LinkReport> {
    run.link.iter().flat_map(|link| [Some(link), link.second.as_deref()]).flatten()
}

/// Returns the share of the moves that the link's own losses leave.
fn left_by_links(runs: &[&RunResult]) -> f64 {
    let of_player = |player: usize, direction: Direction| {
        let links = runs.iter().filter_map(|run| links_of(run).nth(player).or(run.link.as_ref()));
        left_by_link(links, direction)
    };
    // A move goes up on its player's link, and down on the opponent's.
    let across = |from: usize, to: usize| of_player(from, Direction::Up) * of_player(to, Direction::Down);
    (across(0, 1) + across(1, 0)) / 2.0
}

/// Returns the share of the packets that a link neither lost nor held back, of those that passed
/// its queue.
fn left_by_link<'a>(links: impl Iterator<Item = &'a LinkReport>, direction: Direction) -> f64 {
    let (mut passed_queue, mut taken) = (0, 0);
    for total in links.map(|link| link.direction(direction).total()) {
        passed_queue += total.offered.saturating_sub(total.queue_dropped);
        taken += total.lost + total.held;
    }
    1.0 - (taken as f64 / passed_queue.max(1) as f64).min(1.0)
}

/// Returns the capacity of the link for the moves of these runs, in the searched number.
fn wire(runs: &[&RunResult], key: &RunKey, of: Searched) -> Option<Wire> {
    let links: Vec<&LinkReport> =
        runs.iter().filter_map(|run| game_alone(run)).filter(|link| link.second.is_none()).collect();
    let sent: u64 = runs.iter().map(|run| run.load.sent).sum();
    let in_direction = |direction: Direction| {
        let rate_mbit_per_s = match links.first()?.spec.direction(direction).rate {
            Some(Rate::MbitPerS(rate)) => rate,
            Some(Rate::Trace(_)) | None => return None,
        };
        let bytes: u64 = links.iter().map(|link| link.direction(direction).total().offered_bytes).sum();
        let entered = match direction {
            Direction::Up => sent as f64,
            Direction::Down => sent as f64 * arrived_share(&links, Direction::Up),
        };
        let bytes_per_move = (bytes > 0 && entered > 0.0).then(|| bytes as f64 / entered)?;
        let moves_per_s_max = rate_mbit_per_s * 1e6 / 8.0 / bytes_per_move;
        let players = PLAYERS_PER_MATCH * f64::from(key.group.pairs);
        let limit = match of {
            Searched::RateHz => moves_per_s_max / players,
            Searched::Pairs => moves_per_s_max / (PLAYERS_PER_MATCH * f64::from(key.group.rate_hz)),
        };
        Some(Wire { direction, bytes_per_move, limit })
    };
    let both = [Direction::Up, Direction::Down].into_iter().filter_map(in_direction);
    both.min_by(|a, b| a.limit.total_cmp(&b.limit))
}

/// Returns the share of the offered packets that crossed a direction.
fn arrived_share(links: &[&LinkReport], direction: Direction) -> f64 {
    let totals = links.iter().map(|link| link.direction(direction).total());
    let (mut offered, mut dropped) = (0, 0);
    for total in totals {
        offered += total.offered;
        dropped += total.lost + total.queue_dropped;
    }
    1.0 - (dropped as f64 / offered.max(1) as f64).min(1.0)
}

#[cfg(test)]
mod tests;
