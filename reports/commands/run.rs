//! The command `run`: builds a scenario from the flags, runs it with a progress bar, and writes the
//! reports. It also runs the suite of all presets, and resumes an interrupted comparison.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use netduel_link::{Testbed, cli::GRAMMAR};
use netduel_loadgen::{Baseline, Workload};
use netduel_protocol::PAYLOAD_MAX_BYTES;
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, TransportKind};

use crate::{
    commands::{
        comparison::{announce, begin, carry_out},
        seeds::{self, Sweep},
        suite,
    },
    data::{
        journal::Journal,
        results::{RESULTS_FILE, Results, unix_s},
    },
    plan::{
        contender::TUNED_SUFFIX,
        keep::Keep,
        presets::Preset,
        sampling::{Order, Sampling},
        scenario::{Network, Remote, Scenario},
    },
    run::{evidence, provenance, runner::enter_testbed, session::address_of},
};

/// The flags of `run`. A flag that is absent keeps the value of the preset.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The preset to run, listed below; "full" runs all of them, one report each
    #[arg(long, default_value = "quick", value_parser = parse_preset)]
    preset: String,

    /// Transports to compare; default: all
    #[arg(long, value_delimiter = ',', value_name = "KIND,…", value_parser = parse_transport)]
    transport: Vec<TransportKind>,

    /// Baselines (other relays) to measure against; the report shows ratios to the bare relays
    /// instead of a verdict
    #[arg(long, value_delimiter = ',', value_name = "BASELINE,…")]
    baseline: Vec<Baseline>,

    /// Link between players and server: loopback, an emulated link by name (netduel-link list), a
    /// .toml file, or a spec such as delay=20ms,loss=1%; NAME+bulk adds a download beside the game;
    /// repeatable
    #[arg(long, value_name = "LINK", value_parser = parse_network)]
    link: Vec<Network>,

    /// Measure against a remote server over the real network; without a port, each transport uses
    /// its default port
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "link")]
    server: Option<String>,

    /// Trust the certificates in this PEM file (the server writes its own with --cert-out)
    #[arg(long, value_name = "FILE", requires = "server", conflicts_with = "pin")]
    ca: Option<PathBuf>,

    /// Trust only a server with this key: the SHA-256 of its public key, which the server prints at
    /// its start. A renewed certificate of the same key keeps it
    #[arg(long, value_name = "SHA256", requires = "server")]
    pin: Option<String>,

    /// Moves per second and player
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "HZ,…",
        value_parser = clap::value_parser!(u32).range(1..=10_000),
    )]
    rate: Vec<u32>,

    /// Add closed-loop runs of one match with N moves in flight; each player answers what it
    /// receives
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,…",
        value_parser = clap::value_parser!(u32).range(1..=1_000),
    )]
    in_flight: Vec<u32>,

    /// Concurrent matches on links; without links, on loopback or to the server
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,…",
        value_parser = clap::value_parser!(u32).range(1..=1_000),
    )]
    pairs: Vec<u32>,

    /// Payload bytes of each move, in addition to the position
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "BYTES,…",
        value_parser = clap::value_parser!(u32).range(0..=PAYLOAD_MAX_BYTES as i64),
    )]
    payload: Vec<u32>,

    /// Recipients of a relayed move: the opponent only, or both players
    #[arg(long, value_delimiter = ',', value_name = "other,both")]
    relay: Vec<RelayPolicy>,

    /// Congestion control of TCP and QUIC
    #[arg(long, value_delimiter = ',', value_name = "cubic,bbr,reno")]
    congestion: Vec<Congestion>,

    /// Nagle's algorithm, which delays small updates (TCP only)
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "on")]
    nagle: Vec<Switch>,

    /// TLS session resumption for players who reconnect (encrypted transports only)
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "on")]
    resumption: Vec<Switch>,

    /// Timers of TCP tuned for small updates: retransmission after 20 ms beside the round trip
    /// instead of 200 ms, and linear back-off (TCP and TLS only)
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "on")]
    tuned: Vec<Switch>,

    /// Packets after which QUIC acknowledges; 2 is what RFC 9000 says and asks for no extension
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,…",
        value_parser = clap::value_parser!(u32).range(2..=100),
    )]
    ack_packets: Vec<u32>,

    /// Relay only the newest move of those that one read of the server brought
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "on")]
    newest_of_burst: Vec<Switch>,

    /// Milliseconds without an acknowledgement after which ENet pings; ENet's own is 500
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "MS,…",
        value_parser = clap::value_parser!(u32).range(1..=2_500),
    )]
    enet_ping: Vec<u32>,

    /// A certificate chain of 4 kB, as of a public authority with RSA keys, instead of one small
    /// certificate (encrypted transports only; a resumed session sends none)
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "on")]
    long_chain: Vec<Switch>,

    /// Repeats of each combination on links; without links, rounds on loopback or to the server
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: Option<u32>,

    /// Rounds on loopback, in which the cost of the transports is measured
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: Option<u32>,

    /// Leave out loopback, on which the cost of the transports is measured beside links
    #[arg(long)]
    no_cost: bool,

    /// Additional runs of the reference in every repeat, as A/A controls: they give the noise floor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=5))]
    controls: Option<u8>,

    /// Measured window of each run on links; without links, of each run
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// Warm-up time before each window
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    warmup: Option<Duration>,

    /// Seed of the order of runs, of the paths of the bots and of what the links do
    #[arg(long)]
    seed: Option<u64>,

    /// Run the comparison with N seeds, one after the other, and list what each recommends
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    seeds: Option<u32>,

    /// Keep a row for each move in moves.csv: when it was meant, sent and received, its fate, and
    /// what the link did
    #[arg(long)]
    keep_moves: bool,

    /// Keep a packet capture of each session, with the TLS keys that decrypt it (needs tcpdump)
    #[arg(long)]
    capture: bool,

    /// Keep the qlog of each player's QUIC connection
    #[arg(long)]
    qlog: bool,

    /// Folder for results.json and the reports; default: a new folder in results/
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Resume the interrupted comparison in this folder; finished runs and all other flags are kept
    #[arg(long, value_name = "DIR", exclusive = true)]
    resume: Option<PathBuf>,
}

