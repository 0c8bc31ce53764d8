//! A player's live figures: statistics of the last seconds, and a trace of the last half minute.
//! Pure.
//!
//! [`super::MoveStats`] covers a whole window and feeds reports; this module forgets old values.
//! All times are µs since the start of the match by the server's clock.

use std::collections::VecDeque;

use netduel_protocol::Move;
use netduel_transport::PathStats;
use serde::{Deserialize, Serialize};

use super::{FREEZE_PERIODS, Freshness, MoveStats, Samples};

/// The time that the figures cover in µs: long enough for a median, short enough to show a change
/// at once.
pub const RECENT_US: u64 = 5_000_000;
/// The time that the trace covers in µs: long enough to look at an incident after it happened.
pub const TRACE_US: u64 = 30_000_000;
/// The most moves and pings kept for the trace: half a minute at the fastest rate, 240 Hz. A faster
/// rate shortens the trace.
const TRACE_MAX: usize = 7_200;
/// The step in which the recent figures forget old values, in µs.
const SLOT_US: u64 = 250_000;
/// The number of slots in [`RECENT_US`].
const SLOTS: usize = (RECENT_US / SLOT_US) as usize;
/// The time over which bytes and packets are counted, in µs: the shortest in which a rate of 60 Hz
/// is even.
const RATE_US: u64 = 1_000_000;
/// The most samples kept of the transport's counters: a second of them, at any rate of sampling.
const LOOKS_MAX: usize = 64;
/// The longest send period in µs: players walk with four moves a second at least, and a claim of
/// more must not take long to be forgotten.
const PERIOD_MAX_US: f64 = 1e6;
/// The samples that must lie beyond a live quantile. Reports ask for ten, to generalise; live
/// figures describe only the last seconds, of which they have every sample.
const BEYOND_LIVE: f64 = 1.0;
/// The samples that must lie beyond a live quantile of the age: none, since half a tooth shows the
/// age for half of its time.
const BEYOND_LIVE_AGE: f64 = 0.0;

/// A figure over the last five seconds, in µs. `None` where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// The newest value.
    pub current_us: Option<u64>,
    /// The median.
    pub p50_us: Option<u64>,
    /// The 95th percentile.
    pub p95_us: Option<u64>,
    /// The maximum.
    pub max_us: Option<u64>,
}

/// Distributions of the last [`RECENT_US`], in slots that are dropped one by one.
#[derive(Clone, Debug, Default)]
struct Sliding {
    /// Slots by their number since the start, the newest last; [`SLOTS`] at most.
    slots: VecDeque<(u64, Samples)>,
    current_us: Option<u64>,
}

impl Sliding {
    fn record(&mut self, now_us: u64, value_us: u64) {
        self.slot(now_us).record(value_us);
        self.current_us = Some(value_us);
    }

    fn record_span(&mut self, now_us: u64, from_us: u64, to_us: u64) {
        self.slot(now_us).record_span(from_us, to_us);
    }

    fn slot(&mut self, now_us: u64) -> &mut Samples {
        let number = now_us / SLOT_US;
        if self.slots.back().is_none_or(|(newest, _)| *newest < number) {
            if self.slots.len() == SLOTS {
                self.slots.pop_front();
            }
            self.slots.push_back((number, Samples::default()));
        }
        let last = self.slots.len() - 1;
        &mut self.slots[last].1
    }

    /// Returns the recent figure. `growing_us` is the first and the current value of a quantity
    /// that still grows.
    fn recent(&self, now_us: u64, growing_us: Option<(u64, u64)>) -> Recent {
        let recent = |number: u64| number.saturating_add(SLOTS as u64) > now_us / SLOT_US;
        let mut all = Samples::default();
        self.slots.iter().filter(|(number, _)| recent(*number)).for_each(|(_, slot)| all.merge(slot));
        let beyond = if growing_us.is_some() { BEYOND_LIVE_AGE } else { BEYOND_LIVE };
        if let Some((from_us, to_us)) = growing_us {
            all.record_span(from_us.max(to_us.saturating_sub(RECENT_US)), to_us);
        }
        Recent {
            current_us: growing_us.map_or(self.current_us, |(_, to_us)| Some(to_us)),
            p50_us: all.quantile_beyond_us(0.5, beyond),
            p95_us: all.quantile_beyond_us(0.95, beyond),
            max_us: all.max_us(),
        }
    }
}

