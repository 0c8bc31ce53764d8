//! Latency, jitter, age and loss of the opponent's moves. Pure: callers pass the time in, and
//! nothing here reads a clock.
//!
//! [`Samples`] is the project's one type for histograms and percentiles. [`MoveStats`] are the
//! statistics of a receiver of moves; [`ClockSync`] estimates the server's clock from pings;
//! [`live`] has a player's figures of the last seconds.

pub mod live;

use hdrhistogram::Histogram;
use netduel_protocol::{Move, Pong};
use serde::{Deserialize, Serialize};

/// The samples that must lie beyond a quantile for it to be shown: p99 needs 1,000 samples, p99.9
/// needs 10,000.
const SAMPLES_BEYOND: f64 = 10.0;
/// The largest value in µs: an hour. Larger ones count as this, so that a broken clock takes no
/// memory.
const VALUE_MAX_US: u64 = 3_600_000_000;
/// The initial width of a slot of an [`AgeSeries`] in µs: a few moves at common rates, and well
/// below a retransmission.
const SLOT_US: u64 = 100_000;
/// The most slots in an [`AgeSeries`], a minute of the narrowest: more than a chart has pixels to
/// show. At about 25 bytes each in a file they stay smaller than the histograms.
const SLOTS_MAX: usize = 600;
/// The send periods that a gap must exceed to be a freeze: two updates in a row were missing or
/// late.
const FREEZE_PERIODS: u64 = 3;

/// A distribution of durations in µs, within 1 % of each value.
#[derive(Clone, Debug)]
pub struct Samples {
    histogram: Histogram<u64>,
    /// The number of observations behind the weights, which decides whether a quantile may be
    /// shown.
    observations: u64,
}

impl Default for Samples {
    fn default() -> Self {
        #[allow(clippy::expect_used)] // Two digits are a constant that the library accepts.
        let histogram = Histogram::new(2).expect("two significant digits are allowed");
        Self { histogram, observations: 0 }
    }
}

impl Samples {
    /// Records one duration.
    pub fn record(&mut self, value_us: u64) {
        self.add(value_us, 1);
        self.observations += 1;
    }

    /// Records a quantity that grew evenly from `from_us` to `to_us` in as many µs, weighted by
    /// time: one tooth of the sawtooth of an age.
    pub fn record_span(&mut self, from_us: u64, to_us: u64) {
        let (mut at, end) = (from_us.min(VALUE_MAX_US), to_us.min(VALUE_MAX_US));
        while at < end {
            let next = self.histogram.next_non_equivalent(at).min(end);
            self.add(at, next - at);
            at = next;
        }
        self.observations += 1;
    }

    fn add(&mut self, value_us: u64, weight: u64) {
        // Fails only for a histogram of fixed range; ours grows up to the largest value.
        let _ = self.histogram.record_n(value_us.min(VALUE_MAX_US), weight);
    }

    /// Adds another distribution.
    pub fn merge(&mut self, other: &Self) {
        // Fails only for a histogram of fixed range; ours grows up to the largest value.
        let _ = self.histogram.add(&other.histogram);
        self.observations += other.observations;
    }

    /// Returns the number of observations.
    pub fn count(&self) -> u64 {
        self.observations
    }

    /// Returns the mean in µs.
    pub fn mean_us(&self) -> Option<f64> {
        (self.observations > 0).then(|| self.histogram.mean())
    }

    /// Returns the largest value in µs.
    pub fn max_us(&self) -> Option<u64> {
        (self.observations > 0).then(|| self.histogram.max())
    }

    /// Returns the value in µs that a share `quantile` (0 to 1) does not exceed; `None` without
    /// enough samples.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        self.quantile_beyond_us(quantile, SAMPLES_BEYOND)
    }

    /// Returns the quantile in µs, if `samples_beyond` samples lie beyond it.
    fn quantile_beyond_us(&self, quantile: f64, samples_beyond: f64) -> Option<u64> {
        let beyond = self.observations as f64 * quantile.min(1.0 - quantile);
        // The slack is for rounding: 1 − 0.99 is not exactly 0.01.
        (beyond + 1e-6 >= samples_beyond).then(|| self.histogram.value_at_quantile(quantile))
    }

    /// Returns the complementary distribution: rising values in µs, each with the share of the
    /// weight (0 to 1) above it. The series ends where [`Self::quantile_us`] would have too few
    /// samples.
    pub fn tail(&self) -> impl Iterator<Item = (u64, f64)> {
        let total = self.histogram.len();
        let share_min = SAMPLES_BEYOND / self.observations.max(1) as f64;
        let mut over = total;
        self.histogram
            .iter_recorded()
            .map(move |it| {
                over -= it.count_at_value();
                (it.value_iterated_to(), over as f64 / total as f64)
            })
            .take_while(move |(_, share)| *share >= share_min)
    }
}

