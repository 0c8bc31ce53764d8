//! Latency, jitter, age and loss of the opponent's moves. Pure: callers pass the time in, and
//! nothing here reads a clock.
//!
//! [`MoveStats`] are the statistics of a receiver of moves. They consist of [`Samples`], of an
//! [`AgeSeries`] and of [`Block`]s. [`ClockSync`] estimates the server's clock from pings; [`live`]
//! has a player's figures of the last seconds.

mod age_series;
mod block;
mod clock_sync;
pub mod live;
mod samples;
#[cfg(test)]
mod tests;

use std::ops::Range;

use netduel_protocol::Move;
use serde::{Deserialize, Serialize};

pub use age_series::{AgeSeries, AgeSlot};
pub use block::{Block, block_us};
pub use clock_sync::ClockSync;
pub use samples::Samples;

/// The send periods that a gap must exceed to be a freeze: two updates in a row were missing or
/// late.
const FREEZE_PERIODS: u64 = 3;

/// The time for which a move must be the newest one to be of use, in µs: what one read brings
/// together lies closer, and no screen shows a shorter time. At high rates half a period counts.
const USEFUL_US: u64 = 1_000;

/// The order of a received move among the moves before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The move is newer than all before it.
    Fresh,
    /// The move was overtaken: reordered, late, or sent twice.
    Late,
}

/// Statistics of the opponent's moves at their receiver. All times are µs since the start of the
/// match.
///
/// Without a window everything counts, and the age is known from the first arrival on. In a window
/// ([`Self::open`]) moves count by their intended send time, whenever they arrive.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MoveStats {
    /// The one-way delay of moves that were newer than all before them, from the intended send
    /// time.
    pub one_way: Samples,
    /// The Age of Information: the age of the newest known position, weighted by time (Kaul et al.,
    /// INFOCOM 2012). It is infinite ([`Samples::VALUE_MAX_US`]) before a window's first arrival.
    pub age: Samples,
    /// The age over the time of the window, where it is known.
    pub age_over_time: AgeSeries,
    /// The interarrival jitter in µs: J += (|D| − J) / 16 (RFC 3550, 6.4.1).
    pub jitter_us: f64,
    /// Moves that were newer than all moves before them, and remained the newest for a while.
    pub fresh: u64,
    /// Moves that were newer than all before them, and that another one replaced at once: those of
    /// a burst that one read brought. Their delays count all the same.
    pub superseded_on_arrival: u64,
    /// Moves that were not newer than all before them.
    pub late: u64,
    /// Moves that were skipped: superseded, lost, or still under way.
    pub missing: u64,
    /// Gaps between arrivals of more than three send periods.
    pub freezes: u64,
    /// The longest gap between arrivals in µs, as a whole where it began before the window.
    pub longest_gap_us: u64,
    /// The largest error bound of the clocks behind the delays, in µs.
    pub clock_error_us: u32,
    /// Moves that arrived before they were sent, by the clocks, whose error is the cause. Their
    /// delays count as 0.
    pub arrived_before_sent: u64,
    /// The length of a block in µs; 0 without a window.
    pub block_us: u64,
    /// The window in blocks, one after another.
    pub blocks: Vec<Block>,
    #[serde(skip)]
    newest: Option<Arrival>,
    /// The highest number of a move so far.
    #[serde(skip)]
    newest_seq: u32,
    /// The time up to which the age has been recorded.
    #[serde(skip)]
    accounted_us: Option<u64>,
    #[serde(skip)]
    window: Option<Window>,
    #[serde(skip)]
    period_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    seq: u32,
    sent_us: u64,
    arrived_us: u64,
    /// Whether the move was meant to be sent within the window.
    counts: bool,
}

/// The window of measurement, in µs since the start of the match.
#[derive(Clone, Copy, Debug)]
struct Window {
    begin_us: u64,
    open_us: u64,
    close_us: u64,
}

impl MoveStats {
    /// Creates statistics of moves that are sent every `period_us`. The period decides what counts
    /// as a freeze, and whether a move was of use. 0 is for moves without a period: they have no
    /// freezes, and all are of use.
    pub fn new(period_us: u64) -> Self {
        Self { period_us, ..Self::default() }
    }

