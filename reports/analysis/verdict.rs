//! The verdict: the figures of every contender in every group, what differs, and the contender to
//! choose.
//!
//! Pure: the same results give the same verdict.

pub mod choice;
pub mod comparison;
pub mod link_met;

use crate::{
    analysis::{
        metrics::Metric,
        place::Place,
        summary::Summary,
        validity::{self, Check},
        verdict::{
            choice::{Candidates, Certainty, Choice},
            comparison::{Arm, Comparison, Estimate, Figures, Finding, Judged, Pair},
            link_met::LinkMet,
        },
    },
    data::{results::Results, run_result::RunResult},
    plan::{contender::Contender, scenario::Group},
};

/// The kind of a unit of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A second of link time, which all contenders share.
    Second,
    /// A round, in which every contender plays one window.
    Round,
}

/// The verdict of a comparison, group by group.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The verdicts in the order of the scenario. A group without a completed run is left out.
    pub groups: Vec<GroupVerdict>,
    /// The contenders, in the order of the scenario.
    pub contenders: Vec<Contender>,
    /// The contender that the others are compared with.
    pub reference: Contender,
    /// The names of failed self-checks that lower the certainty of every choice.
    pub failed_checks: Vec<&'static str>,
}

/// The verdict of one group.
#[derive(Clone, Debug)]
pub struct GroupVerdict {
    /// The group.
    pub group: Group,
    /// The place where the group ran.
    pub place: Place,
    /// The unit of evidence.
    pub unit: Unit,
    /// The values and their comparisons.
    pub figures: Figures,
    /// The losses that the contenders met; `None` unless the link is emulated.
    pub met: Option<LinkMet>,
    /// The choice among the encrypted contenders. `None` if the link lost too little for a verdict
    /// about loss ([`LinkMet::enough`]), or if no encrypted contender has a value.
    pub choice: Option<Choice>,
    /// The choice among all contenders, if nothing need be encrypted.
    pub choice_of_all: Option<Choice>,
}

impl Verdict {
    /// Computes the verdict from these results alone. `None` for a search and beside baselines.
    ///
    /// A search runs each contender at other rates; [`crate::analysis::capacity::capacities`] is
    /// its verdict. Baselines are compared by [`crate::analysis::ratios::Ratios`].
    pub fn from_results(results: &Results) -> Option<Self> {
        Self::with_checks(results, &validity::checks(results, &Summary::from_results(results)))
    }

    /// Does the same as [`Self::from_results`] with the self-checks of these results.
    pub(crate) fn with_checks(results: &Results, checks: &[Check]) -> Option<Self> {
        if results.scenario.search.is_some() || !results.scenario.baselines.is_empty() {
            return None;
        }
        let reference = results.scenario.reference()?;
        let failed_checks = checks.iter().filter(|it| it.decides && !it.passed).map(|it| it.what).collect();
        let groups = results.scenario.groups();
        let judged = groups.into_iter().filter_map(|group| GroupVerdict::judge(results, group));
        let mut verdict = Self {
            groups: judged.collect(),
            contenders: results.scenario.contenders(),
            reference,
            failed_checks,
        };
        let chosen: Vec<[Option<Choice>; 2]> =
            verdict.groups.iter().map(|group| verdict.choices(results, group)).collect();
        for (group, [choice, choice_of_all]) in verdict.groups.iter_mut().zip(chosen) {
            (group.choice, group.choice_of_all) = (choice, choice_of_all);
        }
        Some(verdict)
    }

    /// Returns the group in which the costs of a group's contenders were judged: the group itself
    /// off links, and otherwise the most similar one.
    pub fn cost_of(&self, group: &Group) -> Option<&GroupVerdict> {
        let judged = || self.groups.iter().filter(|it| it.place != Place::Link);
        let alike = |it: &&GroupVerdict| {
            (it.group.rate_hz, it.group.payload_bytes) == (group.rate_hz, group.payload_bytes)
        };
        judged().find(|it| it.group == *group).or_else(|| judged().find(alike)).or_else(|| judged().next())
    }

