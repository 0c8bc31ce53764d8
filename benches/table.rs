//! Ratios beside their targets, as text and as JSON.

use std::fmt;

use netduel_loadgen::Quantiles;
use serde::Serialize;

/// What a row should be. Issue and reasons: `docs/performance.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The ratio is this or lower.
    RatioAtMost(f64),
    /// The ratio is this or higher.
    RatioAtLeast(f64),
    /// Our figure itself is this or lower.
    OursAtMost(f64),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(value) => write!(f, "ratio ≤ {value:.2}"),
            Self::RatioAtLeast(value) => write!(f, "ratio ≥ {value:.2}"),
            Self::OursAtMost(value) => write!(f, "≤ {value}"),
        }
    }
}

/// Something measured in several rounds, ours in turns with what it is held against.
#[derive(Clone, Debug)]
pub struct Row {
    /// Over which transport.
    pub transport: String,
    /// What, and in which unit.
    pub what: String,
    /// Our figures, by round.
    pub ours: Vec<f64>,
    /// What they are held against, by round.
    pub floor: Vec<f64>,
    /// What should come out; figures without a target are shown for themselves.
    pub target: Option<Target>,
}

/// A row without its rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    transport: String,
    what: String,
    /// Medians; `None` without any.
    ours: Option<f64>,
    floor: Option<f64>,
    /// Of the ratios of single rounds: their median and quartiles.
    ratio: Option<f64>,
    ratio_quartiles: Option<[f64; 2]>,
    target: Option<String>,
    met: Option<bool>,
}

impl Row {
    /// What the rounds come to.
    pub fn judge(&self) -> Judged {
        let ratios: Quantiles = self.ours.iter().zip(&self.floor).map(|(ours, floor)| ours / floor).collect();
        let known = |value: f64| value.is_finite().then_some(value);
        let median = |of: &[f64]| known(of.iter().copied().collect::<Quantiles>().median());
        let (ours, ratio) = (median(&self.ours), known(ratios.median()));
        let met = self.target.and_then(|target| {
            Some(match target {
                Target::RatioAtMost(value) => ratio? <= value,
                Target::RatioAtLeast(value) => ratio? >= value,
                Target::OursAtMost(value) => ours? <= value,
            })
        });
        Judged {
            transport: self.transport.clone(),
            what: self.what.clone(),
            ours,
            floor: median(&self.floor),
            ratio,
            ratio_quartiles: ratio.map(|_| [ratios.quantile(0.25), ratios.quantile(0.75)]),
            target: self.target.map(|target| target.to_string()),
            met,
        }
    }
}

/// One line, in columns.
impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |value: Option<f64>| match value {
            None => "–".to_owned(),
            Some(value) if value.abs() >= 1_000.0 => format!("{value:.0}"),
            Some(value) => format!("{value:.2}"),
        };
        let spread = match self.ratio_quartiles {
            Some([low, high]) => format!("{low:.2}–{high:.2}"),
            None => String::new(),
        };
        let verdict = match self.met {
            None => "",
            Some(true) => "OK",
            Some(false) => "NOT MET",
        };
        let (ours, floor, ratio) = (figure(self.ours), figure(self.floor), figure(self.ratio));
        let target = self.target.as_deref().unwrap_or_default();
        let line = format!(
            "{:<14} {:<48} {ours:>9} {floor:>9} {ratio:>6} {spread:<11} {target:<13} {verdict}",
            self.transport, self.what
        );
        f.write_str(line.trim_end())
    }
}

/// What stands above the lines.
pub const HEADER: &str = "transport      what                                                  ours     floor  ratio quartiles   target        verdict";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_rounds_and_judged_by_its_median() {
        // The machine was twice as slow in the second round, and ours had a bad third one.
        let mut row = Row {
            transport: "tcp".into(),
            what: "CPU µs".into(),
            ours: vec![11.0, 22.0, 30.0],
            floor: vec![10.0, 20.0, 10.0],
            target: Some(Target::RatioAtMost(1.1)),
        };
        let judged = row.judge();
        assert!(judged.ratio.is_some_and(|ratio| (ratio - 1.1).abs() < 1e-9), "{judged:?}");
        row.target = Some(Target::OursAtMost(0.0));
        assert_eq!(row.judge().met, Some(false));
        row.floor.clear();
        let judged = row.judge();
        assert_eq!((judged.ratio, judged.floor, judged.ours), (None, None, Some(22.0)));
        assert!(judged.to_string().ends_with("≤ 0           NOT MET"), "{judged}");
    }
}
