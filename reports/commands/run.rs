//! `netduel-report run`: flags into a scenario, the runs with progress, and the report; all presets one after the other,
//! and what was interrupted, from where it stopped.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{bail, ensure};
use clap::Args;
use netduel_link::Testbed;
use netduel_loadgen::{Baseline, Workload};
use netduel_protocol::PAYLOAD_MAX_BYTES;
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, TransportKind};

use crate::{
    commands::{
        comparison::{announce, carry_out},
        suite,
    },
    data::{
        criterion::{self, CRITERION},
        journal::Journal,
        results::{RESULTS_FILE, Results, unix_s},
    },
    plan::{
        presets::Preset,
        scenario::{Network, Remote, Scenario},
    },
    run::{provenance, run_once, runner::enter_testbed},
};

/// Flags of a comparison. What is not given is the preset's.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The question to ask, listed below; "full" asks all of them, one report each
    #[arg(long, default_value = "quick", value_parser = parse_preset)]
    preset: String,

    /// Transports to compare; all of them without it
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    transport: Vec<TransportKind>,

    /// Other relays to measure against, by name: ratios to the bare ones instead of a verdict
    #[arg(long, value_delimiter = ',', value_name = "BASELINE,…")]
    baseline: Vec<Baseline>,

    /// What lies between players and server: loopback, or an emulated link by its name (netduel-link list), as a .toml
    /// file, or as a spec such as delay=20ms,loss=1%; NAME+bulk puts a download beside the game; repeat it
    #[arg(long, value_name = "LINK", value_parser = parse_network)]
    link: Vec<Network>,

    /// Measure to a server elsewhere, over whatever network there is, instead; without a port, each transport's own
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "link")]
    server: Option<String>,

    /// Trust the certificates in this PEM file (the server writes its own with --cert-out)
    #[arg(long, value_name = "FILE", requires = "server", conflicts_with = "pin")]
    ca: Option<PathBuf>,

    /// Trust exactly the certificate with this SHA-256 fingerprint (the server prints its own)
    #[arg(long, value_name = "SHA256", requires = "server")]
    pin: Option<String>,

    /// Moves per second and player
    #[arg(long, value_delimiter = ',', value_name = "HZ,…", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Vec<u32>,

    /// Closed loops of one match besides, with so many moves under way: each player answers what arrives
    #[arg(long, value_delimiter = ',', value_name = "N,…", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    in_flight: Vec<u32>,

    /// Matches at once
    #[arg(long, value_delimiter = ',', value_name = "N,…", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pairs: Vec<u32>,

    /// Bytes carried with each move on top of the position
    #[arg(long, value_delimiter = ',', value_name = "BYTES,…", value_parser = clap::value_parser!(u32).range(0..=PAYLOAD_MAX_BYTES as i64))]
    payload: Vec<u32>,

    /// Who is told of a move: the player that did not move, or both
    #[arg(long, value_delimiter = ',', value_name = "other,both")]
    relay: Vec<RelayPolicy>,

    /// Congestion control, on TCP and QUIC alike
    #[arg(long, value_delimiter = ',', value_name = "cubic,bbr,reno")]
    congestion: Vec<Congestion>,

    /// Nagle's algorithm, to see what it does to small updates (TCP only)
    #[arg(long, value_delimiter = ',', value_name = "off,on", num_args = 0.., default_missing_value = "on", value_parser = parse_switch)]
    nagle: Vec<bool>,

    /// TLS sessions taken up again by players who come back, where there is TLS
    #[arg(long, value_delimiter = ',', value_name = "off,on", num_args = 0.., default_missing_value = "on", value_parser = parse_switch)]
    resumption: Vec<bool>,

    /// How often each combination runs
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: Option<u32>,

    /// How many times more the reference runs in every repeat, as if it were another transport: the noise floor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=5))]
    controls: Option<u8>,

    /// Measured window of each run
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// Time before each window, for things to settle
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    warmup: Option<Duration>,

    /// Decides the order of the runs and the players' paths
    #[arg(long)]
    seed: Option<u64>,

    /// Folder for results.json and the reports; a new one below results/ without it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Go on with what was interrupted in this folder; finished runs are kept, and all other flags are those of then
    #[arg(long, value_name = "DIR", exclusive = true)]
    resume: Option<PathBuf>,
}

