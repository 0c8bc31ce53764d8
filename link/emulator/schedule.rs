//! The schedule of a direction over time: [`bad_periods`], [`LossProcess`] and [`JitterProcess`].
//!
//! The code is pure: a seed and the time since the schedule's start decide everything, and it reads
//! no clock. The schedule does not depend on the packets: more packets only sample it more often.

use std::iter::Peekable;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

use crate::{
    spec::link_spec::{Jitter, Loss, Outage},
    types::Direction,
};

/// The time since the schedule's start, ns.
pub(crate) type Nanos = u64;

/// The steps of the jitter process per correlation time. The process is linear between steps, which
/// lowers its variance by about 2 %.
const JITTER_STEPS_PER_CORRELATION: f64 = 16.0;
/// The cut of the jitter process, standard deviations. It keeps the delay positive.
const JITTER_CUT_SD: f64 = 3.0;

/// A use of random numbers. Each use has a stream of its own, so that no use shifts another.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    BadPeriods,
    Loss,
    Jitter,
    Reorder,
    Duplicate,
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
pub fn bad_periods(loss: &Loss, seed: u64, direction: Direction) -> BadPeriods {
    let source = match loss {
        Loss::GilbertElliottTime { good_ms, bad_ms, .. } => Source::Chance {
            rng: Box::new(random(seed, direction, Stream::BadPeriods)),
            good_ns: good_ms * 1e6,
            bad_ns: bad_ms * 1e6,
        },
        Loss::Outages { at, repeat_every_ms } => {
            Source::Set { at: at.clone(), every: repeat_every_ms.map(nanos), next: 0 }
        }
        Loss::None | Loss::Iid { .. } | Loss::GilbertElliott { .. } => {
            Source::Set { at: Vec::new(), every: None, next: 0 }
        }
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
    Chance { rng: Box<ChaCha8Rng>, good_ns: f64, bad_ns: f64 },
    Set { at: Vec<Outage>, every: Option<Nanos>, next: usize },
}

impl Iterator for BadPeriods {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        match &mut self.source {
            Source::Chance { rng, good_ns, bad_ns } => {
                // Sojourn times of a two-state Markov chain in continuous time are exponential.
                let good: f64 = Exp1.sample(rng);
                let bad: f64 = Exp1.sample(rng);
                let start_ns = self.ended_ns + (good * *good_ns) as Nanos;
                self.ended_ns = start_ns + (bad * *bad_ns) as Nanos;
                Some((start_ns, self.ended_ns))
            }
            Source::Set { at, every, next } => {
                let round = next.checked_div(at.len())?;
                if round > 0 && every.is_none() {
                    return None;
                }
                let outage = at[*next % at.len()];
                *next += 1;
                let start_ns = nanos(outage.start_ms) + round as Nanos * every.unwrap_or(0);
                Some((start_ns, start_ns + nanos(outage.length_ms)))
            }
        }
    }
}

/// The process that decides which packets are lost.
pub(crate) struct LossProcess {
    rng: ChaCha8Rng,
    kind: Kind,
}

enum Kind {
    None,
    Iid { probability: f64 },
    PerPacket(Chain),
    InTime { periods: Peekable<BadPeriods>, loss_good: f64, loss_bad: f64 },
}

/// The two-state chain of Gilbert and Elliott, with one step a packet.
struct Chain {
    bad: bool,
    good_to_bad: f64,
    bad_to_good: f64,
    loss_good: f64,
    loss_bad: f64,
}

impl LossProcess {
    pub(crate) fn new(loss: &Loss, seed: u64, direction: Direction) -> Self {
        let periods = bad_periods(loss, seed, direction).peekable();
        let kind = match *loss {
            Loss::None => Kind::None,
            Loss::Iid { probability } => Kind::Iid { probability },
            Loss::GilbertElliott { good_to_bad, bad_to_good, loss_good, loss_bad } => {
                Kind::PerPacket(Chain { bad: false, good_to_bad, bad_to_good, loss_good, loss_bad })
            }
            Loss::GilbertElliottTime { loss_good, loss_bad, .. } => {
                Kind::InTime { periods, loss_good, loss_bad }
            }
            Loss::Outages { .. } => Kind::InTime { periods, loss_good: 0.0, loss_bad: 1.0 },
        };
        Self { rng: random(seed, direction, Stream::Loss), kind }
    }

