//! [`Samples`]: the project's one type for histograms and percentiles.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The samples that must lie beyond a quantile for it to be shown: p99 needs 1,000 samples, p99.9
/// needs 10,000.
const SAMPLES_BEYOND: f64 = 10.0;
/// A distribution of durations in µs, within 1 % of each value.
#[derive(Clone, Debug)]
pub struct Samples {
    histogram: Histogram<u64>,
    /// The number of observations behind the weights, which decides whether a quantile may be
    /// shown.
    observations: u64,
}

impl Default for Samples {
    fn default() -> Self {
        #[allow(clippy::expect_used)] // Two digits are a constant that the library accepts.
        let histogram = Histogram::new(2).expect("two significant digits are allowed");
        Self { histogram, observations: 0 }
    }
}

impl Samples {
    /// The largest value in µs: an hour. It stands for infinite, and every larger value counts as
    /// it, so that a broken clock takes no memory.
    pub const VALUE_MAX_US: u64 = 3_600_000_000;

    /// Records one duration.
    pub fn record(&mut self, value_us: u64) {
        self.add(value_us, 1);
        self.observations += 1;
    }

    /// Records a quantity that grew evenly from `from_us` to `to_us` in as many µs, weighted by
    /// time: one tooth of the sawtooth of an age.
    pub fn record_span(&mut self, from_us: u64, to_us: u64) {
        let (mut at, end) = (from_us.min(Self::VALUE_MAX_US), to_us.min(Self::VALUE_MAX_US));
        while at < end {
            let next = self.histogram.next_non_equivalent(at).min(end);
            self.add(at, next - at);
            at = next;
        }
        self.observations += 1;
    }

    /// Records an infinite quantity that lasted for `weight_us` and stands for so many
    /// `observations`.
    pub fn record_infinite(&mut self, weight_us: u64, observations: u64) {
        self.add(Self::VALUE_MAX_US, weight_us);
        self.observations += observations;
    }

    fn add(&mut self, value_us: u64, weight: u64) {
        // Fails only for a histogram of fixed range; ours grows up to the largest value.
        let _ = self.histogram.record_n(value_us.min(Self::VALUE_MAX_US), weight);
    }

    /// Adds another distribution.
    pub fn merge(&mut self, other: &Self) {
        // Fails only for a histogram of fixed range; ours grows up to the largest value.
        let _ = self.histogram.add(&other.histogram);
        self.observations += other.observations;
    }

    /// Returns the number of observations.
    pub fn count(&self) -> u64 {
        self.observations
    }

    /// Returns the mean in µs; infinite ([`Self::VALUE_MAX_US`]) if any part is.
    pub fn mean_us(&self) -> Option<f64> {
        let max_us = self.max_us()?;
        let infinite = max_us == Self::VALUE_MAX_US;
        Some(if infinite { Self::VALUE_MAX_US as f64 } else { self.histogram.mean() })
    }

    /// Returns the largest value in µs.
    pub fn max_us(&self) -> Option<u64> {
        (self.observations > 0).then(|| self.histogram.max().min(Self::VALUE_MAX_US))
    }

    /// Returns the value in µs that a share `quantile` (0 to 1) does not exceed; `None` without
    /// enough samples.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        self.quantile_beyond_us(quantile, SAMPLES_BEYOND)
    }

    /// Returns the quantile in µs of whatever was recorded, to describe it and not to generalise;
    /// `None` for nothing at all.
    pub fn quantile_of_all_us(&self, quantile: f64) -> Option<u64> {
        (self.observations > 0).then(|| self.quantile_beyond_us(quantile, 0.0))?
    }

    /// Returns the quantile in µs, if `samples_beyond` samples lie beyond it.
    pub(super) fn quantile_beyond_us(&self, quantile: f64, samples_beyond: f64) -> Option<u64> {
        let beyond = self.observations as f64 * quantile.min(1.0 - quantile);
        // The slack is for rounding: 1 − 0.99 is not exactly 0.01.
        (beyond + 1e-6 >= samples_beyond)
            .then(|| self.histogram.value_at_quantile(quantile).min(Self::VALUE_MAX_US))
    }

    /// Returns every bucket that is not empty, as its highest value in µs and its weight, in rising
    /// order.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let bucket = |value_us: u64, weight| (value_us.min(Self::VALUE_MAX_US), weight);
        self.histogram.iter_recorded().map(move |it| bucket(it.value_iterated_to(), it.count_at_value()))
    }

    /// Returns the complementary distribution: rising values in µs, each with the share of the
    /// weight (0 to 1) above it. The series ends where [`Self::quantile_us`] would have too few
    /// samples.
    pub fn tail(&self) -> impl Iterator<Item = (u64, f64)> {
        let total = self.histogram.len();
        let share_min = SAMPLES_BEYOND / self.observations.max(1) as f64;
        let mut over = total;
        self.histogram
            .iter_recorded()
            .map(move |it| {
                over -= it.count_at_value();
                (it.value_iterated_to(), over as f64 / total as f64)
            })
            .take_while(move |(_, share)| *share >= share_min)
    }
}

/// The form on disk: every bucket that is not empty, as (value in µs, weight).
#[derive(Serialize, Deserialize)]
struct Buckets {
    observations: u64,
    buckets_us: Vec<(u64, u64)>,
}

