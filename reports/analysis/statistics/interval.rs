//! Intervals of differences, from units that are resampled jointly for all contenders. Pure: a seed
//! decides everything random.
//!
//! All contenders of a group share their units: the seconds of one link schedule, or the rounds of
//! one machine. A resample draws units with replacement (Efron 1979) and applies the same draw to
//! every contender, so that what the link or the machine did to all alike cancels out. Seconds are
//! drawn in stretches of neighbours (Politis & Romano 1992), since a stall crosses into the next
//! second.
//!
//! The interval is estimate ± t × the spread of the resamples, on the scale of logarithms for
//! durations and costs. `coverage.rs` simulates it on models of links and rounds. Of 400 runs of 30
//! to 60 s, an interval of one comparison held the true value in 92 to 100 % (most in 94 to 98 %),
//! and those of a whole family in 92 to 98 %. A claim of more than is true was rarer than 4 %.
//! Percentile intervals, which were tried first, held it in 75 to 86 %.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    Interval,
    evidence::{Evidence, UnitId},
    t_quantile,
};

/// The number of resamples. Efron & Tibshirani, An Introduction to the Bootstrap (1993), §13, ask
/// for at least 1,000 for a 95 % interval.
const RESAMPLES: usize = 1_000;
/// The smallest number of units for an interval. Fewer say nothing about their own spread.
pub(crate) const UNITS_MIN: usize = 5;
/// The number of bearing units ([`Evidence::bearing_units`]) below which a value has no upper
/// bound.
///
/// A tail that rests on fewer stalls may lack the deepest kind. With the bound, intervals covered
/// 75 to 91 % on links of rare, deep stalls; without it 93 to 99 %.
const BEARING_MIN: f64 = 8.0;
/// The correlation of two contenders' resamples from which on they share their stalls: what the
/// window did not meet would have hit both alike, so that it bounds their difference.
const SHARED_MIN: f64 = 0.95;
/// The power at which [`Difference::detectable`] is said: 4 of 5 runs find such a difference. This
/// is the standard normal quantile of 0.8.
pub(crate) const POWER_Z: f64 = 0.842;
/// The standard normal quantile of a two-sided 95 % interval.
pub(crate) const CONFIDENCE_Z: f64 = 1.96;
/// The smallest value whose logarithm is taken: a millionth of a µs or byte.
const SMALLEST: f64 = 1e-6;

/// The scale on which a difference has its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// The ratio: intervals are symmetric in its logarithm. For quantities that vary in proportion
    /// to their size.
    Ratio,
    /// The amount itself. For counts, which may be 0.
    Amount,
}

/// The method by which evidence becomes an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Method {
    pub(crate) scale: Scale,
    /// The number of neighbouring units that are drawn together.
    pub(crate) stretch: usize,
    /// The factor by which intervals are widened. Chosen by simulation.
    pub(crate) widening: f64,
    /// The standard error of the measurement's resolution, on the scale.
    pub(crate) grain: f64,
}

impl Method {
    /// The method for quantiles of ages and times, in seconds of link time. The resolution is that
    /// of two histograms with buckets of 1 %.
    pub(crate) const QUANTILES: Self = Self { scale: Scale::Ratio, stretch: 2, widening: 1.2, grain: 0.004 };
    /// The method for means of ages, which deep stalls skew.
    pub(crate) const MEANS: Self = Self { widening: 1.5, ..Self::QUANTILES };
    /// The method for costs, in rounds of one machine.
    pub(crate) const COSTS: Self = Self { scale: Scale::Ratio, stretch: 1, widening: 1.0, grain: 0.0 };
    /// The method for events that are counted in seconds of link time. `grain` is one event.
    pub(crate) const fn events(grain: f64) -> Self {
        Self { scale: Scale::Amount, stretch: 2, widening: 1.0, grain }
    }
}

/// The evidence of one contender with its estimate in every resample.
#[derive(Clone, Debug)]
pub(crate) struct Resampled {
    pub(crate) estimate: f64,
    pub(crate) units: Vec<UnitId>,
    bearing_units: f64,
    resamples: Vec<f64>,
}

