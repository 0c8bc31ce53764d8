//! The schedule of a direction over time: [`bad_periods`] and [`LossProcess`].
//!
//! The code is pure: a seed and the time since the schedule's start decide everything, and it reads
//! no clock. The schedule does not depend on the packets: more packets only sample it more often.
//! A moment has the same fate for every program that sends at it.

use std::iter::{Enumerate, Peekable};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1};

use crate::{
    spec::{
        link_spec::LinkSpec,
        loss::{Loss, Outage},
        path_trace::PathTrace,
        spec_error::SpecError,
    },
    types::Direction,
};

/// The time since the schedule's start, ns.
pub(crate) type Nanos = u64;

/// The slot of a bad period in which every packet is lost or none, ns.
///
/// A Wi-Fi sender packs what waits into one aggregate, which may take the channel for 5.484 ms
/// (aPPDUMaxTime of IEEE 802.11) and is lost as a whole when its header is.
const BURST_SLOT: Nanos = 5_000_000;
/// The slot within which the n-th packet meets the n-th draw, ns.
///
/// Programs that send at the same moments thus lose the same packets, although each packet has a
/// draw of its own. The slot is ten times the usual lateness of a sender, so that few packets of
/// two programs fall into different slots.
const PACKET_SLOT: Nanos = 1_000_000;
/// The words of random numbers kept for one packet slot: half a million packets a millisecond.
const WORDS_PER_PACKET_SLOT: u128 = 1 << 20;
/// The words of random numbers in one draw of 64 bits.
const WORDS_PER_DRAW: u128 = 2;
/// The time after which another loss counts as separate, where no bad period tells, ns. A player
/// sees one event, because a lost move is repaired or replaced by then.
const SEPARATE_AFTER: Nanos = 100_000_000;
/// A use of random numbers. Each use has a stream of its own, so that no use shifts another.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    BadPeriods,
    Loss,
    Jitter,
    Reorder,
    Duplicate,
    BurstSlots,
    Phase,
    Chain,
}

/// Returns the random numbers of one use in one direction.
pub(crate) fn random(seed: u64, direction: Direction, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(direction as u64 * 16 + stream as u64);
    rng
}

/// Converts milliseconds to nanoseconds.
pub(crate) fn nanos(ms: f64) -> Nanos {
    (ms * 1e6).round() as Nanos
}

/// Returns the start and end of each bad period of a direction, ns after the schedule's start.
///
/// Tests compare drops with these periods, and charts shade them. The iterator is endless for
/// Gilbert–Elliott in time and for repeated outages. It is empty for losses that depend on packets.
pub fn bad_periods(spec: &LinkSpec, seed: u64, direction: Direction) -> BadPeriods {
    let source = match &spec.direction(direction).loss {
        Loss::GilbertElliottTime { good_ms, bad_ms, .. } => {
            let channel = if spec.shared_periods { Direction::Up } else { direction };
            let mut rng = random(seed, channel, Stream::BadPeriods);
            // The schedule starts at a moment like any other, which may be a bad one.
            let begins_bad = rng.random::<f64>() < bad_ms / (good_ms + bad_ms);
            Source::Chance { rng: Box::new(rng), good_ns: good_ms * 1e6, bad_ns: bad_ms * 1e6, begins_bad }
        }
        Loss::Outages { at, repeat_every_ms: None } => Source::Once(at.clone().into_iter()),
        Loss::Outages { at, repeat_every_ms: Some(every_ms) } => {
            // Both directions have the same phase: what fails is the way, not a direction.
            let phase: f64 = random(seed, Direction::Up, Stream::Phase).random();
            Source::Repeated {
                at: at.clone(),
                every_ns: *every_ms * 1e6,
                phase_ns: phase * every_ms * 1e6,
                next: 0,
            }
        }
        Loss::None | Loss::Iid { .. } | Loss::GilbertElliott { .. } => Source::Once(Vec::new().into_iter()),
    };
    BadPeriods { source, ended_ns: 0 }
}

/// An iterator over the bad periods of a direction; see [`bad_periods`].
#[derive(Debug)]
pub struct BadPeriods {
    source: Source,
    ended_ns: Nanos,
}