/// The form on disk: every bucket that is not empty, as (value in µs, weight).
#[derive(Serialize, Deserialize)]
struct Buckets {
    observations: u64,
    buckets_us: Vec<(u64, u64)>,
}

impl Serialize for Samples {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let buckets_us =
            self.histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect();
        Buckets { observations: self.observations, buckets_us }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Buckets { observations, buckets_us } = Buckets::deserialize(deserializer)?;
        let mut samples = Self { observations, ..Self::default() };
        for (value_us, weight) in buckets_us {
            samples.add(value_us, weight);
        }
        Ok(samples)
    }
}

/// The age over the time of a window, in slots. When the window outlasts the slots, they become
/// twice as wide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgeSeries {
    /// The width of a slot in µs.
    pub slot_us: u64,
    /// The slots, one after another since the window opened.
    pub slots: Vec<AgeSlot>,
}

/// The age within one slot of an [`AgeSeries`], over all players: in a file `[known_us, area_us2,
/// max_us]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub struct AgeSlot {
    /// The time in which an age was known, in µs; with many players more than the slot's width.
    pub known_us: u64,
    /// The age integrated over that time, in µs².
    pub area_us2: u64,
    /// The largest age, in µs.
    pub max_us: u64,
}

impl From<(u64, u64, u64)> for AgeSlot {
    fn from((known_us, area_us2, max_us): (u64, u64, u64)) -> Self {
        Self { known_us, area_us2, max_us }
    }
}

impl From<AgeSlot> for (u64, u64, u64) {
    fn from(slot: AgeSlot) -> Self {
        (slot.known_us, slot.area_us2, slot.max_us)
    }
}

impl AgeSlot {
    /// Returns the mean over time and players in µs; `None` where no age was known.
    pub fn mean_us(&self) -> Option<f64> {
        (self.known_us > 0).then(|| self.area_us2 as f64 / self.known_us as f64)
    }

    fn merge(&mut self, other: &Self) {
        self.known_us = self.known_us.saturating_add(other.known_us);
        self.area_us2 = self.area_us2.saturating_add(other.area_us2);
        self.max_us = self.max_us.max(other.max_us);
    }
}

impl Default for AgeSeries {
    fn default() -> Self {
        Self { slot_us: SLOT_US, slots: Vec::new() }
    }
}

impl AgeSeries {
    /// Records an age that grew evenly from `age_us` on, between two times in µs since the window
    /// opened.
    fn record(&mut self, from_us: u64, to_us: u64, age_us: u64) {
        let mut at_us = from_us;
        while at_us < to_us {
            while at_us / self.slot_us >= SLOTS_MAX as u64 {
                self.widen();
            }
            let index = (at_us / self.slot_us) as usize;
            let until_us = to_us.min((index as u64 + 1) * self.slot_us);
            let known_us = until_us - at_us;
            let begin_us = age_us.saturating_add(at_us - from_us).min(VALUE_MAX_US);
            let part = AgeSlot {
                known_us,
                area_us2: begin_us.saturating_add(known_us / 2).saturating_mul(known_us),
                max_us: begin_us + known_us,
            };
            self.slot(index).merge(&part);
            at_us = until_us;
        }
    }

    /// Adds another player's series of the same window.
    fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.slot_us < other.slot_us {
            self.widen();
        }
        while other.slot_us < self.slot_us {
            other.widen();
        }
        for (index, slot) in other.slots.iter().enumerate() {
            self.slot(index).merge(slot);
        }
    }

    fn slot(&mut self, index: usize) -> &mut AgeSlot {
        if self.slots.len() <= index {
            self.slots.resize(index + 1, AgeSlot::default());
        }
        &mut self.slots[index]
    }

    fn widen(&mut self) {
        self.slot_us *= 2;
        let pairs = self.slots.chunks(2).map(|pair| {
            let mut both = pair[0];
            pair[1..].iter().for_each(|slot| both.merge(slot));
            both
        });
        self.slots = pairs.collect();
    }
}

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

/// The number of round trips that the offset is chosen from: at ten pings a second, the last 6.4 s.
const CLOCK_WINDOW: usize = 64;