/// The value of a flag that switches a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    Off,
    On,
}

/// Parses a transport. Reports name a tuned transport in one word, which here is a flag.
fn parse_transport(text: &str) -> Result<TransportKind, String> {
    match text.strip_suffix(TUNED_SUFFIX) {
        Some(kind) if kind.parse::<TransportKind>().is_ok() => Err(format!(
            "{text} is {kind} with tuned options: write --transport {kind} --tuned on (off,on for both)"
        )),
        _ => text.parse::<TransportKind>().map_err(|error| error.to_string()),
    }
}

fn parse_network(text: &str) -> Result<Network, String> {
    text.parse::<Network>().map_err(|error| error.to_string())
}

fn parse_preset(text: &str) -> Result<String, String> {
    let names: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name).chain([suite::NAME]).collect();
    if names.contains(&text) { Ok(text.into()) } else { Err(format!("expected one of {}", names.join(", "))) }
}

/// Returns the list of presets and the grammar of links for `--help`.
pub fn help() -> String {
    let line = |name: &str, question: &str| format!("  {name:<11} {question}\n");
    let all: String = Preset::ALL.iter().map(|preset| line(preset.name, preset.question)).collect();
    let suite = line(suite::NAME, "all presets, one report each, and an index page");
    format!("Presets:\n{all}{suite}\nA LINK is the name of a profile, a .toml file, or a spec:\n{GRAMMAR}")
}