    /// Returns whether the next packet, sent at `at`, is lost. Times must not go back.
    pub(crate) fn lost(&mut self, at: Nanos) -> bool {
        let probability = match &mut self.kind {
            Kind::None => return false,
            Kind::Iid { probability } => *probability,
            Kind::PerPacket(chain) => chain.step(&mut self.rng),
            Kind::InTime { periods, loss_good, loss_bad } => {
                while periods.next_if(|(_, end)| *end <= at).is_some() {}
                let bad = periods.peek().is_some_and(|(start, _)| *start <= at);
                if bad { *loss_bad } else { *loss_good }
            }
        };
        self.rng.random::<f64>() < probability
    }
}

impl Chain {
    /// Advances by one packet and returns the packet's probability of loss.
    fn step(&mut self, rng: &mut ChaCha8Rng) -> f64 {
        let turn = if self.bad { self.bad_to_good } else { self.good_to_bad };
        if rng.random::<f64>() < turn {
            self.bad = !self.bad;
        }
        if self.bad { self.loss_bad } else { self.loss_good }
    }
}

/// The slow variation of the delay: an Ornstein–Uhlenbeck process.
///
/// The process is sampled at even steps and linear between them. At the steps it is exactly the
/// AR(1) process `x' = φ·x + sd·√(1−φ²)·N(0,1)` with `φ = exp(−step/correlation)`.
pub(crate) struct JitterProcess {
    rng: ChaCha8Rng,
    step_ns: f64,
    persistence: f64,
    innovation_sd_ns: f64,
    cut_ns: f64,
    /// Index of the step whose value is `from_ns`; the value of the next step is `to_ns`.
    step: u64,
    from_ns: f64,
    to_ns: f64,
}

impl JitterProcess {
    pub(crate) fn new(jitter: Jitter, seed: u64, direction: Direction) -> Self {
        let mut rng = random(seed, direction, Stream::Jitter);
        let sd_ns = jitter.sd_ms * 1e6;
        let persistence = (-1.0 / JITTER_STEPS_PER_CORRELATION).exp();
        let first: f64 = StandardNormal.sample(&mut rng);
        let mut process = Self {
            rng,
            step_ns: jitter.correlation_ms * 1e6 / JITTER_STEPS_PER_CORRELATION,
            persistence,
            innovation_sd_ns: sd_ns * (1.0 - persistence * persistence).sqrt(),
            cut_ns: sd_ns * JITTER_CUT_SD,
            step: 0,
            from_ns: sd_ns * first,
            to_ns: 0.0,
        };
        process.to_ns = process.next_value();
        process
    }

    /// Returns the jitter at `at`, ns; it can be negative. Times must not go back.
    pub(crate) fn at(&mut self, at: Nanos) -> i64 {
        let steps = at as f64 / self.step_ns;
        while (self.step + 1) as f64 <= steps {
            self.step += 1;
            self.from_ns = self.to_ns;
            self.to_ns = self.next_value();
        }
        let part = steps - self.step as f64;
        let value_ns = self.from_ns + (self.to_ns - self.from_ns) * part;
        value_ns.clamp(-self.cut_ns, self.cut_ns) as i64
    }