/// A difference between two contenders in the unit of their metric: candidate − against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Difference {
    /// The number of units that both sides have.
    pub(crate) units: usize,
    pub(crate) value: f64,
    /// The interval that holds the true value in 95 of 100 cases, this comparison alone.
    pub(crate) alone: Interval,
    /// The interval that holds the true values of the whole family together in 95 of 100 cases.
    pub(crate) simultaneous: Interval,
    /// The smallest difference that 4 of 5 such runs tell from none, before any floor.
    pub(crate) detectable: f64,
}

/// Draws the units of each resample: how often each of `units` counts.
fn draws(units: usize, stretch: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || {
        let mut counts = vec![0.0; units];
        let mut drawn = 0;
        while drawn < units {
            let from = random.random_range(0..units);
            for unit in (from..from + stretch).take(units - drawn) {
                counts[unit % units] += 1.0;
                drawn += 1;
            }
        }
        counts
    };
    (0..RESAMPLES).map(|_| draw()).collect()
}

/// Resamples the units of all contenders jointly, in the given order.
pub(crate) fn resample(evidence: &[&Evidence], method: Method, seed: u64) -> Vec<Resampled> {
    let mut units: Vec<UnitId> = evidence.iter().flat_map(|it| it.units()).copied().collect();
    units.sort_unstable();
    units.dedup();
    let draws = draws(units.len(), method.stretch, seed);
    let resampled = |it: &&Evidence| {
        // Every unit of the evidence is among the units of all.
        let places: Vec<usize> = it.units().iter().filter_map(|id| units.binary_search(id).ok()).collect();
        let estimate = it.estimate()?;
        let drawn = |counts: &Vec<f64>| {
            it.estimate_of(&places.iter().map(|place| counts[*place]).collect::<Vec<f64>>())
        };
        Some(Resampled {
            estimate,
            units: it.units().to_vec(),
            bearing_units: it.bearing_units(),
            // A resample without any unit of this contender tells nothing about it.
            resamples: draws.iter().map(|counts| drawn(counts).unwrap_or(estimate)).collect(),
        })
    };
    evidence.iter().filter_map(resampled).collect()
}

/// A difference on its scale, before it has an interval.
struct Shift {
    value: f64,
    /// The standard error.
    error: f64,
    /// The deviation of each resample from their mean, in standard errors.
    deviations: Vec<f64>,
    units: usize,
    /// The factor from a standard error to the radius of an interval.
    reach: f64,
    /// Whether both sides share what decides their values.
    shared: bool,
}

impl Resampled {
    /// Returns the interval of the value itself.
    pub(crate) fn interval(&self, method: Method) -> Option<Interval> {
        let at = |value: f64| method.scale.place(value);
        let (error, _) = spread(self.resamples.iter().map(|it| at(*it)), method.grain);
        let radius = reach(self.units.len(), method)? * error;
        let high = if self.is_open(method) { f64::INFINITY } else { at(self.estimate) + radius };
        Some(Interval { low: at(self.estimate) - radius, high }.map(|it| method.scale.value(it)))
    }

    /// Whether the value has no upper bound, since too few units carry it.
    fn is_open(&self, method: Method) -> bool {
        method.scale == Scale::Ratio && method.stretch > 1 && self.bearing_units < BEARING_MIN
    }

    fn shift(&self, against: &Self, method: Method) -> Option<Shift> {
        let at = |value: f64| method.scale.place(value);
        let pairs = self.resamples.iter().zip(&against.resamples);
        let (error, deviations) =
            spread(pairs.map(|(candidate, against)| at(*candidate) - at(*against)), method.grain);
        let units = self.units.iter().filter(|id| against.units.contains(id)).count();
        let value = at(self.estimate) - at(against.estimate);
        let [one, other] =
            [self, against].map(|it| spread(it.resamples.iter().map(|value| at(*value)), 0.0).1);
        let correlation =
            one.iter().zip(&other).map(|(one, other)| one * other).sum::<f64>() / one.len() as f64;
        let shared = correlation >= SHARED_MIN;
        Some(Shift { value, error, deviations, units, shared, reach: reach(units, method)? })
    }
}

/// Returns the factor from a standard error to the radius of an interval; `None` with too few
/// units.
fn reach(units: usize, method: Method) -> Option<f64> {
    (units >= UNITS_MIN).then(|| method.widening * t_quantile(units - 1))
}

