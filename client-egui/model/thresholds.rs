//! Thresholds that grade a figure as good, fair or poor for a game, as a colour and a word. Pure.

use eframe::egui::Color32;

use crate::theme::Palette;

/// The grade of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// No player notices the delay or loss.
    Good,
    /// A practised player notices the delay or loss.
    Fair,
    /// Every player notices the delay or loss.
    Poor,
    /// The figure is not known yet.
    Unknown,
}

impl Grade {
    /// Returns the word for the grade.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
            Self::Unknown => "not known",
        }
    }

    pub(crate) fn color(self, palette: &Palette) -> Color32 {
        match self {
            Self::Good => palette.good,
            Self::Fair => palette.fair,
            Self::Poor => palette.poor,
            Self::Unknown => palette.muted,
        }
    }
}

/// The two thresholds of a figure: the lowest fair and the lowest poor value.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    fair_from: f64,
    poor_from: f64,
}

impl Thresholds {
    /// Age of the opponent's position in ms, p95. At 70 ms some frames show an old position; at 150
    /// ms a shot misses.
    pub const AGE_MS: Self = Self { fair_from: 70.0, poor_from: 150.0 };
    /// Round-trip time in ms, p50. Shooters call up to 60 ms a good ping, and warn from 150 ms on.
    pub const ROUND_TRIP_MS: Self = Self { fair_from: 60.0, poor_from: 150.0 };
    /// One-way delay in ms, p95: half a round trip, plus queueing.
    pub const ONE_WAY_MS: Self = Self { fair_from: 60.0, poor_from: 150.0 };
    /// Interarrival jitter in ms. The display delay hides jitter of up to a frame.
    pub const JITTER_MS: Self = Self { fair_from: 8.0, poor_from: 25.0 };
    /// Freezes per minute.
    pub const FREEZES_PER_MIN: Self = Self { fair_from: 1.0, poor_from: 6.0 };
    /// Missing moves, in percent.
    pub const MISSING_PERCENT: Self = Self { fair_from: 1.0, poor_from: 5.0 };

    /// Grades `value`.
    pub fn grade(self, value: Option<f64>) -> Grade {
        match value {
            None => Grade::Unknown,
            Some(value) if value >= self.poor_from => Grade::Poor,
            Some(value) if value >= self.fair_from => Grade::Fair,
            Some(_) => Grade::Good,
        }
    }
}

/// Formats a duration in µs as milliseconds with three digits.
pub fn ms(value_us: Option<u64>) -> String {
    match value_us.map(|us| us as f64 / 1e3) {
        None => "–".into(),
        Some(ms) if ms < 10.0 => format!("{ms:.2}"),
        Some(ms) if ms < 100.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grade_has_its_own_word() {
        let grades = [None, Some(5.0), Some(70.0), Some(150.0)].map(|age| Thresholds::AGE_MS.grade(age));
        assert_eq!(grades, [Grade::Unknown, Grade::Good, Grade::Fair, Grade::Poor]);
        let words: std::collections::HashSet<_> = grades.map(Grade::word).into();
        assert_eq!(words.len(), 4);
    }

    #[test]
    fn formats_milliseconds_with_three_digits() {
        assert_eq!([Some(70), Some(12_340), Some(280_600), None].map(ms), ["0.07", "12.3", "281", "–"]);
    }
}
