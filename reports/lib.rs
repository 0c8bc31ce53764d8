//! The comparison of transports: a scenario becomes runs, runs become results on disk, and results
//! become reports.
//!
//! Each folder uses only folders below it. From the top: `commands` and `stress`; `recording` and
//! `render`; `run`; `analysis`; `data`; `plan`.

/// The command line of `netduel-reports`.
pub mod cli;

pub use cli::main;

/// The commands that compare, one file each, and the steps that they share.
pub mod commands {
    pub mod compare;
    pub(crate) mod comparison;
    pub mod recording;
    pub mod render;
    pub mod run;
    pub(crate) mod seeds;
    pub mod selftest;
    pub(crate) mod suite;
}

/// The commands that put the server under stress and fail if it breaks a promise.
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
    /// The answer of a comparison: sentences, charts and the first screen.
    pub mod answer {
        pub(crate) mod first_screen;
        pub(crate) mod foresight;
        pub(crate) mod headline;
        pub(crate) mod overview;
        pub(crate) mod rerun;
        pub mod sentences;
    }
    pub(crate) mod bars;
    pub(crate) mod chart;
    pub(crate) mod columns;
    pub mod csv;
    pub(crate) mod glossary;
    pub mod html;
    pub(crate) mod html_table;
    pub(crate) mod memory_table;
    pub(crate) mod plot;
    pub(crate) mod ratios_table;
    pub(crate) mod search_text;
    pub(crate) mod settings_table;
    pub(crate) mod table;
    pub(crate) mod tables;
    pub mod text;
    pub(crate) mod verdict_text;
    pub(crate) mod words;
}

/// The execution of runs: server and players as processes, the link between them, and their cost by
/// the kernel's account.
pub mod run {
    pub(crate) mod baselines;
    pub(crate) mod beside;
    pub mod cpu_burner;
    pub mod cross_traffic;
    pub(crate) mod evidence;
    pub(crate) mod in_turns;
    pub(crate) mod kernel_memory;
    pub(crate) mod outliers;
    pub(crate) mod place;
    pub(crate) mod players;
    pub(crate) mod progress;
    pub mod provenance;
    pub(crate) mod runner;
    pub(crate) mod server;
    pub(crate) mod session;
    pub(crate) mod steps;
    pub(crate) mod tcpdump;
}

/// Conclusions from results. Every function is pure.
pub mod analysis {
    pub mod capacity;
    pub mod conclusions;
    pub(crate) mod foresight;
    pub(crate) mod link_fate;
    pub mod memory_slope;
    pub mod metrics;
    pub mod place;
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

/// The results and their files.
pub mod data {
    pub mod criterion;
    pub(crate) mod journal;
    pub mod results;
    pub mod run_result;
    pub mod tcp_counters;
}

/// The plan of a comparison: scenarios, presets and searches.
pub mod plan {
    pub mod contender;
    pub mod keep;
    pub mod presets;
    pub mod sampling;
    pub mod scenario;
    pub mod search;
}
