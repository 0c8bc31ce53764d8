//! Comparisons of transports: scenarios become runs, runs become results on disk, results become reports.
//!
//! `scenario.rs` says what is run and `harness.rs` runs it, each time with a server in one process and the players of
//! `load.rs` in another. `results.rs` is what is kept, `summary.rs` what it says, `render.rs` how that looks.

mod compare;
mod harness;
mod load;
mod process;
mod render;
mod results;
mod scenario;
mod search;
mod soak;
mod summary;

pub use compare::{CompareArgs, compare, render_file};
pub use harness::RunResult;
pub use load::{LoadEvent, LoadPlan, LoadResult, run as run_players};
pub use process::Usage;
pub use render::{markdown, terminal};
pub use results::{Calibration, Failure, Provenance, Results, SCHEMA};
pub use scenario::{Network, RunKey, Scenario};
pub use search::{Criterion, RATE_MAX_HZ, RATE_MIN_HZ, Search};
pub use soak::{SoakArgs, soak};
pub use summary::{Figure, Row, Summary, Warning};
