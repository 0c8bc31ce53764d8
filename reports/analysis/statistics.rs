//! Statistics of verdicts: evidence in units, its estimates, and intervals of differences.
//!
//! Pure: a seed decides everything random.
//!
//! The unit of evidence is a second of link time or a round of the machine, and not a move. The
//! moves of one second share its bursts of loss and its moment on the machine, so thousands of
//! moves are one draw. All contenders meet the same units, so their difference is estimated on the
//! same ones.

pub(crate) mod evidence;
pub(crate) mod interval;

#[cfg(test)]
mod coverage;

/// A range that holds the true value in 95 of 100 cases, in the unit of its quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Returns the interval with both ends converted by a rising function.
    pub(crate) fn map(self, convert: impl Fn(f64) -> f64) -> Self {
        Self { low: convert(self.low), high: convert(self.high) }
    }
}

/// Returns the middle value, or the mean of the two in the middle; `None` for an empty slice.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[sorted.len() / 2 - 1], upper) })
}

/// Returns the quantile of Student's t that a two-sided 95 % interval needs, by the expansion of
/// Cornish and Fisher around the normal one. It is right to 0.3 % from 4 degrees of freedom on.
pub(crate) fn t_quantile(degrees: usize) -> f64 {
    let (z, d): (f64, f64) = (1.959_964, degrees as f64);
    z + (z.powi(3) + z) / (4.0 * d)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * d.powi(2))
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * d.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[8.0, 9.0, 1.0, 2.0]), Some(5.0));
    }

    /// Compares with the table of Abramowitz & Stegun, Handbook of Mathematical Functions, 26.10.
    #[test]
    fn t_quantiles_match_the_table() {
        for (degrees, wanted) in [(4, 2.776), (5, 2.571), (10, 2.228), (18, 2.101), (30, 2.042), (120, 1.980)]
        {
            let found = t_quantile(degrees);
            assert!((found / wanted - 1.0).abs() < 0.003, "{degrees}: {found}");
        }
    }

    #[test]
    fn interval_converts_both_ends() {
        let found = Interval { low: 1.0, high: 2.0 }.map(|it| it * 10.0);
        assert_eq!(found, Interval { low: 10.0, high: 20.0 });
    }
}
