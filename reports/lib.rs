//! Comparisons of transports: scenarios become runs, runs become results on disk, results become reports.
//!
//! `scenario.rs` says what is run and `harness.rs` runs it, each time with a server in one process and the players of
//! `load.rs` in another. `results.rs` is what is kept, `summary.rs`, `verdict.rs` and
//! `checks.rs` what it says, `tables.rs` and
//! `chart.rs` what is shown of it, `render.rs`, `html.rs` and `csv.rs` how that looks.

mod chart;
mod checks;
mod compare;
mod csv;
mod diff;
mod harness;
mod html;
mod load;
mod metrics;
mod plot;
mod process;
mod render;
mod render_verdict;
mod results;
mod scenario;
mod selftest;
mod soak;
mod statistics;
mod summary;
mod tables;
mod verdict;
mod words;

pub use self::csv::csv;
pub use compare::{CompareArgs, compare, render_file};
pub use diff::{Change, Diff, DiffArgs, EXIT_WORSE, Mismatch, diff, mismatches};
pub use harness::RunResult;
pub use html::html;
pub use load::{LoadEvent, LoadPlan, LoadResult, run as run_players};
pub use metrics::Metric;
pub use process::Usage;
pub use render::{markdown, terminal};
pub use results::{Calibration, Failure, Provenance, Results, SCHEMA};
pub use scenario::{Group, Network, RunKey, Scenario};
pub use selftest::{SelfTest, burn_beside, self_test};
pub use soak::{SoakArgs, soak};
pub use statistics::Interval;
pub use summary::{Figure, Row, Summary, Warning};
pub use verdict::{
    APART_FLOORS, Comparison, Effect, Evidence, GroupVerdict, INDICATION_FLOORS, Outcome, REPEATS_MIN,
    Verdict,
};
pub use words::paragraphs;