#[derive(Debug)]
enum Source {
    Chance { rng: Box<ChaCha8Rng>, good_ns: f64, bad_ns: f64, begins_bad: bool },
    Once(std::vec::IntoIter<Outage>),
    Repeated { at: Vec<Outage>, every_ns: f64, phase_ns: f64, next: usize },
}

impl Iterator for BadPeriods {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        match &mut self.source {
            Source::Chance { rng, good_ns, bad_ns, begins_bad } => {
                // Sojourn times of a two-state Markov chain in continuous time are exponential, and
                // so is what is left of one that has begun.
                let good: f64 = if std::mem::take(begins_bad) { 0.0 } else { Exp1.sample(rng) };
                let bad: f64 = Exp1.sample(rng);
                let start_ns = self.ended_ns + (good * *good_ns) as Nanos;
                self.ended_ns = start_ns + (bad * *bad_ns) as Nanos;
                Some((start_ns, self.ended_ns))
            }
            Source::Once(at) => {
                at.next().map(|outage| (nanos(outage.start_ms), nanos(outage.start_ms + outage.length_ms)))
            }
            Source::Repeated { at, every_ns, phase_ns, next } => loop {
                let round = next.checked_div(at.len())?;
                let outage = at[*next % at.len()];
                *next += 1;
                let start_ns = outage.start_ms * 1e6 + round as f64 * *every_ns - *phase_ns;
                let end_ns = start_ns + outage.length_ms * 1e6;
                if end_ns > 0.0 {
                    break Some((start_ns.max(0.0) as Nanos, end_ns as Nanos));
                }
            },
        }
    }
}

/// A bad period that holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPeriod {
    /// Number of the period since the schedule's start.
    pub(crate) index: u64,
    /// End of the period, ns.
    pub(crate) end: Nanos,
}

/// The bad periods, asked for one moment after another.
pub(crate) struct BadTimes(Peekable<Enumerate<BadPeriods>>);

impl BadTimes {
    pub(crate) fn new(spec: &LinkSpec, seed: u64, direction: Direction) -> Self {
        Self(bad_periods(spec, seed, direction).enumerate().peekable())
    }

    /// Returns the bad period at `at`, if there is one. Times must not go back.
    pub(crate) fn at(&mut self, at: Nanos) -> Option<BadPeriod> {
        while self.0.next_if(|(_, (_, end))| *end <= at).is_some() {}
        let (index, (start, end)) = self.0.peek()?;
        (*start <= at).then_some(BadPeriod { index: *index as u64, end: *end })
    }
}

/// Draws of which each packet has its own, the same for programs that send at the same moments.
pub(crate) struct PacketDraws {
    rng: ChaCha8Rng,
    slot: Option<u64>,
}

impl PacketDraws {
    pub(crate) fn new(seed: u64, direction: Direction, stream: Stream) -> Self {
        Self { rng: random(seed, direction, stream), slot: None }
    }

    /// Returns the draw of the next packet, sent at `at`, from 0 to below 1. Times must not go
    /// back.
    pub(crate) fn next(&mut self, at: Nanos) -> f64 {
        let slot = at / PACKET_SLOT;
        if self.slot != Some(slot) {
            self.slot = Some(slot);
            self.rng.set_word_pos(u128::from(slot) * WORDS_PER_PACKET_SLOT);
        }
        self.rng.random()
    }
}

/// Draws that belong to the slots of bad periods: one for all packets of a slot.
struct BurstDraws(ChaCha8Rng);

impl BurstDraws {
    fn at(&mut self, at: Nanos) -> f64 {
        self.0.set_word_pos(u128::from(at / BURST_SLOT) * WORDS_PER_DRAW);
        self.0.random()
    }
}

/// The process that decides which packets are lost.
pub(crate) struct LossProcess {
    draws: PacketDraws,
    kind: Kind,
    trace: Option<PathTrace>,
}

enum Kind {
    None,
    Iid { probability: f64 },
    PerPacket(Chain),
    InTime { times: BadTimes, slots: BurstDraws, loss_good: f64, loss_bad: f64 },
}

/// The two-state chain of Gilbert and Elliott, with one step a packet.
struct Chain {
    rng: ChaCha8Rng,
    bad: bool,
    good_to_bad: f64,
    bad_to_good: f64,
    loss_good: f64,
    loss_bad: f64,
}

