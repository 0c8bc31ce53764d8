//! Comparisons of two contenders in one metric: the numbers, and what they show. Pure.
//!
//! A finding has one of four words. A difference is found if its interval, over all comparisons of
//! its family together, lies beyond the smallest difference that matters. Two contenders are the
//! same if it lies within what nobody would notice. Otherwise the run cannot tell.

use crate::{
    analysis::{
        metrics::Metric,
        statistics::{
            Interval,
            evidence::Evidence,
            interval::{self, Difference, Resampled},
        },
    },
    data::run_result::RunResult,
    plan::contender::Contender,
};

/// The finding of a comparison. Less is better in every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// The candidate is less than the other side, by more than the smallest difference that
    /// matters.
    Better,
    /// The candidate is more than the other side, by more than the smallest difference that
    /// matters.
    Worse,
    /// No difference that anybody would notice.
    Same,
    /// The evidence allows a difference in both directions, or one that matters.
    CannotTell,
}

impl Finding {
    /// Returns the finding with the sides exchanged.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Better => Self::Worse,
            Self::Worse => Self::Better,
            Self::Same | Self::CannotTell => self,
        }
    }
}

/// The numbers of a comparison, in the unit of its metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The number of units that both sides have: seconds of link time, rounds, or runs.
    pub units: usize,
    /// The value of the candidate, as in the tables.
    pub candidate: f64,
    /// The value of the other side, as in the tables.
    pub against: f64,
    /// The difference, candidate − against.
    pub difference: f64,
    /// The 95 % interval of the difference, for this comparison alone.
    ///
    /// An end is infinite if too few units carry the larger value: a deeper stall than the window
    /// met cannot be excluded.
    pub alone: Interval,
    /// The interval that holds for all comparisons of the family together.
    pub simultaneous: Interval,
    /// The smallest difference that matters.
    pub floor: f64,
    /// The largest difference that nobody would notice.
    pub margin: f64,
    /// The smallest difference that 4 of 5 such runs find.
    pub detectable: f64,
}

impl Effect {
    fn new(metric: Metric, candidate: f64, against: f64, found: Difference) -> Self {
        let floor = metric.floor(against);
        Self {
            units: found.units,
            candidate,
            against,
            difference: found.value,
            alone: found.alone,
            simultaneous: found.simultaneous,
            floor,
            margin: metric.margin(against),
            detectable: found.detectable + floor,
        }
    }

    /// Returns the ratio candidate / against.
    pub fn ratio(&self) -> f64 {
        self.candidate / self.against
    }

    /// Returns the 95 % interval of the ratio, for this comparison alone.
    pub fn ratio_interval(&self) -> Interval {
        self.alone.map(|difference| 1.0 + difference / self.against)
    }

    /// Returns what the interval over the whole family shows.
    pub fn finding(&self) -> Finding {
        self.shows(self.simultaneous)
    }

    /// Returns what the interval of this comparison alone shows.
    pub fn finding_alone(&self) -> Finding {
        self.shows(self.alone)
    }

    fn shows(&self, interval: Interval) -> Finding {
        if interval.high < -self.floor {
            Finding::Better
        } else if interval.low > self.floor {
            Finding::Worse
        } else if interval.low >= -self.margin && interval.high <= self.margin {
            Finding::Same
        } else {
            Finding::CannotTell
        }
    }

    /// Returns the numbers with the sides exchanged.
    #[must_use]
    fn reversed(self, metric: Metric) -> Self {
        // An interval of ratios is one of the reversed ratios, too.
        let turn = |interval: Interval| {
            let end = |difference: f64| match metric.is_ratio_scaled() {
                true => self.candidate * (1.0 / (1.0 + difference / self.against) - 1.0),
                false => -difference,
            };
            Interval { low: end(interval.high), high: end(interval.low) }
        };
        Self {
            candidate: self.against,
            against: self.candidate,
            difference: -self.difference,
            alone: turn(self.alone),
            simultaneous: turn(self.simultaneous),
            floor: metric.floor(self.candidate),
            margin: metric.margin(self.candidate),
            ..self
        }
    }
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
    /// The numbers; `None` if both sides share too few units.
    pub effect: Option<Effect>,
    /// The finding of the numbers.
    pub finding: Finding,
}

impl Comparison {
    pub(crate) fn new(metric: Metric, [candidate, against]: [Contender; 2], effect: Option<Effect>) -> Self {
        let finding = effect.as_ref().map_or(Finding::CannotTell, Effect::finding);
        Self { metric, candidate, against, effect, finding }
    }

    /// Returns the comparison with the sides exchanged.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let effect = self.effect.map(|it| it.reversed(self.metric));
        Self::new(self.metric, [self.against, self.candidate], effect)
    }
}

/// The value of a contender in one metric, as tables show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The metric.
    pub metric: Metric,
    /// The contender.
    pub contender: Contender,
    /// 0 for the contender itself; from 1 on, the number of the A/A control.
    pub arm: u8,
    /// The value, in the metric's unit.
    pub value: f64,
    /// The 95 % interval of the value; `None` with too few units. The upper end is infinite if too
    /// few units carry the value.
    pub interval: Option<Interval>,
    /// The number of units.
    pub units: usize,
}

