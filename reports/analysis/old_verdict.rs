//! The verdict: which contender is better than which other, in which metric, by how much, and with
//! which evidence.
//!
//! Pure: the same results give the same verdict.
//!
//! A difference counts only beyond its *floor*. The floor is the larger of two amounts: the
//! smallest difference that matters ([`Metric::practical_floor`]), and the A/A noise, by which the
//! reference differs from itself. Beyond the floor there are two degrees of [`Evidence`].

use std::collections::{BTreeMap, HashMap};

use crate::{
    analysis::{
        old_metrics::Metric,
        statistics::{self, ALPHA, Interval},
    },
    data::{results::Results, run_result::RunResult},
    plan::scenario::{Contender, Group},
};

/// The smallest number of paired repeats that are compared. Two repeats agree by chance half of the
/// time.
pub const REPEATS_MIN: usize = 3;
/// The multiple of its floor that a difference without a test must exceed.
///
/// The factor was simulated with three repeats of normal noise and no difference. At 2 floors, 1
/// comparison in 100 is a false alarm. At 1 floor it would be 1 in 20, of each of many comparisons.
pub const INDICATION_FLOORS: f64 = 2.0;

/// The multiple of the practical floor by which each repeat must lie apart; see [`Effect::apart`].
///
/// The rank alone would come by chance in 2 of 27 cases with three repeats and one control, since
/// each of three runs is as likely to be the lowest. `selftest aa` checks that rank and distance
/// together keep their promise.
pub const APART_FLOORS: f64 = 3.0;

/// The outcome of a comparison. Less is better in every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The candidate is less than its reference.
    Better(Evidence),
    /// The candidate is more than its reference.
    Worse(Evidence),
    /// No difference stands out of the noise and matters. A smaller difference may exist.
    NoDetectableDifference,
    /// Both sides share too few repeats, or the repeats hold too few samples.
    NotEnoughData,
}

/// The strength of the evidence for a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A sign-flip test over the repeats finds the difference, corrected for all comparisons of its
    /// family.
    Tested,
    /// No test finds the difference, which few repeats never allow, but one of two conditions
    /// holds.
    ///
    /// - Every repeat lies apart from the reference's run and from its A/A control
    ///   ([`Effect::apart`]). This condition serves a reference that is noisy itself, such as a
    ///   stream on a lossy link.
    /// - Most repeats show the difference beyond the floor, none shows the opposite, and the mean
    ///   exceeds [`INDICATION_FLOORS`] times the floor.
    Indicated,
}

/// A comparison of one contender with another in one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The compared metric.
    pub metric: Metric,
    /// The contender that is judged.
    pub candidate: Contender,
    /// The contender that the candidate is compared with.
    pub against: Contender,
    /// The numbers; `None` if both sides share too few repeats.
    pub effect: Option<Effect>,
    /// The judgement of the numbers.
    pub outcome: Outcome,
}

/// The numbers of a comparison, in the unit of its metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The number of repeats that both sides have.
    pub repeats: usize,
    /// The mean of the candidate over the shared repeats.
    pub candidate: f64,
    /// The mean of the other side over the shared repeats.
    pub against: f64,
    /// The mean of the differences within each repeat, candidate − against.
    pub difference: f64,
    /// The confidence interval of the difference, by bootstrap over the repeats.
    pub interval: Interval,
    /// The p-value of the sign-flip test, corrected for the family (Holm).
    pub p: f64,
    /// The amount up to which a difference counts as none.
    pub floor: f64,
    /// The number of repeats that differ beyond the floor in the direction of the mean.
    pub agreeing: usize,
    /// The number of repeats that differ beyond the floor in the opposite direction.
    pub opposing: usize,
    /// Whether the candidate lies apart from the other side in every repeat, and so under the same
    /// schedule.
    ///
    /// Apart means beyond the other side's run *and* beyond its A/A control, in the same direction
    /// each time, by [`APART_FLOORS`] times the practical floor. Only metrics that the schedule
    /// decides can lie apart ([`Metric::follows_schedule`]).
    pub apart: bool,
}

/// The values of a metric of one combination, by repeat.
pub(crate) type Series = BTreeMap<u32, f64>;

/// A comparison before it is judged.
pub(crate) struct Contest<'a> {
    pub(crate) candidate: &'a Series,
    pub(crate) against: &'a Series,
    /// Further runs of the other side: its A/A controls.
    pub(crate) controls: Vec<&'a Series>,
}

