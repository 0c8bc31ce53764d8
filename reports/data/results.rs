//! What is kept of a comparison: every run's raw samples with the settings and the circumstances, as one JSON file.
//! Rendering reads only this.

use std::{
    fmt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use netduel_link::ProbeReport;
use netduel_loadgen::Baseline;
use serde::{Deserialize, Serialize};

use crate::{
    data::{criterion::Bench, run_result::RunResult},
    plan::scenario::{RunKey, Scenario},
};

/// Raised with every change of the file's form.
pub const SCHEMA: u32 = 5;

/// The name of the file in the folder of a comparison.
pub(crate) const RESULTS_FILE: &str = "results.json";
/// A run whose link was late says nothing and is run again; on a machine that is too busy thrice, a fourth attempt
/// would fail, too.
pub(crate) const ATTEMPTS_MAX: usize = 3;

/// A comparison, whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The [`SCHEMA`] of the file.
    pub schema: u32,
    /// What was to be run.
    pub scenario: Scenario,
    /// Where and when it ran.
    pub provenance: Provenance,
    /// Every run that came to its end, in the order in which they ran.
    pub runs: Vec<RunResult>,
    /// Runs that did not, or whose link was not what it should have been, even when run again.
    pub failures: Vec<Failure>,
    /// Runs that were thrown away and run again.
    pub rejected: Vec<Failure>,
    /// What plain UDP found each emulated link to be before its first run.
    pub calibrations: Vec<Calibration>,
    /// Why there are no emulated links, where they were wanted by default and could not be had.
    pub no_links: Option<String>,
    /// Baselines that were to run and cannot run here.
    pub left_out: Vec<LeftOut>,
    /// What `cargo bench` had left beside this checkout; see `criterion.rs`.
    pub benches: Vec<Bench>,
}

/// What a comparison grows by. A journal is one of these after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A run came to its end.
    Run(Box<RunResult>),
    /// A run did not.
    Failure(Failure),
    /// A run was thrown away.
    Rejected(Failure),
    /// A link was measured.
    Calibration(Box<Calibration>),
}

/// A link, measured before it was used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// The name of the link.
    pub link: String,
    /// What was asked for and what was found.
    pub probe: ProbeReport,
}

/// A run that did not come to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Which run.
    pub key: RunKey,
    /// Why.
    pub reason: String,
}

/// A baseline that cannot run here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which one.
    pub baseline: Baseline,
    /// Why, and what to do about it.
    pub reason: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.baseline, self.reason)
    }
}

/// The circumstances of a comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Start, in seconds since 1970 (UTC).
    pub started_unix_s: u64,
    /// Version of this program.
    pub version: String,
    /// Commit of the source, with a + if it was changed; empty outside a checkout.
    pub commit: String,
    /// Operating system and architecture.
    pub system: String,
    /// Kernel version.
    pub kernel: String,
    /// Processor.
    pub cpu: String,
    /// Processors that this program may use.
    pub cpus: usize,
    /// Kernel settings that matter to TCP and UDP, by name.
    pub sysctls: Vec<(String, String)>,
    /// What was typed.
    pub command: Vec<String>,
    /// The processor that server and players were bound to, if they were.
    pub run_cpu: Option<usize>,
    /// Why the kernel's memory for sockets is not known here; none where it is.
    pub no_kernel_memory: Option<String>,
    /// When it was taken up again after an interruption, in seconds since 1970 (UTC).
    pub resumed_unix_s: Vec<u64>,
}

/// Seconds since 1970.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

impl Results {
    /// Of a comparison that is still to be carried out.
    pub fn empty(scenario: Scenario, mut provenance: Provenance) -> Self {
        provenance.run_cpu = provenance.run_cpu.filter(|_| scenario.search.is_none());
        Self {
            schema: SCHEMA,
            scenario,
            provenance,
            runs: Vec::new(),
            failures: Vec::new(),
            rejected: Vec::new(),
            calibrations: Vec::new(),
            no_links: None,
            left_out: Vec::new(),
            benches: Vec::new(),
        }
    }

    /// Adds what happened.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Run(run) => self.runs.push(*run),
            Entry::Failure(failure) => self.failures.push(failure),
            Entry::Rejected(failure) => self.rejected.push(failure),
            Entry::Calibration(calibration) => self.calibrations.push(*calibration),
        }
    }

    /// The run, if it came to its end.
    pub fn run(&self, key: &RunKey) -> Option<&RunResult> {
        self.runs.iter().find(|run| run.key == *key)
    }

    /// Whether a run needs no (further) attempt.
    pub fn is_done(&self, key: &RunKey) -> bool {
        self.run(key).is_some()
            || self.failures.iter().any(|failure| failure.key == *key)
            || self.rejected.iter().filter(|failure| failure.key == *key).count() >= ATTEMPTS_MAX
    }

    /// Reads a file that [`Self::save`] wrote.
    ///
    /// # Errors
    /// A file that is missing, is none of ours, or is of another schema.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let Head { schema } = serde_json::from_str(&text)
            .with_context(|| format!("{} holds no results of netduel-report", path.display()))?;
        ensure!(
            schema == SCHEMA,
            "{} has schema {schema}, this program reads {SCHEMA}: run the comparison again, or use the version that wrote it",
            path.display()
        );
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        write_atomic(path, &serde_json::to_string(self)?)
    }
}

/// Writes the file whole or not at all.
pub(crate) fn write_atomic(path: &Path, text: &str) -> anyhow::Result<()> {
    netduel_atomic_file::write_atomic(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
