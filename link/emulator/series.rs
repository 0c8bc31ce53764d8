//! [`Series`]: the packets of a link by time since the schedule's start.

use serde::{Deserialize, Serialize};

use crate::types::Direction;

/// The initial width of a slot, ms. Verdicts resample blocks of link time of this length.
const SLOT_MS: u64 = 1_000;
/// The largest number of slots of a direction, ten minutes of the narrowest. It bounds memory.
const SLOTS_MAX: usize = 600;

/// The packets of both directions over time, in slots. When the time outlasts the slots, they
/// become twice as wide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Width of a slot, ms.
    pub slot_ms: u64,
    /// Slots of the direction from the client to the server, one after another.
    pub up: Vec<Slot>,
    /// Slots of the direction from the server to the client, one after another.
    pub down: Vec<Slot>,
}

/// The packets of one direction in one slot; in a file `[offered, offered_bytes, delivered,
/// delivered_bytes, lost, queue_dropped]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 6]", into = "[u64; 6]")]
pub struct Slot {
    /// Packets that entered the link.
    pub offered: u64,
    /// Bytes that entered the link.
    pub offered_bytes: u64,
    /// Packets that left the link, duplicates included.
    pub delivered: u64,
    /// Bytes that left the link, duplicates included.
    pub delivered_bytes: u64,
    /// Packets lost by the spec's `loss`.
    pub lost: u64,
    /// Packets dropped by the queue.
    pub queue_dropped: u64,
}

impl From<[u64; 6]> for Slot {
    fn from([offered, offered_bytes, delivered, delivered_bytes, lost, queue_dropped]: [u64; 6]) -> Self {
        Self { offered, offered_bytes, delivered, delivered_bytes, lost, queue_dropped }
    }
}

impl From<Slot> for [u64; 6] {
    fn from(slot: Slot) -> Self {
        let Slot { offered, offered_bytes, delivered, delivered_bytes, lost, queue_dropped } = slot;
        [offered, offered_bytes, delivered, delivered_bytes, lost, queue_dropped]
    }
}

impl Slot {
    fn zip(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        let (mine, theirs): ([u64; 6], [u64; 6]) = (self.into(), other.into());
        std::array::from_fn(|index| with(mine[index], theirs[index])).into()
    }
}

impl Default for Series {
    fn default() -> Self {
        Self { slot_ms: SLOT_MS, up: Vec::new(), down: Vec::new() }
    }
}

impl Series {
    /// Returns the slot of a time, ns after the schedule's start.
    pub(crate) fn slot(&mut self, direction: Direction, at_ns: u64) -> &mut Slot {
        while at_ns / 1_000_000 / self.slot_ms >= SLOTS_MAX as u64 {
            self.widen();
        }
        let index = (at_ns / 1_000_000 / self.slot_ms) as usize;
        let slots = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        if slots.len() <= index {
            slots.resize(index + 1, Slot::default());
        }
        &mut slots[index]
    }

    /// Returns the slots of one direction.
    pub fn direction(&self, direction: Direction) -> &[Slot] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Returns the packets since `earlier`, a former state of this series. Slots keep their times.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut earlier = earlier.clone();
        while earlier.slot_ms < self.slot_ms {
            earlier.widen();
        }
        let minus = |slots: &[Slot], before: &[Slot]| {
            let before = before.iter().copied().chain(std::iter::repeat(Slot::default()));
            slots.iter().zip(before).map(|(slot, before)| slot.zip(before, u64::saturating_sub)).collect()
        };
        Self {
            slot_ms: self.slot_ms,
            up: minus(&self.up, &earlier.up),
            down: minus(&self.down, &earlier.down),
        }
    }

    fn widen(&mut self) {
        self.slot_ms *= 2;
        for slots in [&mut self.up, &mut self.down] {
            *slots = slots
                .chunks(2)
                .map(|pair| pair.iter().fold(Slot::default(), |sum, slot| sum.zip(*slot, |a, b| a + b)))
                .collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn fill(seconds: std::ops::Range<u64>, series: &mut Series) {
        for second in seconds {
            let slot = series.slot(Direction::Down, second * SECOND + SECOND / 2);
            slot.offered += 1;
            slot.offered_bytes += second;
        }
    }

    #[test]
    fn slots_hold_their_second() {
        let mut series = Series::default();
        fill(0..3, &mut series);
        series.slot(Direction::Up, SECOND - 1).lost += 2;
        assert_eq!(series.down.iter().map(|slot| slot.offered_bytes).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((series.up.len(), series.up[0].lost), (1, 2));
        let json = serde_json::to_string(&series).expect("serialises");
        assert!(json.contains("[1,2,0,0,0,0]"), "{json}");
        assert_eq!(serde_json::from_str::<Series>(&json).expect("parses"), series);
    }

    #[test]
    fn long_times_widen_the_slots() {
        let mut series = Series::default();
        fill(0..1_300, &mut series);
        assert_eq!(series.slot_ms, 4_000);
        assert_eq!(series.down.len(), 1_300 / 4);
        assert!(series.down.iter().all(|slot| slot.offered == 4));
        assert_eq!(series.down[1].offered_bytes, 4 + 5 + 6 + 7);
    }

    #[test]
    fn since_leaves_the_new_packets() {
        let mut series = Series::default();
        fill(0..3, &mut series);
        let earlier = series.clone();
        fill(2..5, &mut series);
        let new = series.since(&earlier);
        assert_eq!(new.down.iter().map(|slot| slot.offered).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
        fill(600..601, &mut series);
        let new = series.since(&earlier);
        assert_eq!((new.slot_ms, new.down[0].offered, new.down[1].offered), (2_000, 0, 2));
    }
}
