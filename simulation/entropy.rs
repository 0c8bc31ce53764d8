//! Where a world's decisions come from: a seed, or the bytes of a script. Each takes a byte or two, so that a fuzzer can
//! change one without changing all that follow.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Steps of a world, at least and at most. Enough for a few matches each; more worlds find more than longer ones.
const STEPS: std::ops::Range<usize> = 40..440;
/// Steps of a script: a fuzzer's longer inputs add nothing but time.
const SCRIPT_STEPS_MAX: usize = 256;

/// See the module.
pub(crate) struct Entropy<'a> {
    source: Source<'a>,
    steps_left: usize,
}

enum Source<'a> {
    Seed(Box<ChaCha8Rng>),
    Script(std::slice::Iter<'a, u8>),
}

impl<'a> Entropy<'a> {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let steps_left = random.random_range(STEPS);
        Self { source: Source::Seed(Box::new(random)), steps_left }
    }

    pub(crate) fn from_script(script: &'a [u8]) -> Self {
        Self { source: Source::Script(script.iter()), steps_left: SCRIPT_STEPS_MAX }
    }

    /// Whether there is another step.
    pub(crate) fn next_step(&mut self) -> bool {
        let more = match &self.source {
            Source::Seed(_) => true,
            Source::Script(left) => left.len() > 0,
        };
        more && self.steps_left.checked_sub(1).map(|left| self.steps_left = left).is_some()
    }

    /// A script that is over is all zeros.
    pub(crate) fn byte(&mut self) -> u8 {
        match &mut self.source {
            Source::Seed(random) => random.random(),
            Source::Script(left) => left.next().copied().unwrap_or_default(),
        }
    }

    pub(crate) fn choose<T: Copy>(&mut self, options: &[T]) -> T {
        options[usize::from(self.byte()) % options.len()]
    }
}