impl Contest<'_> {
    /// Returns the values of the repeats that both sides have.
    fn pairs(&self) -> Vec<(f64, f64)> {
        let both = |(repeat, &candidate): (&u32, &f64)| Some((candidate, *self.against.get(repeat)?));
        self.candidate.iter().filter_map(both).collect()
    }

    /// Returns the A/A noise: the end of the difference's interval that lies further from zero.
    pub(crate) fn noise(&self, seed: u64) -> Option<f64> {
        let differences: Vec<f64> =
            self.pairs().iter().map(|(candidate, against)| candidate - against).collect();
        Some(statistics::mean_interval(&differences, seed)?.furthest_from_zero())
    }

    /// Computes [`Effect::apart`].
    fn apart(&self, metric: Metric) -> bool {
        let gaps = |sign: f64| {
            self.candidate.iter().all(|(repeat, candidate)| {
                let others = std::iter::once(&self.against).chain(&self.controls).map(|it| it.get(repeat));
                let far =
                    |other: &f64| (candidate - other) * sign > APART_FLOORS * metric.practical_floor(*other);
                others.into_iter().all(|other| other.is_some_and(far))
            })
        };
        let enough = !self.controls.is_empty() && self.candidate.len() >= REPEATS_MIN;
        enough && metric.follows_schedule() && (gaps(1.0) || gaps(-1.0))
    }

    /// Computes the numbers, with `p` not yet corrected.
    fn effect(&self, metric: Metric, noise: Option<f64>, seed: u64) -> Option<Effect> {
        let pairs = self.pairs();
        if pairs.len() < REPEATS_MIN {
            return None;
        }
        let (candidates, againsts): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let differences: Vec<f64> = pairs.iter().map(|(candidate, against)| candidate - against).collect();
        let (against, difference) = (statistics::mean(&againsts)?, statistics::mean(&differences)?);
        let floor = metric.practical_floor(against).max(noise.unwrap_or(0.0));
        let beyond = |sign: f64| differences.iter().filter(|it| *it * sign > floor).count();
        Some(Effect {
            repeats: pairs.len(),
            candidate: statistics::mean(&candidates)?,
            against,
            difference,
            interval: statistics::mean_interval(&differences, seed)?,
            p: statistics::sign_flip_p(&differences, seed)?,
            floor,
            agreeing: beyond(difference.signum()),
            opposing: beyond(-difference.signum()),
            apart: self.apart(metric),
        })
    }
}

impl Effect {
    fn outcome(&self, metric: Metric) -> Outcome {
        let size = self.difference.abs();
        let indication_floor = self.floor.max(metric.indication_floor(self.against));
        let indicated = size > indication_floor * INDICATION_FLOORS
            && self.agreeing * 2 > self.repeats
            && self.opposing == 0;
        let evidence = if size > self.floor && self.p <= ALPHA {
            Evidence::Tested
        } else if indicated || self.apart {
            Evidence::Indicated
        } else {
            return Outcome::NoDetectableDifference;
        };
        if self.difference < 0.0 { Outcome::Better(evidence) } else { Outcome::Worse(evidence) }
    }
}