    /// Returns the map of findings: for each contender but the reference, its comparison with the
    /// reference in each group.
    pub fn map(&self, metric: Metric) -> Vec<(Contender, Vec<Option<Comparison>>)> {
        let row = |contender: Contender| {
            self.groups.iter().map(|group| group.comparison(metric, contender, self.reference)).collect()
        };
        let others = self.contenders.iter().filter(|it| **it != self.reference);
        others.map(|&contender| (contender, row(contender))).collect()
    }

    /// Returns the choices of a group: among the encrypted contenders, and among all.
    fn choices(&self, results: &Results, group: &GroupVerdict) -> [Option<Choice>; 2] {
        if group.met.is_some_and(|met| !met.enough()) {
            return [None, None];
        }
        let candidates = Candidates {
            figures: &group.figures,
            met: group.met,
            costs: self.cost_of(&group.group).map(|it| &it.figures),
            reference: self.reference,
            metrics: Metric::deciding(results.scenario.workload),
            failed_checks: &self.failed_checks,
        };
        let encrypted: Vec<Contender> =
            self.contenders.iter().copied().filter(|it| it.transport.encrypted()).collect();
        [candidates.choose(&encrypted, true), candidates.choose(&self.contenders, false)]
    }
}

impl GroupVerdict {
    /// Judges a group without its choices; `None` without a run.
    fn judge(results: &Results, group: Group) -> Option<Self> {
        let scenario = &results.scenario;
        let runs: Vec<&RunResult> = results.runs.iter().filter(|run| run.key.group == group).collect();
        let reference = scenario.reference()?;
        let place = Place::of(scenario, &group);
        let of_arm = |(contender, number): (Contender, u8)| -> Arm<'_> {
            let is_it = |run: &&&RunResult| (run.key.contender, run.key.arm) == (contender, number);
            ((contender, number), runs.iter().filter(is_it).copied().collect())
        };
        let arms: Vec<Arm<'_>> =
            scenario.arms().into_iter().map(of_arm).filter(|(_, runs)| !runs.is_empty()).collect();
        let contenders: Vec<Contender> = arms.iter().filter(|it| it.0.1 == 0).map(|it| it.0.0).collect();
        let pairs: Vec<Pair> = (0..contenders.len())
            .flat_map(|later| (0..later).map(move |earlier| [later, earlier]))
            .map(|pair| pair.map(|place| (contenders[place], 0)))
            .collect();
        let controls: Vec<Pair> =
            arms.iter().filter(|it| it.0.1 > 0).map(|it| [it.0, (reference, 0)]).collect();
        let mut verdict = Self {
            place,
            unit: if place == Place::Link { Unit::Second } else { Unit::Round },
            figures: Figures::default(),
            met: LinkMet::of_group(scenario, &group, &runs),
            choice: None,
            choice_of_all: None,
            group,
        };
        for &metric in Metric::judged(scenario.workload, place) {
            let judged = Judged::new(metric, &arms, scenario.seed);
            verdict.figures.estimates.extend(judged.estimates());
            verdict.figures.comparisons.extend(judged.comparisons(&pairs));
            verdict.figures.control.extend(judged.comparisons(&controls));
        }
        (!arms.is_empty()).then_some(verdict)
    }

    /// Returns the value of a contender, as the tables show it.
    pub fn estimate(&self, metric: Metric, contender: Contender) -> Option<&Estimate> {
        self.figures.estimate(metric, contender)
    }

    /// Returns the comparison of `candidate` with `against`.
    pub fn comparison(&self, metric: Metric, candidate: Contender, against: Contender) -> Option<Comparison> {
        self.figures.comparison(metric, candidate, against)
    }

    /// Returns what the comparison of `candidate` with `against` shows.
    pub fn finding(&self, metric: Metric, candidate: Contender, against: Contender) -> Finding {
        self.comparison(metric, candidate, against).map_or(Finding::CannotTell, |it| it.finding)
    }

    /// Returns the recommendation in a few words: "quic-datagram". A choice without ground is none.
    pub fn recommendation(&self) -> String {
        match (&self.choice, &self.met) {
            (Some(choice), _) if choice.certainty == Certainty::None => "undecided".into(),
            (Some(choice), _) => choice.contender.to_string(),
            (None, Some(met)) if !met.enough() => "none (too few losses)".into(),
            (None, _) => "none".into(),
        }
    }
}

#[cfg(test)]
mod tests;
