//! [`PathTrace`]: a recording of delay and loss over time, which can drive a direction of a link.
//!
//! A trace is a CSV file with the header `ms,delay_ms,loss_share` and one row for each change, in
//! ascending order of time from 0 on. A row holds until the next one. The last row marks the end:
//! its time is the period after which the trace starts again.

use std::{fs, path::Path};

use thiserror::Error;

/// The first line of a trace, which says the units.
const HEADER: &str = "ms,delay_ms,loss_share";
/// The largest number of rows: a day at ten rows a second, rounded up. It bounds the emulator's
/// memory.
pub(crate) const ROWS_MAX: usize = 1_000_000;
/// The longest delay of a row, ms: that of a spec.
const DELAY_MS_MAX: f64 = 10_000.0;

/// A recording of delay and loss over time.
#[derive(Clone, Debug, PartialEq)]
pub struct PathTrace {
    rows: Vec<Row>,
    period_ns: u64,
}

/// The delay and the loss from a time on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Time since the trace's start, ns.
    from_ns: u64,
    /// Delay beside that of the spec, ns.
    pub(crate) delay_ns: u64,
    /// Probability that a packet is lost, 0 to 1.
    pub(crate) loss_share: f64,
}

/// The reason why a trace of delay and loss is invalid.
#[derive(Debug, Error)]
pub enum PathTraceError {
    /// The file cannot be read.
    #[error("cannot read the trace {file}: {cause}")]
    Read {
        /// Name of the file.
        file: String,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The first line is not the header.
    #[error("the trace must begin with the line {HEADER}")]
    Header,
    /// A row that is not three numbers within their bounds.
    #[error(
        "line {line} of the trace is {text:?}: write {HEADER} as in 0,20.5,0.01 (delay up to 10000 ms, loss up to 1)"
    )]
    BadRow {
        /// Number of the line, counted from 1.
        line: usize,
        /// Text of the line.
        text: String,
    },
    /// A row that is not after the row above, or a first row that is not at 0.
    #[error("line {line} of the trace is out of order: times ascend from 0")]
    Backwards {
        /// Number of the line, counted from 1.
        line: usize,
    },
    /// The trace has fewer than two rows, so it has no period.
    #[error("the trace needs two rows or more: the last one marks the end")]
    TooShort,
    /// The trace has more rows than the bound.
    #[error("the trace has more than {ROWS_MAX} rows")]
    TooLong,
}

impl PathTrace {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// Returns the error of reading the file, or the first line that is invalid.
    pub fn read(file: &Path) -> Result<Self, PathTraceError> {
        let text = fs::read_to_string(file)
            .map_err(|cause| PathTraceError::Read { file: file.display().to_string(), cause })?;
        Self::parse(&text)
    }

    /// Parses the text of a trace and skips empty lines.
    ///
    /// # Errors
    /// Returns the first line that is invalid.
    pub fn parse(text: &str) -> Result<Self, PathTraceError> {
        let mut lines = (1..).zip(text.lines().map(str::trim));
        if lines.next().is_none_or(|(_, header)| header != HEADER) {
            return Err(PathTraceError::Header);
        }
        let mut rows: Vec<Row> = Vec::new();
        for (line, text) in lines.filter(|(_, text)| !text.is_empty()) {
            let row = row(text).ok_or_else(|| PathTraceError::BadRow { line, text: text.to_owned() })?;
            let in_order = rows.last().map_or(row.from_ns == 0, |last| last.from_ns < row.from_ns);
            if !in_order {
                return Err(PathTraceError::Backwards { line });
            }
            if rows.len() == ROWS_MAX {
                return Err(PathTraceError::TooLong);
            }
            rows.push(row);
        }
        let end = rows.pop().filter(|_| !rows.is_empty()).ok_or(PathTraceError::TooShort)?;
        Ok(Self { rows, period_ns: end.from_ns })
    }

    /// Returns the row in effect at a time; the trace repeats without end.
    pub(crate) fn at(&self, time_ns: u64) -> Row {
        let within_ns = time_ns % self.period_ns;
        self.rows[self.rows.partition_point(|row| row.from_ns <= within_ns) - 1]
    }

    /// Returns the mean over time of a value of the rows.
    fn mean(&self, value: impl Fn(&Row) -> f64) -> f64 {
        let ends = self.rows.iter().skip(1).map(|row| row.from_ns).chain([self.period_ns]);
        let sum: f64 =
            self.rows.iter().zip(ends).map(|(row, end_ns)| value(row) * (end_ns - row.from_ns) as f64).sum();
        sum / self.period_ns as f64
    }

    /// Returns the mean loss over time, 0 to 1.
    pub fn mean_loss_share(&self) -> f64 {
        self.mean(|row| row.loss_share)
    }

    /// Returns the mean delay over time, ms.
    pub fn mean_delay_ms(&self) -> f64 {
        self.mean(|row| row.delay_ns as f64 / 1e6)
    }
}

fn row(text: &str) -> Option<Row> {
    let mut fields = text.split(',').map(|field| field.trim().parse::<f64>().ok());
    let (ms, delay_ms, loss_share) = (fields.next()??, fields.next()??, fields.next()??);
    let within = fields.next().is_none()
        && (0.0..=f64::from(u32::MAX)).contains(&ms)
        && (0.0..=DELAY_MS_MAX).contains(&delay_ms)
        && (0.0..=1.0).contains(&loss_share);
    within.then_some(Row { from_ns: (ms * 1e6) as u64, delay_ns: (delay_ms * 1e6) as u64, loss_share })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn rows_hold_until_the_next() {
        let trace =
            PathTrace::parse("ms,delay_ms,loss_share\n0, 10, 0\n\n100,30,0.5\n400,0,0\n").expect("good");
        let at = |ms: u64| {
            let row = trace.at(ms * MS);
            (row.delay_ns / MS, row.loss_share)
        };
        assert_eq!([at(0), at(99), at(100), at(399)], [(10, 0.0), (10, 0.0), (30, 0.5), (30, 0.5)]);
        assert_eq!([at(400), at(500), at(4_100)], [(10, 0.0), (30, 0.5), (30, 0.5)]);
        assert_eq!((trace.mean_delay_ms(), trace.mean_loss_share()), (25.0, 0.375));
    }

    #[test]
    fn invalid_traces_name_the_line() {
        let parse = |rows: &str| PathTrace::parse(&format!("{HEADER}\n{rows}"));
        assert!(matches!(PathTrace::parse(""), Err(PathTraceError::Header)));
        assert!(matches!(PathTrace::parse("0,1,0\n5,1,0\n"), Err(PathTraceError::Header)));
        assert!(matches!(parse("0,1,0\n"), Err(PathTraceError::TooShort)));
        assert!(matches!(parse(""), Err(PathTraceError::TooShort)));
        assert!(matches!(parse("1,1,0\n5,1,0\n"), Err(PathTraceError::Backwards { line: 2 })));
        assert!(matches!(parse("0,1,0\n5,1,0\n5,1,0\n"), Err(PathTraceError::Backwards { line: 4 })));
        for row in ["1,1", "1,x,0", "1,1,0,0", "1,1,1.1", "1,-1,0", "1,10001,0", "-1,0,0"] {
            let error = parse(&format!("0,1,0\n{row}\n")).expect_err("a mistake");
            assert!(matches!(error, PathTraceError::BadRow { line: 3, .. }), "{row}: {error}");
        }
        let long: String = (0..=ROWS_MAX).map(|ms| format!("{ms},0,0\n")).collect();
        assert!(matches!(parse(&long), Err(PathTraceError::TooLong)));
    }
}