    fn next_value(&mut self) -> f64 {
        let normal: f64 = StandardNormal.sample(&mut self.rng);
        self.persistence * self.from_ns + self.innovation_sd_ns * normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn bad_periods_have_the_specified_means() {
        let loss = Loss::GilbertElliottTime { good_ms: 900.0, bad_ms: 100.0, loss_good: 0.0, loss_bad: 1.0 };
        let count = 20_000;
        let (mut bad_ns, mut end_ns) = (0, 0);
        for (start, end) in bad_periods(&loss, 7, Direction::Up).take(count) {
            assert!(end_ns <= start && start <= end, "periods are in order");
            (bad_ns, end_ns) = (bad_ns + (end - start), end);
        }
        let bad_ms = bad_ns as f64 / count as f64 / 1e6;
        let share = bad_ns as f64 / end_ns as f64;
        assert!((bad_ms - 100.0).abs() < 3.0, "mean bad period {bad_ms} ms");
        assert!((share - 0.1).abs() < 0.003, "bad share {share}");
    }

    #[test]
    fn bad_periods_ignore_the_packet_rate() {
        let loss = Loss::GilbertElliottTime { good_ms: 200.0, bad_ms: 20.0, loss_good: 0.0, loss_bad: 1.0 };
        let drops = |every: Nanos| {
            let mut process = LossProcess::new(&loss, 3, Direction::Down);
            (0..20_000 * MS).step_by(every as usize).filter(|at| process.lost(*at)).collect::<Vec<_>>()
        };
        let (few, many) = (drops(4 * MS), drops(MS));
        let at_the_same_times: Vec<_> = many.into_iter().filter(|at| at % (4 * MS) == 0).collect();
        assert!(few.len() > 200);
        assert_eq!(few, at_the_same_times);
    }

    #[test]
    fn directions_are_independent() {
        let loss = Loss::GilbertElliottTime { good_ms: 200.0, bad_ms: 20.0, loss_good: 0.0, loss_bad: 1.0 };
        assert_ne!(
            bad_periods(&loss, 1, Direction::Up).next(),
            bad_periods(&loss, 1, Direction::Down).next()
        );
        assert_ne!(bad_periods(&loss, 1, Direction::Up).next(), bad_periods(&loss, 2, Direction::Up).next());
    }

    #[test]
    fn outages_repeat_at_their_times() {
        let at = vec![Outage { start_ms: 10.0, length_ms: 5.0 }, Outage { start_ms: 50.0, length_ms: 1.0 }];
        let once = Loss::Outages { at: at.clone(), repeat_every_ms: None };
        let periods: Vec<_> = bad_periods(&once, 0, Direction::Up).collect();
        assert_eq!(periods, [(10 * MS, 15 * MS), (50 * MS, 51 * MS)]);
        let repeated = Loss::Outages { at, repeat_every_ms: Some(100.0) };
        let mut process = LossProcess::new(&repeated, 0, Direction::Up);
        let lost: Vec<_> = (0..250).filter(|ms| process.lost(ms * MS)).collect();
        assert_eq!(lost, [10, 11, 12, 13, 14, 50, 110, 111, 112, 113, 114, 150, 210, 211, 212, 213, 214]);
    }

    #[test]
    fn gilbert_elliott_keeps_mean_and_burst() {
        let loss =
            Loss::GilbertElliott { good_to_bad: 0.01, bad_to_good: 0.25, loss_good: 0.0, loss_bad: 1.0 };
        let mut process = LossProcess::new(&loss, 5, Direction::Up);
        let lost: Vec<bool> = (0..400_000).map(|_| process.lost(0)).collect();
        let losses = lost.iter().filter(|lost| **lost).count() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        let mean = losses / lost.len() as f64;
        let expected = loss.mean_share().expect("has a mean");
        assert!((mean / expected - 1.0).abs() < 0.05, "mean {mean}, expected {expected}");
        assert!((losses / bursts / 4.0 - 1.0).abs() < 0.05, "burst {}", losses / bursts);
    }

    #[test]
    fn jitter_keeps_deviation_and_correlation() {
        let jitter = Jitter { sd_ms: 2.0, correlation_ms: 50.0 };
        let sample = |every: Nanos| {
            let mut process = JitterProcess::new(jitter, 9, Direction::Up);
            (0..2_000_000 * MS).step_by(every as usize).map(|at| process.at(at) as f64).collect::<Vec<_>>()
        };
        let values = sample(10 * MS);
        let variance = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
        assert!((variance.sqrt() / 2e6 - 1.0).abs() < 0.05, "sd {}", variance.sqrt());
        let lagged = values.iter().zip(&values[5..]).map(|(a, b)| a * b).sum::<f64>();
        let correlation = lagged / values.len() as f64 / variance;
        assert!((correlation - (-1.0_f64).exp()).abs() < 0.05, "correlation after 50 ms: {correlation}");
        assert!(values.iter().all(|x| x.abs() <= 6e6));
        let sparse: Vec<f64> = values.iter().step_by(7).copied().collect();
        assert_eq!(sample(70 * MS), sparse);
    }
}