impl RunArgs {
    /// Returns the scenario of a preset, changed by the flags.
    fn scenario(&self, preset: &Preset) -> anyhow::Result<Scenario> {
        let mut scenario = preset.scenario();
        replace(&mut scenario.transports, &self.transport);
        replace(&mut scenario.baselines, &self.baseline);
        replace(&mut scenario.links, &self.link);
        replace(&mut scenario.rates_hz, &self.rate);
        replace(&mut scenario.in_flight, &self.in_flight);
        replace(&mut scenario.payloads_bytes, &self.payload);
        replace(&mut scenario.relays, &self.relay);
        replace(&mut scenario.congestions, &self.congestion);
        replace(&mut scenario.nagle, &switches(&self.nagle));
        replace(&mut scenario.resumption, &switches(&self.resumption));
        replace(&mut scenario.tuned, &switches(&self.tuned));
        let ack_packets: Vec<Option<u32>> = self.ack_packets.iter().copied().map(Some).collect();
        replace(&mut scenario.ack_packets, &ack_packets);
        replace(&mut scenario.newest_of_burst, &switches(&self.newest_of_burst));
        let enet_ping_ms: Vec<Option<u32>> = self.enet_ping.iter().copied().map(Some).collect();
        replace(&mut scenario.enet_ping_ms, &enet_ping_ms);
        replace(&mut scenario.long_chain, &switches(&self.long_chain));
        if let Some(server) = &self.server {
            ensure!(
                scenario.baselines.is_empty(),
                "baselines run on this host only: leave out --baseline or --server"
            );
            let (pin, ca) = (self.pin.clone(), self.ca.clone());
            let remote = Remote { server: server.clone(), pin, ca };
            // A wrong host name fails here, before the first run.
            for &kind in &scenario.transports {
                address_of(&remote, kind)?;
            }
            scenario.links = vec![Network::Remote(remote)];
            scenario.off_links = Sampling::REMOTE.of(&scenario.off_links.pairs);
            let port_given = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            ensure!(
                !port_given || scenario.transports.len() == 1,
                "every transport has its own port: name one --transport, or leave out the port"
            );
            if pin_or_ca_missing(&scenario) {
                let encrypted = |kind: &TransportKind| kind.capabilities().encrypted;
                ensure!(
                    self.transport.is_empty(),
                    "encrypted transports need --pin or --ca: the server prints its fingerprint, and --cert-out writes \
                     its certificate"
                );
                eprintln!("note: measuring unencrypted transports only; encrypted ones need --pin or --ca");
                scenario.transports.retain(|kind| !encrypted(kind));
            }
        }
        // A list given by flag replaces the search.
        if !self.rate.is_empty() || !self.pairs.is_empty() {
            scenario.search = None;
        }
        self.size(&mut scenario);
        self.add_cost(&mut scenario)?;
        scenario.controls = self.controls.unwrap_or(scenario.controls);
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.keep = self.keep();
        check(&scenario)?;
        Ok(scenario)
    }
}

impl RunArgs {
    /// Returns the evidence to keep.
    fn keep(&self) -> Keep {
        Keep { moves: self.keep_moves, capture: self.capture, qlog: self.qlog }
    }

    /// Changes the sampling by the flags: that on links, or the other where no link is emulated.
    fn size(&self, scenario: &mut Scenario) {
        let emulated = scenario.links.iter().any(|link| link.spec().is_some());
        scenario.off_links.repeats = self.rounds.unwrap_or(scenario.off_links.repeats);
        let sampling = if emulated { &mut scenario.on_links } else { &mut scenario.off_links };
        let ms = |time: Duration| time.as_millis() as u64;
        replace(&mut sampling.pairs, &self.pairs);
        sampling.repeats = self.repeat.unwrap_or(sampling.repeats);
        sampling.duration_ms = self.duration.map_or(sampling.duration_ms, ms);
        sampling.warmup_ms = self.warmup.map_or(sampling.warmup_ms, ms);
    }

    /// Adds loopback to links, since the cost of moves is measured there; or leaves it out.
    fn add_cost(&self, scenario: &mut Scenario) -> anyhow::Result<()> {
        if self.no_cost {
            scenario.links.retain(|link| *link != Network::Loopback);
            ensure!(!scenario.links.is_empty(), "--no-cost leaves out loopback: name a --link, too");
        } else if scenario.has_order(Order::Beside)
            && scenario.workload == Workload::Moves
            && !scenario.links.contains(&Network::Loopback)
        {
            scenario.links.push(Network::Loopback);
        }
        Ok(())
    }
}

/// Returns whether each switch of a flag is on.
fn switches(given: &[Switch]) -> Vec<bool> {
    given.iter().map(|switch| *switch == Switch::On).collect()
}

/// Replaces `list` by the values of a flag, if the flag was given.
fn replace<T: Clone>(list: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        *list = given.to_vec();
    }
}

/// Returns whether an encrypted transport runs against a remote server without a trust anchor.
fn pin_or_ca_missing(scenario: &Scenario) -> bool {
    let without = |link: &Network| matches!(link, Network::Remote(it) if it.pin.is_none() && it.ca.is_none());
    scenario.links.iter().any(without) && scenario.transports.iter().any(|kind| kind.capabilities().encrypted)
}

