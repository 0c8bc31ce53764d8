//! Whether a figure is good, fair or poor for a game: a colour, and always a word beside it. Pure.

use eframe::egui::Color32;

use crate::theme::Palette;

/// How good a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Nobody notices.
    Good,
    /// A practised player notices.
    Fair,
    /// Everybody notices.
    Poor,
    /// Nothing is known yet.
    Unknown,
}

impl Grade {
    /// The word.
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

/// From where on a figure is fair, and from where on poor.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    fair_from: f64,
    poor_from: f64,
}

impl Limits {
    /// Age of the opponent's position in ms, p95: some frames are not seen; a seventh of a second is a miss.
    pub const AGE_MS: Self = Self { fair_from: 70.0, poor_from: 150.0 };
    /// Round trip in ms, p50: what shooters call a good ping, and from where on they warn.
    pub const ROUND_TRIP_MS: Self = Self { fair_from: 60.0, poor_from: 150.0 };
    /// One-way delay in ms, p95: half of that, and what queues.
    pub const ONE_WAY_MS: Self = Self { fair_from: 60.0, poor_from: 150.0 };
    /// Interarrival jitter in ms: up to a frame is hidden by drawing the opponent a frame late.
    pub const JITTER_MS: Self = Self { fair_from: 8.0, poor_from: 25.0 };
    /// Freezes a minute.
    pub const FREEZES_PER_MIN: Self = Self { fair_from: 1.0, poor_from: 6.0 };
    /// Moves that never came, in percent.
    pub const MISSING_PERCENT: Self = Self { fair_from: 1.0, poor_from: 5.0 };

    /// How good `value` is.
    pub fn grade(self, value: Option<f64>) -> Grade {
        match value {
            None => Grade::Unknown,
            Some(value) if value >= self.poor_from => Grade::Poor,
            Some(value) if value >= self.fair_from => Grade::Fair,
            Some(_) => Grade::Good,
        }
    }
}

/// A duration in µs as milliseconds, with as many digits as one can read at a glance.
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
    fn limits_grade_and_words_stand_beside_colours() {
        let grades = [None, Some(5.0), Some(70.0), Some(150.0)].map(|age| Limits::AGE_MS.grade(age));
        assert_eq!(grades, [Grade::Unknown, Grade::Good, Grade::Fair, Grade::Poor]);
        let words: std::collections::HashSet<_> = grades.map(Grade::word).into();
        assert_eq!(words.len(), 4);
    }

    #[test]
    fn milliseconds_have_the_digits_one_reads() {
        assert_eq!([Some(70), Some(12_340), Some(280_600), None].map(ms), ["0.07", "12.3", "281", "–"]);
    }
}