/// The figures of a group: every value, and every comparison of two.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The values of every contender and control, in every judged metric.
    pub estimates: Vec<Estimate>,
    /// The comparisons of every two contenders in every judged metric: the later of the scenario
    /// against the earlier. All comparisons in one metric are a family.
    pub comparisons: Vec<Comparison>,
    /// The comparisons of the A/A controls with the reference.
    pub control: Vec<Comparison>,
}

impl Figures {
    /// Returns the number of units, of the value with the most.
    pub fn units(&self) -> usize {
        self.estimates.iter().map(|it| it.units).max().unwrap_or(0)
    }

    /// Returns the value of a contender, as the tables show it.
    pub fn estimate(&self, metric: Metric, contender: Contender) -> Option<&Estimate> {
        self.estimates.iter().find(|it| (it.metric, it.contender, it.arm) == (metric, contender, 0))
    }

    /// Returns the comparison of `candidate` with `against`.
    pub fn comparison(&self, metric: Metric, candidate: Contender, against: Contender) -> Option<Comparison> {
        let made = |one: Contender, other: Contender| {
            let is_it = |it: &&Comparison| (it.metric, it.candidate, it.against) == (metric, one, other);
            self.comparisons.iter().find(is_it)
        };
        made(candidate, against).cloned().or_else(|| made(against, candidate).map(Comparison::reversed))
    }
}

/// The runs of one combination, with a name for it.
pub(crate) type Arm<'a> = ((Contender, u8), Vec<&'a RunResult>);

/// The arm that is judged, and the arm that it is compared with.
pub(crate) type Pair = [(Contender, u8); 2];

/// One metric of a group: every arm resampled on the same units.
pub(crate) struct Judged {
    metric: Metric,
    method: interval::Method,
    arms: Vec<(Contender, u8)>,
    resampled: Vec<Resampled>,
}

impl Judged {
    /// Resamples the evidence of all arms jointly. Arms without evidence are left out.
    pub(crate) fn new(metric: Metric, arms: &[Arm<'_>], seed: u64) -> Self {
        let known: Vec<((Contender, u8), Evidence)> =
            arms.iter().filter_map(|(arm, runs)| Some((*arm, metric.evidence(runs)?))).collect();
        let evidence: Vec<&Evidence> = known.iter().map(|it| &it.1).collect();
        let method = metric.method(&evidence);
        let resampled = interval::resample(&evidence, method, seed);
        Self { metric, method, arms: known.iter().map(|it| it.0).collect(), resampled }
    }

    /// Returns the values of all arms.
    pub(crate) fn estimates(&self) -> Vec<Estimate> {
        let estimate = |(&(contender, arm), resampled): (&(Contender, u8), &Resampled)| Estimate {
            metric: self.metric,
            contender,
            arm,
            value: resampled.estimate,
            interval: resampled.interval(self.method),
            units: resampled.units.len(),
        };
        self.arms.iter().zip(&self.resampled).map(estimate).collect()
    }

    /// Compares these pairs of arms as one family.
    pub(crate) fn comparisons(&self, pairs: &[Pair]) -> Vec<Comparison> {
        let place = |arm| self.arms.iter().position(|it| *it == arm);
        let both = |&[candidate, against]: &Pair| Some((place(candidate)?, place(against)?));
        let known: Vec<(usize, usize)> = pairs.iter().filter_map(both).collect();
        let mut found = interval::differences(&self.resampled, &known, self.method).into_iter();
        let comparison = |pair: &Pair| {
            let effect = both(pair).and_then(|(one, other)| {
                let found = found.next().flatten()?;
                let value = |place: usize| self.resampled[place].estimate;
                Some(Effect::new(self.metric, value(one), value(other), found))
            });
            Comparison::new(self.metric, pair.map(|it| it.0), effect)
        };
        pairs.iter().map(comparison).collect()
    }
}

/// Compares pairs of runs in one metric as one family: for each pair the runs of the candidate and
/// those of the other side. If they are `paired`, both met the same schedule and machine.
pub fn effects(
    metric: Metric,
    pairs: &[[Vec<&RunResult>; 2]],
    paired: bool,
    seed: u64,
) -> Vec<Option<Effect>> {
    let evidence: Vec<[Option<Evidence>; 2]> =
        pairs.iter().map(|sides| [0, 1].map(|side| metric.evidence(&sides[side]))).collect();
    let known: Vec<[&Evidence; 2]> =
        evidence.iter().filter_map(|[one, other]| Some([one.as_ref()?, other.as_ref()?])).collect();
    let method = metric.method(&known.iter().flatten().copied().collect::<Vec<_>>());
    let side = |side: usize| known.iter().map(move |it| it[side]);
    let both = if paired {
        interval::resample(&side(0).chain(side(1)).collect::<Vec<_>>(), method, seed)
    } else {
        let drawn = |of: usize| interval::resample(&side(of).collect::<Vec<_>>(), method, seed + of as u64);
        [drawn(0), drawn(1)].concat()
    };
    let places: Vec<(usize, usize)> = (0..known.len()).map(|pair| (pair, known.len() + pair)).collect();
    let mut found = interval::differences(&both, &places, method).into_iter().zip(&places);
    let effect = |sides: &[Option<Evidence>; 2]| {
        let [Some(_), Some(_)] = sides else { return None };
        let (found, &(one, other)) = found.next()?;
        Some(Effect::new(metric, both[one].estimate, both[other].estimate, found?))
    };
    evidence.iter().map(effect).collect()
}