impl Serialize for Samples {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Buckets { observations: self.observations, buckets_us: self.buckets().collect() }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Buckets { observations, buckets_us } = Buckets::deserialize(deserializer)?;
        let mut samples = Self { observations, ..Self::default() };
        for (value_us, weight) in buckets_us {
            samples.add(value_us, weight);
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `value` is within the histogram's 1 % of `wanted`.
    fn near(value: u64, wanted: u64) -> bool {
        value.abs_diff(wanted) * 100 <= wanted
    }

    #[test]
    fn tail_ends_where_samples_end() {
        let mut samples = Samples::default();
        (1..=1_000).for_each(|value| samples.record(value * 100));
        let tail: Vec<(u64, f64)> = samples.tail().collect();
        assert!(tail.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1));
        let (value_us, share) = *tail.last().expect("points");
        assert!(near(value_us, 99_000) && (0.01..0.016).contains(&share), "{value_us} {share}");
        assert_eq!(Samples::default().tail().count(), 0);
    }

    #[test]
    fn figures_of_few_samples() {
        let mut samples = Samples::default();
        assert_eq!((samples.count(), samples.mean_us(), samples.max_us()), (0, None, None));
        assert_eq!((samples.quantile_of_all_us(0.5), samples.quantile_us(0.5)), (None, None));
        samples.record(100);
        assert_eq!((samples.quantile_of_all_us(0.99), samples.quantile_us(0.5)), (Some(100), None));
        samples.record(200);
        assert_eq!((samples.count(), samples.mean_us()), (2, Some(150.0)));
        assert!(samples.max_us().is_some_and(|us| near(us, 200)));
    }

    #[test]
    fn quantiles_need_ten_beyond() {
        let mut samples = Samples::default();
        (1..=19).for_each(|value| samples.record(value));
        assert_eq!(samples.quantile_us(0.5), None);
        samples.record(20);
        assert_eq!((samples.quantile_us(0.5), samples.quantile_us(0.51)), (Some(10), None));
        assert_eq!((samples.quantile_us(0.49), samples.quantile_beyond_us(0.9, 2.0)), (None, Some(18)));
        assert_eq!(samples.quantile_beyond_us(0.9, 2.1), None);
        let tail: Vec<(u64, f64)> = samples.tail().collect();
        assert_eq!((tail.len(), tail[0], tail[9]), (10, (1, 0.95), (10, 0.5)));
    }

    #[test]
    fn spans_weigh_their_time() {
        let mut samples = Samples::default();
        samples.record_span(100, 1_100);
        samples.record_span(7_000, 7_000);
        assert_eq!((samples.count(), samples.histogram.len()), (2, 1_000), "a tooth without a length");
        assert!(samples.mean_us().is_some_and(|us| (us - 600.0).abs() < 5.0), "{:?}", samples.mean_us());
        assert!(samples.quantile_of_all_us(0.25).is_some_and(|us| near(us, 350)));
        let (least_us, weight) = samples.buckets().next().expect("some");
        assert_eq!(
            (least_us, weight, samples.buckets().map(|(_, weight)| weight).sum()),
            (100, 1, 1_000_u64)
        );
        samples.record_span(0, 3);
        assert_eq!(samples.histogram.count_at(0) + samples.histogram.count_at(2), 2, "1 µs in each");
        let mut old = Samples::default();
        old.record_span(Samples::VALUE_MAX_US - 10, Samples::VALUE_MAX_US + 10);
        assert_eq!((old.count(), old.histogram.len()), (1, 10));
    }

    #[test]
    fn infinite_values_stay_infinite() {
        let max_us = Samples::VALUE_MAX_US;
        let mut samples = Samples::default();
        samples.record(1_000);
        samples.record_infinite(3, 4);
        assert_eq!((samples.count(), samples.histogram.len()), (5, 4));
        assert_eq!((samples.max_us(), samples.mean_us()), (Some(max_us), Some(max_us as f64)));
        assert_eq!(samples.quantile_of_all_us(0.5), Some(max_us));
        assert_eq!(samples.buckets().last(), Some((max_us, 3)));
        let again: Samples =
            serde_json::from_str(&serde_json::to_string(&samples).expect("serialises")).expect("parses");
        assert_eq!((again.max_us(), again.count(), again.histogram.len()), (Some(max_us), 5, 4));
        let mut broken = Samples::default();
        broken.record(u64::MAX);
        assert_eq!(broken.max_us(), Some(max_us), "a broken clock takes no memory");
        let mut finite = Samples::default();
        finite.record(max_us / 2);
        assert!(finite.mean_us().is_some_and(|us| us < max_us as f64 * 0.6));
    }

    #[test]
    fn quantiles_need_samples() {
        let mut samples = Samples::default();
        (1..=999).for_each(|value| samples.record(value * 100));
        assert_eq!(samples.quantile_us(0.99), None);
        samples.record(100_000);
        assert!(near(samples.quantile_us(0.99).expect("1,000 samples"), 99_000));
        assert!(near(samples.quantile_us(0.5).expect("1,000 samples"), 50_000));
        let json = serde_json::to_string(&samples).expect("serialises");
        let again: Samples = serde_json::from_str(&json).expect("parses");
        assert_eq!(serde_json::to_string(&again).expect("serialises"), json);
        assert_eq!(again.quantile_us(0.99), samples.quantile_us(0.99));
        assert_eq!(again.count(), 1_000);
        let mut both = again;
        both.merge(&samples);
        assert_eq!(both.count(), 2_000);
    }
}