fn parse_network(text: &str) -> Result<Network, String> {
    text.parse::<Network>().map_err(|error| error.to_string())
}

fn parse_preset(text: &str) -> Result<String, String> {
    let names: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name).chain([suite::NAME]).collect();
    if names.contains(&text) { Ok(text.into()) } else { Err(format!("there are {}", names.join(", "))) }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("there are on and off".into()),
    }
}

/// What `--help` says of the presets.
pub fn presets_help() -> String {
    let line = |name: &str, question: &str| format!("  {name:<11} {question}\n");
    let all: String = Preset::ALL.iter().map(|preset| line(preset.name, preset.question)).collect();
    format!("Presets:\n{all}{}", line(suite::NAME, "all of these, one report each, and a page above them"))
}

impl RunArgs {
    /// A preset's scenario with what the flags change.
    fn scenario(&self, preset: &Preset) -> anyhow::Result<Scenario> {
        let mut scenario = preset.scenario();
        replace(&mut scenario.transports, &self.transport);
        replace(&mut scenario.baselines, &self.baseline);
        replace(&mut scenario.links, &self.link);
        replace(&mut scenario.rates_hz, &self.rate);
        replace(&mut scenario.in_flight, &self.in_flight);
        replace(&mut scenario.pairs, &self.pairs);
        replace(&mut scenario.payloads_bytes, &self.payload);
        replace(&mut scenario.relays, &self.relay);
        replace(&mut scenario.congestions, &self.congestion);
        replace(&mut scenario.nagle, &self.nagle);
        replace(&mut scenario.resumption, &self.resumption);
        if let Some(server) = &self.server {
            ensure!(scenario.baselines.is_empty(), "baselines run here and not on a --server elsewhere");
            let (pin, ca) = (self.pin.clone(), self.ca.clone());
            let remote = Remote { server: server.clone(), pin, ca };
            // Now, and not in each run.
            for &kind in &scenario.transports {
                run_once::address_of(&remote, kind)?;
            }
            scenario.links = vec![Network::Remote(remote)];
            let port_given = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            ensure!(
                !port_given || scenario.transports.len() == 1,
                "a server listens for each transport on a port of its own: name one --transport, or leave the port out"
            );
            if pin_or_ca_missing(&scenario) {
                let encrypted = |kind: &TransportKind| kind.capabilities().encrypted;
                ensure!(
                    self.transport.is_empty(),
                    "encrypted transports need --pin or --ca: the server prints its fingerprint, and writes its certificate with --cert-out"
                );
                eprintln!("only what does not encrypt: the others need --pin or --ca");
                scenario.transports.retain(|kind| !encrypted(kind));
            }
        }
        // A list that was given is what runs, and no search.
        if !self.rate.is_empty() || !self.pairs.is_empty() {
            scenario.search = None;
        }
        scenario.repeats = self.repeat.unwrap_or(scenario.repeats);
        scenario.controls = self.controls.unwrap_or(scenario.controls);
        let ms = |time: Duration| time.as_millis() as u64;
        scenario.duration_ms = self.duration.map_or(scenario.duration_ms, ms);
        scenario.warmup_ms = self.warmup.map_or(scenario.warmup_ms, ms);
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        check(&scenario)?;
        Ok(scenario)
    }
}

fn replace<T: Clone>(list: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        *list = given.to_vec();
    }
}

fn pin_or_ca_missing(scenario: &Scenario) -> bool {
    let without = |link: &Network| matches!(link, Network::Remote(it) if it.pin.is_none() && it.ca.is_none());
    scenario.links.iter().any(without) && scenario.transports.iter().any(|kind| kind.capabilities().encrypted)
}

