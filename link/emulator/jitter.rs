//! The slow variation of the delay over time: [`JitterProcess`]. It is pure, as the schedule is.

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{
    emulator::schedule::{Nanos, Stream, random},
    spec::link_spec::Jitter,
    types::Direction,
};

/// The steps of the jitter process per correlation time. The process is linear between steps, which
/// lowers its variance by about 2 %.
const JITTER_STEPS_PER_CORRELATION: f64 = 16.0;
/// The cut of the jitter process, standard deviations. It keeps the delay positive.
const JITTER_CUT_SD: f64 = 3.0;

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
        let part = (steps - self.step as f64).max(0.0);
        let value_ns = self.from_ns + (self.to_ns - self.from_ns) * part;
        value_ns.clamp(-self.cut_ns, self.cut_ns) as i64
    }

    /// Returns the number of steps that the process has made.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> u64 {
        self.step
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
