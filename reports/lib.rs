//! Comparisons of transports: scenarios become runs, runs become results on disk, results become reports.
//!
//! `presets.rs` are the questions, `scenario.rs` says what is run; `measure.rs` carries it out and `harness.rs` each run,
//! with a server in one process and the players of `load.rs` in another. `journal.rs` and `results.rs` are what is kept,
//! `summary.rs`, `verdict.rs`, `bearing.rs` and `checks.rs` what it says, `tables.rs` and `chart.rs` what is shown of it,
//! `render.rs`, `html.rs` and `csv.rs` how that looks. `recording.rs` reports on a match that the window saved.

mod axis;
mod bearing;
mod benches;
mod bulk;
mod capture;
mod carrier;
mod chart;
mod checks;
mod churn;
mod compare;
mod connects;
mod cpus;
mod csv;
mod diff;
mod duty;
mod flood;
mod flooder;
mod full;
mod harness;
mod html;
mod html_table;
mod journal;
mod load;
mod measure;
mod memory;
mod metrics;
mod parity;
mod baselines;
mod plot;
mod presets;
mod process;
mod ratios;
mod recording;
mod recording_page;
mod recording_tables;
mod render;
mod render_verdict;
mod results;
mod scenario;
mod search;
mod selftest;
mod selftest_cpu;
mod selftest_wire;
mod soak;
mod sockets;
mod statistics;
mod summary;
mod tables;
mod verdict;
mod words;

pub use self::csv::csv;
pub use bearing::{Bearing, Fate, Try, bearings};
pub use benches::Bench;
pub use bulk::{BulkArgs, bulk};
pub use carrier::{Carrier, Baseline};
pub use churn::{ChurnArgs, churn};
pub use compare::{CompareArgs, compare, presets_help, render_file};
pub use connects::Connects;
pub use cpus::{bind as bind_to_cpu, of_run as cpu_of_run};
pub use diff::{Change, Diff, DiffArgs, EXIT_WORSE, Mismatch, diff, mismatches};
pub use duty::{Count, Happening, LoadPlayer};
pub use flood::{FloodArgs, flood};
pub use flooder::{Flood, run_flooder};
pub use harness::RunResult;
pub use html::html;
pub use load::{LoadEvent, LoadPlan, LoadResult, Trusted, run as run_players, run_with as run_players_with};
pub use memory::{Fit, Slope, slopes};
pub use metrics::Metric;
pub use presets::Preset;
pub use process::{Process, Usage, ourselves};
pub use ratios::{Ratio, RatioRow, Ratios};
pub use recording::{render_recording, terminal as recording_terminal};
pub use recording_page::page as recording_page;
pub use render::{markdown, terminal};
pub use results::{Calibration, Entry, Failure, LeftOut, Provenance, Results, SCHEMA};
pub use scenario::{Contender, Group, Network, Remote, RunKey, Scenario, Workload};
pub use search::{Climb, Criterion, Search, Searched};
pub use selftest::{SelfTest, self_test};
pub use selftest_cpu::burn_beside;
pub use soak::{SoakArgs, soak};
pub use statistics::Interval;
pub use summary::{Figure, Row, Summary, Warning};
pub use verdict::{
    APART_FLOORS, Comparison, Effect, Evidence, GroupVerdict, INDICATION_FLOORS, Outcome, REPEATS_MIN,
    Verdict,
};
pub use words::paragraphs;