/// An estimate of the server's clock: the offset of the shortest round trip, which is the least
/// distorted.
#[derive(Clone, Debug, Default)]
pub struct ClockSync {
    /// Whether both ends read the same clock, so that nothing needs to be estimated.
    shared: bool,
    /// Round trips and offsets in µs, the newest last.
    recent: std::collections::VecDeque<(u64, i64)>,
    /// The round trips of pings.
    pub rtt: Samples,
}

impl ClockSync {
    /// Creates an estimate. `shared` says that both ends read one clock.
    pub fn new(shared: bool) -> Self {
        Self { shared, ..Self::default() }
    }

    /// Records a pong that arrived at `now_us` by this side's clock. Returns the round trip in µs.
    pub fn on_pong(&mut self, now_us: u64, pong: &Pong) -> u64 {
        let residence_us = pong.sent_us.saturating_sub(pong.received_us);
        let rtt_us = now_us.saturating_sub(pong.ping_sent_us).saturating_sub(residence_us);
        // The type is wide enough for any claim of a server.
        let there = i128::from(pong.received_us) - i128::from(pong.ping_sent_us);
        let back = i128::from(pong.sent_us) - i128::from(now_us);
        if self.recent.len() == CLOCK_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back((rtt_us, i64::try_from((there + back) / 2).unwrap_or(0)));
        self.rtt.record(rtt_us);
        rtt_us
    }

    /// Returns the server's time when this side's clock shows `now_us`.
    pub fn server_us(&self, now_us: u64) -> u64 {
        now_us.saturating_add_signed(self.best().map_or(0, |(_, offset_us)| offset_us))
    }

    /// Returns the error bound of [`Self::server_us`]: half of the shortest round trip, since its
    /// two parts cannot be told apart.
    pub fn error_us(&self) -> u32 {
        match (self.shared, self.best()) {
            (true, _) => 0,
            (false, Some((rtt_us, _))) => u32::try_from(rtt_us.div_ceil(2)).unwrap_or(u32::MAX),
            (false, None) => u32::MAX,
        }
    }

    fn best(&self) -> Option<(u64, i64)> {
        if self.shared { None } else { self.recent.iter().copied().min() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn tail_ends_where_samples_end() {
        let mut samples = Samples::default();
        (1..=1_000).for_each(|value| samples.record(value * 100));
        let tail: Vec<(u64, f64)> = samples.tail().collect();
        assert!(tail.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1));
        let (value_us, share) = *tail.last().expect("points");
        assert!(near(value_us, 99_000) && (0.01..0.016).contains(&share), "{value_us} {share}");
        assert_eq!(Samples::default().tail().count(), 0);
    }

    #[test]
    fn quantiles_need_samples() {
        let mut samples = Samples::default();
        (1..=999).for_each(|value| samples.record(value * 100));
        assert_eq!(samples.quantile_us(0.99), None);
        samples.record(100_000);
        assert!(near(samples.quantile_us(0.99).expect("1,000 samples"), 99_000));
        assert!(near(samples.quantile_us(0.5).expect("1,000 samples"), 50_000));
        let json = serde_json::to_string(&samples).expect("serialises");
        let again: Samples = serde_json::from_str(&json).expect("parses");
        assert_eq!(serde_json::to_string(&again).expect("serialises"), json);
        assert_eq!(again.quantile_us(0.99), samples.quantile_us(0.99));
        assert_eq!(again.count(), 1_000);
        let mut both = again;
        both.merge(&samples);
        assert_eq!(both.count(), 2_000);
    }

    #[test]
    fn clock_uses_the_shortest_round_trip() {
        // The server's clock is 5 s ahead. One way takes 2 ms, the other 2 ms plus queueing.
        let mut clock = ClockSync::new(false);
        assert_eq!(clock.error_us(), u32::MAX);
        for (sent_us, queue_us) in [(0, 30_000), (100_000, 0), (200_000, 9_000)] {
            let received_us = 5_000_000 + sent_us + 2_000;
            let pong = Pong { ping_sent_us: sent_us, received_us, sent_us: received_us + 500 };
            let rtt_us = clock.on_pong(sent_us + 2_000 + 500 + 2_000 + queue_us, &pong);
            assert_eq!(rtt_us, 4_000 + queue_us);
        }
        assert_eq!(clock.server_us(1_000_000), 6_000_000);
        assert_eq!(clock.error_us(), 2_000);
        let hostile = Pong { ping_sent_us: 0, received_us: u64::MAX, sent_us: u64::MAX };
        ClockSync::new(false).on_pong(u64::MAX, &hostile);
        assert_eq!(ClockSync::new(true).server_us(77), 77);
        assert_eq!(ClockSync::new(true).error_us(), 0);
    }
}
