//! Latency, jitter, age and loss of the opponent's moves. Pure: callers pass the time in, and
//! nothing here reads a clock.
//!
//! [`MoveStats`] are the statistics of a receiver of moves. They consist of [`Samples`] and of an
//! [`AgeSeries`]. [`ClockSync`] estimates the server's clock from pings; [`live`] has a player's
//! figures of the last seconds.

mod age_series;
mod clock_sync;
pub mod live;
mod samples;

use netduel_protocol::Move;
use serde::{Deserialize, Serialize};

pub use age_series::{AgeSeries, AgeSlot};
pub use clock_sync::ClockSync;
pub use samples::Samples;

/// The send periods that a gap must exceed to be a freeze: two updates in a row were missing or
/// late.
const FREEZE_PERIODS: u64 = 3;

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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MoveStats {
    /// The one-way delay of fresh moves, from the intended send time.
    pub one_way: Samples,
    /// The Age of Information: the age of the newest known position, weighted by time (Kaul et al.,
    /// INFOCOM 2012).
    pub age: Samples,
    /// The age over the time of the window.
    pub age_over_time: AgeSeries,
    /// The interarrival jitter in µs: J += (|D| − J) / 16 (RFC 3550, 6.4.1).
    pub jitter_us: f64,
    /// Moves that were newer than all moves before them.
    pub fresh: u64,
    /// Moves that were not newer than all before them.
    pub late: u64,
    /// Moves that were skipped: superseded, lost, or still under way.
    pub missing: u64,
    /// Gaps between fresh moves of more than three send periods.
    pub freezes: u64,
    /// The longest gap between fresh moves in µs.
    pub longest_gap_us: u64,
    /// The largest error bound of the clocks behind the delays, in µs.
    pub clock_error_us: u32,
    #[serde(skip)]
    newest: Option<Arrival>,
    /// The time up to which the age has been recorded.
    #[serde(skip)]
    accounted_us: u64,
    #[serde(skip)]
    opened_us: u64,
    #[serde(skip)]
    period_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    seq: u32,
    sent_us: u64,
    arrived_us: u64,
}

impl MoveStats {
    /// Creates statistics of moves that are sent every `period_us`, which decides what counts as a
    /// freeze.
    pub fn new(period_us: u64) -> Self {
        Self { period_us, ..Self::default() }
    }

    /// Records a move that arrived at `now_us`, when this side's clock was known to within
    /// `clock_error_us`.
    pub fn on_move(&mut self, now_us: u64, update: &Move, clock_error_us: u32) -> Freshness {
        let arrival = Arrival { seq: update.seq, sent_us: update.at_us, arrived_us: now_us };
        if let Some(newest) = self.newest {
            if update.seq <= newest.seq {
                self.late += 1;
                return Freshness::Late;
            }
            self.account_age(now_us);
            self.missing += u64::from(update.seq - newest.seq - 1);
            self.on_gap(now_us.saturating_sub(newest.arrived_us));
            let spacing = now_us.abs_diff(newest.arrived_us) as f64;
            let sent_spacing = arrival.sent_us.abs_diff(newest.sent_us) as f64;
            self.jitter_us += ((spacing - sent_spacing).abs() - self.jitter_us) / 16.0;
        } else {
            self.accounted_us = now_us;
        }
        self.fresh += 1;
        self.one_way.record(now_us.saturating_sub(update.at_us));
        self.clock_error_us = self.clock_error_us.max(clock_error_us.saturating_add(update.clock_error_us));
        self.newest = Some(arrival);
        Freshness::Fresh
    }

    /// Starts a new window of measurement: clears the counts, and keeps the newest move and the
    /// jitter.
    pub fn restart(&mut self, now_us: u64) {
        *self = Self {
            newest: self.newest,
            accounted_us: now_us,
            opened_us: now_us,
            jitter_us: self.jitter_us,
            ..Self::new(self.period_us)
        };
    }

    /// Closes the window at `now_us`, and records the age since the last move.
    pub fn finish(&mut self, now_us: u64) {
        if let Some(newest) = self.newest {
            self.account_age(now_us);
            self.on_gap(now_us.saturating_sub(newest.arrived_us));
        }
    }

    /// Returns the statistics as if the window closed at `now_us`.
    #[must_use]
    pub fn finished(&self, now_us: u64) -> Self {
        let mut finished = self.clone();
        finished.finish(now_us);
        finished
    }

    /// Adds another player's statistics of the same window.
    pub fn merge(&mut self, other: &Self) {
        self.one_way.merge(&other.one_way);
        self.age.merge(&other.age);
        self.age_over_time.merge(&other.age_over_time);
        self.jitter_us = self.jitter_us.max(other.jitter_us);
        self.fresh += other.fresh;
        self.late += other.late;
        self.missing += other.missing;
        self.freezes += other.freezes;
        self.longest_gap_us = self.longest_gap_us.max(other.longest_gap_us);
        self.clock_error_us = self.clock_error_us.max(other.clock_error_us);
    }

