//! Bootstrap intervals, the sign-flip test and its correction, over the repeats of a run.
//!
//! Pure: a seed decides everything random.
//!
//! The statistical unit is the repeat and not the sample. The moves of one run share its bursts of
//! loss and its moment on the machine, so thousands of moves are one draw. Repeats are *paired*:
//! repeat n of every transport meets the same schedule of the link and the same paths of the
//! players. The statistics therefore use the differences within a repeat.
//!
//! The test is a sign-flip test (Fisher, The Design of Experiments, 1935, §21; Good, Permutation,
//! Parametric and Bootstrap Tests of Hypotheses, 2005, §3.2). If two transports are alike, each
//! difference is as likely as its negative. The test needs no assumption on the distribution of
//! tails, is exact for any number of repeats, and uses the pairing. Mann–Whitney ignores the
//! pairing, and with it most of the information in few repeats: on an emulated link with jitter the
//! repeats lie milliseconds apart and the differences within them hundredths. The price of the
//! sign-flip test: n repeats cannot go below p = 2 / 2ⁿ.

pub(crate) mod evidence;
pub(crate) mod interval;

#[cfg(test)]
mod coverage;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The probability that an interval holds the true value; a test errs with at most 1 minus this
/// probability.
pub(crate) const CONFIDENCE: f64 = 0.95;
/// The significance level, 1 − [`CONFIDENCE`]: a corrected p up to this level is a difference.
pub(crate) const ALPHA: f64 = 0.05;
/// The number of resamples of a bootstrap. Efron & Tibshirani, An Introduction to the Bootstrap
/// (1993), §13, ask for at least 1,000 for a 95 % interval.
const RESAMPLES: usize = 2_000;
/// The largest number of differences for which every pattern of signs is tried. 2¹⁶ patterns take
/// milliseconds.
const EXACT_MAX: usize = 16;
/// The number of random patterns drawn beyond [`EXACT_MAX`] differences.
const PATTERNS_DRAWN: u32 = 1 << EXACT_MAX;
/// The relative rounding error up to which two sums are equal. The order of addition changes a sum
/// by rounding.
const ROUNDING: f64 = 1e-9;

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

    /// Returns the absolute value of the end that lies further from zero.
    pub fn furthest_from_zero(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }
}

/// Returns the middle value, or the mean of the two in the middle; `None` for an empty slice.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[sorted.len() / 2 - 1], upper) })
}

/// Returns the arithmetic mean; `None` for an empty slice.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the quantile of Student's t that a two-sided 95 % interval needs, by the expansion of
/// Cornish and Fisher around the normal one. It is right to 0.3 % from 4 degrees of freedom on.
pub(crate) fn t_quantile(degrees: usize) -> f64 {
    let (z, d): (f64, f64) = (1.959_964, degrees as f64);
    z + (z.powi(3) + z) / (4.0 * d)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * d.powi(2))
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * d.powi(3))
}

/// Returns the percentile bootstrap interval of the mean (Efron 1979); `None` with fewer than two
/// values.
///
/// Repeats are drawn with replacement, and the interval spans the middle [`CONFIDENCE`] of their
/// means.
///
/// With two or three repeats the interval is the range from the smallest to the largest. Drawing
/// one value every time (1 in 27) is more likely than the share that may be cut off. The true
/// confidence of this range is about 75 %, not 95 %: the true value lies outside whenever all
/// repeats err in the same direction (2 in 8).
pub(crate) fn mean_interval(values: &[f64], seed: u64) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || values[random.random_range(0..values.len())];
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..values.len()).map(|_| draw()).sum::<f64>() / values.len() as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let cut_off = (RESAMPLES as f64 * (1.0 - CONFIDENCE) / 2.0).round() as usize;
    Some(Interval { low: means[cut_off], high: means[RESAMPLES - 1 - cut_off] })
}

