//! The impairment of one direction as a pure state machine: [`Impairment::offer`] decides about
//! each packet.
//!
//! It has no clock, no sockets and no buffers: the emulator passes in the time and the length of
//! each packet, and keeps the bytes. The order is queue and rate, then loss, then delay, jitter,
//! reordering, duplication.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    emulator::schedule::{JitterProcess, LossProcess, Nanos, Stream, nanos, random},
    spec::{
        link_spec::{DirectionSpec, Rate, SpecError},
        trace::{OPPORTUNITY_BYTES, Trace},
    },
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
        /// Time of the drop, ns. A packet that waited in the queue is lost when it leaves the
        /// queue.
        at: Nanos,
        cause: DropCause,
    },
}

/// The impairment of one direction of a link.
pub(crate) struct Impairment {
    delay: Nanos,
    jitter: Option<JitterProcess>,
    loss: LossProcess,
    bottleneck: Option<Bottleneck>,
    hold: Nanos,
    reorder: Bernoulli,
    duplicate: Bernoulli,
    /// Latest arrival so far of a packet that was not held back. No later packet arrives before it.
    in_order_until: Nanos,
}

impl Impairment {
    /// Makes an impairment at time 0 of its schedule.
    pub(crate) fn new(spec: &DirectionSpec, seed: u64, direction: Direction) -> Result<Self, SpecError> {
        let share = spec.reorder.map_or(0.0, |reorder| reorder.share);
        Ok(Self {
            delay: nanos(spec.delay_ms),
            jitter: spec.jitter.map(|jitter| JitterProcess::new(jitter, seed, direction)),
            loss: LossProcess::new(&spec.loss, seed, direction),
            bottleneck: spec.rate.as_ref().map(|rate| Bottleneck::new(rate, spec.queue_bytes)).transpose()?,
            hold: nanos(spec.reorder.map_or(0.0, |reorder| reorder.hold_ms)),
            reorder: Bernoulli { rng: random(seed, direction, Stream::Reorder), share },
            duplicate: Bernoulli {
                rng: random(seed, direction, Stream::Duplicate),
                share: spec.duplicate_share,
            },
            in_order_until: 0,
        })
    }

    /// Decides about a packet of `bytes` that is sent at `now`. Times must not go back.
    pub(crate) fn offer(&mut self, now: Nanos, bytes: usize) -> Outcome {
        let bytes = bytes as u64;
        let departs = match &mut self.bottleneck {
            None => now,
            Some(bottleneck) => match bottleneck.departure(now, bytes) {
                Some(departs) => departs,
                None => return Outcome::Drop { at: now, cause: DropCause::Queue },
            },
        };
        // Each packet that leaves the queue makes every draw, so that no draw shifts another.
        let (lost, held, twice) = (self.loss.lost(departs), self.reorder.draw(), self.duplicate.draw());
        if lost {
            return Outcome::Drop { at: departs, cause: DropCause::Loss };
        }
        let jitter = self.jitter.as_mut().map_or(0, |jitter| jitter.at(departs));
        let arrives = (departs + self.delay).saturating_add_signed(jitter).max(self.in_order_until);
        if held {
            return Outcome::Deliver { at: arrives + self.hold, held, twice };
        }
        self.in_order_until = arrives;
        Outcome::Deliver { at: arrives, held, twice }
    }

    /// Advances the schedule while no packet is sent, so that the first packet after a long silence
    /// does not have to catch up.
    pub(crate) fn idle_until(&mut self, now: Nanos) {
        if let Some(jitter) = &mut self.jitter {
            // A packet offered later also leaves the queue later, so the schedule never runs ahead.
            jitter.at(now);
        }
    }
}

/// An event of a given probability, drawn once a packet.
struct Bernoulli {
    rng: ChaCha8Rng,
    share: f64,
}

impl Bernoulli {
    fn draw(&mut self) -> bool {
        self.share > 0.0 && self.rng.random::<f64>() < self.share
    }
}

/// A first-in first-out queue before a rate.
struct Bottleneck {
    capacity: Capacity,
    queue_bytes: u64,
    /// Departure time and length of each packet in the queue; `queue_bytes` bounds it.
    queue: VecDeque<(Nanos, u64)>,
    queued_bytes: u64,
}

enum Capacity {
    Constant {
        ns_per_byte: f64,
        /// Departure time of the last packet, ns.
        busy_until: f64,
    },
    Trace {
        trace: Trace,
        /// Index of the opportunity in use.
        opportunity: u64,
        /// Bytes of this opportunity that are used up.
        used_bytes: u64,
    },
}

impl Bottleneck {
    fn new(rate: &Rate, queue_bytes: u64) -> Result<Self, SpecError> {
        let capacity = match rate {
            Rate::MbitPerS(rate) => Capacity::Constant { ns_per_byte: 8e3 / rate, busy_until: 0.0 },
            Rate::Trace(file) => Capacity::Trace { trace: Trace::read(file)?, opportunity: 0, used_bytes: 0 },
        };
        Ok(Self { capacity, queue_bytes, queue: VecDeque::new(), queued_bytes: 0 })
    }

    /// Returns the time at which the packet leaves the queue, or `None` if the packet does not fit.
    fn departure(&mut self, now: Nanos, bytes: u64) -> Option<Nanos> {
        while let Some((_, left_bytes)) = self.queue.pop_front_if(|(departs, _)| *departs <= now) {
            self.queued_bytes -= left_bytes;
        }
        if self.queued_bytes + bytes > self.queue_bytes {
            return None;
        }
        let departs = self.capacity.send(now, bytes);
        self.queue.push_back((departs, bytes));
        self.queued_bytes += bytes;
        Some(departs)
    }
}

