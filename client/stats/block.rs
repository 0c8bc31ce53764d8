//! [`Block`]: one stretch of a window, the unit of evidence of reports.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Samples;

/// The shortest block in µs: longer than a retransmission's wait and than most bad periods of a
/// link, so that neighbours depend little on each other; short enough for a window to have many.
const BLOCK_US: u64 = 1_000_000;
/// The most blocks in a window. Each takes about 10 KB in the memory of a player; a longer
/// window has longer blocks.
const BLOCKS_MAX: u64 = 120;

/// The longest window in µs, a century. A longer one has no end.
const LONGEST_US: u64 = 100 * 365 * 86_400 * 1_000_000;

/// The measurements within one stretch of a window: of one player, or of all together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Block {
    /// The age, weighted by time.
    pub age: Samples,
    /// The freezes that began within the block.
    pub freezes: u64,
}

impl Block {
    pub(super) fn merge(&mut self, other: &Self) {
        self.age.merge(&other.age);
        self.freezes += other.freezes;
    }
}

/// Returns the length of the blocks of a window in µs, and the empty blocks; none for a window
/// without an end.
pub(super) fn all(window_us: u64) -> (u64, Vec<Block>) {
    if window_us > LONGEST_US {
        return (0, Vec::new());
    }
    let block_us = block_us(window_us);
    (block_us, vec![Block::default(); window_us.div_ceil(block_us) as usize])
}

/// Returns the length of the blocks of a window in µs.
pub fn block_us(window_us: u64) -> u64 {
    let mut block_us = BLOCK_US;
    while window_us.div_ceil(block_us) > BLOCKS_MAX {
        block_us *= 2;
    }
    block_us
}

/// Returns the block at a time in µs since the window opened.
pub(super) fn at(blocks: &mut [Block], block_us: u64, at_us: u64) -> Option<&mut Block> {
    blocks.get_mut(at_us.checked_div(block_us)? as usize)
}

/// Records an age that grew evenly from `age_us` on over the times of `span_us`, in the block of
/// each time. `None` is infinite.
pub(super) fn record_ages(
    blocks: &mut [Block],
    block_us: u64,
    span_us: Range<u64>,
    age_us: Option<u64>,
    period_us: u64,
) {
    let mut from_us = span_us.start;
    while from_us < span_us.end {
        let Some(number) = from_us.checked_div(block_us) else { return };
        let to_us = span_us.end.min((number + 1).saturating_mul(block_us));
        let Some(block) = at(blocks, block_us, from_us) else { return };
        let grown_us = age_us.map(|age_us| age_us.saturating_add(from_us - span_us.start));
        record_age(&mut block.age, from_us..to_us, grown_us, period_us);
        from_us = to_us;
    }
}

/// Records an age that grew evenly from `age_us` on over the times of `span_us`. `None` is
/// infinite, and counts as one observation for each move of `period_us` that should have come.
pub(super) fn record_age(age: &mut Samples, span_us: Range<u64>, age_us: Option<u64>, period_us: u64) {
    let length_us = span_us.end - span_us.start;
    match age_us {
        Some(age_us) => age.record_span(age_us, age_us.saturating_add(length_us)),
        None => age.record_infinite(length_us, length_us.checked_div(period_us).unwrap_or(1).max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_without_end_have_no_blocks() {
        assert!((BLOCKS_MAX / 2..=BLOCKS_MAX).contains(&(all(LONGEST_US).1.len() as u64)));
        assert_eq!((all(LONGEST_US + 1).0, all(LONGEST_US + 1).1.len()), (0, 0));
        assert_eq!(all(0).1.len(), 0);
        assert!(at(&mut [Block::default()], 0, 0).is_none());
    }
}