/// Returns the p-value of the two-sided sign-flip test; `None` without differences.
///
/// The p-value is the probability of a mean at least as far from zero if every difference could
/// have had the other sign. It is exact up to 16 differences, and by seeded drawing beyond.
pub(crate) fn sign_flip_p(differences: &[f64], seed: u64) -> Option<f64> {
    let seen = differences.iter().sum::<f64>().abs() * (1.0 - ROUNDING);
    let flipped = |pattern: u32| {
        let signed = |(bit, value): (usize, &f64)| if pattern >> bit & 1 == 1 { -value } else { *value };
        differences.iter().enumerate().map(signed).sum::<f64>().abs()
    };
    match differences.len() {
        0 => None,
        count @ 1..=EXACT_MAX => {
            let patterns = 1u32 << count;
            let as_far = (0..patterns).filter(|pattern| flipped(*pattern) >= seen).count();
            Some(as_far as f64 / f64::from(patterns))
        }
        _ => {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut drawn = || {
                let signed = |value: &f64| if random.random::<bool>() { -value } else { *value };
                differences.iter().map(signed).sum::<f64>().abs()
            };
            let as_far = (0..PATTERNS_DRAWN).filter(|_| drawn() >= seen).count();
            // The observed pattern also counts, so that p is never 0 (Phipson & Smyth 2010).
            Some((as_far + 1) as f64 / f64::from(PATTERNS_DRAWN + 1))
        }
    }
}

/// Corrects the p-values of a family of comparisons (Holm, Scand. J. Statist. 6, 1979), in the
/// given order.
///
/// If differences are called at corrected values up to [`ALPHA`], the probability of even one false
/// alarm in the family is at most [`ALPHA`].
pub(crate) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        largest = largest.max((p_values[index] * left).min(1.0));
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_flips_give_known_values() {
        // Fisher's test of Darwin's maize (The Design of Experiments, §21): 1,726 of 2^15 patterns.
        let darwin = [49., -67., 8., 16., 6., 23., 28., 41., 14., 29., 56., 24., 75., 60., -48.];
        let p = sign_flip_p(&darwin, 1).expect("some");
        assert!((p - 1_726.0 / 32_768.0).abs() < 1e-9, "{p}");
        // All signs agree: only this pattern and its mirror are as far from zero.
        assert_eq!(sign_flip_p(&[1.0, 2.0, 3.0], 1), Some(0.25));
        assert_eq!(sign_flip_p(&[-0.1; 8], 1), Some(2.0 / 256.0));
        assert_eq!(sign_flip_p(&[0.0; 4], 1), Some(1.0));
        assert_eq!(sign_flip_p(&[], 1), None);
    }

    #[test]
    fn drawn_signs_agree_with_exact() {
        let some: Vec<f64> = (0..16).map(|it| f64::from(it * 7 % 16) - 5.0).collect();
        let exact = sign_flip_p(&some, 1).expect("some");
        // A seventeenth difference of 0 changes no sum.
        let more = [&some[..], &[0.0]].concat();
        let drawn = sign_flip_p(&more, 1).expect("some");
        assert!((exact - drawn).abs() < 0.005, "{exact} {drawn}");
        assert_eq!(sign_flip_p(&more, 1), Some(drawn));
    }

    #[test]
    fn bootstrap_gives_known_intervals() {
        assert_eq!(mean_interval(&[3.0, 1.0, 2.0], 1), Some(Interval { low: 1.0, high: 3.0 }));
        assert_eq!(mean_interval(&[3.0], 1), None);
        // The mean of 0..100 is 49.5 and its standard error 28.87 / √100. The interval is ± 1.96 of
        // these.
        let many: Vec<f64> = (0..100).map(f64::from).collect();
        let interval = mean_interval(&many, 7).expect("enough");
        assert!((interval.low - (49.5 - 5.66)).abs() < 0.6, "{interval:?}");
        assert!((interval.high - (49.5 + 5.66)).abs() < 0.6, "{interval:?}");
        assert_eq!(mean_interval(&many, 7), Some(interval), "the seed decides");
    }

    #[test]
    fn holm_gives_the_known_values() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (got, wanted) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - wanted).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    /// Checks that without a difference a test at 5 % errs in at most 5 of 100 cases.
    #[test]
    fn false_alarms_stay_below_alpha() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut wrong = 0;
        for _ in 0..1_000 {
            // The magnitudes are skewed like those of tails, and the signs are random.
            let differences: Vec<f64> = (0..8)
                .map(|_| random.random::<f64>().powi(4) * if random.random::<bool>() { 1.0 } else { -1.0 })
                .collect();
            wrong += u32::from(sign_flip_p(&differences, 1).is_some_and(|p| p <= ALPHA));
        }
        // At most 50 are expected; the bound adds three standard deviations of 6.9.
        assert!(wrong <= 71, "{wrong} of 1,000");
    }
}
