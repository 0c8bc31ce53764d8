//! [`AgeSeries`]: the age of information over the time of a window.

use serde::{Deserialize, Serialize};

use super::Samples;

/// The initial width of a slot of an [`AgeSeries`] in µs: a few moves at common rates, and well
/// below a retransmission.
const SLOT_US: u64 = 100_000;
/// The most slots in an [`AgeSeries`], a minute of the narrowest: more than a chart has pixels to
/// show. At about 25 bytes each in a file they stay smaller than the histograms.
pub(super) const SLOTS_MAX: usize = 600;

/// The age over the time of a window, in slots. When the window outlasts the slots, they become
/// twice as wide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgeSeries {
    /// The width of a slot in µs.
    pub slot_us: u64,
    /// The slots, one after another since the window opened.
    pub slots: Vec<AgeSlot>,
}

/// The age within one slot of an [`AgeSeries`], over all players: in a file `[known_us, area_us2,
/// max_us]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub struct AgeSlot {
    /// The time in which an age was known, in µs; with many players more than the slot's width.
    pub known_us: u64,
    /// The age integrated over that time, in µs².
    pub area_us2: u64,
    /// The largest age, in µs.
    pub max_us: u64,
}

impl From<(u64, u64, u64)> for AgeSlot {
    fn from((known_us, area_us2, max_us): (u64, u64, u64)) -> Self {
        Self { known_us, area_us2, max_us }
    }
}

impl From<AgeSlot> for (u64, u64, u64) {
    fn from(slot: AgeSlot) -> Self {
        (slot.known_us, slot.area_us2, slot.max_us)
    }
}

impl AgeSlot {
    /// Returns the mean over time and players in µs; `None` where no age was known.
    pub fn mean_us(&self) -> Option<f64> {
        (self.known_us > 0).then(|| self.area_us2 as f64 / self.known_us as f64)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.known_us = self.known_us.saturating_add(other.known_us);
        self.area_us2 = self.area_us2.saturating_add(other.area_us2);
        self.max_us = self.max_us.max(other.max_us);
    }
}

impl Default for AgeSeries {
    fn default() -> Self {
        Self { slot_us: SLOT_US, slots: Vec::new() }
    }
}

impl AgeSeries {
    /// Records an age that grew evenly from `age_us` on, between two times in µs since the window
    /// opened.
    pub(super) fn record(&mut self, from_us: u64, to_us: u64, age_us: u64) {
        let mut at_us = from_us;
        while at_us < to_us {
            while at_us / self.slot_us >= SLOTS_MAX as u64 {
                self.widen();
            }
            let index = (at_us / self.slot_us) as usize;
            let until_us = to_us.min((index as u64 + 1).saturating_mul(self.slot_us));
            let known_us = until_us - at_us;
            let begin_us = age_us.saturating_add(at_us - from_us).min(Samples::VALUE_MAX_US);
            let part = AgeSlot {
                known_us,
                area_us2: begin_us.saturating_add(known_us / 2).saturating_mul(known_us),
                max_us: begin_us.saturating_add(known_us),
            };
            self.slot(index).merge(&part);
            at_us = until_us;
        }
    }

    /// Adds another player's series of the same window.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.slot_us < other.slot_us {
            self.widen();
        }
        while other.slot_us < self.slot_us {
            other.widen();
        }
        for (index, slot) in other.slots.iter().enumerate() {
            self.slot(index).merge(slot);
        }
    }

    fn slot(&mut self, index: usize) -> &mut AgeSlot {
        if self.slots.len() <= index {
            self.slots.resize(index + 1, AgeSlot::default());
        }
        &mut self.slots[index]
    }

    fn widen(&mut self) {
        self.slot_us = self.slot_us.saturating_mul(2);
        let pairs = self.slots.chunks(2).map(|pair| {
            let mut both = pair[0];
            pair[1..].iter().for_each(|slot| both.merge(slot));
            both
        });
        self.slots = pairs.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the parts of each slot.
    fn parts(series: &AgeSeries) -> Vec<(u64, u64, u64)> {
        series.slots.iter().copied().map(Into::into).collect()
    }

    #[test]
    fn slots_hold_area_and_peak() {
        let mut series = AgeSeries::default();
        series.record(50_000, 250_000, 1_000);
        // From 1 to 51 ms, to 151 ms, and to 201 ms.
        let wanted = [
            (50_000, 26_000 * 50_000, 51_000),
            (100_000, 101_000 * 100_000, 151_000),
            (50_000, 176_000 * 50_000, 201_000),
        ];
        assert_eq!(parts(&series), wanted);
        assert_eq!(series.slots[0].mean_us(), Some(26_000.0));
        assert_eq!(AgeSlot::default().mean_us(), None);
        series.record(99_000, 100_000, 7_000);
        assert_eq!(parts(&series)[0], (51_000, 26_000 * 50_000 + 7_500 * 1_000, 51_000));
        series.record(300_000, 300_000, 7_000);
        assert_eq!(series.slots.len(), 3, "no time, no slot");
        let json = serde_json::to_string(&series.slots[0]).expect("serialises");
        assert_eq!(serde_json::from_str::<AgeSlot>(&json).expect("parses"), series.slots[0]);
        let mut old = AgeSeries::default();
        old.record(0, 10, u64::MAX);
        assert_eq!(old.slots[0].max_us, Samples::VALUE_MAX_US + 10);
    }

    #[test]
    fn slots_widen_when_full() {
        let mut series = AgeSeries::default();
        series.record(0, 60_000_000, 0);
        assert_eq!((series.slot_us, series.slots.len()), (100_000, SLOTS_MAX));
        series.record(60_000_000, 60_000_001, 0);
        assert_eq!((series.slot_us, series.slots.len()), (200_000, 301));
        assert_eq!(parts(&series)[1], (200_000, 300_000 * 200_000, 400_000));
        assert_eq!(series.slots.last().map(|slot| slot.known_us), Some(1));
    }

    #[test]
    fn merged_series_have_one_width() {
        let record = |slot_us: u64, until_us: u64| {
            let mut series = AgeSeries { slot_us, ..AgeSeries::default() };
            series.record(0, until_us, 0);
            series
        };
        for (ours, theirs) in [(100_000, 400_000), (400_000, 100_000)] {
            let (mut both, theirs) = (record(ours, 500_000), record(theirs, 900_000));
            both.merge(&theirs);
            assert_eq!(both.slot_us, 400_000);
            let wanted = [
                (800_000, 2 * 200_000 * 400_000, 400_000),
                (500_000, 450_000 * 100_000 + 600_000 * 400_000, 800_000),
                (100_000, 850_000 * 100_000, 900_000),
            ];
            assert_eq!(parts(&both), wanted);
        }
    }
}
