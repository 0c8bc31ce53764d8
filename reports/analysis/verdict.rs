//! Who is better than whom, in what, by how much, and how sure that is. Pure: the same results give the same verdict.
//!
//! A difference is called only beyond its *floor*: the larger of what matters to anybody ([`Metric::practical_floor`]) and
//! of what the machine makes of no difference at all (A/A: the reference against itself). Beyond it, there are two
//! degrees of [`Evidence`].

use std::collections::{BTreeMap, HashMap};

use crate::{
    analysis::{
        metrics::Metric,
        statistics::{self, ALPHA, Interval},
    },
    data::{results::Results, run_result::RunResult},
    plan::scenario::{Contender, Group},
};

/// Fewer pairs of repeats say nothing: two agree by chance half of the time.
pub const REPEATS_MIN: usize = 3;
/// Without a test, a difference must be this many times its floor. With three repeats of no difference at all, simulated
/// with normal noise, 1 in 100 is called then; at the floor itself it would be 1 in 20, of each of many comparisons.
pub const INDICATION_FLOORS: f64 = 2.0;

/// To lie apart, each repeat must differ by this many times what matters. The rank alone would come by chance in 2 of 27
/// cases with three repeats and one control (each of three runs is as likely to be the lowest); `selftest aa` holds the
/// two together to what they promise.
pub const APART_FLOORS: f64 = 3.0;

/// What a comparison came to. Less is better in every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Less than what it is compared with.
    Better(Evidence),
    /// More than it.
    Worse(Evidence),
    /// Nothing that stands out of the noise and matters. It may still be there.
    NoDetectableDifference,
    /// Too few repeats that both have, or too few samples in them.
    NotEnoughData,
}

/// How sure a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A sign-flip test over the repeats finds it, corrected for all comparisons of its family.
    Tested,
    /// No test does, which few repeats cannot: but every repeat lies apart from the other's run and its A/A control
    /// ([`Effect::apart`]), or most repeats show it beyond the floor, none the opposite, and it is [`INDICATION_FLOORS`]
    /// times the floor. The first is for a reference that is noisy itself, as a stream on a lossy link is.
    Indicated,
}

/// One contender against another in one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In what.
    pub metric: Metric,
    /// Which is judged.
    pub candidate: Contender,
    /// What it is compared with.
    pub against: Contender,
    /// The numbers; `None` where both have too few in common.
    pub effect: Option<Effect>,
    /// What that means.
    pub outcome: Outcome,
}

/// The numbers of a comparison, in the unit of its metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Repeats that both have.
    pub repeats: usize,
    /// Mean of the candidate over these.
    pub candidate: f64,
    /// Mean of what it is compared with.
    pub against: f64,
    /// Mean of the differences within each repeat, candidate − against.
    pub difference: f64,
    /// Of the difference, by bootstrap over the repeats.
    pub interval: Interval,
    /// Of the sign-flip test, corrected for the family (Holm).
    pub p: f64,
    /// Up to here a difference is none.
    pub floor: f64,
    /// How many of the repeats differ the same way as their mean, beyond the floor.
    pub agreeing: usize,
    /// How many differ the other way, beyond the floor.
    pub opposing: usize,
    /// In every repeat, and so under the same schedule, the candidate lies beyond the run of what it is compared with *and*
    /// beyond that one's A/A control, the same way each time and by [`APART_FLOORS`] times what matters. Only in metrics
    /// that the schedule decides ([`Metric::follows_schedule`]).
    pub apart: bool,
}

/// A metric of one combination, by repeat.
pub(crate) type Series = BTreeMap<u32, f64>;

/// A comparison before it is judged.
pub(crate) struct Contest<'a> {
    pub(crate) candidate: &'a Series,
    pub(crate) against: &'a Series,
    /// More runs of what it is compared with: its A/A controls.
    pub(crate) controls: Vec<&'a Series>,
}

impl Contest<'_> {
    /// Values that both have, by repeat.
    fn pairs(&self) -> Vec<(f64, f64)> {
        let both = |(repeat, &candidate): (&u32, &f64)| Some((candidate, *self.against.get(repeat)?));
        self.candidate.iter().filter_map(both).collect()
    }

    /// What no difference looks like: the end of the A/A difference's interval that lies further from zero.
    pub(crate) fn noise(&self, seed: u64) -> Option<f64> {
        let differences: Vec<f64> =
            self.pairs().iter().map(|(candidate, against)| candidate - against).collect();
        Some(statistics::mean_interval(&differences, seed)?.furthest_from_zero())
    }

    /// See [`Effect::apart`].
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

    /// The numbers, with `p` not yet corrected.
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

/// Judges a family of comparisons in one metric: their p-values are corrected for each other.
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

/// Metrics of every combination of a comparison, by repeat.
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

    /// The largest A/A difference of a group's controls, by the far end of its interval; `None` without a control.
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

/// What a comparison says, group by group.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// In the order of the scenario; groups of which no run came to its end are not there.
    pub groups: Vec<GroupVerdict>,
    /// What was compared, in the order of the scenario.
    pub contenders: Vec<Contender>,
    /// What they are compared with.
    pub reference: Contender,
}

/// What is said of one link, rate, number of pairs and relay policy.
#[derive(Clone, Debug)]
pub struct GroupVerdict {
    /// Which.
    pub group: Group,
    /// A/A noise by metric, in its unit; none where the group has no control, or of a single repeat.
    pub noise: Vec<(Metric, f64)>,
    /// Each contender against its reference ([`crate::Scenario::reference_of`]), in each metric. A family of comparisons is what
    /// stands here of one metric.
    pub to_reference: Vec<Comparison>,
    /// Every other two, once: the later in the scenario against the earlier. A family likewise.
    pub to_each_other: Vec<Comparison>,
    /// Of those that encrypt: the ones that none other of them is detectably fresher than, and of these the ones that
    /// none is detectably cheaper than for the server. Never one that does not encrypt.
    pub choices: Vec<Contender>,
}

impl Verdict {
    /// Of these results and nothing else; `None` if nothing was compared, as in a search, whose runs have other rates for
    /// each contender ([`crate::capacities`] are its verdict), or beside baselines (what [`crate::Ratios`] are for).
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

    /// The win/lose/tie map: for each contender with a reference, what it came to against that in each group.
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
        // Transports in their first settings are compared with each other, too.
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

    /// The comparison of a contender with its reference.
    pub fn against_reference(&self, metric: Metric, contender: Contender) -> Option<&Comparison> {
        self.to_reference.iter().find(|it| it.metric == metric && it.candidate == contender)
    }

    /// What `candidate` came to against `against`; turned round where it was compared the other way.
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

    /// The comparison of `candidate` with `against`, if it was made that way round.
    pub fn comparison(
        &self,
        metric: Metric,
        candidate: Contender,
        against: Contender,
    ) -> Option<&Comparison> {
        let mut all = self.to_reference.iter().chain(&self.to_each_other);
        all.find(|it| it.metric == metric && it.candidate == candidate && it.against == against)
    }

    /// Those of `kinds` that have the metric and that none of the others is detectably better than: none directly, and none
    /// by standing better against the reference.
    fn unbeaten(&self, metric: Metric, kinds: Vec<Contender>, table: &Observations) -> Vec<Contender> {
        let known = |kind: &Contender| {
            table.series(&self.group, *kind, 0, metric).is_some_and(|series| series.len() >= REPEATS_MIN)
        };
        let kinds: Vec<Contender> = kinds.into_iter().filter(known).collect();
        // Against the reference there are controls, and so more can be told than between two others.
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

/// A family of comparisons in a group.
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
