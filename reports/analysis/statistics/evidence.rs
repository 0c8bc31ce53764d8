//! Evidence in units, and its estimators: a quantile pooled over the units, and a ratio of sums.
//! Pure.

/// The relative rounding error up to which two sums are equal. The order of addition changes a sum
/// by rounding.
const ROUNDING: f64 = 1e-9;

/// The identity of a unit of evidence: the repeat or round, and the block of its window.
pub(crate) type UnitId = (u32, u32);

/// The evidence of one contender in one metric, unit by unit.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The units, in rising order.
    units: Vec<UnitId>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// A quantile of everything that the units hold together.
    Quantile {
        /// The share of the weight above the quantile.
        above: f64,
        /// All values of all units, the largest first.
        falling: Vec<Weighted>,
        /// The weight of each unit.
        totals: Vec<f64>,
    },
    /// The sum of the amounts over the sum of the exposures.
    Rate { amounts: Vec<f64>, exposures: Vec<f64> },
}

#[derive(Clone, Copy, Debug)]
struct Weighted {
    value: f64,
    weight: f64,
    /// The place of the unit in `units`.
    unit: usize,
}

impl Evidence {
    /// Returns the evidence for a quantile, from 0 to 1, of weighted values. `None` without values.
    pub(crate) fn of_quantile<V>(quantile: f64, units: impl IntoIterator<Item = (UnitId, V)>) -> Option<Self>
    where
        V: IntoIterator<Item = (f64, f64)>,
    {
        let mut units: Vec<(UnitId, V)> = units.into_iter().collect();
        units.sort_by_key(|(id, _)| *id);
        let (mut ids, mut falling, mut totals) = (Vec::new(), Vec::new(), Vec::new());
        for (unit, (id, values)) in units.into_iter().enumerate() {
            let from = falling.len();
            falling.extend(values.into_iter().map(|(value, weight)| Weighted { value, weight, unit }));
            totals.push(falling[from..].iter().map(|it| it.weight).sum());
            ids.push(id);
        }
        falling.sort_by(|a, b| b.value.total_cmp(&a.value));
        let form = Form::Quantile { above: 1.0 - quantile, falling, totals };
        let evidence = Self { units: ids, form };
        evidence.estimate().is_some().then_some(evidence)
    }

    /// Returns the evidence for the median of one value a unit.
    pub(crate) fn of_median(values: impl IntoIterator<Item = (UnitId, f64)>) -> Option<Self> {
        Self::of_quantile(0.5, values.into_iter().map(|(id, value)| (id, [(value, 1.0)])))
    }

    /// Returns the evidence for a rate: amounts over exposures. `None` without exposure.
    pub(crate) fn of_rate(units: impl IntoIterator<Item = (UnitId, f64, f64)>) -> Option<Self> {
        let mut units: Vec<(UnitId, f64, f64)> = units.into_iter().collect();
        units.sort_by_key(|(id, ..)| *id);
        let form = Form::Rate {
            amounts: units.iter().map(|it| it.1).collect(),
            exposures: units.iter().map(|it| it.2).collect(),
        };
        let evidence = Self { units: units.into_iter().map(|it| it.0).collect(), form };
        evidence.estimate().is_some().then_some(evidence)
    }

    /// Returns the units, in rising order.
    pub(crate) fn units(&self) -> &[UnitId] {
        &self.units
    }

    /// Returns the sum of the exposures of a rate, or the weight of everything for a quantile.
    pub(crate) fn exposure(&self) -> f64 {
        match &self.form {
            Form::Quantile { totals, .. } => totals.iter().sum(),
            Form::Rate { exposures, .. } => exposures.iter().sum(),
        }
    }

    /// Returns the estimate from every unit once.
    pub(crate) fn estimate(&self) -> Option<f64> {
        self.estimate_of(&vec![1.0; self.units.len()])
    }

