//! [`Histogram`]: an HDR histogram of times that can be written as JSON and subtracted.

use std::fmt;

use hdrhistogram::Histogram as Hdr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest distinct time, µs: a minute. A longer time counts as this one.
const VALUE_US_MAX: u64 = 60_000_000;
/// The significant decimal digits of each value.
const DIGITS: u8 = 3;

/// A histogram of times in µs, to three digits. Its JSON is a list of `[µs, count]`.
#[derive(Clone, PartialEq)]
pub struct Histogram(Hdr<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self(Hdr::new_with_bounds(1, VALUE_US_MAX, DIGITS).expect("constant bounds, checked by every test"))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [0.5, 0.99].map(|quantile| self.quantile_ms(quantile));
        write!(
            f,
            "Histogram {{ count: {}, p50: {p50} ms, p99: {p99} ms, max: {} ms }}",
            self.count(),
            self.max_ms()
        )
    }
}

impl Histogram {
    /// Counts one time, ns.
    pub(crate) fn record_ns(&mut self, value_ns: u64) {
        self.0.saturating_record(value_ns / 1_000);
    }

    /// Returns the number of counted times.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the time, ms, that a share `quantile` (0 to 1) of the times does not exceed; 0 if
    /// empty.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Returns the longest time, ms.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// Returns the mean, ms.
    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1e3
    }

    /// Returns the standard deviation, ms.
    pub fn sd_ms(&self) -> f64 {
        self.0.stdev() / 1e3
    }

    /// Returns the share of counted times over `bound_ms`, 0 to 1.
    pub fn share_over_ms(&self, bound_ms: f64) -> f64 {
        let bound_us = (bound_ms * 1e3) as u64;
        let over: u64 = self.buckets().filter(|(value_us, _)| *value_us > bound_us).map(|(_, n)| n).sum();
        over as f64 / self.count().max(1) as f64
    }

    /// Returns the times counted since `earlier`, a former state of this histogram.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut difference = Self::default();
        for (value_us, count) in self.buckets() {
            difference.0.saturating_record_n(value_us, count - earlier.0.count_at(value_us).min(count));
        }
        difference
    }

    fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.buckets())
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut histogram = Self::default();
        for (value_us, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            histogram.0.saturating_record_n(value_us, count);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_survive_json_and_subtraction() {
        let mut histogram = Histogram::default();
        (0..1_000).for_each(|us| histogram.record_ns(us * 1_000));
        let earlier = histogram.clone();
        (0..99).for_each(|_| histogram.record_ns(5_000_000));
        histogram.record_ns(70_000_000_000);
        let json = serde_json::to_string(&histogram).expect("serialises");
        let read: Histogram = serde_json::from_str(&json).expect("parses");
        assert_eq!(read.count(), 1_100);
        let later = read.since(&earlier);
        assert_eq!(later.count(), 100);
        assert!((later.quantile_ms(0.5) - 5.0).abs() < 0.05, "{}", later.quantile_ms(0.5));
        assert!((later.share_over_ms(6.0) - 0.01).abs() < 1e-9);
        assert!((earlier.quantile_ms(0.5) - 0.5).abs() < 0.01);
    }
}
