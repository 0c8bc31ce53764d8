//! The command `flood`: measures the cost of a flood for the players of a server. Witnesses play
//! over every transport, in turns without and with the flooders of `flooder.rs`, which run in a
//! separate process. The test compares the tail of their latency within one run on one machine.
//!
//! A virtual machine that stands still for 40 ms decides the p99 of four seconds, with and without
//! a flood, but not in every turn. The effect of a flood is in every turn. The lower quartile of
//! the turns therefore counts for both.
//!
//! The server has a processor for itself. Witnesses and flooders share another processor, which the
//! flooders get only when it is idle (SCHED_IDLE on Linux, by `chrt`). The witnesses then wait for
//! the work that the flood causes at the server, and not for the work of the flooders. The flood
//! `nothing` shows the remaining effect of the flooders, which is large where all share one
//! processor. The output lists the CPU time of the server beside the latency.

use std::{process::Command, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use netduel_loadgen::{
    LoadPlan, Process, Subject, Trusted, Usage, WindowPlan, Workload, affinity, this_program,
};
use netduel_transport::{Options, TransportKind};

use crate::{
    analysis::statistics,
    plan::contender::Contender,
    run::{
        place::Place,
        players::{Window, play},
        server::{Server, ServerLimits, ServerSpec},
    },
    stress::flooder::{Flood, FloodPlan},
};

/// The largest allowed ratio of the flooded p99 to the quiet p99 of the witnesses.
const RATIO_MAX: f64 = 2.0;
/// The largest growth of the server under a flood: twice the memory of QUIC connections at their
/// limit.
const GROWTH_MAX_BYTES: u64 = 80 << 20;
/// The time within which the flooders must start.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between the end of the flooders and the next turn. The flooders used up the connection
/// rate of their address, which the witnesses share. In the pause the address regains the
/// connections of a turn, and some more.
const PEACE_AFTER: Duration = Duration::from_secs(5);
/// Moves per second of each witness.
const RATE_HZ: u32 = 60;

/// The flags of `flood`.
#[derive(Args, Clone, Debug)]
pub struct FloodArgs {
    /// Floods to run; default: all
    #[arg(long, value_enum, value_delimiter = ',')]
    flood: Vec<Flood>,

    /// Number of turns, each without and then with the flood
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=50))]
    turns: u32,

    /// Duration of a turn
    #[arg(long, default_value = "4s", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Duration,
}

/// Runs the floods, and prints their cost.
///
/// # Errors
/// A flood that stretches the latency or grows the server beyond the limits.
pub fn flood(args: &FloodArgs) -> anyhow::Result<()> {
    if !affinity::raise_priority() {
        println!(
            "note: other programs of this machine affect the results; run as root for a higher priority"
        );
    }
    let servers = affinity::run_cpu();
    let others = servers.and_then(affinity::another_cpu);
    let server = start_server(servers)?;
    // This process and its children share the other processor: a starting process delays others on
    // its processor by some ms.
    others.map_or(Ok(()), affinity::bind)?;
    let floods = if args.flood.is_empty() { Flood::ALL.to_vec() } else { args.flood.clone() };
    let begin = server.usage().resident_bytes;
    println!(
        "{:<12}{:>14}{:>14}{:>8}{:>14}{:>14}{:>12}",
        "flood", "quiet p99", "flooded p99", "ratio", "quiet CPU", "flooded CPU", "memory"
    );
    let mut worst: Vec<String> = Vec::new();
    for flood in floods {
        let (mut quiet, mut flooded) = (Turns::default(), Turns::default());
        let mut resident = 0;
        for turn in 0..args.turns {
            quiet.add(args, witnesses(&server, others, args, turn, |_| Ok(()))?)?;
            let mut flooders = None;
            // The flood starts once the witnesses play: a later witness may rightly find the server
            // full.
            let beside = witnesses(&server, others, args, turn, |usage| {
                resident = resident.max(usage.resident_bytes.unwrap_or(0));
                if flooders.is_none() {
                    flooders = Some(start_flooders(&server, others, flood)?);
                }
                Ok(())
            });
            flooded.add(args, beside?)?;
            flooders.map_or(Ok(()), Process::end)?;
            std::thread::sleep(PEACE_AFTER);
        }
        let median = |values: &[f64]| statistics::median(values).unwrap_or_default();
        let (before_ms, beside_ms) = (lower_quartile(&quiet.p99_ms), lower_quartile(&flooded.p99_ms));
        let ratio = beside_ms / before_ms.max(1e-3);
        println!(
            "{:<12}{before_ms:>11.2} ms{beside_ms:>11.2} ms{ratio:>8.2}{:>12.1} %{:>12.1} %{:>9.1} MB",
            flood.name(),
            median(&quiet.cpu_percent),
            median(&flooded.cpu_percent),
            resident as f64 / 1e6
        );
        if ratio > RATIO_MAX && flood != Flood::Nothing {
            worst.push(format!("{} stretches the p99 by a factor of {ratio:.2}", flood.name()));
        }
        if begin.is_some_and(|begin| resident > begin + GROWTH_MAX_BYTES) {
            worst.push(format!("{} grows the server to {:.0} MB", flood.name(), resident as f64 / 1e6));
        }
    }
    println!("allowed     a ratio of {RATIO_MAX:.2}; growth by {} MB", GROWTH_MAX_BYTES >> 20);
    let counters = server.stop()?;
    println!(
        "counted     {} refused ({} by the rate limit), {} failed handshakes, {} expelled ({} for flooding, {} \
         stalled), {} address checks",
        counters.refused_address
            + counters.refused_full
            + counters.refused_handshakes
            + counters.refused_rate,
        counters.refused_rate,
        counters.handshakes_failed,
        counters.expelled,
        counters.expelled_flooding,
        counters.expelled_stalled,
        counters.address_checks,
    );
    ensure!(counters.panics == 0, "{} sessions panicked", counters.panics);
    ensure!(worst.is_empty(), "{}", worst.join("; "));
    Ok(())
}