/// Returns the standard error of resamples, with the resolution's, and their deviations from their
/// mean in standard errors.
fn spread(resamples: impl Iterator<Item = f64>, grain: f64) -> (f64, Vec<f64>) {
    let resamples: Vec<f64> = resamples.collect();
    let count = resamples.len() as f64;
    let mean = resamples.iter().sum::<f64>() / count;
    let variance = resamples.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let error = variance.sqrt().hypot(grain).max(f64::MIN_POSITIVE);
    (error, resamples.into_iter().map(|it| (it - mean) / error).collect())
}

impl Scale {
    /// Returns the place of a value on the scale.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Ratio => value.max(SMALLEST).ln(),
            Self::Amount => value,
        }
    }

    /// Returns the value at a place on the scale.
    fn value(self, place: f64) -> f64 {
        match self {
            Self::Ratio => place.exp(),
            Self::Amount => place,
        }
    }

    /// Returns a difference in the unit of the metric, if the other side is at `against`.
    fn difference(self, shift: f64, against: f64) -> f64 {
        match self {
            Self::Ratio => against * shift.exp_m1(),
            Self::Amount => shift,
        }
    }
}

/// Returns the differences of these pairs, given by their places in `contenders`, as one family;
/// `None` for a pair that shares too few units.
pub(crate) fn differences(
    contenders: &[Resampled],
    pairs: &[(usize, usize)],
    method: Method,
) -> Vec<Option<Difference>> {
    let shifts: Vec<Option<Shift>> =
        pairs.iter().map(|&(one, other)| contenders[one].shift(&contenders[other], method)).collect();
    let together = simultaneous_factor(&shifts.iter().flatten().collect::<Vec<_>>());
    let difference = |(shift, &(one, other)): (&Option<Shift>, &(usize, usize))| {
        let shift = shift.as_ref()?;
        let (candidate, against) = (&contenders[one], &contenders[other]);
        let interval = |reach: f64| {
            let radius = reach * shift.error;
            let (mut low, mut high) = (shift.value - radius, shift.value + radius);
            if low > 0.0 && !shift.shared && candidate.is_open(method) {
                high = f64::INFINITY;
            }
            if high < 0.0 && !shift.shared && against.is_open(method) {
                low = f64::NEG_INFINITY;
            }
            Interval { low, high }.map(|it| method.scale.difference(it, against.estimate))
        };
        Some(Difference {
            units: shift.units,
            value: candidate.estimate - against.estimate,
            alone: interval(shift.reach),
            simultaneous: interval(shift.reach * together),
            detectable: method
                .scale
                .difference((shift.reach * together + POWER_Z) * shift.error, against.estimate),
        })
    };
    shifts.iter().zip(pairs).map(difference).collect()
}

