//! The results of a comparison: every run's raw samples with the settings and the circumstances, as
//! one JSON file.
//!
//! Rendering reads only this file.

use std::{
    fmt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use netduel_link::ProbeReport;
use netduel_loadgen::{Baseline, Lane};
use netduel_server::Snapshot;
use serde::{Deserialize, Serialize};

use crate::{
    data::{criterion::Bench, run_result::RunResult},
    plan::scenario::{RunKey, Scenario},
};

/// The schema number of the file. Every change of the file's form raises it.
pub const SCHEMA: u32 = 7;

/// The file name in the folder of a comparison.
pub(crate) const RESULTS_FILE: &str = "results.json";
/// The largest number of attempts of a run. A run with a late link is invalid and repeated. On a
/// machine that is too busy three times, a fourth attempt would also fail.
pub(crate) const ATTEMPTS_MAX: usize = 3;

/// The results of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The [`SCHEMA`] of the file.
    pub schema: u32,
    /// The plan.
    pub scenario: Scenario,
    /// The place and time of the comparison.
    pub provenance: Provenance,
    /// The completed runs, in the order in which they ran.
    pub runs: Vec<RunResult>,
    /// The runs that failed, or whose link was invalid in every attempt.
    pub failures: Vec<Failure>,
    /// The runs that were discarded and repeated.
    pub rejected: Vec<Failure>,
    /// The properties of each emulated link that plain UDP measured before its first run.
    pub calibrations: Vec<Calibration>,
    /// The reason why emulated links are missing; `None` if they were available or not requested.
    pub no_links: Option<String>,
    /// The planned baselines that cannot run here.
    pub left_out: Vec<LeftOut>,
    /// The last results of `cargo bench` in this checkout; see `criterion.rs`.
    pub benches: Vec<Bench>,
}

/// An entry of a growing comparison. A journal is a sequence of entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A completed run.
    Run(Box<RunResult>),
    /// A failed run.
    Failure(Failure),
    /// A discarded run.
    Rejected(Failure),
    /// A measured link.
    Calibration(Box<Calibration>),
    /// The counters of a server whose runs have all ended.
    Counters(Box<ArmCounters>),
}

/// The counters of the server that one arm's runs in turns shared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmCounters {
    /// The first run of the arm, which stands for all.
    pub arm: RunKey,
    /// The counters over the whole life of the server.
    pub counters: Snapshot,
}

/// The measurement of a link before its first use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// The name of the link.
    pub link: String,
    /// The requested and the measured properties.
    pub probe: ProbeReport,
    /// The kernel settings behind the link, by name. They are the kernel's defaults rather than
    /// those of the host.
    pub sysctls: Vec<(String, String)>,
}

/// A run that failed or was discarded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The run.
    pub key: RunKey,
    /// The reason.
    pub reason: String,
}

/// A baseline that cannot run here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The baseline.
    pub baseline: Baseline,
    /// The reason, and the remedy.
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
    /// The start, in seconds since 1970 (UTC).
    pub started_unix_s: u64,
    /// The version of this program.
    pub version: String,
    /// The commit of the source, with a + if the source was changed; empty outside a checkout.
    pub commit: String,
    /// The operating system and architecture.
    pub system: String,
    /// The kernel version.
    pub kernel: String,
    /// The name of the processor.
    pub cpu: String,
    /// The number of processors that this program may use.
    pub cpus: usize,
    /// The kernel settings that affect TCP and UDP, by name.
    pub sysctls: Vec<(String, String)>,
    /// The command line.
    pub command: Vec<String>,
    /// The processors of the runs, one entry for each run that may go on at once without sharing
    /// them.
    pub lanes: Vec<Lane>,
    /// The reason why the kernel's memory for sockets is unknown; `None` if it is known.
    pub no_kernel_memory: Option<String>,
    /// The times at which the comparison was resumed, in seconds since 1970 (UTC).
    pub resumed_unix_s: Vec<u64>,
}

/// Returns the seconds since 1970 (UTC).
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

impl Results {
    /// Returns the results of a comparison before its first run.
    pub fn empty(scenario: Scenario, provenance: Provenance) -> Self {
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

    /// Adds an entry.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Run(run) => self.runs.push(*run),
            Entry::Failure(failure) => self.failures.push(failure),
            Entry::Rejected(failure) => {
                // A run may be discarded after the runs beside it have ended.
                self.runs.retain(|run| run.key != failure.key);
                self.rejected.push(failure);
            }
            Entry::Calibration(calibration) => self.calibrations.push(*calibration),
            Entry::Counters(of_arm) => {
                for run in self.runs.iter_mut().filter(|run| run.key.combination() == of_arm.arm) {
                    run.counters.get_or_insert_with(|| of_arm.counters.clone());
                }
            }
        }
    }

    /// Returns the run, if it was completed.
    pub fn run(&self, key: &RunKey) -> Option<&RunResult> {
        self.runs.iter().find(|run| run.key == *key)
    }

    /// Whether a run needs no (further) attempt.
    pub fn is_done(&self, key: &RunKey) -> bool {
        self.run(key).is_some()
            || self.failures.iter().any(|failure| failure.key == *key)
            || self.rejections(key) >= ATTEMPTS_MAX
    }

    /// Returns the number of discarded attempts of a run.
    pub(crate) fn rejections(&self, key: &RunKey) -> usize {
        self.rejected.iter().filter(|failure| failure.key == *key).count()
    }

    /// Reads a file that [`Self::save`] wrote.
    ///
    /// # Errors
    /// Returns an error if the file is missing, holds no results, or has another schema.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        // The file may come from anybody, and its texts go to terminals and pages.
        let text = netduel_shown::escaped_json(&text);
        let Head { schema } = serde_json::from_str(&text)
            .with_context(|| format!("{} holds no results of netduel-reports", path.display()))?;
        ensure!(
            schema == SCHEMA,
            "{} has schema {schema} and this program reads {SCHEMA}: run the comparison again, or \
             use the version that wrote the file",
            path.display()
        );
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the file completely or not at all.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        write_atomic(path, &serde_json::to_string(self)?)
    }
}

/// Writes a file completely or not at all.
pub(crate) fn write_atomic(path: &Path, text: &str) -> anyhow::Result<()> {
    netduel_atomic_file::write_atomic(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
