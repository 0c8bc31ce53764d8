//! The impairment of one direction as a pure state machine: [`Impairment::offer`] decides about
//! each packet.
//!
//! It has no clock, no sockets and no buffers: the emulator passes in the time and the length of
//! each packet, and keeps the bytes. The order is loss, queue and rate, then delay, jitter,
//! reordering, duplication.

use crate::{
    emulator::{
        bottleneck::{Admission, Bottleneck, Left, stalls},
        jitter::JitterProcess,
        schedule::{BadTimes, LossPeriods, LossProcess, Lost, Nanos, PacketDraws, Stream, nanos},
    },
    spec::{link_spec::LinkSpec, path_trace::PathTrace, spec_error::SpecError},
    types::{Direction, DropCause},
};

/// The decision about one packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    Deliver {
        /// Time of arrival at the far end, ns.
        at: Nanos,
        /// Whether the packet is held back, so that later packets overtake it.
        held: bool,
        /// Whether the packet arrives twice.
        twice: bool,
    },
    Drop {
        /// Time at which the packet was lost or found no room, ns.
        at: Nanos,
        cause: DropCause,
    },
    /// The packet waits in the queue; [`Impairment::leave`] decides about it.
    Wait,
}

/// The impairment of one direction of a link.
pub(crate) struct Impairment {
    path: Path,
    bottleneck: Option<Bottleneck<Fate>>,
    /// Time of the emulator at which the schedule started. All other times count from there.
    zero: Nanos,
}

/// The fate of a packet, which is decided as it reaches the link.
#[derive(Clone, Copy)]
struct Fate {
    lost: Option<Lost>,
    held: bool,
    twice: bool,
    /// Time at which the packet reached the link, on the emulator's clock.
    reached: Nanos,
}

/// The part of an impairment that follows the schedule.
struct Path {
    delay: Nanos,
    trace: Option<PathTrace>,
    jitter: Option<JitterProcess>,
    loss: LossProcess,
    loss_periods: LossPeriods,
    hold: Nanos,
    reorder: Chance,
    duplicate: Chance,
    /// Latest arrival so far of a packet that was not held back, on the emulator's clock. No later
    /// packet arrives before it.
    in_order_until: Nanos,
}

impl Impairment {
    /// Makes an impairment whose schedule starts at `zero` of the emulator's clock.
    pub(crate) fn new(
        spec: &LinkSpec,
        seed: u64,
        direction: Direction,
        zero: Nanos,
    ) -> Result<Self, SpecError> {
        let bottleneck = Bottleneck::new(spec.direction(direction), spec.mtu_bytes)?;
        let mut impairment = Self { path: Path::new(spec, seed, direction)?, bottleneck, zero };
        impairment.start_bottleneck(spec, seed, direction);
        Ok(impairment)
    }

    /// Starts the schedule again at `zero`. What waits in the queue stays there, and no packet
    /// overtakes one that is on its way.
    pub(crate) fn restart(
        &mut self,
        spec: &LinkSpec,
        seed: u64,
        direction: Direction,
        zero: Nanos,
    ) -> Result<(), SpecError> {
        let in_order_until = self.path.in_order_until;
        self.path = Path { in_order_until, ..Path::new(spec, seed, direction)? };
        self.zero = zero;
        self.start_bottleneck(spec, seed, direction);
        Ok(())
    }

    fn start_bottleneck(&mut self, spec: &LinkSpec, seed: u64, direction: Direction) {
        let times = stalls(&spec.direction(direction).loss).then(|| BadTimes::new(spec, seed, direction));
        if let Some(bottleneck) = &mut self.bottleneck {
            bottleneck.restart(times, self.zero);
        }
    }

    /// Decides about a packet of `bytes` that is sent at `now`, ns on the emulator's clock. Times
    /// must not go back.
    pub(crate) fn offer(&mut self, now: Nanos, bytes: usize) -> Outcome {
        let fate = self.path.fate(now, self.zero);
        let admission = match &mut self.bottleneck {
            None => Admission::Leaves(now),
            Some(bottleneck) => bottleneck.offer(now, bytes as u64, fate),
        };
        match admission {
            Admission::Leaves(at) => self.path.finish(at, self.zero, fate),
            Admission::Waits => Outcome::Wait,
            Admission::Full => Outcome::Drop { at: now, cause: DropCause::Queue },
        }
    }

