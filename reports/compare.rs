//! `netduel-report run`: flags into a scenario, the runs one after another with progress, and the report.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, TransportKind};

use crate::{
    harness::{self, Loopback},
    render,
    results::{Failure, Provenance, Results, SCHEMA, write_whole},
    scenario::{LOOPBACK, Scenario},
};

/// Starting two processes, pairing, settling and ending: what a run takes on top of its window, for the estimate.
const RUN_OVERHEAD: Duration = Duration::from_millis(300);

/// Flags of a comparison.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Transports to compare; all of them without it
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    transport: Vec<TransportKind>,

    /// Moves per second and player
    #[arg(long, value_delimiter = ',', default_values_t = [60], value_name = "HZ,…", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Vec<u32>,

    /// Matches at once
    #[arg(long, value_delimiter = ',', default_values_t = [10], value_name = "N,…", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pairs: Vec<u32>,

    /// Who is told of a move: the player that did not move, or both
    #[arg(long, value_delimiter = ',', default_values_t = [RelayPolicy::Other], value_name = "other,both")]
    relay: Vec<RelayPolicy>,

    /// How often each combination runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,

    /// Measured window of each run
    #[arg(long, default_value = "2500ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Time before each window, for things to settle
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    warmup: Duration,

    /// Decides the order of the runs and the players' paths
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Congestion control, on TCP and QUIC alike: cubic, bbr or reno
    #[arg(long, default_value_t)]
    congestion: Congestion,

    /// Leave Nagle's algorithm on (TCP only), to see what it does to small updates
    #[arg(long)]
    nagle: bool,

    /// Folder for results.json and report.md; a new one below results/ without it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl CompareArgs {
    fn scenario(&self) -> anyhow::Result<Scenario> {
        ensure!(!self.duration.is_zero(), "--duration must be more than nothing");
        let transports =
            if self.transport.is_empty() { TransportKind::ALL.to_vec() } else { self.transport.clone() };
        ensure!(
            !transports.contains(&TransportKind::MEMORY),
            "memory does not cross processes: choose another --transport"
        );
        Ok(Scenario {
            transports,
            links: vec![LOOPBACK.into()],
            rates_hz: self.rate.clone(),
            pairs: self.pairs.clone(),
            relays: self.relay.clone(),
            repeats: self.repeat,
            warmup_ms: self.warmup.as_millis() as u64,
            duration_ms: self.duration.as_millis() as u64,
            seed: self.seed,
            congestion: self.congestion,
            nagle: self.nagle,
        })
    }
}

/// Runs a comparison, prints it, and writes it down.
///
/// # Errors
/// Flags without sense, a disk that takes nothing, or no run at all that came to its end. Single runs that fail are a
/// warning in the report, and an error at the end.
pub fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let scenario = args.scenario()?;
    let provenance = Provenance::collect();
    let folder = args.out.clone().unwrap_or_else(|| default_folder(provenance.started_unix_s));
    // Before the work, not after it: a folder that cannot be written is known now.
    write_whole(&folder.join("results.json"), "{}")?;

    let mut results =
        Results { schema: SCHEMA, scenario, provenance, runs: Vec::new(), failures: Vec::new() };
    run_all(&mut results);
    results.save(&folder.join("results.json"))?;
    write_whole(&folder.join("report.md"), &render::markdown(&results))?;
    print!("{}", render::terminal(&results));
    println!("\nreport   {}", folder.join("report.md").display());
    println!("results  {}", folder.join("results.json").display());
    let failed = results.failures.len();
    ensure!(
        failed == 0,
        "{failed} of {} runs failed; the warnings above say why",
        failed + results.runs.len()
    );
    Ok(())
}

fn run_all(results: &mut Results) {
    let runs = results.scenario.runs();
    let run_time = RUN_OVERHEAD + Duration::from_millis(results.scenario.run_ms());
    eprintln!("{} runs, about {} s", runs.len(), (run_time * runs.len() as u32).as_secs().max(1));
    let progress = ProgressBar::new(runs.len() as u64);
    // Fails only for a template that does not parse, which is a constant here.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({eta} left)") {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(200));
    for key in runs {
        progress.set_message(format!("{} on {}, repeat {}", key.transport, key.link, key.repeat + 1));
        match harness::run(&results.scenario, &key, &Loopback) {
            Ok(run) => results.runs.push(run),
            Err(error) => results.failures.push(Failure { key, reason: format!("{error:#}") }),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
}

fn default_folder(started_unix_s: u64) -> PathBuf {
    let started = std::time::UNIX_EPOCH + Duration::from_secs(started_unix_s);
    // RFC 3339 without the colons, which some file systems refuse.
    let name = humantime::format_rfc3339_seconds(started).to_string().replace(':', "");
    Path::new("results").join(name)
}

/// Renders a results file again, to the terminal and beside the file.
///
/// # Errors
/// A file that is missing, damaged or of another schema.
pub fn render_file(path: &Path) -> anyhow::Result<()> {
    let results = Results::load(path)?;
    let report = path.with_file_name("report.md");
    write_whole(&report, &render::markdown(&results)).context("the results were read, but")?;
    print!("{}", render::terminal(&results));
    println!("\nreport   {}", report.display());
    Ok(())
}