impl Capacity {
    /// Sends a packet after all earlier packets and returns the time at which its last bit leaves.
    fn send(&mut self, now: Nanos, bytes: u64) -> Nanos {
        match self {
            Self::Constant { ns_per_byte, busy_until } => {
                *busy_until = busy_until.max(now as f64) + bytes as f64 * *ns_per_byte;
                busy_until.ceil() as Nanos
            }
            Self::Trace { trace, opportunity, used_bytes } => {
                let first = trace.first_from(now.div_ceil(1_000_000));
                if first > *opportunity {
                    (*opportunity, *used_bytes) = (first, 0);
                }
                let mut left_bytes = bytes;
                loop {
                    let room_bytes = OPPORTUNITY_BYTES - *used_bytes;
                    if left_bytes < room_bytes {
                        *used_bytes += left_bytes;
                        return trace.opportunity_ms(*opportunity) * 1_000_000;
                    }
                    let at_ms = trace.opportunity_ms(*opportunity);
                    (*opportunity, *used_bytes) = (*opportunity + 1, 0);
                    left_bytes -= room_bytes;
                    if left_bytes == 0 {
                        return at_ms * 1_000_000;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::spec::link_spec::{Jitter, Loss, Reorder};

    const MS: Nanos = 1_000_000;

    fn impairment(spec: &DirectionSpec) -> Impairment {
        Impairment::new(spec, 42, Direction::Up).expect("a good spec")
    }

    /// Returns the arrival of each packet, `None` if dropped. A packet of `bytes` is sent every
    /// `every`.
    fn arrivals(spec: &DirectionSpec, count: u64, every: Nanos, bytes: usize) -> Vec<Option<Nanos>> {
        let mut impairment = impairment(spec);
        (0..count)
            .map(|index| match impairment.offer(index * every, bytes) {
                Outcome::Deliver { at, .. } => Some(at),
                Outcome::Drop { .. } => None,
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
    fn spaces_packets_and_drops_overflow() {
        // 12 Mbit/s: one packet of 1500 bytes a millisecond. The queue has room for four.
        let spec = DirectionSpec {
            rate: Some(Rate::MbitPerS(12.0)),
            queue_bytes: 6_000,
            ..DirectionSpec::default()
        };
        let at = arrivals(&spec, 6, 0, 1_500);
        assert_eq!(at, [Some(MS), Some(2 * MS), Some(3 * MS), Some(4 * MS), None, None]);
        let mut impairment = impairment(&spec);
        for now in [0, 0, 0, 0] {
            assert!(matches!(impairment.offer(now, 1_500), Outcome::Deliver { .. }));
        }
        assert!(matches!(impairment.offer(MS - 1, 1_500), Outcome::Drop { cause: DropCause::Queue, .. }));
        assert_eq!(impairment.offer(MS, 1_500), Outcome::Deliver { at: 5 * MS, held: false, twice: false });
    }

    #[test]
    fn keeps_its_rate_under_overload() {
        let spec = DirectionSpec {
            rate: Some(Rate::MbitPerS(20.0)),
            queue_bytes: 50_000,
            ..DirectionSpec::default()
        };
        let arrived: Vec<_> = arrivals(&spec, 100_000, 100_000, 1_000).into_iter().flatten().collect();
        let bits = (arrived.len() - 1) as f64 * 8_000.0;
        let rate = bits * 1e3 / (arrived[arrived.len() - 1] - arrived[0]) as f64;
        assert!((rate - 20.0).abs() < 0.01, "{rate} Mbit/s");
    }

    #[test]
    fn traces_pass_packets_at_opportunities() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"2\n2\n10\n").expect("writable");
        let spec = DirectionSpec { rate: Some(Rate::Trace(file.path().into())), ..DirectionSpec::default() };
        assert_eq!(
            arrivals(&spec, 5, 0, 1_500),
            [Some(2 * MS), Some(2 * MS), Some(10 * MS), Some(12 * MS), Some(12 * MS)]
        );
        // Three packets of 500 bytes share one opportunity; a large packet continues in the next.
        assert_eq!(arrivals(&spec, 4, 0, 500)[2..], [Some(2 * MS), Some(2 * MS)]);
        assert_eq!(arrivals(&spec, 2, 0, 2_000), [Some(2 * MS), Some(10 * MS)]);
        // An opportunity that passes unused is lost.
        assert_eq!(arrivals(&spec, 2, 5 * MS, 500), [Some(2 * MS), Some(10 * MS)]);
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
    fn schedules_never_change() {
        let spec = DirectionSpec {
            delay_ms: 20.0,
            jitter: Some(Jitter { sd_ms: 2.0, correlation_ms: 30.0 }),
            loss: Loss::GilbertElliottTime { good_ms: 40.0, bad_ms: 10.0, loss_good: 0.0, loss_bad: 0.9 },
            reorder: Some(Reorder { share: 0.1, hold_ms: 2.0 }),
            ..DirectionSpec::default()
        };
        let at_us: Vec<_> =
            arrivals(&spec, 12, 7 * MS, 100).into_iter().map(|at| at.map_or(0, |at| at / 1_000)).collect();
        assert_eq!(at_us, GOLDEN_AT_US, "older results could not be repeated");
    }

    /// The arrivals that this code recorded; 0 is a lost packet.
    const GOLDEN_AT_US: [u64; 12] =
        [20_078, 25_982, 31_356, 39_230, 44_279, 52_120, 0, 0, 77_250, 85_178, 92_313, 99_941];
}