    /// Returns the outcome of the packet that has waited longest, if it has left the queue by
    /// `now`.
    pub(crate) fn leave(&mut self, now: Nanos) -> Option<Outcome> {
        let Left { what: fate, at, dropped } = self.bottleneck.as_mut()?.leave(now)?;
        if dropped {
            return Some(Outcome::Drop { at, cause: DropCause::Queue });
        }
        Some(self.path.finish(at, self.zero, fate))
    }

    /// Returns the time at which the next packet leaves the queue, if one waits.
    pub(crate) fn next_leave(&mut self) -> Option<Nanos> {
        self.bottleneck.as_mut()?.next_leave()
    }

    /// Advances the schedule while no packet is sent, so that the first packet after a long silence
    /// does not have to catch up.
    pub(crate) fn idle_until(&mut self, now: Nanos) {
        if let Some(jitter) = &mut self.path.jitter {
            // A packet offered later also leaves the queue later, so the schedule never runs ahead.
            jitter.at(now.saturating_sub(self.zero));
        }
    }

    /// Returns the number of separate bad periods in which packets were lost since the schedule
    /// started.
    pub(crate) fn loss_periods(&self) -> u64 {
        self.path.loss_periods.count()
    }
}

impl Path {
    fn new(spec: &LinkSpec, seed: u64, direction: Direction) -> Result<Self, SpecError> {
        let way = spec.direction(direction);
        let chance = |stream, share| Chance { draws: PacketDraws::new(seed, direction, stream), share };
        Ok(Self {
            delay: nanos(way.delay_ms),
            trace: way.trace.as_deref().map(PathTrace::read).transpose()?,
            jitter: way.jitter.map(|jitter| JitterProcess::new(jitter, seed, direction)),
            loss: LossProcess::new(spec, seed, direction)?,
            loss_periods: LossPeriods::default(),
            hold: nanos(way.reorder.map_or(0.0, |reorder| reorder.hold_ms)),
            reorder: chance(Stream::Reorder, way.reorder.map_or(0.0, |reorder| reorder.share)),
            duplicate: chance(Stream::Duplicate, way.duplicate_share),
            in_order_until: 0,
        })
    }

    /// Decides the fate of a packet that reaches the link. Each packet makes every draw, so that no
    /// draw shifts another.
    fn fate(&mut self, reached: Nanos, zero: Nanos) -> Fate {
        let at = reached.saturating_sub(zero);
        let (lost, held, twice) = (self.loss.decide(at), self.reorder.draw(at), self.duplicate.draw(at));
        Fate { lost, held, twice, reached }
    }

    /// Returns the outcome of a packet that leaves the queue at `departs`.
    fn finish(&mut self, departs: Nanos, zero: Nanos, fate: Fate) -> Outcome {
        if let Some(lost) = fate.lost {
            // A packet that waits while the schedule starts again belongs to the former one.
            if let Some(at) = fate.reached.checked_sub(zero) {
                self.loss_periods.add(lost, at);
            }
            return Outcome::Drop { at: fate.reached, cause: DropCause::Loss };
        }
        let scheduled = departs.saturating_sub(zero);
        let traced = self.trace.as_ref().map_or(0, |trace| trace.at(scheduled).delay_ns);
        let jitter = self.jitter.as_mut().map_or(0, |jitter| jitter.at(scheduled));
        let arrives = (departs + self.delay + traced).saturating_add_signed(jitter).max(self.in_order_until);
        if fate.held {
            return Outcome::Deliver { at: arrives + self.hold, held: true, twice: fate.twice };
        }
        self.in_order_until = arrives;
        Outcome::Deliver { at: arrives, held: false, twice: fate.twice }
    }
}

/// An event of a given probability, drawn once a packet.
struct Chance {
    draws: PacketDraws,
    share: f64,
}