/// Bytes and packets a second, by the transport's own counters; `None` where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Bytes sent a second, headers included.
    pub sent_bytes_per_s: Option<f64>,
    /// Bytes received a second.
    pub received_bytes_per_s: Option<f64>,
    /// Packets sent a second.
    pub sent_packets_per_s: Option<f64>,
    /// Packets received a second.
    pub received_packets_per_s: Option<f64>,
}

/// All figures of one player at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The time of the figures, in µs since the start of the match.
    pub at_us: u64,
    /// The age of the opponent's newest known position.
    pub age: Recent,
    /// The time from the opponent's intended send time to the arrival here.
    pub one_way: Recent,
    /// The error bound of the clocks behind the one-way delay, in µs; `None` before the first.
    pub clock_error_us: Option<u32>,
    /// The round trip to the server, without the time within it.
    pub round_trip: Recent,
    /// The delay from here to the server.
    pub up: Recent,
    /// The delay from the server to here.
    pub down: Recent,
    /// The time between a ping's arrival in the server and its answer.
    pub in_server: Recent,
    /// The interarrival jitter (RFC 3550) in µs.
    pub jitter_us: f64,
    /// The opponent's send period in µs, estimated from its moves.
    pub opponent_period_us: Option<u64>,
    /// Gaps of more than three of the opponent's send periods, since the start.
    pub freezes: u64,
    /// The longest gap since the start, in µs.
    pub longest_gap_us: u64,
    /// Moves sent since the start.
    pub sent: u64,
    /// Moves that were replaced by a newer one before they were sent.
    pub superseded: u64,
    /// Received moves that were newer than all before them.
    pub received: u64,
    /// Received moves that arrived after a newer one.
    pub late: u64,
    /// Moves that never arrived: lost, or superseded by the sender or the server.
    pub missing: u64,
    /// The traffic on the wire.
    pub rates: Rates,
    /// The transport's own statistics.
    pub path: PathStats,
}

/// The last half minute as points (s since the start of the match, ms).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The age of the opponent's position: a sawtooth that falls with each received move. Where
    /// many teeth share a column of the plot, this is their upper envelope.
    pub age: Vec<[f64; 2]>,
    /// The one-way delay of each fresh move.
    pub one_way: Vec<[f64; 2]>,
    /// The round trips of pings.
    pub round_trip: Vec<[f64; 2]>,
    /// The beginning and the end of each freeze, in s.
    pub freezes: Vec<(f64, f64)>,
}

/// The live statistics of one player.
#[derive(Clone, Debug, Default)]
pub struct LiveStats {
    one_way: Sliding,
    age: Sliding,
    round_trip: Sliding,
    up: Sliding,
    down: Sliding,
    in_server: Sliding,
    /// Arrival and intended send time of fresh moves in µs, the newest last.
    moves: VecDeque<(u64, u64)>,
    /// Times and round trips of pings in µs.
    pings: VecDeque<(u64, u64)>,
    looks: VecDeque<(u64, PathStats)>,
    newest_seq: u32,
    opponent_period_us: Option<f64>,
    freezes: u64,
}

