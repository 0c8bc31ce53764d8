//! The entropy of a world: a source of decisions from a seed, or from the bytes of a script.
//!
//! Each decision takes a byte or two, so a fuzzer can change one without changing all that follow.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The range of the number of steps in a seeded world. They suffice for a few matches. More worlds
/// find more than longer ones.
const STEPS: std::ops::Range<usize> = 40..440;
/// The largest number of steps of a script. Longer inputs of a fuzzer only take more time.
const SCRIPT_STEPS_MAX: usize = 256;

/// A source of decisions with a limited number of steps.
pub(crate) struct Entropy<'a> {
    source: Source<'a>,
    steps_left: usize,
}

enum Source<'a> {
    Seed(Box<ChaCha8Rng>),
    Script(std::slice::Iter<'a, u8>),
}

impl<'a> Entropy<'a> {
    /// Creates a source of pseudo-random decisions.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let steps_left = random.random_range(STEPS);
        Self { source: Source::Seed(Box::new(random)), steps_left }
    }

    /// Creates a source that reads its decisions from `script`.
    pub(crate) fn from_script(script: &'a [u8]) -> Self {
        Self { source: Source::Script(script.iter()), steps_left: SCRIPT_STEPS_MAX }
    }

    /// Starts the next step. Returns whether there is one.
    pub(crate) fn next_step(&mut self) -> bool {
        let more = match &self.source {
            Source::Seed(_) => true,
            Source::Script(left) => left.len() > 0,
        };
        more && self.steps_left.checked_sub(1).map(|left| self.steps_left = left).is_some()
    }

    /// Returns the next byte. A script continues with zeros after its end.
    pub(crate) fn byte(&mut self) -> u8 {
        match &mut self.source {
            Source::Seed(random) => random.random(),
            Source::Script(left) => left.next().copied().unwrap_or_default(),
        }
    }

    /// Returns one of `options`, which the next byte selects.
    pub(crate) fn choose<T: Copy>(&mut self, options: &[T]) -> T {
        options[usize::from(self.byte()) % options.len()]
    }
}