impl Chance {
    fn draw(&mut self, at: Nanos) -> bool {
        self.share > 0.0 && self.draws.next(at) < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{
        link_spec::{DirectionSpec, Jitter, Rate, Reorder},
        loss::Loss,
    };

    const MS: Nanos = 1_000_000;

    fn link(both: &DirectionSpec) -> LinkSpec {
        LinkSpec::symmetric("test", both.clone())
    }

    fn impairment(spec: &DirectionSpec) -> Impairment {
        Impairment::new(&link(spec), 42, Direction::Up, 0).expect("a good spec")
    }

    /// Returns the arrival of each packet, `None` if dropped. A packet of `bytes` is sent every
    /// `every`.
    fn arrivals(spec: &DirectionSpec, count: u64, every: Nanos, bytes: usize) -> Vec<Option<Nanos>> {
        let mut impairment = impairment(spec);
        (0..count)
            .map(|index| match impairment.offer(index * every, bytes) {
                Outcome::Deliver { at, .. } => Some(at),
                Outcome::Drop { .. } | Outcome::Wait => None,
            })
            .collect()
    }

    #[test]
    fn a_plain_delay_adds_only_itself() {
        let spec = DirectionSpec { delay_ms: 10.0, ..DirectionSpec::default() };
        for (index, at) in arrivals(&spec, 1_000, MS, 100).into_iter().enumerate() {
            assert_eq!(at, Some((index as u64 + 10) * MS));
        }
    }

    #[test]
    fn jitter_keeps_order_and_median() {
        let jitter = Some(Jitter { sd_ms: 3.0, correlation_ms: 100.0 });
        let spec = DirectionSpec { delay_ms: 50.0, jitter, ..DirectionSpec::default() };
        for every in [5 * MS, MS / 5] {
            let count = 1_000_000 * MS / every;
            let at: Vec<_> = arrivals(&spec, count, every, 100).into_iter().flatten().collect();
            assert!(at.is_sorted());
            let mut delays: Vec<_> = (0..).zip(&at).map(|(index, at)| at - index * every).collect();
            delays.sort_unstable();
            let median_ms = delays[delays.len() / 2] as f64 / 1e6;
            assert!((median_ms - 50.0).abs() < 0.3, "median {median_ms} ms, a packet every {every} ns");
        }
    }

    #[test]
    fn keeps_reordered_and_duplicated_shares() {
        let reorder = Some(Reorder { share: 0.02, hold_ms: 5.0 });
        let spec =
            DirectionSpec { delay_ms: 10.0, reorder, duplicate_share: 0.03, ..DirectionSpec::default() };
        let mut impairment = impairment(&spec);
        let count = 100_000;
        let (mut held_count, mut twice_count, mut order) = (0, 0, Vec::new());
        for index in 0..count {
            let Outcome::Deliver { at, held, twice } = impairment.offer(index * MS, 100) else {
                panic!("nothing is lost")
            };
            held_count += u64::from(held);
            twice_count += u64::from(twice);
            order.push((at, index));
        }
        order.sort_unstable();
        // RFC 4737: a packet is reordered if one sent after it came before it.
        let mut newest = 0;
        let reordered = order
            .iter()
            .filter(|(_, index)| {
                newest > *index || {
                    newest = *index;
                    false
                }
            })
            .count();
        let near = |seen: f64, share: f64| (seen / count as f64 / share - 1.0).abs() < 0.1;
        assert!(near(held_count as f64, 0.02), "held {held_count}");
        assert!(near(reordered as f64, 0.02), "reordered {reordered}");
        assert!(near(twice_count as f64, 0.03), "duplicated {twice_count}");
    }

    #[test]
    fn iid_loss_repeats_with_the_seed() {
        let spec = DirectionSpec { loss: Loss::Iid { probability: 0.02 }, ..DirectionSpec::default() };
        let first = arrivals(&spec, 100_000, MS, 100);
        let lost = first.iter().filter(|at| at.is_none()).count() as f64;
        let sd = (100_000.0 * 0.02 * 0.98_f64).sqrt();
        assert!((lost - 2_000.0).abs() < 2.576 * sd, "lost {lost}");
        assert_eq!(first, arrivals(&spec, 100_000, MS, 100));
    }

    #[test]
    fn lost_packets_take_their_turn() {
        let spec = DirectionSpec {
            delay_ms: 10.0,
            rate: Some(Rate::MbitPerS(12.0)),
            loss: Loss::Iid { probability: 1.0 },
            ..DirectionSpec::default()
        };
        let mut impairment = impairment(&spec);
        for now in [0, 0, 5] {
            let lost = Outcome::Drop { at: now, cause: DropCause::Loss };
            assert_eq!(impairment.offer(now, 1_500), lost, "lost as it reached the link");
        }
        // Three packets of a millisecond each fill the bottleneck: the queue has room for 97 more.
        let mut none = impairment_without_loss(&spec);
        let outcomes: Vec<_> = (0..101).map(|_| none.offer(0, 1_500)).collect();
        assert_eq!(outcomes[99], Outcome::Deliver { at: 110 * MS, held: false, twice: false });
        assert_eq!(outcomes[100], Outcome::Drop { at: 0, cause: DropCause::Queue });
        let outcomes: Vec<_> = (0..98).map(|_| impairment.offer(5, 1_500)).collect();
        assert_eq!(outcomes[96], Outcome::Drop { at: 5, cause: DropCause::Loss });
        assert_eq!(outcomes[97], Outcome::Drop { at: 5, cause: DropCause::Queue });
        assert_eq!(impairment.loss_periods(), 1);
    }

    fn impairment_without_loss(spec: &DirectionSpec) -> Impairment {
        impairment(&DirectionSpec { loss: Loss::None, ..spec.clone() })
    }

    #[test]
    fn stalls_hold_packets_until_their_end() {
        let loss = Loss::GilbertElliottTime {
            good_ms: 700.0,
            bad_ms: 100.0,
            loss_good: 0.0,
            loss_bad: 0.2,
            stalls: true,
        };
        let spec = DirectionSpec { delay_ms: 10.0, loss, ..DirectionSpec::default() };
        let mut times = BadTimes::new(&link(&spec), 42, Direction::Up);
        let mut impairment = impairment(&spec);
        let (mut delays, mut lost) = (Vec::new(), 0);
        for now in (0..2_000_000 * MS).step_by(10 * MS as usize) {
            let end = times.at(now).map(|period| period.end);
            match impairment.offer(now, 100) {
                Outcome::Deliver { at, .. } => {
                    assert_eq!(at, end.unwrap_or(now) + 10 * MS);
                    delays.push((at - now) as f64 / 1e6 - 10.0);
                }
                Outcome::Drop { at, cause: DropCause::Loss } => {
                    assert!(at == now && end.is_some());
                    lost += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        // The wait at a moment exceeds d with the probability of a stall times exp(-d / mean), and
        // four fifths of the packets of a stall arrive.
        let count = delays.len() as f64;
        for bound in [17.0_f64, 100.0, 247.0] {
            let share = delays.iter().filter(|delay| **delay > bound).count() as f64 / count;
            let expected = 0.8 * 100.0 / 800.0 / (1.0 - 0.2 / 8.0) * (-bound / 100.0).exp();
            assert!((share / expected - 1.0).abs() < 0.15, "{share} over {bound} ms, expected {expected}");
        }
        let share = f64::from(lost) / (count + f64::from(lost));
        assert!((share / 0.2 * 8.0 - 1.0).abs() < 0.05, "{share} lost");
        assert!((1_400..=2_300).contains(&impairment.loss_periods()), "{}", impairment.loss_periods());
    }

    #[test]
    fn restart_keeps_queue_and_order() {
        let spec = DirectionSpec {
            delay_ms: 50.0,
            jitter: Some(Jitter { sd_ms: 10.0, correlation_ms: 20.0 }),
            rate: Some(Rate::MbitPerS(12.0)),
            ..DirectionSpec::default()
        };
        let whole = link(&spec);
        for seed in 0..50 {
            let mut impairment = Impairment::new(&whole, seed, Direction::Up, 7 * MS).expect("a good spec");
            let mut last = 0;
            for _ in 0..20 {
                let Outcome::Deliver { at, .. } = impairment.offer(7 * MS, 1_500) else { panic!("no room") };
                assert!(last <= at);
                last = at;
            }
            impairment.restart(&whole, seed, Direction::Up, 9 * MS).expect("a good spec");
            let Outcome::Deliver { at, .. } = impairment.offer(9 * MS, 1_500) else { panic!("no room") };
            assert!(last <= at, "a packet overtook the former schedule");
            // The twenty packets before it take 20 ms from 7 ms on, and the jitter 30 ms at most.
            assert!((28 + 50 - 30) * MS <= at, "the queue is empty at {at}");
        }
    }

    #[test]
    fn restart_repeats_the_schedule() {
        let loss = Loss::GilbertElliottTime {
            good_ms: 40.0,
            bad_ms: 10.0,
            loss_good: 0.01,
            loss_bad: 0.5,
            stalls: true,
        };
        let spec = DirectionSpec {
            delay_ms: 20.0,
            jitter: Some(Jitter { sd_ms: 2.0, correlation_ms: 30.0 }),
            loss,
            reorder: Some(Reorder { share: 0.1, hold_ms: 2.0 }),
            duplicate_share: 0.1,
            ..DirectionSpec::default()
        };
        let whole = link(&spec);
        let (mut impairment, mut runs) = (impairment(&spec), Vec::new());
        for zero in [0, 3_000 * MS, 9_000 * MS] {
            impairment.restart(&whole, 42, Direction::Up, zero).expect("a good spec");
            assert_eq!(impairment.loss_periods(), 0);
            let outcome = |ms: u64| match impairment.offer(zero + ms * MS, 100) {
                Outcome::Deliver { at, held, twice } => (Some(at - zero), held, twice),
                _ => (None, false, false),
            };
            runs.push((0..2_000).map(outcome).collect::<Vec<_>>());
            assert!(impairment.loss_periods() > 10);
        }
        assert!(runs[0] == runs[1] && runs[1] == runs[2]);
    }

    #[test]
    fn traces_add_their_delay() {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"ms,delay_ms,loss_share\n0,0,0\n50,30,0\n100,0,0\n").expect("writable");
        let trace = Some(file.path().into());
        let at =
            arrivals(&DirectionSpec { delay_ms: 5.0, trace, ..DirectionSpec::default() }, 5, 25 * MS, 100);
        // The packet at 100 ms waits for the one at 75 ms, because none overtakes another.
        assert_eq!(at, [5, 30, 85, 110, 110].map(|ms| Some(ms * MS)));
    }

    #[test]
    fn codel_decides_as_packets_leave() {
        let spec = DirectionSpec {
            delay_ms: 10.0,
            rate: Some(Rate::MbitPerS(12.0)),
            queue: crate::spec::link_spec::QueueDiscipline::Codel,
            ..DirectionSpec::default()
        };
        let mut impairment = impairment(&spec);
        assert_eq!(impairment.next_leave(), None);
        for _ in 0..3 {
            assert_eq!(impairment.offer(0, 1_500), Outcome::Wait);
        }
        assert_eq!(impairment.next_leave(), Some(MS), "the first packet leaves a millisecond later");
        let arrives = |ms| Some(Outcome::Deliver { at: ms * MS, held: false, twice: false });
        assert_eq!([impairment.leave(0), impairment.leave(0)], [arrives(11), None]);
        assert_eq!(impairment.leave(5 * MS), arrives(12));
        assert_eq!(impairment.leave(5 * MS), arrives(13));
        assert_eq!((impairment.leave(5 * MS), impairment.next_leave()), (None, None));
    }

    #[test]
    fn idle_schedules_catch_up() {
        let jitter = Some(Jitter { sd_ms: 2.0, correlation_ms: 30.0 });
        let spec = DirectionSpec { delay_ms: 20.0, jitter, ..DirectionSpec::default() };
        let (mut idle, mut silent) = (impairment(&spec), impairment(&spec));
        (0..1_000).for_each(|ms| idle.idle_until(ms * MS));
        assert_eq!(idle.path.jitter.as_mut().map(|jitter| jitter.steps()), Some(532));
        assert_eq!(idle.offer(1_000 * MS, 100), silent.offer(1_000 * MS, 100));
    }

    #[test]
    fn schedules_never_change() {
        let spec = DirectionSpec {
            delay_ms: 20.0,
            jitter: Some(Jitter { sd_ms: 2.0, correlation_ms: 30.0 }),
            loss: Loss::GilbertElliottTime {
                good_ms: 40.0,
                bad_ms: 10.0,
                loss_good: 0.0,
                loss_bad: 0.9,
                stalls: true,
            },
            reorder: Some(Reorder { share: 0.1, hold_ms: 2.0 }),
            ..DirectionSpec::default()
        };
        let at_us: Vec<_> =
            arrivals(&spec, 20, 7 * MS, 100).into_iter().map(|at| at.map_or(0, |at| at / 1_000)).collect();
        assert_eq!(at_us, GOLDEN_AT_US, "older results could not be repeated");
    }

    /// The arrivals that this code recorded; 0 is a lost packet.
    const GOLDEN_AT_US: [u64; 20] = [
        20_078, 25_982, 31_356, 39_230, 44_279, 54_120, 61_542, 70_811, 77_250, 88_234, 92_313, 99_941,
        110_000, 116_156, 126_000, 130_858, 139_054, 142_994, 0, 154_122,
    ];
}