/// Checks that the flags fit together.
fn check(scenario: &Scenario) -> anyhow::Result<()> {
    let moves_alone = scenario.baselines.is_empty() && scenario.in_flight.is_empty();
    ensure!(
        moves_alone || (scenario.workload == Workload::Moves && scenario.search.is_none()),
        "--baseline and --in-flight need a preset with moves and without a search"
    );
    ensure!(
        scenario.baselines.is_empty() || scenario.payloads_bytes == [0],
        "baselines carry moves without payload: use --baseline without a --payload"
    );
    let windows = [&scenario.on_links, &scenario.off_links].map(|sampling| sampling.duration_ms);
    ensure!(!windows.contains(&0), "--duration must be at least 1 ms");
    ensure!(
        !scenario.transports.contains(&TransportKind::Memory),
        "the transport `memory` works inside one process only: choose another --transport"
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
        "{} is given twice; use --repeat to run it more often",
        twice.map_or("", |(_, name)| name.as_str())
    );
    Ok(())
}

/// Runs a comparison, prints it, and writes its results and reports.
///
/// # Errors
/// Flags that do not fit together, a folder that cannot be written, or links that were requested
/// and are not available. A failed run, or a combination of which every run was rejected, is an
/// error at the end; the reports are written all the same.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    if let Some(folder) = &args.resume {
        return resume(folder);
    }
    let started = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_secs(unix_s()));
    // RFC 3339 without colons, which some file systems reject.
    let new = || Path::new("results").join(started.to_string().replace(':', ""));
    let folder = args.out.clone().unwrap_or_else(new);
    let Some(preset) = Preset::named(&args.preset) else {
        ensure!(args.seeds.is_none(), "--seeds needs one preset, and \"{}\" runs all of them", args.preset);
        ensure!(
            !args.keep().any(),
            "to keep evidence, name one preset: \"{}\" runs all of them",
            args.preset
        );
        let all = Preset::ALL.iter().map(|preset| args.scenario(preset)).collect::<Result<Vec<_>, _>>()?;
        return suite::run(&folder, all);
    };
    let mut scenario = args.scenario(preset)?;
    let (testbed, no_links) = testbed_for(&mut scenario, !args.link.is_empty())?;
    evidence::check(&scenario)?;
    if let Some(count) = args.seeds {
        return seeds::run(&folder, Sweep { scenario, no_links, count }, testbed.as_ref());
    }
    let mut results = Results::empty(scenario, provenance::collect());
    results.no_links = no_links;
    announce(&results.scenario, &folder);
    begin(&folder, results, testbed.as_ref())
}

/// Enters the testbed of emulated links. Without permission, it drops the links of a preset, and
/// fails only for links that the user requested.
fn testbed_for(
    scenario: &mut Scenario,
    requested: bool,
) -> anyhow::Result<(Option<Testbed>, Option<String>)> {
    match enter_testbed(&scenario.links) {
        Ok(testbed) => Ok((testbed, None)),
        Err(error) if requested => Err(error.into()),
        Err(error) => {
            scenario.links.retain(|link| link.spec().is_none());
            ensure!(!scenario.links.is_empty(), "this preset needs emulated links: {error}");
            eprintln!("warning: measuring loopback only, since emulated links are not available: {error}");
            Ok((None, Some(error.to_string())))
        }
    }
}

/// Resumes the comparison or suite in `folder`.
fn resume(folder: &Path) -> anyhow::Result<()> {
    if suite::is_in(folder) {
        return suite::resume(folder);
    }
    if seeds::is_in(folder) {
        return seeds::resume(folder);
    }
    if !Journal::is_in(folder) && folder.join(RESULTS_FILE).exists() {
        bail!("{} is complete: nothing to resume", folder.display());
    }
    // The testbed must be entered before any thread starts.
    let (journal, results) = Journal::resume(folder, &provenance::collect())?;
    let testbed = enter_testbed(&results.scenario.links)?;
    eprintln!("{} runs had finished before", results.runs.len() + results.failures.len());
    announce(&results.scenario, folder);
    carry_out(folder, results, journal, testbed.as_ref())
}
