//! The conclusions from the results of a comparison, drawn once for every format of a report. Pure.

use crate::{
    analysis::{
        summary::Summary,
        validity::{self, Check},
        verdict::Verdict,
    },
    data::results::Results,
};

/// Results with the conclusions from them.
pub struct Conclusions<'a> {
    /// The results.
    pub results: &'a Results,
    /// The rows and the warnings.
    pub summary: Summary,
    /// The self-checks.
    pub(crate) checks: Vec<Check>,
    /// The verdict; `None` for a search and beside baselines.
    pub verdict: Option<Verdict>,
}

impl<'a> Conclusions<'a> {
    /// Draws the conclusions from these results.
    pub fn of(results: &'a Results) -> Self {
        let summary = Summary::from_results(results);
        let checks = validity::checks(results, &summary);
        let verdict = Verdict::with_checks(results, &checks);
        Self { results, summary, checks, verdict }
    }

    /// Returns the number of failed self-checks.
    pub(crate) fn failed_checks(&self) -> usize {
        self.checks.iter().filter(|check| !check.passed).count()
    }
}