/// Starts a server with the default limits, which are under test.
fn start_server(cpu: Option<usize>) -> anyhow::Result<Server> {
    let spec = ServerSpec {
        limits: ServerLimits::Default,
        cpu,
        log: "error",
        ..ServerSpec::new(&TransportKind::ALL, Contender::plain(TransportKind::ALL[0]))
    };
    Ok(Server::start(&Place::Loopback, &spec)?.without_kernel_memory())
}

/// Returns the lower quartile: disturbances of the machine only ever add to a latency.
fn lower_quartile(p99_ms: &[f64]) -> f64 {
    let mut sorted = p99_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 4).copied().unwrap_or_default()
}

/// Returns the transports of the server with their addresses.
fn addresses(server: &Server) -> Vec<(TransportKind, std::net::SocketAddr)> {
    TransportKind::ALL.into_iter().map(|kind| (kind, server.addresses()[&kind.into()])).collect()
}

/// Starts the flooders; the process is killed when the value is dropped.
fn start_flooders(server: &Server, cpu: Option<usize>, flood: Flood) -> anyhow::Result<Process> {
    let ours = this_program("flooder")?;
    let command = if cfg!(target_os = "linux") {
        let mut idle = Command::new("chrt");
        idle.args(["--idle", "0"]).arg(ours.get_program()).args(ours.get_args());
        idle
    } else {
        ours
    };
    let mut flooders = Process::start("flooders", command, |mut it| Ok(it.spawn()?))?;
    let plan = FloodPlan { flood, addresses: addresses(server), pin: server.pin().to_owned(), cpu };
    flooders.tell(&serde_json::to_string(&plan)?)?;
    flooders.line(READY_TIMEOUT)?;
    Ok(flooders)
}

/// The measurements of the turns.
#[derive(Default)]
struct Turns {
    /// The p99 of the latency of the witnesses, in ms.
    p99_ms: Vec<f64>,
    /// The CPU time of the server as a share of one processor, in %.
    cpu_percent: Vec<f64>,
}

impl Turns {
    fn add(&mut self, args: &FloodArgs, outcome: Window) -> anyhow::Result<()> {
        let p99_us = outcome.load.stats.one_way.quantile_us(0.99);
        let p99_us = p99_us.context("too few moves arrived for a p99: give a longer --duration")?;
        self.p99_ms.push(p99_us as f64 / 1e3);
        let cpu_us = outcome.server.cpu_us.unwrap_or_default() as f64;
        self.cpu_percent.push(cpu_us / args.duration.as_micros() as f64 * 100.0);
        Ok(())
    }
}

/// Runs the witnesses: one match over each transport.
fn witnesses(
    server: &Server,
    cpu: Option<usize>,
    args: &FloodArgs,
    turn: u32,
    mut watch: impl FnMut(Usage) -> anyhow::Result<()>,
) -> anyhow::Result<Window> {
    let plan = LoadPlan {
        workload: Workload::Moves,
        cpu,
        addresses: server.addresses().clone(),
        second_ip: None,
        trusted: Trusted::Pin(server.pin().to_owned()),
        pairs: TransportKind::ALL.map(|kind| [Subject::from(kind); 2]).to_vec(),
        rate_hz: RATE_HZ,
        in_flight: 0,
        payload_bytes: 0,
        pings_hz: 1,
        seed: turn.into(),
        phase_us: 0,
        options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
    };
    let duration_ms = args.duration.as_millis() as u64;
    let window = WindowPlan { warmup_ms: 500, duration_ms, ..WindowPlan::default() };
    let mut watched = Ok(());
    let outcome = play(&mut Place::Loopback, &plan, &window, Some(server), |usage| {
        if watched.is_ok() {
            watched = watch(usage);
        }
    });
    watched?;
    let outcome = outcome?;
    let load = &outcome.load;
    ensure!(
        load.pongs == load.pings,
        "{} control messages of the witnesses were lost",
        load.pings - load.pongs
    );
    Ok(outcome)
}
