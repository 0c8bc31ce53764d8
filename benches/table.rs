//! A table of ratios beside their targets, as text and as JSON.

use std::fmt;

use netduel_loadgen::Quantiles;
use serde::Serialize;

/// The target of a row. `docs/performance.md` has the reasons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The ratio is at most this.
    RatioAtMost(f64),
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// Netduel's own figure is at most this.
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

/// A quantity that was measured in several rounds, in alternation for Netduel and for its bare
/// relay.
#[derive(Clone, Debug)]
pub struct Row {
    /// The transport.
    pub transport: String,
    /// The quantity and its unit.
    pub what: String,
    /// Netduel's figures, by round.
    pub ours: Vec<f64>,
    /// The bare relay's figures, by round.
    pub bare: Vec<f64>,
    /// The target; `None` for figures that are shown for themselves.
    pub target: Option<Target>,
}

/// A row without its rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    transport: String,
    what: String,
    /// Medians; `None` without any rounds.
    ours: Option<f64>,
    bare: Option<f64>,
    /// Median and quartiles of the ratios of single rounds.
    ratio: Option<f64>,
    ratio_quartiles: Option<[f64; 2]>,
    target: Option<String>,
    met: Option<bool>,
}

impl Row {
    /// Returns the summary of the rounds.
    pub fn judge(&self) -> Judged {
        let ratios: Quantiles = self.ours.iter().zip(&self.bare).map(|(ours, bare)| ours / bare).collect();
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
            bare: median(&self.bare),
            ratio,
            ratio_quartiles: ratio.map(|_| [ratios.quantile(0.25), ratios.quantile(0.75)]),
            target: self.target.map(|target| target.to_string()),
            met,
        }
    }
}

/// Returns the row as one line, in columns.
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
        let (ours, bare, ratio) = (figure(self.ours), figure(self.bare), figure(self.ratio));
        let target = self.target.as_deref().unwrap_or_default();
        let line = format!(
            "{:<14} {:<48} {ours:>9} {bare:>9} {ratio:>6} {spread:<11} {target:<13} {verdict}",
            self.transport, self.what
        );
        f.write_str(line.trim_end())
    }
}

/// The heading of the columns.
pub const HEADER: &str = "transport      what                                                  ours      bare  ratio quartiles   target        verdict";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_the_median_ratio_of_rounds() {
        // The machine was twice as slow in the second round, and Netduel had a bad third one.
        let mut row = Row {
            transport: "tcp".into(),
            what: "CPU µs".into(),
            ours: vec![11.0, 22.0, 30.0],
            bare: vec![10.0, 20.0, 10.0],
            target: Some(Target::RatioAtMost(1.1)),
        };
        let judged = row.judge();
        assert!(judged.ratio.is_some_and(|ratio| (ratio - 1.1).abs() < 1e-9), "{judged:?}");
        row.target = Some(Target::OursAtMost(0.0));
        assert_eq!(row.judge().met, Some(false));
        row.bare.clear();
        let judged = row.judge();
        assert_eq!((judged.ratio, judged.bare, judged.ours), (None, None, Some(22.0)));
        assert!(judged.to_string().ends_with("≤ 0           NOT MET"), "{judged}");
    }
}
