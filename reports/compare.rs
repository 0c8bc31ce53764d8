//! `netduel-report run`: flags into a scenario, the runs one after another with progress, and the report.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use netduel_link::{Invalid, Lab, Privilege, ProbePlan};
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, TransportKind};

use crate::{
    csv::csv,
    harness::{self, Place, RunResult},
    html::html,
    render,
    results::{Calibration, Failure, Provenance, Results, SCHEMA, write_whole},
    scenario::{Network, Scenario},
};

/// Starting two processes, pairing, settling and ending: what a run takes on top of its window, for the estimate.
const RUN_OVERHEAD: Duration = Duration::from_millis(300);

/// What a short comparison looks at beside loopback.
const DEFAULT_LINKS: [&str; 2] = ["wifi", "lte"];
/// Three windows of a second hold a handful of wifi's bursts, or none, or far too many. With this seed they hold what is
/// typical: a burst in every repeat, and as much bad time as a long run meets on average. A test holds it to that.
const DEFAULT_SEED: u64 = 18;
/// A look at each link before it is used: long enough for its delay and rate, too short for rare losses.
const PROBE: ProbePlan = ProbePlan { packets: 400, packets_per_s: 500.0, payload_bytes: 64, fill_ms: 300.0 };
/// What that takes, for the estimate.
const PROBE_TIME: Duration = Duration::from_millis(1_800);

/// A run whose link was late says nothing and is run again; on a machine that is too busy thrice, a fourth attempt
/// would fail, too.
const ATTEMPTS_MAX: u32 = 3;

/// Flags of a comparison.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Transports to compare; all of them without it
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    transport: Vec<TransportKind>,

    /// What lies between players and server: loopback, or an emulated link by its name (netduel-link list), as a .toml
    /// file, or as a spec such as delay=20ms,loss=1%; repeat it. Without it: loopback, wifi and lte
    #[arg(long, value_name = "LINK", value_parser = parse_network)]
    link: Vec<Network>,

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

    /// How many times more the reference runs in every repeat, as if it were another transport: the noise floor
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=5))]
    controls: u8,

    /// Measured window of each run
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Time before each window, for things to settle
    #[arg(long, default_value = "250ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    warmup: Duration,

    /// Decides the order of the runs and the players' paths
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,

    /// Congestion control, on TCP and QUIC alike: cubic, bbr or reno
    #[arg(long, default_value_t)]
    congestion: Congestion,

    /// Leave Nagle's algorithm on (TCP only), to see what it does to small updates
    #[arg(long)]
    nagle: bool,

    /// Folder for results.json and the reports; a new one below results/ without it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn parse_network(text: &str) -> Result<Network, String> {
    text.parse::<Network>().map_err(|error| error.to_string())
}

impl CompareArgs {
    fn networks(&self) -> Vec<Network> {
        if self.link.is_empty() {
            let emulated = DEFAULT_LINKS.iter().filter_map(|name| name.parse().ok());
            std::iter::once(Network::Loopback).chain(emulated).collect()
        } else {
            self.link.clone()
        }
    }

    fn scenario(&self) -> anyhow::Result<Scenario> {
        ensure!(self.duration.as_millis() > 0, "--duration must be a millisecond at least");
        let transports =
            if self.transport.is_empty() { TransportKind::ALL.to_vec() } else { self.transport.clone() };
        ensure!(
            !transports.contains(&TransportKind::MEMORY),
            "memory does not cross processes: choose another --transport"
        );
        let links = self.networks();
        let twice = |names: Vec<&str>| {
            names.iter().enumerate().find(|(n, it)| names[..*n].contains(it)).map(|it| it.1.to_string())
        };
        let named_twice = twice(transports.iter().map(|kind| kind.name()).collect())
            .or_else(|| twice(links.iter().map(Network::name).collect()));
        ensure!(
            named_twice.is_none(),
            "{} is named twice; --repeat runs it more often",
            named_twice.unwrap_or_default()
        );
        Ok(Scenario {
            transports,
            links,
            rates_hz: self.rate.clone(),
            pairs: self.pairs.clone(),
            relays: self.relay.clone(),
            repeats: self.repeat,
            controls: self.controls,
            warmup_ms: self.warmup.as_millis() as u64,
            duration_ms: self.duration.as_millis() as u64,
            seed: self.seed,
            congestion: self.congestion,
            nagle: self.nagle,
            server_burn_us_per_s: 0,
        })
    }
}

/// Runs a comparison, prints it, and writes it down.
///
/// # Errors
/// Flags without sense, a disk that takes nothing, links that were asked for and cannot be had; at the end, a run that
/// failed, or a combination of which every run was thrown away. The report is written all the same.
pub fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let scenario = args.scenario()?;
    let provenance = Provenance::collect();
    let folder = args.out.clone().unwrap_or_else(|| default_folder(provenance.started_unix_s));
    // Before the work, not after it: a folder that cannot be written is known now.
    write_whole(&folder.join("results.json"), "{}")?;
    let results = measure(scenario, provenance, !args.link.is_empty())?;
    results.save(&folder.join("results.json"))?;
    write_reports(&folder, &results)?;
    println!("results  {}", folder.join("results.json").display());
    let (failed, missing) = (results.failures.len(), results.without_result());
    ensure!(
        failed == 0,
        "{failed} of {} runs failed; the warnings above say why",
        failed + results.runs.len()
    );
    ensure!(missing.is_empty(), "no result for {}; the warnings above say why", missing.join(", "));
    Ok(())
}