    /// Records a move that arrived at `now_us`, when this side's clock was known to within
    /// `clock_error_us`, or was [`Move::CLOCK_UNKNOWN`]. Moves are numbered from 1.
    pub fn on_move(&mut self, now_us: u64, update: &Move, clock_error_us: u32) -> Freshness {
        let counts = self.counts(update.at_us);
        if update.seq <= self.newest_seq {
            self.late += u64::from(counts);
            return Freshness::Late;
        }
        self.newest_seq = update.seq;
        // Without its clocks a move has no time: it only counts.
        if clock_error_us == Move::CLOCK_UNKNOWN || update.clock_error_us == Move::CLOCK_UNKNOWN {
            self.fresh += 1;
            return Freshness::Fresh;
        }
        // A move from before the window's begin says nothing of the path within it.
        if self.window.is_some_and(|window| update.at_us < window.begin_us) {
            return Freshness::Fresh;
        }
        let arrival = Arrival { seq: update.seq, sent_us: update.at_us, arrived_us: now_us, counts };
        self.account_age(now_us);
        self.on_gap(now_us);
        if let Some(before) = self.newest {
            self.missing += self.skipped(&before, &arrival);
            let spacing_us = now_us.abs_diff(before.arrived_us);
            let sent_spacing_us = arrival.sent_us.abs_diff(before.sent_us);
            self.jitter_us += (spacing_us.abs_diff(sent_spacing_us) as f64 - self.jitter_us) / 16.0;
            if before.counts && supersedes_on_arrival(spacing_us, self.period_us) {
                self.fresh -= 1;
                self.superseded_on_arrival += 1;
            }
        }
        if counts {
            self.fresh += 1;
            self.one_way.record(now_us.saturating_sub(update.at_us));
            self.arrived_before_sent += u64::from(now_us < update.at_us);
            self.clock_error_us =
                self.clock_error_us.max(clock_error_us.saturating_add(update.clock_error_us));
        }
        self.newest = Some(arrival);
        Freshness::Fresh
    }

    /// Opens a window of measurement: clears the counts, and from now on counts the moves that are
    /// meant to be sent within `window_us`. The age is accounted for over the same time. Moves from
    /// before `begin_us` do not matter: until the first later one arrives, the age is infinite.
    ///
    /// Call it at the window's begin or earlier, so that no move is missed.
    pub fn open(&mut self, begin_us: u64, window_us: Range<u64>) {
        let Range { start: open_us, end: close_us } = window_us;
        let (block_us, blocks) = block::all(close_us.saturating_sub(open_us));
        *self = Self {
            // A move that was counted in the window before counts no more.
            newest: (self.newest.filter(|newest| newest.sent_us >= begin_us))
                .map(|newest| Arrival { counts: false, ..newest }),
            newest_seq: self.newest_seq,
            accounted_us: Some(open_us),
            window: Some(Window { begin_us, open_us, close_us }),
            jitter_us: self.jitter_us,
            block_us,
            blocks,
            ..Self::new(self.period_us)
        };
    }

    /// Starts a new window of measurement without an end. The newest move remains known.
    pub fn restart(&mut self, now_us: u64) {
        self.open(0, now_us..u64::MAX);
    }

    /// Closes the window at `now_us`, and records the age since the last move. Call it once no
    /// further move is awaited.
    pub fn finish(&mut self, now_us: u64) {
        self.account_age(now_us);
        self.on_gap(now_us);
    }

    /// Returns the statistics as if the window closed at `now_us`.
    #[must_use]
    pub fn finished(&self, now_us: u64) -> Self {
        let mut finished = self.clone();
        finished.finish(now_us);
        finished
    }

    /// Whether a move that is meant to be sent at `at_us` counts.
    pub fn counts(&self, at_us: u64) -> bool {
        self.window.is_none_or(|window| (window.open_us..window.close_us).contains(&at_us))
    }

    /// Returns the number of moves that were newer than all moves before them, of use or not.
    pub fn in_order(&self) -> u64 {
        self.fresh + self.superseded_on_arrival
    }

