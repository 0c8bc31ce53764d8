//! Comparisons of transports: scenarios become runs, runs become results on disk, results become reports.
//!
//! `scenario.rs` says what is run and `harness.rs` runs it, each time with a server in one process and the players of
//! `load.rs` in another. `results.rs` is what is kept, `summary.rs` and `checks.rs` what it says, `tables.rs` and
//! `chart.rs` what is shown of it, `render.rs`, `html.rs` and `csv.rs` how that looks.

mod chart;
mod checks;
mod compare;
mod csv;
mod harness;
mod html;
mod load;
mod plot;
mod process;
mod render;
mod results;
mod scenario;
mod search;
mod soak;
mod summary;
mod tables;
mod win_map;

pub use self::csv::csv;
pub use compare::{CompareArgs, compare, render_file};
pub use harness::RunResult;
pub use html::html;
pub use load::{LoadEvent, LoadPlan, LoadResult, run as run_players};
pub use process::Usage;
pub use render::{markdown, terminal};
pub use results::{Calibration, Failure, Provenance, Results, SCHEMA};
pub use scenario::{Network, RunKey, Scenario};
pub use search::{Criterion, RATE_MAX_HZ, RATE_MIN_HZ, Search};
pub use soak::{SoakArgs, soak};
pub use summary::{Figure, Row, Summary, Warning};
pub use win_map::{Outcome, Verdict, WinCell, WinMap};
