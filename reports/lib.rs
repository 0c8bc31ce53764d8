//! Comparisons of transports: scenarios become runs, runs become results on disk, results become reports.
//!
//! `scenario.rs` says what is run and `harness.rs` runs it, each time with a server in one process and the players of
//! `load.rs` in another. `results.rs` is what is kept, `summary.rs` what it says, `render.rs` how that looks.

mod compare;
mod diff;
mod harness;
mod load;
mod metrics;
mod process;
mod render;
mod render_verdict;
mod results;
mod scenario;
mod selftest;
mod soak;
mod statistics;
mod summary;
mod verdict;
mod words;

pub use compare::{CompareArgs, compare, render_file};
pub use diff::{Change, Diff, DiffArgs, EXIT_WORSE, Mismatch, diff, mismatches};
pub use harness::RunResult;
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
    Comparison, Effect, Evidence, GroupVerdict, INDICATION_FLOORS, Outcome, REPEATS_MIN, Verdict,
};
pub use words::paragraphs;