/// The loss of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Number of the bad period, if the schedule has bad periods and the loss was in one.
    pub(crate) period: Option<u64>,
}

impl LossProcess {
    pub(crate) fn new(spec: &LinkSpec, seed: u64, direction: Direction) -> Result<Self, SpecError> {
        let in_time = |loss_good, loss_bad| Kind::InTime {
            times: BadTimes::new(spec, seed, direction),
            slots: BurstDraws(random(seed, direction, Stream::BurstSlots)),
            loss_good,
            loss_bad,
        };
        let kind = match spec.direction(direction).loss {
            Loss::None => Kind::None,
            Loss::Iid { probability } => Kind::Iid { probability },
            Loss::GilbertElliott { good_to_bad, bad_to_good, loss_good, loss_bad } => {
                let rng = random(seed, direction, Stream::Chain);
                Kind::PerPacket(Chain { rng, bad: false, good_to_bad, bad_to_good, loss_good, loss_bad })
            }
            Loss::GilbertElliottTime { loss_good, loss_bad, .. } => in_time(loss_good, loss_bad),
            Loss::Outages { .. } => in_time(0.0, 1.0),
        };
        let trace = spec.direction(direction).trace.as_deref().map(PathTrace::read).transpose()?;
        Ok(Self { draws: PacketDraws::new(seed, direction, Stream::Loss), kind, trace })
    }

    /// Returns the loss of the next packet, sent at `at`, if it is lost. Times must not go back.
    pub(crate) fn decide(&mut self, at: Nanos) -> Option<Lost> {
        let (probability, period) = match &mut self.kind {
            Kind::None => (0.0, None),
            Kind::Iid { probability } => (*probability, None),
            Kind::PerPacket(chain) => (chain.step(), None),
            Kind::InTime { times, slots, loss_good, loss_bad } => match times.at(at) {
                Some(period) => (if slots.at(at) < *loss_bad { 1.0 } else { 0.0 }, Some(period.index)),
                None => (*loss_good, None),
            },
        };
        let traced = self.trace.as_ref().map_or(0.0, |trace| trace.at(at).loss_share);
        let survives = (1.0 - probability) * (1.0 - traced);
        (self.draws.next(at) >= survives).then_some(Lost { period })
    }
}

impl Chain {
    /// Advances by one packet and returns the packet's probability of loss.
    fn step(&mut self) -> f64 {
        let turn = if self.bad { self.bad_to_good } else { self.good_to_bad };
        if self.rng.random::<f64>() < turn {
            self.bad = !self.bad;
        }
        if self.bad { self.loss_bad } else { self.loss_good }
    }
}

/// The number of separate bad periods in which packets were lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossPeriods {
    count: u64,
    last: Option<(Lost, Nanos)>,
}