/// Returns the factor by which the intervals of a family are wider than each alone, so that all
/// hold together: the quantile of the largest deviation among them (Westfall & Young 1993, ch. 2)
/// against that of one.
fn simultaneous_factor(shifts: &[&Shift]) -> f64 {
    let mut largest: Vec<f64> = (0..RESAMPLES)
        .map(|resample| shifts.iter().map(|it| it.deviations[resample].abs()).fold(0.0, f64::max))
        .collect();
    largest.sort_by(f64::total_cmp);
    (largest[RESAMPLES * 95 / 100] / CONFIDENCE_Z).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(from: u32, to: u32) -> Vec<UnitId> {
        (from..to).map(|block| (0, block)).collect()
    }

    /// Returns a contender whose resamples lie apart by `spread` on the scale of logarithms, in
    /// turns above and below.
    fn contender(estimate: f64, spread: f64, bearing_units: f64) -> Resampled {
        let drawn =
            |resample: usize| estimate * if resample.is_multiple_of(2) { spread } else { -spread }.exp();
        Resampled {
            estimate,
            units: units(0, 31),
            bearing_units,
            resamples: (0..RESAMPLES).map(drawn).collect(),
        }
    }

    fn differ(candidate: Resampled, against: Resampled, method: Method) -> Difference {
        differences(&[candidate, against], &[(0, 1)], method)[0].expect("enough units")
    }

    #[track_caller]
    fn near(found: f64, wanted: f64) {
        assert!((found / wanted - 1.0).abs() < 2e-3, "{found} and not {wanted}");
    }

    #[test]
    fn draws_take_whole_stretches() {
        for stretch in [1, 2, 3] {
            let all = draws(7, stretch, 9);
            assert_eq!(all.len(), RESAMPLES);
            assert!(all.iter().all(|counts| counts.len() == 7 && counts.iter().sum::<f64>() == 7.0));
            let mean: f64 = all.iter().map(|counts| counts[0]).sum::<f64>() / RESAMPLES as f64;
            assert!((mean - 1.0).abs() < 0.1, "{mean}");
        }
        // A unit that is drawn in a pair has a neighbour that is drawn, too.
        let pairs = draws(8, 2, 9);
        let lonely = |counts: &Vec<f64>| {
            (0..8).any(|at| counts[at] > 0.0 && counts[(at + 1) % 8] == 0.0 && counts[(at + 7) % 8] == 0.0)
        };
        assert!(!pairs.iter().any(lonely));
        assert!(draws(8, 1, 9).iter().any(lonely));
        assert_ne!(pairs, draws(8, 2, 10));
    }

    #[test]
    fn spreads_have_errors_and_grain() {
        let (error, deviations) = spread([1.0, 2.0, 3.0].into_iter(), 0.0);
        assert_eq!((error, deviations), (1.0, vec![-1.0, 0.0, 1.0]));
        let (error, deviations) = spread([1.0, 2.0, 3.0].into_iter(), 0.75);
        assert_eq!((error, deviations[2]), (1.25, 0.8));
        assert!(spread([4.0; 3].into_iter(), 0.0).1.iter().all(|it| *it == 0.0));
    }

    #[test]
    fn reach_needs_five_units() {
        assert_eq!(reach(UNITS_MIN - 1, Method::COSTS), None);
        near(reach(UNITS_MIN, Method::COSTS).expect("enough"), t_quantile(4));
        near(reach(31, Method::QUANTILES).expect("enough"), 1.2 * t_quantile(30));
        near(reach(31, Method::MEANS).expect("enough"), 1.5 * t_quantile(30));
    }

    #[test]
    fn scales_convert_both_ways() {
        assert_eq!((Scale::Ratio.place(1.0), Scale::Ratio.value(0.0)), (0.0, 1.0));
        near(Scale::Ratio.value(Scale::Ratio.place(42.0)), 42.0);
        assert_eq!(Scale::Ratio.place(0.0), SMALLEST.ln(), "nothing has no logarithm");
        near(Scale::Ratio.difference(2f64.ln(), 10.0), 10.0);
        let amount = Scale::Amount;
        assert_eq!(
            (amount.place(-3.0), amount.value(-3.0), amount.difference(-3.0, 10.0)),
            (-3.0, -3.0, -3.0)
        );
    }

    #[test]
    fn interval_is_estimate_and_reach() {
        let found = contender(100.0, 0.1, 20.0).interval(Method::COSTS).expect("enough units");
        near(found.low, 100.0 * (-0.2042f64).exp());
        near(found.high, 100.0 * 0.2042f64.exp());
        // Too few units carry the tail: nothing bounds it.
        let open = |bearing| contender(100.0, 0.1, bearing).interval(Method::QUANTILES).expect("enough").high;
        assert_eq!(open(BEARING_MIN - 0.1), f64::INFINITY);
        assert!(open(BEARING_MIN).is_finite());
        assert!(contender(100.0, 0.1, 1.0).interval(Method::events(0.0)).expect("enough").high.is_finite());
        // The tail of a cost lies in rounds, and each round is one of its own.
        assert!(contender(100.0, 0.1, 1.0).interval(Method::COSTS).expect("enough").high.is_finite());
        let few = Resampled { units: units(0, 4), ..contender(100.0, 0.1, 20.0) };
        assert_eq!(few.interval(Method::COSTS), None);
    }

    #[test]
    fn difference_has_interval_and_power() {
        let found = differ(contender(100.0, 0.1, 20.0), contender(50.0, 0.0, 20.0), Method::COSTS);
        assert_eq!((found.units, found.value), (31, 50.0));
        near(found.alone.low, 50.0 * (2f64.ln() - 0.2042).exp_m1());
        near(found.alone.high, 50.0 * (2f64.ln() + 0.2042).exp_m1());
        assert_eq!(found.simultaneous, found.alone, "one comparison is its whole family");
        near(found.detectable, 50.0 * ((2.042 + 0.842) * 0.1f64).exp_m1());
        // Both sides count only what they share.
        let late = Resampled { units: units(20, 51), ..contender(50.0, 0.0, 20.0) };
        assert_eq!(differ(contender(100.0, 0.1, 20.0), late, Method::COSTS).units, 11);
        let apart = Resampled { units: units(27, 58), ..contender(50.0, 0.0, 20.0) };
        assert_eq!(differences(&[contender(1.0, 0.1, 9.0), apart], &[(0, 1)], Method::COSTS), [None]);
    }

    #[test]
    fn open_tails_bound_no_difference() {
        let (deep, steady) = (|| contender(100.0, 0.1, 2.0), || contender(50.0, 0.0, 20.0));
        let more = differ(deep(), steady(), Method::QUANTILES);
        assert!(more.alone.low > 0.0 && more.alone.high == f64::INFINITY, "{more:?}");
        let less = differ(steady(), deep(), Method::QUANTILES);
        assert!(less.alone.high < 0.0 && less.alone.low == -100.0, "at most all of it: {less:?}");
        // The tail of the smaller side bounds nothing either way.
        let small = differ(contender(100.0, 0.1, 20.0), contender(50.0, 0.0, 2.0), Method::QUANTILES);
        assert!(small.alone.low > 0.0 && small.alone.high.is_finite(), "{small:?}");
        // Those that share their stalls share what the window did not meet.
        let alike = differ(contender(100.0, 0.1, 2.0), contender(50.0, 0.099, 2.0), Method::QUANTILES);
        assert!(alike.alone.low > 0.0 && alike.alone.high.is_finite(), "{alike:?}");
        let turned = differ(contender(50.0, 0.099, 2.0), contender(100.0, 0.1, 2.0), Method::QUANTILES);
        assert!(turned.alone.high < 0.0 && turned.alone.low > -100.0, "{turned:?}");
        let opposite = differ(contender(100.0, 0.1, 2.0), contender(50.0, -0.01, 2.0), Method::QUANTILES);
        assert_eq!(opposite.alone.high, f64::INFINITY);
        // No difference is shown, so that no end is open.
        let close = differ(contender(50.0, 0.1, 2.0), contender(50.0, -0.01, 2.0), Method::QUANTILES);
        assert!(close.alone.low < 0.0 && close.alone.high.is_finite(), "{close:?}");
        assert!(close.alone.low > -50.0, "{close:?}");
    }

    #[test]
    fn sharing_needs_a_high_correlation() {
        // Four resamples in turns: these two correlate by 0.8.
        let of = |estimate: f64, turns: [f64; 4]| {
            let resamples = (0..RESAMPLES).map(|at| estimate * (0.05 * turns[at % 4]).exp());
            Resampled { resamples: resamples.collect(), ..contender(estimate, 0.0, 2.0) }
        };
        let found =
            differ(of(300.0, [1.0, -1.0, 2.0, -2.0]), of(50.0, [2.0, -2.0, 1.0, -1.0]), Method::QUANTILES);
        assert!(found.alone.low > 0.0 && found.alone.high == f64::INFINITY, "{found:?}");
    }

    #[test]
    fn family_widens_intervals() {
        let shift = |deviation: f64| Shift {
            value: 0.0,
            error: 1.0,
            deviations: (0..RESAMPLES).map(|at| if at < 60 { -deviation } else { 0.1 }).collect(),
            units: 9,
            reach: 2.0,
            shared: false,
        };
        // The largest deviation among all, in either direction, beyond which 5 % lie.
        near(simultaneous_factor(&[&shift(3.92), &shift(1.0)]), 2.0);
        assert_eq!(simultaneous_factor(&[&shift(1.0)]), 1.0, "never narrower than alone");
        // One resample in 17 lies far off: four errors, 2.02 times the allowance of one comparison.
        let resamples = (0..RESAMPLES).map(|at| if at < 60 { 100.0 * 0.4f64.exp() } else { 100.0 });
        let rare = Resampled { resamples: resamples.collect(), ..contender(100.0, 0.0, 20.0) };
        let found = differ(rare, contender(50.0, 0.0, 20.0), Method::COSTS);
        let width = |end: f64| (1.0 + end / 50.0).ln() - 2f64.ln();
        let factor = width(found.simultaneous.high) / width(found.alone.high);
        assert!((factor / 2.02 - 1.0).abs() < 0.01, "{factor}");
        let error = width(found.alone.high) / t_quantile(30);
        near(found.detectable, 50.0 * ((t_quantile(30) * factor + POWER_Z) * error).exp_m1());
    }
}
