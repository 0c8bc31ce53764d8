//! A scripted path: a bot's heading at any time of a match. The same seed gives the same path.

use netduel_protocol::game::Heading;

/// The time that a bot keeps its heading, in µs: about as long as a person holds a key.
const LEG_US: u64 = 700_000;

/// A path of straight legs.
#[derive(Clone, Copy, Debug)]
pub struct BotPath {
    seed: u64,
}

impl BotPath {
    /// Returns the path of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Returns the heading `at_us` after the start of the match.
    pub fn heading(self, at_us: u64) -> Heading {
        let random = splitmix64(self.seed.wrapping_add(at_us / LEG_US));
        let axis = |bits: u64| [-1.0, -0.5, 0.5, 1.0][(bits & 3) as usize];
        Heading { x: axis(random), y: axis(random >> 2) }
    }
}

/// Hashes `input` with Steele, Lea and Flood's SplitMix64 (OOPSLA 2014).
pub(crate) fn splitmix64(input: u64) -> u64 {
    let mut z = input.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