impl LossPeriods {
    /// Counts a loss at `at`. It is separate from the one before if it is in another bad period, or
    /// in none and much later.
    pub(crate) fn add(&mut self, lost: Lost, at: Nanos) {
        let separate = self.last.is_none_or(|(last, last_at)| match lost.period {
            Some(_) => lost != last,
            None => at.saturating_sub(last_at) >= SEPARATE_AFTER,
        });
        self.count += u64::from(separate);
        self.last = Some((lost, at));
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::link_spec::DirectionSpec;

    const MS: Nanos = 1_000_000;
    const WAYS: [Direction; 2] = [Direction::Up, Direction::Down];

    fn link(loss: Loss) -> LinkSpec {
        LinkSpec::symmetric("test", DirectionSpec { loss, ..DirectionSpec::default() })
    }

    fn bursts(good_ms: f64, bad_ms: f64, loss_bad: f64) -> Loss {
        Loss::GilbertElliottTime { good_ms, bad_ms, loss_good: 0.0, loss_bad, stalls: false }
    }

    fn process(spec: &LinkSpec, seed: u64, direction: Direction) -> LossProcess {
        LossProcess::new(spec, seed, direction).expect("no trace")
    }

    /// Returns the times of sending of lost packets, of one packet at each of `times`.
    fn lost_at(process: &mut LossProcess, times: impl Iterator<Item = Nanos>) -> Vec<Nanos> {
        times.filter(|at| process.decide(*at).is_some()).collect()
    }

    #[test]
    fn bad_periods_have_the_specified_means() {
        let count = 20_000;
        let (mut bad_ns, mut end_ns) = (0, 0);
        for (start, end) in bad_periods(&link(bursts(900.0, 100.0, 1.0)), 7, Direction::Up).take(count) {
            assert!(end_ns <= start && start <= end, "periods are in order");
            (bad_ns, end_ns) = (bad_ns + (end - start), end);
        }
        let bad_ms = bad_ns as f64 / count as f64 / 1e6;
        let share = bad_ns as f64 / end_ns as f64;
        assert!((bad_ms - 100.0).abs() < 3.0, "mean bad period {bad_ms} ms");
        assert!((share - 0.1).abs() < 0.003, "bad share {share}");
    }

    #[test]
    fn schedules_begin_as_they_go_on() {
        let spec = link(bursts(300.0, 100.0, 1.0));
        let seeds = 4_000;
        for at in [0, 700 * MS] {
            let bad = (0..seeds).filter(|seed| BadTimes::new(&spec, *seed, Direction::Up).at(at).is_some());
            let share = bad.count() as f64 / seeds as f64;
            assert!((share - 0.25).abs() < 0.02, "{share} of the seeds are bad at {at}");
        }
    }

    #[test]
    fn bad_times_number_the_periods() {
        let at = vec![Outage { start_ms: 10.0, length_ms: 5.0 }, Outage { start_ms: 50.0, length_ms: 1.0 }];
        let spec = link(Loss::Outages { at, repeat_every_ms: None });
        let mut times = BadTimes::new(&spec, 0, Direction::Up);
        let first = Some(BadPeriod { index: 0, end: 15 * MS });
        assert_eq!([times.at(10 * MS - 1), times.at(10 * MS), times.at(15 * MS - 1)], [None, first, first]);
        let second = Some(BadPeriod { index: 1, end: 51 * MS });
        assert_eq!([times.at(15 * MS), times.at(50 * MS), times.at(51 * MS)], [None, second, None]);
    }

    #[test]
    fn losses_ignore_the_packet_rate() {
        for loss in [bursts(200.0, 20.0, 1.0), bursts(200.0, 20.0, 0.5)] {
            let spec = link(loss);
            let drops = |every: Nanos| {
                let mut process = process(&spec, 3, Direction::Down);
                lost_at(&mut process, (0..20_000 * MS).step_by(every as usize))
            };
            let (few, many) = (drops(4 * MS), drops(MS));
            let at_the_same_times: Vec<_> = many.into_iter().filter(|at| at % (4 * MS) == 0).collect();
            assert!(few.len() > 100);
            assert_eq!(few, at_the_same_times);
        }
    }

    #[test]
    fn directions_share_periods_if_told() {
        let of = |spec: &LinkSpec, seed, way| bad_periods(spec, seed, way).take(100).collect::<Vec<_>>();
        let separate = link(bursts(200.0, 20.0, 0.5));
        assert_ne!(of(&separate, 1, Direction::Up), of(&separate, 1, Direction::Down));
        assert_ne!(of(&separate, 1, Direction::Up), of(&separate, 2, Direction::Up));
        let shared = LinkSpec { shared_periods: true, ..separate };
        assert_eq!(of(&shared, 1, Direction::Up), of(&shared, 1, Direction::Down));
        // Packets of the two directions are lost independently in a shared period.
        let [up, down] =
            WAYS.map(|way| lost_at(&mut process(&shared, 1, way), (0..100_000 * MS).step_by(MS as usize)));
        let both = up.iter().filter(|at| down.binary_search(at).is_ok()).count() as f64;
        let share = both / up.len() as f64;
        assert!((share - 0.5).abs() < 0.1, "{share} of the losses hit both");
    }

    #[test]
    fn outages_keep_their_times() {
        let at = vec![Outage { start_ms: 10.0, length_ms: 5.0 }, Outage { start_ms: 50.0, length_ms: 1.0 }];
        let once = link(Loss::Outages { at: at.clone(), repeat_every_ms: None });
        let periods: Vec<_> = bad_periods(&once, 0, Direction::Up).collect();
        assert_eq!(periods, [(10 * MS, 15 * MS), (50 * MS, 51 * MS)]);
        let lost = lost_at(&mut process(&once, 0, Direction::Up), (0..250).map(|ms| ms * MS));
        assert_eq!(lost.iter().map(|at| at / MS).collect::<Vec<_>>(), [10, 11, 12, 13, 14, 50]);
    }

    #[test]
    fn repeated_outages_start_at_any_phase() {
        let at = vec![Outage { start_ms: 10.0, length_ms: 20.0 }, Outage { start_ms: 50.0, length_ms: 10.0 }];
        let spec = link(Loss::Outages { at, repeat_every_ms: Some(100.0) });
        let seeds = 1_000;
        let mut bad_at_start = 0;
        for seed in 0..seeds {
            let [up, down] = WAYS.map(|way| bad_periods(&spec, seed, way).take(9).collect::<Vec<_>>());
            assert_eq!(up, down, "an outage hits both directions");
            bad_at_start += u32::from(up[0].0 == 0);
            // Beyond the first, which may have begun before the schedule, all are whole.
            for (one, next) in up[1..].iter().zip(&up[2..]) {
                let (length, distance) = (one.1 - one.0, next.0 - one.0);
                assert!(
                    (19 * MS..=20 * MS).contains(&length) || (9 * MS..=10 * MS).contains(&length),
                    "{length}"
                );
                assert!(distance.abs_diff(40 * MS) < 10 || distance.abs_diff(60 * MS) < 10, "{distance}");
            }
        }
        let share = f64::from(bad_at_start) / seeds as f64;
        assert!((share - 0.3).abs() < 0.05, "{share} of the seeds begin in an outage");
    }

    #[test]
    fn gilbert_elliott_keeps_mean_and_burst() {
        let loss =
            Loss::GilbertElliott { good_to_bad: 0.01, bad_to_good: 0.25, loss_good: 0.0, loss_bad: 1.0 };
        let expected = loss.mean_share().expect("has a mean");
        let mut process = process(&link(loss), 5, Direction::Up);
        let lost: Vec<bool> = (0..400_000).map(|at| process.decide(at).is_some()).collect();
        let losses = lost.iter().filter(|lost| **lost).count() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        let mean = losses / lost.len() as f64;
        assert!((mean / expected - 1.0).abs() < 0.05, "mean {mean}, expected {expected}");
        assert!((losses / bursts / 4.0 - 1.0).abs() < 0.05, "burst {}", losses / bursts);
    }

    #[test]
    fn gilbert_elliott_loses_in_both_states() {
        let loss = Loss::GilbertElliott { good_to_bad: 0.1, bad_to_good: 0.3, loss_good: 0.1, loss_bad: 0.5 };
        let expected = loss.mean_share().expect("has a mean");
        let mut process = process(&link(loss), 5, Direction::Up);
        let lost = (0..200_000).filter(|at| process.decide(*at).is_some()).count() as f64 / 200_000.0;
        assert!((lost / expected - 1.0).abs() < 0.03, "{lost}, expected {expected}");
    }

    #[test]
    fn independent_loss_is_unbiased_and_independent() {
        let (probability, count) = (0.02, 500_000);
        let spec = link(Loss::Iid { probability });
        // From one packet in ten slots to a thousand packets a slot.
        for every in [10 * MS, 17 * MS / 10, MS / 10, MS / 1_000] {
            let mut process = process(&spec, 11, Direction::Up);
            let lost: Vec<bool> = (0..count).map(|n| process.decide(n * every).is_some()).collect();
            let share = lost.iter().filter(|lost| **lost).count() as f64 / count as f64;
            let sd = (probability * (1.0 - probability) / count as f64).sqrt();
            assert!((share - probability).abs() < 3.0 * sd, "{share} every {every} ns");
            let pairs = lost.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64 / count as f64;
            let sd = probability / (count as f64).sqrt();
            assert!((pairs - probability * probability).abs() < 3.0 * sd, "{pairs} twice in a row");
        }
    }

    #[test]
    fn programs_in_step_lose_the_same() {
        let spec = link(Loss::Iid { probability: 0.1 });
        let losses = |late: Nanos, extra: bool| {
            let mut process = process(&spec, 4, Direction::Up);
            let mut lost = Vec::new();
            for move_number in 0..20_000 {
                let at = move_number * 16_600_000 + late;
                if process.decide(at).is_some() {
                    lost.push(move_number);
                }
                if extra {
                    process.decide(at); // A second packet of this program alone.
                }
            }
            lost
        };
        let mine = losses(0, false);
        assert!(mine.len() > 1_800);
        assert_eq!(mine, losses(0, true), "more packets do not shift the losses");
        let late = losses(50_000, false);
        let common = late.iter().filter(|number| mine.binary_search(number).is_ok()).count();
        assert!(common as f64 > 0.9 * mine.len() as f64, "{common} of {}", mine.len());
    }

    #[test]
    fn bad_slots_lose_all_or_nothing() {
        let spec = link(bursts(200.0, 200.0, 0.3));
        let mut times = BadTimes::new(&spec, 8, Direction::Up);
        let mut process = process(&spec, 8, Direction::Up);
        let mut slots: std::collections::BTreeMap<(u64, u64), [u32; 2]> = std::collections::BTreeMap::new();
        for at in (0..200_000 * MS).step_by((MS / 2) as usize) {
            let lost = process.decide(at);
            match times.at(at) {
                Some(period) => {
                    assert!(lost.is_none_or(|lost| lost.period == Some(period.index)));
                    slots.entry((period.index, at / (5 * MS))).or_default()[usize::from(lost.is_some())] += 1;
                }
                None => assert_eq!(lost, None),
            }
        }
        assert!(slots.values().all(|[kept, lost]| *kept == 0 || *lost == 0), "a slot is lost as a whole");
        let lost = slots.values().filter(|slot| slot[1] > 0).count() as f64 / slots.len() as f64;
        assert!((lost - 0.3).abs() < 0.02, "{lost} of {} slots", slots.len());
    }

    #[test]
    fn good_periods_lose_by_packet() {
        let loss = Loss::GilbertElliottTime {
            good_ms: 90.0,
            bad_ms: 10.0,
            loss_good: 0.05,
            loss_bad: 0.5,
            stalls: false,
        };
        let expected = loss.mean_share().expect("has a mean");
        let mut process = process(&link(loss), 6, Direction::Up);
        let losses: Vec<Lost> = (0..400_000).filter_map(|ms| process.decide(ms * MS)).collect();
        let share = losses.len() as f64 / 400_000.0;
        assert!((share / expected - 1.0).abs() < 0.03, "{share}, expected {expected}");
        let good = losses.iter().filter(|lost| lost.period.is_none()).count() as f64 / 400_000.0;
        assert!((good / 0.045 - 1.0).abs() < 0.05, "{good} in good periods");
    }

    #[test]
    fn traces_add_their_loss() {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"ms,delay_ms,loss_share\n0,0,0\n50,0,0.5\n100,0,0\n").expect("writable");
        let mut spec = link(Loss::Iid { probability: 0.2 });
        spec.up.trace = Some(file.path().into());
        let mut process = process(&spec, 6, Direction::Up);
        let mut lost = [0.0; 2];
        for ms in 0..200_000 {
            let half = usize::from(ms % 100 >= 50);
            lost[half] += f64::from(u32::from(process.decide(ms * MS).is_some())) / 100_000.0;
        }
        assert!((lost[0] - 0.2).abs() < 0.005 && (lost[1] - 0.6).abs() < 0.005, "{lost:?}");
    }

    #[test]
    fn loss_periods_are_separate() {
        let count = |losses: &[(Option<u64>, Nanos)]| {
            let mut periods = LossPeriods::default();
            losses.iter().for_each(|(period, at_ms)| periods.add(Lost { period: *period }, at_ms * MS));
            periods.count()
        };
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[(None, 0), (None, 99), (None, 198)]), 1);
        assert_eq!(count(&[(None, 0), (None, 100), (None, 300)]), 3);
        assert_eq!(count(&[(Some(0), 0), (Some(0), 500), (Some(1), 510), (Some(1), 511)]), 2);
        // A loss beside a bad period is no other one unless it comes much later.
        assert_eq!(count(&[(Some(0), 0), (None, 50), (None, 149)]), 1);
        assert_eq!(count(&[(None, 0), (Some(3), 1), (None, 101)]), 3);
    }
}