/// Flags that make no sense together.
fn check(scenario: &Scenario) -> anyhow::Result<()> {
    let moves_alone = scenario.baselines.is_empty() && scenario.in_flight.is_empty();
    ensure!(
        moves_alone || (scenario.workload == Workload::Moves && scenario.search.is_none()),
        "--baseline and --in-flight are for presets in which players play, without a search"
    );
    ensure!(
        scenario.baselines.is_empty() || scenario.payloads_bytes == [0],
        "baselines carry moves without a --payload"
    );
    ensure!(scenario.duration_ms > 0, "--duration must be a millisecond at least");
    ensure!(
        !scenario.transports.contains(&TransportKind::Memory),
        "memory does not cross processes: choose another --transport"
    );
    let too_long = |relay: &RelayPolicy| {
        scenario.payloads_bytes.iter().any(|bytes| *bytes as usize > relay.payload_max_bytes())
    };
    if let Some(relay) = scenario.relays.iter().find(|relay| too_long(relay)) {
        bail!(
            "--payload may be {} bytes at most where moves are relayed to {relay}",
            relay.payload_max_bytes()
        );
    }
    let mut names: Vec<String> = scenario.contenders().iter().map(ToString::to_string).collect();
    names.extend(scenario.groups().iter().map(ToString::to_string));
    let twice = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name));
    ensure!(
        twice.is_none(),
        "{} is named twice; --repeat runs it more often",
        twice.map_or("", |(_, name)| name.as_str())
    );
    Ok(())
}

/// Runs a comparison, prints it, and writes it down.
///
/// # Errors
/// Flags without sense, a disk that takes nothing, links that were asked for and cannot be had; at the end, a run that
/// failed, or a combination of which every run was thrown away. The report is written all the same.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    if let Some(folder) = &args.resume {
        return resume(folder);
    }
    let started = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_secs(unix_s()));
    // RFC 3339 without the colons, which some file systems refuse.
    let new = || Path::new("results").join(started.to_string().replace(':', ""));
    let folder = args.out.clone().unwrap_or_else(new);
    let Some(preset) = Preset::named(&args.preset) else {
        let all = Preset::ALL.iter().map(|preset| args.scenario(preset)).collect::<Result<Vec<_>, _>>()?;
        return suite::run(&folder, all);
    };
    let mut scenario = args.scenario(preset)?;
    let (testbed, no_links) = testbed_for(&mut scenario, !args.link.is_empty())?;
    let mut results = Results::empty(scenario, provenance::collect());
    results.no_links = no_links;
    results.benches = criterion::collect(Path::new(CRITERION));
    let journal = Journal::begin(&folder, &results)?;
    announce(&results.scenario, &folder);
    carry_out(&folder, results, journal, testbed.as_ref())
}

/// The right to make links. Where they cannot be had, only those asked for are an error.
fn testbed_for(
    scenario: &mut Scenario,
    asked_for: bool,
) -> anyhow::Result<(Option<Testbed>, Option<String>)> {
    match enter_testbed(&scenario.links) {
        Ok(testbed) => Ok((testbed, None)),
        Err(error) if asked_for => Err(error.into()),
        Err(error) => {
            scenario.links.retain(|link| link.spec().is_none());
            ensure!(!scenario.links.is_empty(), "all of this preset is about emulated links, and {error}");
            eprintln!("no emulated links here, only loopback: {error}");
            Ok((None, Some(error.to_string())))
        }
    }
}

fn resume(folder: &Path) -> anyhow::Result<()> {
    if suite::is_in(folder) {
        return suite::resume(folder);
    }
    if !Journal::is_in(folder) && folder.join(RESULTS_FILE).exists() {
        bail!("{} is complete: there is nothing to resume", folder.display());
    }
    // The testbed first, since it must be entered before any thread starts.
    let (journal, results) = Journal::resume(folder, &provenance::collect())?;
    let testbed = enter_testbed(&results.scenario.links)?;
    eprintln!("{} runs had ended before", results.runs.len() + results.failures.len());
    announce(&results.scenario, folder);
    carry_out(folder, results, journal, testbed.as_ref())
}