    /// Returns the estimate if each unit, by its place, counts so many times; `None` if nothing
    /// counts. It runs for every resample, so it avoids work that grows with the evidence.
    pub(crate) fn estimate_of(&self, counts: &[f64]) -> Option<f64> {
        match &self.form {
            Form::Rate { amounts, exposures } => {
                let exposure = weighted_sum(exposures, counts);
                (exposure > 0.0).then(|| weighted_sum(amounts, counts) / exposure)
            }
            Form::Quantile { above, falling, totals } => {
                let limit = above * weighted_sum(totals, counts);
                let (more, enough) = (limit * (1.0 + ROUNDING), limit * (1.0 - ROUNDING));
                let mut over = 0.0;
                let mut edge: Option<f64> = None;
                for it in falling {
                    if counts[it.unit] == 0.0 {
                        continue;
                    }
                    if let Some(upper) = edge {
                        return Some(f64::midpoint(upper, it.value));
                    }
                    over += it.weight * counts[it.unit];
                    if over > more {
                        return Some(it.value);
                    }
                    // Exactly the share lies above: the quantile is in the middle of the gap.
                    if over >= enough {
                        edge = Some(it.value);
                    }
                }
                edge
            }
        }
    }

    /// Returns the number of units that carry what decides the estimate: the tail above a quantile,
    /// or the excess of a rate over its smallest unit.
    ///
    /// Units of unlike weight count as the number of equal ones that would vary as much (Kish,
    /// Survey Sampling, 1965): the squared sum of the weights over the sum of their squares.
    pub(crate) fn bearing_units(&self) -> f64 {
        let mut weights = vec![0.0; self.units.len()];
        match &self.form {
            Form::Rate { amounts, exposures } => {
                let rates = || amounts.iter().zip(exposures).filter(|it| *it.1 > 0.0);
                let least = rates().map(|(amount, exposure)| amount / exposure).fold(f64::INFINITY, f64::min);
                for (weight, (amount, exposure)) in weights.iter_mut().zip(rates()) {
                    *weight = amount - least * exposure;
                }
            }
            Form::Quantile { falling, .. } => {
                let estimate = self.estimate().unwrap_or(f64::INFINITY);
                for it in falling.iter().take_while(|it| it.value >= estimate) {
                    weights[it.unit] += it.weight;
                }
            }
        }
        let (sum, squares) =
            weights.iter().fold((0.0, 0.0), |(sum, squares), it| (sum + it, squares + it * it));
        if squares > 0.0 { sum * sum / squares } else { self.units.len() as f64 }
    }
}

