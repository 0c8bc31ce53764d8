//! Comparisons of transports: scenarios become runs, runs become results on disk, results become reports.
//!
//! Each folder uses only folders below it: `commands` and `stress` above `recording` and `render`, then `run`, `analysis`,
//! `data`, and `plan` at the bottom.

/// The command line of `netduel-report`.
pub mod cli;

pub use cli::main;

/// The commands that compare: one file for each, and the steps that they share.
pub mod commands {
    pub mod compare;
    pub(crate) mod comparison;
    pub mod recording;
    pub mod render;
    pub mod run;
    pub mod selftest;
    pub(crate) mod suite;
}

/// The commands that put the server under stress, and fail if it breaks a promise.
pub mod stress {
    pub mod churn;
    pub mod flood;
    pub mod flooder;
    pub mod soak;
}

/// The report on a match that the window saved.
pub mod recording {
    pub mod page;
    pub(crate) mod tables;
    pub mod text;
}

/// Reports as text, Markdown, HTML and CSV.
pub mod render {
    pub(crate) mod chart;
    pub(crate) mod columns;
    pub mod csv;
    pub mod html;
    pub(crate) mod html_table;
    pub(crate) mod memory_table;
    pub mod narrative;
    pub(crate) mod plot;
    pub(crate) mod ratios_table;
    pub(crate) mod settings_table;
    pub(crate) mod table;
    pub(crate) mod tables;
    pub mod text;
    pub(crate) mod verdict_text;
}

/// Runs: server and players as processes, the link between them, and what the kernel says of both.
pub mod run {
    pub(crate) mod baselines;
    pub mod cpu_burner;
    pub mod cross_traffic;
    pub(crate) mod kernel_memory;
    pub(crate) mod place;
    pub mod provenance;
    pub(crate) mod run_once;
    pub(crate) mod runner;
    pub(crate) mod server;
}

/// Conclusions from results. Pure.
pub mod analysis {
    pub mod capacity;
    pub mod memory_slope;
    pub mod metrics;
    pub mod ratios;
    pub mod repeats;
    pub(crate) mod settings;
    pub mod statistics;
    pub mod summary;
    pub(crate) mod sweep;
    pub(crate) mod traffic;
    pub(crate) mod units;
    pub(crate) mod validity;
    pub mod verdict;
    pub mod warning;
}

/// Results, as files hold them.
pub mod data {
    pub mod criterion;
    pub(crate) mod journal;
    pub mod results;
    pub mod run_result;
}

/// Plans: what is to be run.
pub mod plan {
    pub mod presets;
    pub mod scenario;
    pub mod search;
}
