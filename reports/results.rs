//! What is kept of a comparison: every run's raw samples with the settings and the circumstances, as one JSON file.
//! Rendering reads only this.

use std::{
    fmt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use netduel_link::ProbeReport;
use serde::{Deserialize, Serialize};

use crate::{
    bearing::{Fate, bearings},
    benches::Bench,
    carrier::Baseline,
    cpus,
    harness::RunResult,
    scenario::{RunKey, Scenario},
    sockets,
};

/// Raised with every change of the file's form.
pub const SCHEMA: u32 = 5;

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
    /// What `cargo bench` had left beside this checkout; see `benches.rs`.
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

/// Settings of the kernel under which results differ.
const SYSCTLS: &[&str] = &[
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/core/rmem_max",
    "net/core/wmem_max",
    "net/core/default_qdisc",
];

impl Provenance {
    /// Of this process, on this host, now.
    pub fn collect() -> Self {
        let read =
            |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        let cpu_info = read("/proc/cpuinfo");
        let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            started_unix_s: unix_s(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: commit().unwrap_or_default(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            sysctls: SYSCTLS
                .iter()
                .map(|name| (name.replace('/', "."), read(&format!("/proc/sys/{name}"))))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
            command: std::env::args().skip(1).collect(),
            run_cpu: cpus::of_run(),
            no_kernel_memory: sockets::unavailable(),
            resumed_unix_s: Vec::new(),
        }
    }
}

/// Of the checkout that this program was built from.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git")
            // It only asks: `status` would otherwise write down what it found, and fail where nothing can be written.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(args)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = if git(&["status", "--porcelain"])?.is_empty() { "" } else { "+" };
    Some(git(&["rev-parse", "--short=12", "HEAD"])? + changed)
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

    /// The combinations of which no run came to its end.
    pub fn without_result(&self) -> Vec<String> {
        if self.scenario.search.is_some() {
            let all = bearings(self).into_iter();
            let unknown =
                all.filter(|it| it.tries.iter().all(|it| matches!(it.fate, Fate::Failed | Fate::TooFew)));
            return unknown.map(|it| format!("{} on {}", it.contender, it.group.link)).collect();
        }
        let any = |key: &RunKey| self.runs.iter().any(|run| run.key.combination() == *key);
        let first_repeats = self.scenario.runs().into_iter().filter(|key| key.repeat == 0);
        first_repeats.filter(|key| !any(key)).map(|key| format!("{key} on {}", key.group.link)).collect()
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