    /// Returns the smallest fixed playout delay with which the opponent stands still for at most
    /// 1 % of the time, in µs. An opponent that is drawn so far in the past is in place as long as
    /// the newest position is no older, so this is the 99th percentile of the age.
    pub fn perceived_delay_us(&self) -> Option<u64> {
        self.age.quantile_us(0.99)
    }

    /// Adds another player's statistics of the same window.
    pub fn merge(&mut self, other: &Self) {
        self.one_way.merge(&other.one_way);
        self.age.merge(&other.age);
        self.age_over_time.merge(&other.age_over_time);
        self.jitter_us = self.jitter_us.max(other.jitter_us);
        self.fresh += other.fresh;
        self.superseded_on_arrival += other.superseded_on_arrival;
        self.late += other.late;
        self.missing += other.missing;
        self.freezes += other.freezes;
        self.longest_gap_us = self.longest_gap_us.max(other.longest_gap_us);
        self.clock_error_us = self.clock_error_us.max(other.clock_error_us);
        self.arrived_before_sent += other.arrived_before_sent;
        self.block_us = self.block_us.max(other.block_us);
        self.blocks.resize_with(self.blocks.len().max(other.blocks.len()), Block::default);
        self.blocks.iter_mut().zip(&other.blocks).for_each(|(block, more)| block.merge(more));
    }

    /// Accounts for the age up to `now_us`, but not beyond the window.
    fn account_age(&mut self, now_us: u64) {
        let to_us = now_us.min(self.window.map_or(u64::MAX, |window| window.close_us));
        let from_us = *self.accounted_us.get_or_insert(to_us);
        if to_us <= from_us {
            return;
        }
        self.accounted_us = Some(to_us);
        let age_us = self.newest.map(|newest| from_us.saturating_sub(newest.sent_us));
        let open_us = self.window.map_or(0, |window| window.open_us);
        let (from_us, to_us) = (from_us - open_us, to_us - open_us);
        block::record_age(&mut self.age, from_us..to_us, age_us, self.period_us);
        if let Some(age_us) = age_us {
            self.age_over_time.record(from_us, to_us, age_us);
        }
        block::record_ages(&mut self.blocks, self.block_us, from_us..to_us, age_us, self.period_us);
    }

    /// Records that nothing arrived until `now_us` since the last arrival, or since the window's
    /// begin. A freeze counts in the block in which it begins, or in the first one.
    fn on_gap(&mut self, now_us: u64) {
        let begin_us = self.window.map(|window| window.begin_us);
        let Some(since_us) = self.newest.map(|newest| newest.arrived_us).or(begin_us) else { return };
        let (open_us, close_us) =
            self.window.map_or((0, u64::MAX), |window| (window.open_us, window.close_us));
        if now_us <= open_us || since_us >= close_us {
            return;
        }
        self.longest_gap_us = self.longest_gap_us.max(now_us.saturating_sub(since_us));
        let freezes_us = since_us.saturating_add(self.period_us.saturating_mul(FREEZE_PERIODS)).max(open_us);
        if self.period_us > 0 && freezes_us < now_us.min(close_us) {
            self.freezes += 1;
            if let Some(block) = block::at(&mut self.blocks, self.block_us, freezes_us - open_us) {
                block.freezes += 1;
            }
        }
    }

    /// Returns the number of moves between two that arrived, as far as they count. Their times lie
    /// evenly between those of the two.
    fn skipped(&self, before: &Arrival, after: &Arrival) -> u64 {
        let steps = u64::from(after.seq - before.seq);
        let Some(window) = self.window else { return steps - 1 };
        let span_us = after.sent_us.saturating_sub(before.sent_us).max(1);
        let sent_before = |at_us: u64| {
            let reached = u128::from(at_us.saturating_sub(before.sent_us)) * u128::from(steps);
            // The first of the two is none of them.
            let passed = reached.div_ceil(u128::from(span_us)).saturating_sub(1);
            u64::try_from(passed).unwrap_or(u64::MAX).min(steps - 1)
        };
        sent_before(window.close_us) - sent_before(window.open_us)
    }
}

/// Whether a move that arrives `spacing_us` after another one replaces it before it was of use.
pub fn supersedes_on_arrival(spacing_us: u64, period_us: u64) -> bool {
    spacing_us < USEFUL_US.min(period_us / 2)
}
