//! Recorded rates in mahimahi's format, which can drive the bottleneck of a direction.
//!
//! A trace is a text file with one whole number a line, in ascending order. Each number is the time
//! in ms of one opportunity to pass 1500 bytes; n lines with the same number are n opportunities.
//! After the last line the trace starts again, with the last time as its period (mahimahi's
//! `mm-link`, Netravali et al., USENIX ATC 2015).

use std::{fs, path::Path};

use thiserror::Error;

/// The bytes that pass at one opportunity.
pub(crate) const OPPORTUNITY_BYTES: u64 = 1_500;
/// The largest number of opportunities in a trace: an hour at 40 Mbit/s. It bounds the emulator's
/// memory.
pub(crate) const OPPORTUNITIES_MAX: usize = 12_000_000;

/// A recorded rate: the times of opportunities to pass 1500 bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    opportunities_ms: Vec<u32>,
}

/// The reason why a trace is invalid.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot read the trace {file}: {cause}")]
    Read {
        /// Name of the file.
        file: String,
        /// The system's error.
        cause: std::io::Error,
    },
    /// A line that is not a time.
    #[error("line {line} of the trace is {text:?}: each line must be a whole number of milliseconds")]
    NotANumber {
        /// Number of the line, counted from 1.
        line: usize,
        /// Text of the line.
        text: String,
    },
    /// A time earlier than the line above.
    #[error("line {line} of the trace is earlier than the line before it")]
    Backwards {
        /// Number of the line, counted from 1.
        line: usize,
    },
    /// The trace has no opportunity after 0 ms. Its rate would be infinite.
    #[error("the trace has no opportunity after 0 ms")]
    Empty,
    /// The trace has more lines than the bound.
    #[error("the trace has more than {OPPORTUNITIES_MAX} lines")]
    TooLong,
}

impl Trace {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// Returns the error of reading the file, or the first line that is invalid.
    pub fn read(file: &Path) -> Result<Self, TraceError> {
        let text = fs::read_to_string(file)
            .map_err(|cause| TraceError::Read { file: file.display().to_string(), cause })?;
        Self::parse(&text)
    }

    /// Parses the text of a trace and skips empty lines.
    ///
    /// # Errors
    /// Returns the first line that is invalid.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut opportunities_ms: Vec<u32> = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let (line, text) = (index + 1, text.trim());
            if text.is_empty() {
                continue;
            }
            let time_ms = text.parse().map_err(|_| TraceError::NotANumber { line, text: text.to_owned() })?;
            if opportunities_ms.last().is_some_and(|last| time_ms < *last) {
                return Err(TraceError::Backwards { line });
            }
            if opportunities_ms.len() == OPPORTUNITIES_MAX {
                return Err(TraceError::TooLong);
            }
            opportunities_ms.push(time_ms);
        }
        if opportunities_ms.last().is_none_or(|last| *last == 0) {
            return Err(TraceError::Empty);
        }
        Ok(Self { opportunities_ms })
    }

    /// Returns the mean rate, Mbit/s.
    pub fn mean_mbit_per_s(&self) -> f64 {
        let bits = (self.opportunities_ms.len() as u64 * OPPORTUNITY_BYTES * 8) as f64;
        bits / (self.period_ms() as f64 * 1e3)
    }

    /// Returns the time of the `index`-th opportunity since the start, ms. The trace repeats
    /// without end.
    pub(crate) fn opportunity_ms(&self, index: u64) -> u64 {
        let count = self.opportunities_ms.len() as u64;
        let (round, within) = (index / count, (index % count) as usize);
        round * self.period_ms() + u64::from(self.opportunities_ms[within])
    }

    /// Returns the index of the first opportunity at or after `time_ms`.
    pub(crate) fn first_from(&self, time_ms: u64) -> u64 {
        let count = self.opportunities_ms.len() as u64;
        let (round, within_ms) = (time_ms / self.period_ms(), time_ms % self.period_ms());
        // A time of exactly one period is the last line of a round and, as 0, also the start of the
        // next round.
        if within_ms == 0 && round > 0 {
            let last = self.opportunities_ms.partition_point(|at| u64::from(*at) < self.period_ms());
            return (round - 1) * count + last as u64;
        }
        let within = self.opportunities_ms.partition_point(|at| u64::from(*at) < within_ms);
        round * count + within as u64
    }

    fn period_ms(&self) -> u64 {
        u64::from(*self.opportunities_ms.last().expect("a trace is never empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_with_last_time_as_period() {
        let trace = Trace::parse("1\n1\n\n5\n10\n").expect("a good trace");
        let times: Vec<u64> = (0..9).map(|index| trace.opportunity_ms(index)).collect();
        assert_eq!(times, [1, 1, 5, 10, 11, 11, 15, 20, 21]);
        assert!((trace.mean_mbit_per_s() - 4.8).abs() < 1e-9);
    }

    #[test]
    fn first_from_agrees_with_linear_search() {
        for text in ["1\n1\n5\n10\n", "0\n0\n4\n10\n10\n", "7\n"] {
            let trace = Trace::parse(text).expect("a good trace");
            for time_ms in 0..100 {
                let expected = (0..).find(|index| trace.opportunity_ms(*index) >= time_ms);
                assert_eq!(Some(trace.first_from(time_ms)), expected, "{text:?} at {time_ms}");
            }
        }
    }

    #[test]
    fn invalid_traces_name_the_line() {
        assert!(matches!(Trace::parse("1\nx\n"), Err(TraceError::NotANumber { line: 2, .. })));
        assert!(matches!(Trace::parse("-1\n"), Err(TraceError::NotANumber { line: 1, .. })));
        assert!(matches!(Trace::parse("5\n4\n"), Err(TraceError::Backwards { line: 2 })));
        assert!(matches!(Trace::parse("0\n0\n"), Err(TraceError::Empty)));
        assert!(matches!(Trace::parse(""), Err(TraceError::Empty)));
    }
}