impl LiveStats {
    /// Records a move of the opponent that arrived at `now_us`. Call it once this side's clock is
    /// known ([`crate::stats::ClockSync::offset_us`]).
    pub fn on_move(&mut self, now_us: u64, update: &Move, freshness: Freshness) {
        if freshness == Freshness::Late || update.clock_error_us == Move::CLOCK_UNKNOWN {
            return;
        }
        if let Some((arrived_us, sent_us)) = self.moves.back().copied() {
            let skipped = f64::from(update.seq.saturating_sub(self.newest_seq).max(1));
            let spacing_us = (update.at_us.saturating_sub(sent_us) as f64 / skipped).min(PERIOD_MAX_US);
            let known_us = self.opponent_period_us.get_or_insert(spacing_us);
            *known_us += (spacing_us - *known_us) / 16.0;
            if now_us.saturating_sub(arrived_us) as f64 > *known_us * FREEZE_PERIODS as f64 {
                self.freezes += 1;
            }
            let age_from = |at_us: u64| at_us.saturating_sub(sent_us);
            self.age.record_span(now_us, age_from(arrived_us), age_from(now_us));
        }
        self.newest_seq = update.seq;
        self.one_way.record(now_us, now_us.saturating_sub(update.at_us));
        push_bounded(&mut self.moves, TRACE_MAX, (now_us, update.at_us));
    }

    /// Records an answered ping: its delays in both directions, and the time within the server.
    pub fn on_pong(&mut self, now_us: u64, up_us: u64, in_server_us: u64, down_us: u64) {
        let rtt_us = up_us.saturating_add(down_us);
        self.round_trip.record(now_us, rtt_us);
        self.up.record(now_us, up_us);
        self.down.record(now_us, down_us);
        self.in_server.record(now_us, in_server_us);
        push_bounded(&mut self.pings, TRACE_MAX, (now_us, rtt_us));
    }

    /// Records the transport's statistics. Call it a few times a second.
    pub fn on_path(&mut self, now_us: u64, path: PathStats) {
        while self.looks.front().is_some_and(|(at_us, _)| now_us.saturating_sub(*at_us) > RATE_US) {
            self.looks.pop_front();
        }
        push_bounded(&mut self.looks, LOOKS_MAX, (now_us, path));
    }

    /// Returns all figures at `now_us`. `totals` are the statistics of the match; `sent` and
    /// `superseded` are the player's counts.
    pub fn figures(&self, now_us: u64, totals: &MoveStats, sent: u64, superseded: u64) -> Figures {
        // The growing tooth counts as far as it has grown, so that a silent opponent does not look
        // good.
        let tooth_us = self.moves.back().map(|(arrived_us, sent_us)| {
            (arrived_us.saturating_sub(*sent_us), now_us.saturating_sub(*sent_us))
        });
        let gap_us = self.moves.back().map_or(0, |(arrived_us, _)| now_us.saturating_sub(*arrived_us));
        Figures {
            at_us: now_us,
            age: self.age.recent(now_us, tooth_us),
            one_way: self.one_way.recent(now_us, None),
            clock_error_us: (totals.one_way.count() > 0).then_some(totals.clock_error_us),
            round_trip: self.round_trip.recent(now_us, None),
            up: self.up.recent(now_us, None),
            down: self.down.recent(now_us, None),
            in_server: self.in_server.recent(now_us, None),
            jitter_us: totals.jitter_us,
            opponent_period_us: self.opponent_period_us.map(|period_us| period_us as u64),
            freezes: self.freezes,
            longest_gap_us: totals.longest_gap_us.max(gap_us),
            sent,
            superseded,
            received: totals.in_order(),
            late: totals.late,
            missing: totals.missing.saturating_sub(totals.late),
            rates: self.rates(),
            path: self.looks.back().map(|(_, path)| path.clone()).unwrap_or_default(),
        }
    }

    fn rates(&self) -> Rates {
        let (Some((from_us, first)), Some((to_us, last))) = (self.looks.front(), self.looks.back()) else {
            return Rates::default();
        };
        let seconds = to_us.saturating_sub(*from_us) as f64 / 1e6;
        let per_s = |read: fn(&PathStats) -> Option<u64>| {
            let grown = read(last)?.saturating_sub(read(first)?);
            (seconds > 0.0).then(|| grown as f64 / seconds)
        };
        Rates {
            sent_bytes_per_s: per_s(|path| path.sent_bytes),
            received_bytes_per_s: per_s(|path| path.received_bytes),
            sent_packets_per_s: per_s(|path| path.sent_packets),
            received_packets_per_s: per_s(|path| path.received_packets),
        }
    }