    fn account_age(&mut self, now_us: u64) {
        if let Some(newest) = self.newest {
            let from_us = self.accounted_us.saturating_sub(newest.sent_us);
            self.age.record_span(from_us, now_us.saturating_sub(newest.sent_us));
            let since_opening = |at_us: u64| at_us.saturating_sub(self.opened_us);
            let (from, to) = (since_opening(self.accounted_us), since_opening(now_us));
            self.age_over_time.record(from, to, from_us);
            self.accounted_us = now_us;
        }
    }

    fn on_gap(&mut self, gap_us: u64) {
        self.longest_gap_us = self.longest_gap_us.max(gap_us);
        if self.period_us > 0 && gap_us > self.period_us * FREEZE_PERIODS {
            self.freezes += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{age_series::SLOTS_MAX, *};

    fn sent(seq: u32, at_us: u64) -> Move {
        Move { seq, at_us, ..Move::default() }
    }

    /// Whether `value` is within the histogram's 1 % of `wanted`.
    fn near(value: u64, wanted: u64) -> bool {
        value.abs_diff(wanted) * 100 <= wanted
    }

    #[test]
    fn delay_includes_the_sender_s_stall() {
        let mut stats = MoveStats::new(10_000);
        for seq in 1..=100u32 {
            // The sender meant to send every 10 ms and stalled from 50 to 350 ms; then all moves
            // arrive at once.
            let at_us = u64::from(seq) * 10_000;
            let arrives_us = if (50_000..350_000).contains(&at_us) { 350_000 } else { at_us + 1_000 };
            stats.on_move(arrives_us, &sent(seq, at_us), 0);
        }
        assert_eq!(stats.fresh, 100);
        assert!(
            near(stats.one_way.max_us().expect("some"), 300_000),
            "a ping-pong would show one slow answer"
        );
        assert_eq!(stats.freezes, 1);
        assert_eq!(stats.longest_gap_us, 350_000 - 41_000);
    }

    #[test]
    fn age_is_integrated_over_time() {
        // Every 100 ms a move arrives after 20 ms, so the age runs evenly from 20 to 120 ms.
        let mut stats = MoveStats::new(100_000);
        for seq in 1..=50u32 {
            let at_us = u64::from(seq) * 100_000;
            stats.on_move(at_us + 20_000, &sent(seq, at_us), 0);
        }
        let mean_us = stats.age.mean_us().expect("some");
        assert!((mean_us - 70_000.0).abs() < 700.0, "{mean_us}");
        assert!(near(stats.age.quantile_us(0.5).expect("enough"), 70_000));
        assert_eq!(stats.age.quantile_us(0.99), None, "49 teeth cannot tell a p99");
        assert!(near(stats.age.max_us().expect("some"), 120_000));
    }

    #[test]
    fn windows_count_only_their_own_time() {
        let mut stats = MoveStats::new(10_000);
        stats.on_move(5_000, &sent(1, 0), 0);
        stats.restart(100_000);
        stats.finish(150_000);
        assert_eq!((stats.fresh, stats.freezes), (0, 1));
        let mean_us = stats.age.mean_us().expect("some");
        assert!((mean_us - 125_000.0).abs() < 1_300.0, "{mean_us}");
    }

    #[test]
    fn separates_late_missing_and_jitter() {
        let mut stats = MoveStats::new(10_000);
        for (now_us, seq) in [(11_000, 1), (41_000, 4), (42_000, 2), (42_000, 4)] {
            stats.on_move(now_us, &sent(seq, u64::from(seq) * 10_000), 7);
        }
        assert_eq!((stats.fresh, stats.late, stats.missing), (2, 2, 2));
        assert_eq!(stats.jitter_us, 0.0, "sent and arrived 30 ms apart");
        stats.on_move(67_000, &sent(5, 50_000), 7);
        assert_eq!(stats.jitter_us, 1_000.0, "16 ms late, a sixteenth of which counts");
        assert_eq!(stats.clock_error_us, 7);
    }

    #[test]
    fn age_series_is_bounded() {
        let mut stats = MoveStats::new(50_000);
        stats.on_move(20_000, &sent(1, 0), 0);
        stats.restart(50_000);
        stats.on_move(250_000, &sent(2, 240_000), 0);
        stats.finish(260_000);
        // The age runs from 50 to 150 and to 250 ms in the first two slots, and from 10 to 20 ms in
        // the third.
        let slots = &stats.age_over_time.slots;
        let means: Vec<f64> = slots.iter().filter_map(AgeSlot::mean_us).collect();
        assert_eq!(means, [100_000.0, 200_000.0, 15_000.0]);
        assert_eq!(slots.iter().map(|slot| slot.max_us).collect::<Vec<_>>(), [150_000, 250_000, 20_000]);

        let mut hour = AgeSeries::default();
        (0..36_000).for_each(|slot| hour.record(slot * 100_000, (slot + 1) * 100_000, 0));
        assert!(hour.slots.len() <= SLOTS_MAX);
        assert_eq!(hour.slots.iter().map(|slot| slot.known_us).sum::<u64>(), 3_600_000_000);
        let mut both = stats.age_over_time.clone();
        both.merge(&hour);
        assert_eq!((both.slot_us, both.slots.len()), (hour.slot_us, hour.slots.len()));
        assert_eq!(both.slots[0].known_us, hour.slots[0].known_us + 210_000);
    }
}