/// Judges a family of comparisons in one metric. The correction of the p-values covers the family.
pub(crate) fn judge(
    metric: Metric,
    contests: &[Contest<'_>],
    noise: Option<f64>,
    seed: u64,
) -> Vec<(Option<Effect>, Outcome)> {
    let mut effects: Vec<Option<Effect>> =
        contests.iter().map(|contest| contest.effect(metric, noise, seed)).collect();
    let raw: Vec<f64> = effects.iter().flatten().map(|effect| effect.p).collect();
    for (effect, p) in effects.iter_mut().flatten().zip(statistics::holm(&raw)) {
        effect.p = p;
    }
    let outcome =
        |effect: &Option<Effect>| effect.as_ref().map_or(Outcome::NotEnoughData, |it| it.outcome(metric));
    effects.into_iter().map(|effect| (effect, outcome(&effect))).collect()
}

/// The metrics of every combination of a comparison, by repeat.
pub(crate) struct Observations(HashMap<(Group, Contender, u8, Metric), Series>);

impl Observations {
    pub(crate) fn from_results(results: &Results) -> Self {
        let mut table: HashMap<_, Series> = HashMap::new();
        let mut insert = |run: &RunResult, metric: Metric| {
            let key = (run.key.group.clone(), run.key.contender, run.key.arm, metric);
            let series = table.entry(key).or_default();
            series.extend(metric.measure(run).map(|value| (run.key.repeat, value)));
        };
        for run in &results.runs {
            Metric::ALL.into_iter().for_each(|metric| insert(run, metric));
        }
        Self(table)
    }

    pub(crate) fn series(
        &self,
        group: &Group,
        contender: Contender,
        arm: u8,
        metric: Metric,
    ) -> Option<&Series> {
        self.0.get(&(group.clone(), contender, arm, metric)).filter(|series| !series.is_empty())
    }

    /// Returns the largest A/A noise of a group's controls; `None` without a control.
    pub(crate) fn noise(&self, results: &Results, group: &Group, metric: Metric) -> Option<f64> {
        let reference = results.scenario.reference()?;
        let against = self.series(group, reference, 0, metric)?;
        (1..=results.scenario.controls)
            .filter_map(|arm| self.series(group, reference, arm, metric))
            .filter_map(|candidate| {
                Contest { candidate, against, controls: Vec::new() }.noise(results.scenario.seed)
            })
            .reduce(f64::max)
    }
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
}

/// The verdict of one group.
#[derive(Clone, Debug)]
pub struct GroupVerdict {
    /// The group.
    pub group: Group,
    /// The A/A noise by metric, in the metric's unit. Empty for a group without a control and for a
    /// single repeat.
    pub noise: Vec<(Metric, f64)>,
    /// The comparisons of each contender with its reference
    /// ([`crate::plan::scenario::Scenario::reference_of`]) in each metric. All comparisons in one
    /// metric are a family.
    pub to_reference: Vec<Comparison>,
    /// The comparisons of every other two contenders: the later in the scenario against the
    /// earlier. All comparisons in one metric are a family.
    pub to_each_other: Vec<Comparison>,
    /// The recommended contenders, all of them encrypted.
    ///
    /// They are chosen in two steps: those that no other encrypted contender is detectably fresher
    /// than, and of these the ones that none is detectably cheaper than for the server.
    pub choices: Vec<Contender>,
}

impl Verdict {
    /// Computes the verdict from these results alone. `None` for a search and beside baselines.
    ///
    /// A search runs each contender at other rates; [`crate::analysis::capacity::capacities`] is
    /// its verdict. Baselines are compared by [`crate::analysis::ratios::Ratios`].
    pub fn from_results(results: &Results) -> Option<Self> {
        if results.scenario.search.is_some() || !results.scenario.baselines.is_empty() {
            return None;
        }
        let reference = results.scenario.reference()?;
        let table = Observations::from_results(results);
        let groups = results.scenario.groups();
        let ran = |group: &Group| results.runs.iter().any(|run| run.key.group == *group);
        let judged = groups.into_iter().filter(ran);
        Some(Self {
            groups: judged
                .map(|group| GroupVerdict::from_results(results, &table, reference, group))
                .collect(),
            contenders: results.scenario.contenders(),
            reference,
        })
    }

    /// Returns the win/lose/tie map: for each contender with a reference, its comparison in each
    /// group.
    pub fn map(&self, metric: Metric) -> Vec<(Contender, Vec<Option<&Comparison>>)> {
        let row = |contender: Contender| {
            self.groups.iter().map(|group| group.against_reference(metric, contender)).collect()
        };
        let others = self.contenders.iter().filter(|it| **it != self.reference);
        others.map(|&contender| (contender, row(contender))).collect()
    }
}

impl GroupVerdict {
    fn from_results(results: &Results, table: &Observations, reference: Contender, group: Group) -> Self {
        let scenario = &results.scenario;
        let contenders = scenario.contenders();
        let to_reference: Vec<(Contender, Contender)> = (contenders.iter())
            .filter_map(|&contender| Some((contender, scenario.reference_of(contender)?)))
            .collect();
        // Transports in their first settings are also compared with each other.
        let alike: Vec<Contender> =
            to_reference.iter().filter(|(_, of)| *of == reference).map(|(contender, _)| *contender).collect();
        let mut to_each_other = Vec::new();
        for (position, &later) in alike.iter().enumerate() {
            to_each_other.extend(alike[..position].iter().map(|&earlier| (later, earlier)));
        }
        let metrics = || Metric::all_for(scenario.workload).iter().copied();
        let noise = |metric: Metric| table.noise(results, &group, metric);
        let compared = |pairs: &[(Contender, Contender)]| -> Vec<Comparison> {
            let of = |metric| compare(table, &group, metric, pairs, noise(metric), scenario.seed);
            metrics().flat_map(of).collect()
        };
        let mut verdict = Self {
            noise: metrics().filter_map(|metric| Some((metric, noise(metric)?))).collect(),
            to_reference: compared(&to_reference),
            to_each_other: compared(&to_each_other),
            choices: Vec::new(),
            group: group.clone(),
        };
        let candidates = std::iter::once(reference).chain(alike);
        let encrypted = candidates.filter(|it| it.transport.encrypted()).collect();
        let [felt, paid] = Metric::deciding(scenario.workload);
        let fresh = verdict.unbeaten(felt, encrypted, table);
        verdict.choices = verdict.unbeaten(paid, fresh, table);
        verdict
    }

    /// Returns the comparison of a contender with its reference.
    pub fn against_reference(&self, metric: Metric, contender: Contender) -> Option<&Comparison> {
        self.to_reference.iter().find(|it| it.metric == metric && it.candidate == contender)
    }

    /// Returns the outcome of `candidate` against `against`, reversed if the comparison was made in
    /// the other direction.
    pub fn outcome(&self, metric: Metric, candidate: Contender, against: Contender) -> Outcome {
        let found = |candidate, against| self.comparison(metric, candidate, against).map(|it| it.outcome);
        match (found(candidate, against), found(against, candidate)) {
            (Some(outcome), _) => outcome,
            (None, Some(Outcome::Better(evidence))) => Outcome::Worse(evidence),
            (None, Some(Outcome::Worse(evidence))) => Outcome::Better(evidence),
            (None, Some(outcome)) => outcome,
            (None, None) => Outcome::NotEnoughData,
        }
    }

    /// Returns the comparison of `candidate` with `against`, if it was made in this direction.
    pub fn comparison(
        &self,
        metric: Metric,
        candidate: Contender,
        against: Contender,
    ) -> Option<&Comparison> {
        let mut all = self.to_reference.iter().chain(&self.to_each_other);
        all.find(|it| it.metric == metric && it.candidate == candidate && it.against == against)
    }

    /// Returns those of `kinds` that have the metric and that no other is detectably better than,
    /// neither directly nor by a better outcome against the reference.
    fn unbeaten(&self, metric: Metric, kinds: Vec<Contender>, table: &Observations) -> Vec<Contender> {
        let known = |kind: &Contender| {
            table.series(&self.group, *kind, 0, metric).is_some_and(|series| series.len() >= REPEATS_MIN)
        };
        let kinds: Vec<Contender> = kinds.into_iter().filter(known).collect();
        // The reference has controls, so comparisons with it detect more than those between two
        // others.
        let rank = |kind: Contender| match self.against_reference(metric, kind).map(|it| it.outcome) {
            Some(Outcome::Better(_)) => 0,
            Some(Outcome::Worse(_)) => 2,
            _ => 1,
        };
        let best = kinds.iter().map(|kind| rank(*kind)).min();
        let beaten = |kind: Contender| {
            kinds.iter().any(|other| matches!(self.outcome(metric, kind, *other), Outcome::Worse(_)))
        };
        kinds.iter().copied().filter(|kind| Some(rank(*kind)) == best && !beaten(*kind)).collect()
    }
}

/// Judges a family of comparisons in a group.
fn compare(
    table: &Observations,
    group: &Group,
    metric: Metric,
    pairs: &[(Contender, Contender)],
    noise: Option<f64>,
    seed: u64,
) -> Vec<Comparison> {
    let nothing = Series::new();
    let series = |kind| table.series(group, kind, 0, metric).unwrap_or(&nothing);
    let contests: Vec<Contest<'_>> = pairs
        .iter()
        .map(|&(candidate, against)| Contest {
            candidate: series(candidate),
            against: series(against),
            controls: (1..=u8::MAX).map_while(|arm| table.series(group, against, arm, metric)).collect(),
        })
        .collect();
    let judged = judge(metric, &contests, noise, seed);
    pairs
        .iter()
        .zip(judged)
        .map(|(&(candidate, against), (effect, outcome))| Comparison {
            metric,
            candidate,
            against,
            effect,
            outcome,
        })
        .collect()
}

#[cfg(test)]
mod tests;