fn weighted_sum(amounts: &[f64], counts: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (amount, count) in amounts.iter().zip(counts) {
        sum += amount * count;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(values: &[f64]) -> Option<f64> {
        Evidence::of_median((0..).zip(values).map(|(round, value)| ((round, 0), *value)))?.estimate()
    }

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[8.0, 9.0, 1.0, 2.0]), Some(5.0));
    }

    #[test]
    fn quantile_pools_the_units() {
        // 98 ms at 10, and one each at 20 and 30 in the other unit.
        let units = [((0, 1), vec![(30.0, 1.0), (20.0, 1.0)]), ((0, 0), vec![(10.0, 98.0)])];
        let of = |quantile| Evidence::of_quantile(quantile, units.clone()).and_then(|it| it.estimate());
        assert_eq!(of(0.5), Some(10.0));
        assert_eq!(of(0.985), Some(20.0));
        assert_eq!(of(0.99), Some(25.0), "exactly 1 % lies at 30");
        assert_eq!(of(0.995), Some(30.0));
        let evidence = Evidence::of_quantile(0.985, units).expect("values");
        assert_eq!(evidence.units(), [(0, 0), (0, 1)]);
        assert_eq!(evidence.estimate_of(&[1.0, 0.0]), Some(10.0));
        assert_eq!(evidence.estimate_of(&[0.0, 1.0]), Some(30.0));
        assert_eq!(evidence.estimate_of(&[0.0, 0.0]), None);
        assert!(Evidence::of_quantile(0.5, [((0, 0), Vec::new())]).is_none());
    }

    #[test]
    fn units_count_as_often_as_drawn() {
        let units = [((0, 0), [(10.0, 3.0)]), ((0, 1), [(20.0, 1.0)]), ((0, 2), [(30.0, 1.0)])];
        let evidence = Evidence::of_quantile(0.6, units).expect("values");
        assert_eq!(evidence.estimate(), Some(15.0), "three of five lie at 10");
        assert_eq!(evidence.estimate_of(&[1.0, 3.0, 1.0]), Some(20.0));
        assert_eq!(evidence.estimate_of(&[1.0, 1.0, 3.0]), Some(30.0));
        assert_eq!(evidence.estimate_of(&[4.0, 1.0, 1.0]), Some(10.0));
    }

    #[test]
    fn rate_divides_the_sums() {
        let evidence = Evidence::of_rate([((0, 1), 6.0, 2.0), ((0, 0), 1.0, 1.0)]).expect("exposed");
        assert_eq!(evidence.estimate(), Some(7.0 / 3.0));
        assert_eq!(evidence.estimate_of(&[3.0, 1.0]), Some(9.0 / 5.0));
        assert!(Evidence::of_rate([((0, 0), 1.0, 0.0)]).is_none());
        assert!(Evidence::of_rate([]).is_none());
    }

    #[test]
    fn exposure_sums_up() {
        let rate = Evidence::of_rate([((0, 0), 1.0, 2.0), ((0, 1), 9.0, 3.0)]).expect("exposed");
        assert_eq!(rate.exposure(), 5.0);
        let quantile = Evidence::of_quantile(0.5, [((0, 0), [(7.0, 2.0)]), ((0, 1), [(9.0, 6.0)])]);
        assert_eq!(quantile.expect("values").exposure(), 8.0);
    }

    #[test]
    fn sums_are_equal_up_to_rounding() {
        // Ten tenths are a little less than one, and the upper tenth is exactly at the quantile.
        let units = (0..10u32).map(|at| ((0, at), [(f64::from(at), 0.1)]));
        let evidence = Evidence::of_quantile(0.9, units).expect("values");
        assert_eq!(evidence.estimate(), Some(8.5));
        // A share beyond rounding is on one side.
        let above = Evidence::of_quantile(0.5, [((0, 0), [(1.0, 0.999_999), (2.0, 1.000_001)])]);
        assert_eq!(above.expect("values").estimate(), Some(2.0));
        let below = Evidence::of_quantile(0.5, [((0, 0), [(1.0, 1.000_001), (2.0, 0.999_999)])]);
        assert_eq!(below.expect("values").estimate(), Some(1.0));
    }

    #[test]
    fn unexposed_units_bear_nothing() {
        let rate = Evidence::of_rate([((0, 0), 3.0, 1.0), ((0, 1), 1.0, 1.0), ((0, 2), 1.0, 0.0)]);
        assert!((rate.expect("exposed").bearing_units() - 1.0).abs() < 1e-9);
        let lengths = Evidence::of_rate([((0, 0), 2.0, 2.0), ((0, 1), 4.0, 1.0), ((0, 2), 5.0, 2.0)]);
        // Above the least rate of 1 a unit of time, the second unit has 3 and the third 3.
        assert!((lengths.expect("exposed").bearing_units() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn bearing_units_count_equal_shares() {
        let tail = |tails: &[f64]| {
            let units =
                (0..).zip(tails).map(|(block, tail)| ((0, block), [(9.0, *tail), (1.0, 100.0 - tail)]));
            Evidence::of_quantile(0.99, units).expect("values").bearing_units()
        };
        // Four of ten units carry the tail alike, then one carries nearly all of it.
        assert!((tail(&[5.0, 5.0, 5.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]) - 4.0).abs() < 1e-9);
        assert!((tail(&[20.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]) - 484.0 / 402.0).abs() < 1e-9);
        let rate = |amounts: &[f64]| {
            let units = (0..).zip(amounts).map(|(block, amount)| ((0, block), *amount, 1.0));
            Evidence::of_rate(units).expect("exposed").bearing_units()
        };
        assert!((rate(&[5.0, 8.0, 8.0, 8.0]) - 3.0).abs() < 1e-9);
        assert!((rate(&[5.0, 5.0]) - 2.0).abs() < 1e-9, "units without a tail are all alike");
    }
}