/// Carries out all runs of a scenario. `links_asked_for`: to have none is an error, and not a comparison without them.
pub(crate) fn measure(
    mut scenario: Scenario,
    provenance: Provenance,
    links_asked_for: bool,
) -> anyhow::Result<Results> {
    // Before anything that starts a thread: a user namespace is entered by the whole process or not at all.
    let (lab, no_links) = enter_lab(&mut scenario, links_asked_for)?;
    let mut results = Results {
        schema: SCHEMA,
        scenario,
        provenance,
        runs: Vec::new(),
        failures: Vec::new(),
        rejected: Vec::new(),
        calibrations: Vec::new(),
        no_links,
    };
    run_all(&mut results, lab.as_ref())?;
    Ok(results)
}

/// The right to make links, if any are to be made. Where they cannot be had, only those asked for are an error.
fn enter_lab(scenario: &mut Scenario, asked_for: bool) -> anyhow::Result<(Option<Lab>, Option<String>)> {
    if scenario.links.iter().all(|link| *link == Network::Loopback) {
        return Ok((None, None));
    }
    match Lab::enter(Privilege::Auto) {
        Ok(lab) => Ok((Some(lab), None)),
        Err(error) if asked_for => Err(error.into()),
        Err(error) => {
            eprintln!("no emulated links here, only loopback: {error}");
            scenario.links.retain(|link| *link == Network::Loopback);
            Ok((None, Some(error.to_string())))
        }
    }
}

fn run_all(results: &mut Results, lab: Option<&Lab>) -> anyhow::Result<()> {
    let runs = results.scenario.runs();
    let links = results.scenario.links.clone();
    let emulated = links.iter().filter(|link| **link != Network::Loopback).count() as u32;
    let run_time = RUN_OVERHEAD + Duration::from_millis(results.scenario.run_ms());
    let whole = run_time * runs.len() as u32 + PROBE_TIME * emulated;
    eprintln!("{} runs, about {} s", runs.len(), whole.as_secs().max(1));
    let progress = ProgressBar::new(runs.len() as u64);
    // Fails only for a template that does not parse, which is a constant here.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({eta} left)") {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(200));
    for link in &links {
        if let (Network::Emulated(spec), Some(lab)) = (link, lab) {
            progress.set_message(format!("measuring {}", spec.name));
            let probe = lab.link(spec, results.scenario.seed)?.probe(&PROBE)?;
            results.calibrations.push(Calibration { link: spec.name.clone(), probe });
        }
    }
    for key in runs {
        progress.set_message(format!("{key} on {}, repeat {}", key.link, key.repeat + 1));
        let attempt = || -> anyhow::Result<RunResult> {
            let place = match (links.iter().find(|link| link.name() == key.link), lab) {
                (Some(Network::Emulated(spec)), Some(lab)) => {
                    Place::Link(Box::new(lab.link(spec, results.scenario.seed_of(key.repeat))?))
                }
                _ => Place::Loopback,
            };
            harness::run(&results.scenario, &key, place)
        };
        for _ in 0..ATTEMPTS_MAX {
            let error = match attempt() {
                Ok(run) => {
                    results.runs.push(run);
                    break;
                }
                Err(error) => error,
            };
            // Only a late link is the machine's fault. Whatever else fails may be the transport's, and counts.
            let late = error.is::<Invalid>();
            let failure = Failure { key: key.clone(), reason: format!("{error:#}") };
            if !late {
                results.failures.push(failure);
                break;
            }
            results.rejected.push(failure);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
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
    write_reports(path.parent().unwrap_or(Path::new("")), &results).context("the results were read, but")
}

/// Prints the results, writes them in every format into `folder`, and says where.
fn write_reports(folder: &Path, results: &Results) -> anyhow::Result<()> {
    let reports = [
        ("report.html", html(results)),
        ("report.md", render::markdown(results)),
        ("report.csv", csv(results)),
    ];
    let mut said = render::terminal(results) + "\n";
    for (name, text) in reports {
        write_whole(&folder.join(name), &text)?;
        said += &format!("report   {}\n", folder.join(name).display());
    }
    // Whoever reads only the head of it closes the pipe, which is no failure of ours.
    let _ = std::io::stdout().write_all(said.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use netduel_link::{Direction, LinkSpec, bad_periods};

    use super::*;

    /// How much of the window the link is bad, from 0 to 1.
    fn bad_share(spec: &LinkSpec, seed: u64, direction: Direction, window_ns: u64) -> f64 {
        let bad_ns: u64 = bad_periods(&spec.path(direction).loss, seed, direction)
            .take_while(|(start_ns, _)| *start_ns < window_ns)
            .map(|(start_ns, end_ns)| end_ns.min(window_ns) - start_ns)
            .sum();
        bad_ns as f64 / window_ns as f64
    }

    /// The shares of wifi's windows, one for each repeat and direction.
    fn wifi_windows(seed: u64, repeats: u32, window_ns: u64) -> Vec<f64> {
        let spec: LinkSpec = "wifi".parse().expect("a profile");
        (0..repeats)
            .flat_map(|repeat| [Direction::Up, Direction::Down].map(|way| (repeat, way)))
            .map(|(repeat, way)| bad_share(&spec, seed + u64::from(repeat), way, window_ns))
            .collect()
    }

    #[test]
    fn the_default_seed_gives_a_quick_look_what_a_long_one_would_meet_on_average() {
        let windows = wifi_windows(DEFAULT_SEED, 3, 1_000_000_000);
        assert!(windows.chunks(2).all(|both_ways| both_ways.iter().sum::<f64>() > 0.0), "{windows:?}");
        let (mean, of_the_profile) = (windows.iter().sum::<f64>() / windows.len() as f64, 40.0 / 1_540.0);
        assert!((mean / of_the_profile - 1.0).abs() < 0.1, "{mean} instead of {of_the_profile}");
    }
}