    /// Returns the last `span_us` up to `now_us`, for a plot of `columns`. Of many teeth that share
    /// a column only the highest peak is kept, so that no peak is lost and the line is not a solid
    /// band.
    pub fn trace(&self, now_us: u64, span_us: u64, columns: usize) -> Trace {
        let from_us = now_us.saturating_sub(span_us);
        let column_us = (span_us / columns.max(1) as u64).max(1);
        let point = |at_us: u64, value_us: u64| [at_us as f64 / 1e6, value_us as f64 / 1e3];
        let mut trace = Trace::default();
        let freeze_us =
            self.opponent_period_us.map_or(f64::MAX, |period_us| period_us * FREEZE_PERIODS as f64);
        let skip = self.moves.partition_point(|(arrived_us, _)| *arrived_us < from_us).saturating_sub(1);
        let mut teeth = Vec::new();
        let mut from = None;
        for &(arrived_us, sent_us) in self.moves.range(skip..) {
            if let Some((before_us, old_us)) = from {
                let peak_us = arrived_us.saturating_sub(old_us);
                teeth.push((arrived_us, peak_us, arrived_us.saturating_sub(sent_us)));
                if arrived_us.saturating_sub(before_us) as f64 > freeze_us {
                    trace.freezes.push((before_us as f64 / 1e6, arrived_us as f64 / 1e6));
                }
            }
            from = Some((arrived_us, sent_us));
        }
        let mut tooth = teeth.iter().peekable();
        while let Some(&first) = tooth.next() {
            let (mut tallest, mut alone) = (first, true);
            while let Some(next) = tooth.next_if(|next| next.0 / column_us == first.0 / column_us) {
                tallest = if next.1 > tallest.1 { *next } else { tallest };
                alone = false;
            }
            trace.age.push(point(tallest.0, tallest.1));
            if alone {
                trace.age.push(point(tallest.0, tallest.2));
            }
            trace.one_way.push(point(tallest.0, tallest.2));
        }
        if let Some((_, sent_us)) = from {
            trace.age.push(point(now_us, now_us.saturating_sub(sent_us)));
        }
        let skip = self.pings.partition_point(|(at_us, _)| *at_us < from_us);
        trace.round_trip = self.pings.range(skip..).map(|&(at_us, rtt_us)| point(at_us, rtt_us)).collect();
        trace
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, max: usize, item: T) {
    if queue.len() == max {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(seq: u32, at_us: u64) -> Move {
        Move { seq, at_us, ..Move::default() }
    }

    /// Records 60 moves a second with a delay of 20 ms, from 0 to `until_us`.
    fn even(live: &mut LiveStats, until_us: u64) {
        for seq in 1..=(until_us / 16_667) as u32 {
            let at_us = u64::from(seq) * 16_667;
            live.on_move(at_us + 20_000, &sent(seq, at_us), Freshness::Fresh);
        }
    }

    #[test]
    fn figures_cover_five_seconds() {
        let mut live = LiveStats::default();
        live.on_move(900_000, &sent(1, 0), Freshness::Fresh);
        let totals = MoveStats::new(16_667);
        assert_eq!(live.figures(1_000_000, &totals, 0, 0).one_way.max_us.map(|us| us / 10_000), Some(90));
        for seq in 2..=600u32 {
            let at_us = u64::from(seq) * 16_667 + 1_000_000;
            live.on_move(at_us + 20_000, &sent(seq, at_us), Freshness::Fresh);
        }
        let now_us = 600 * 16_667 + 1_030_000;
        let figures = live.figures(now_us, &totals, 7, 3);
        let within =
            |value: Option<u64>, wanted: u64| value.is_some_and(|us| us.abs_diff(wanted) * 50 <= wanted);
        assert!(within(figures.one_way.max_us, 20_000), "the 900 ms are forgotten: {:?}", figures.one_way);
        assert!(
            within(figures.age.p50_us, 28_300) && within(figures.age.max_us, 36_667),
            "{:?}",
            figures.age
        );
        assert_eq!(figures.age.current_us, Some(30_000));
        assert!(within(figures.opponent_period_us, 16_667));
        assert_eq!((figures.sent, figures.superseded), (7, 3));
        let silent = live.figures(now_us + 9_000_000, &totals, 7, 3);
        assert_eq!((silent.one_way.p50_us, silent.age.current_us), (None, Some(9_030_000)));
        assert!(
            within(silent.age.max_us, 9_030_000) && within(silent.age.p50_us, 6_530_000),
            "{:?}",
            silent.age
        );
    }

    #[test]
    fn figures_tell_each_quantity() {
        let mut live = LiveStats::default();
        // The third move is missing: the period of those before and after it is still 10 ms.
        for (now_us, seq, at_us) in
            [(20_000, 1, 0), (30_000, 2, 10_000), (60_000, 4, 30_000), (90_001, 5, 40_000)]
        {
            live.on_move(now_us, &sent(seq, at_us), Freshness::Fresh);
        }
        live.on_move(95_000, &sent(3, 20_000), Freshness::Late);
        live.on_move(
            95_000,
            &Move { clock_error_us: Move::CLOCK_UNKNOWN, ..sent(6, 90_000) },
            Freshness::Fresh,
        );
        live.on_pong(96_000, 10, 7, 30);
        let mut totals =
            MoveStats { fresh: 7, superseded_on_arrival: 3, late: 2, missing: 5, ..MoveStats::default() };
        (totals.jitter_us, totals.longest_gap_us, totals.clock_error_us) = (1.5, 12, 9);
        let figures = live.figures(110_000, &totals, 21, 4);
        assert_eq!((figures.at_us, figures.sent, figures.superseded), (110_000, 21, 4));
        assert_eq!((figures.received, figures.late, figures.missing), (10, 2, 3));
        assert_eq!((figures.freezes, figures.opponent_period_us), (1, Some(10_000)), "30 ms are no freeze");
        assert_eq!((figures.longest_gap_us, figures.jitter_us, figures.clock_error_us), (19_999, 1.5, None));
        assert_eq!((figures.one_way.current_us, figures.age.current_us), (Some(50_001), Some(70_000)));
        let current = |recent: Recent| recent.current_us;
        let ways = [figures.round_trip, figures.up, figures.down, figures.in_server].map(current);
        assert_eq!(ways, [Some(40), Some(10), Some(30), Some(7)]);
        // Teeth from 20 to 30, 20 to 50, and 30 to 60 ms; and one that has grown from 50 to 70 ms.
        let near =
            |value: Option<u64>, wanted: u64| value.is_some_and(|us| us.abs_diff(wanted) * 50 <= wanted);
        assert!(near(figures.age.max_us, 70_000) && near(figures.age.p50_us, 43_300), "{:?}", figures.age);
        assert!(near(figures.age.p95_us, 65_500), "{:?}", figures.age);
        totals.one_way.record(1);
        totals.longest_gap_us = 99_999;
        let figures = live.figures(110_000, &totals, 21, 4);
        assert_eq!((figures.longest_gap_us, figures.clock_error_us), (99_999, Some(9)));
        let none = LiveStats::default().figures(5, &MoveStats::default(), 0, 0);
        assert_eq!((none.longest_gap_us, none.age.current_us, none.one_way.max_us), (0, None, None));
    }

    #[test]
    fn period_follows_slowly() {
        let mut live = LiveStats::default();
        for (seq, at_us) in [(1, 0), (2, 16_000), (3, 64_000)] {
            live.on_move(at_us, &sent(seq, at_us), Freshness::Fresh);
        }
        assert_eq!(live.figures(64_000, &MoveStats::default(), 0, 0).opponent_period_us, Some(18_000));
    }

    #[test]
    fn values_are_forgotten_after_five_seconds() {
        let mut sliding = Sliding::default();
        (0..3).for_each(|_| sliding.record(1, 700));
        let p50_us = |sliding: &Sliding, now_us| sliding.recent(now_us, None).p50_us;
        assert_eq!(p50_us(&sliding, 4_999_999).map(|us| us / 10), Some(70));
        assert_eq!(p50_us(&sliding, 5_000_000), None);
        sliding.record(5_000_000 - 1, 9_000);
        assert_eq!(p50_us(&sliding, 5_000_000 - 1).map(|us| us / 10), Some(70));
        assert_eq!(sliding.slots.len(), 2);
        (0..40).for_each(|slot| sliding.record(10_000_000 + slot * 250_000, 5));
        assert_eq!(sliding.slots.len(), SLOTS);
        assert_eq!(sliding.slots.iter().map(|(_, slot)| slot.count()).sum::<u64>(), 20);
        // One sample is no median, two are.
        let mut few = Sliding::default();
        few.record(0, 8);
        assert_eq!(
            (p50_us(&few, 0), few.recent(0, None).max_us, few.recent(0, None).current_us),
            (None, Some(8), Some(8))
        );
        few.record(0, 8);
        assert_eq!(p50_us(&few, 0), Some(8));
        // A quantity that grows counts for the last five seconds only.
        let growing = few.recent(20_000_000, Some((0, 20_000_000)));
        assert!(growing.p50_us.is_some_and(|us| us.abs_diff(17_500_000) < 200_000), "{growing:?}");
        assert_eq!(growing.current_us, Some(20_000_000));
    }

    #[test]
    fn trace_tells_each_tooth() {
        let mut live = LiveStats::default();
        for (now_us, seq, at_us) in [(20_000, 1, 0), (30_000, 2, 10_000), (100_000, 4, 30_000)] {
            live.on_move(now_us, &sent(seq, at_us), Freshness::Fresh);
        }
        for now_us in [10_000, 60_000, 90_000] {
            live.on_pong(now_us, 1_000, 0, 2_000);
        }
        let fine = live.trace(110_000, 110_000, 11);
        assert_eq!(fine.age, [[0.03, 30.0], [0.03, 20.0], [0.1, 90.0], [0.1, 70.0], [0.11, 80.0]]);
        assert_eq!(fine.one_way, [[0.03, 20.0], [0.1, 70.0]]);
        assert_eq!(fine.freezes, [(0.03, 0.1)]);
        assert_eq!(fine.round_trip, [[0.01, 3.0], [0.06, 3.0], [0.09, 3.0]]);
        // A column that holds both teeth shows the taller one; no columns are one.
        for columns in [0, 1] {
            let coarse = live.trace(109_999, 109_999, columns);
            assert_eq!(coarse.one_way, [[0.1, 70.0]]);
            assert_eq!(coarse.age[0], [0.1, 90.0]);
            assert_eq!(coarse.age.len(), 2);
        }
        // The tooth that ends at the very beginning of the trace belongs to it.
        assert_eq!(live.trace(110_000, 80_000, 8).age.len(), 5);
        let recent = live.trace(110_000, 50_000, 50);
        assert_eq!((recent.age.len(), recent.round_trip.len(), recent.freezes.len()), (3, 2, 1));
        // The taller tooth may be the first one.
        let mut live = LiveStats::default();
        for (now_us, seq, at_us) in
            [(0, 1, 0), (80_000, 2, 75_000), (90_000, 3, 85_000), (100_000, 4, 95_000)]
        {
            live.on_move(now_us, &sent(seq, at_us), Freshness::Fresh);
        }
        assert_eq!(live.trace(120_000, 240_000, 2).age, [[0.08, 80.0], [0.12, 25.0]]);
        assert_eq!(LiveStats::default().trace(120_000, 240_000, 2), Trace::default());
        // Three periods are no freeze yet.
        let mut live = LiveStats::default();
        for (now_us, seq, at_us) in [(0, 1, 0), (10_000, 2, 10_000), (40_000, 3, 20_000), (70_001, 4, 30_000)]
        {
            live.on_move(now_us, &sent(seq, at_us), Freshness::Fresh);
        }
        assert_eq!(live.trace(80_000, 80_000, 80).freezes, [(0.04, 0.070001)]);
    }

    #[test]
    fn trace_keeps_every_peak() {
        let mut live = LiveStats::default();
        even(&mut live, 10_000_000);
        let seq = (10_000_000 / 16_667) as u32 + 20;
        live.on_move(10_400_000, &sent(seq, u64::from(seq) * 16_667), Freshness::Fresh);
        let fine = live.trace(10_500_000, 5_000_000, 10_000);
        assert_eq!(fine.age.len() % 2, 1, "two points for each tooth, and the one that grows");
        assert_eq!(fine.freezes.len(), 1);
        let peak = |trace: &Trace| trace.age.iter().map(|point| point[1]).fold(0.0, f64::max);
        let coarse = live.trace(10_500_000, TRACE_US, 50);
        assert!(coarse.age.len() < 60, "an envelope: {}", coarse.age.len());
        assert_eq!(peak(&fine), peak(&coarse));
        assert_eq!(live.figures(10_500_000, &MoveStats::default(), 0, 0).freezes, 1);
    }

    #[test]
    fn rates_cover_one_second() {
        let mut live = LiveStats::default();
        let path = |bytes| PathStats { sent_bytes: Some(bytes), ..PathStats::default() };
        (0..40).for_each(|tenth| live.on_path(tenth * 100_000, path(tenth * 500)));
        let rates = |live: &LiveStats| live.figures(4_000_000, &MoveStats::default(), 0, 0).rates;
        let each = |seen: u64| PathStats {
            sent_bytes: Some(seen),
            received_bytes: Some(2 * seen),
            sent_packets: Some(3 * seen),
            received_packets: Some(4 * seen),
            ..PathStats::default()
        };
        let mut few = LiveStats::default();
        assert_eq!(rates(&few), Rates::default());
        few.on_path(1_000, each(10));
        assert_eq!(rates(&few), Rates::default(), "no time has passed");
        few.on_path(501_000, each(110));
        let told = rates(&few);
        assert_eq!((told.sent_bytes_per_s, told.received_bytes_per_s), (Some(200.0), Some(400.0)));
        assert_eq!((told.sent_packets_per_s, told.received_packets_per_s), (Some(600.0), Some(800.0)));
        few.on_path(1_001_000, each(110));
        assert_eq!(rates(&few).sent_bytes_per_s, Some(100.0), "a whole second");
        few.on_path(1_001_001, each(110));
        assert_eq!(few.looks.len(), 3, "the first one is older than a second");
        few.on_path(1_501_001, each(110));
        assert_eq!((few.looks.len(), rates(&few).sent_bytes_per_s), (3, Some(0.0)));
        assert_eq!(few.figures(0, &MoveStats::default(), 0, 0).path.sent_bytes, Some(110));
        (0..100).for_each(|look| few.on_path(2_000_000 + look, each(110)));
        assert_eq!(few.looks.len(), LOOKS_MAX);
        let rates = rates(&live);
        assert_eq!((rates.sent_bytes_per_s, rates.received_bytes_per_s), (Some(5_000.0), None));
        even(&mut live, 600_000_000);
        (0..20_000).for_each(|second| live.on_pong(second * 1_000_000, 10, 20, 30));
        assert_eq!((live.moves.len(), live.pings.len()), (TRACE_MAX, TRACE_MAX));
        assert_eq!((live.one_way.slots.len(), live.round_trip.slots.len()), (SLOTS, SLOTS));
        assert_eq!(live.round_trip.current_us, Some(40));
    }
}
