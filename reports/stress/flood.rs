//! `netduel-report flood`: what a flood costs the players of a server. Witnesses play over every transport, by turns in peace
//! and beside the flooders of `flooder.rs`, which have a process of their own; what is compared is the tail of their
//! latency, within one run and on one machine. 40 ms in which a virtual machine stands still decide a p99 of four seconds,
//! in peace as well as under a flood, and not in every turn; what a flood does is there in all of them. So what counts of
//! either is the lower quartile.
//!
//! The server has a processor for itself. Witnesses and flooders share another one, which the flooders have only while nobody
//! else wants it (SCHED_IDLE: on Linux, by `chrt`): so what the witnesses wait for is the work that the flood makes for the
//! server, and not the flooders' own. The flood `nothing` shows what is left of that, which is much where there is one
//! processor for all. What the server takes of its own stands beside it.

use std::{process::Command, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use netduel_loadgen::{LoadPlan, Process, Subject, Trusted, Usage, Workload, affinity, this_program};
use netduel_transport::{Options, TransportKind};

use crate::{
    analysis::statistics,
    plan::scenario::Contender,
    run::{
        place::Place,
        run_once::{LoadOutcome, play},
        server::{Server, ServerLimits, ServerSpec},
    },
    stress::flooder::{Flood, FloodPlan},
};

/// How much a flood may stretch the witnesses' p99.
const RATIO_MAX: f64 = 2.0;
/// What the server may grow by while it is flooded: its connections at their limit over QUIC, and twice that.
const GROWTH_MAX_BYTES: u64 = 80 << 20;
/// Until the flooders have begun.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// From the flooders' end until the next turn. They used up what their address may connect, which is the witnesses' address,
/// too; meanwhile it earns as many connections as a turn takes, and some more.
const PEACE_AFTER: Duration = Duration::from_secs(5);
const RATE_HZ: u32 = 60;

/// Flags of a flood.
#[derive(Args, Clone, Debug)]
pub struct FloodArgs {
    /// Only these floods
    #[arg(long, value_enum, value_delimiter = ',')]
    flood: Vec<Flood>,

    /// How often each flood takes turns with peace
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=50))]
    turns: u32,

    /// How long a turn lasts
    #[arg(long, default_value = "4s", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Duration,
}

/// Floods, and says what it cost.
///
/// # Errors
/// A flood that costs more than it may.
pub fn flood(args: &FloodArgs) -> anyhow::Result<()> {
    if !affinity::raise_priority() {
        println!("note: other programs of this machine take part, since only root may go before them");
    }
    let servers = affinity::run_cpu();
    let others = servers.and_then(affinity::another_cpu);
    let server = start_server(servers)?;
    // This process, too, and what it starts: a process that begins takes some ms of where it does.
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
            // Once the witnesses play: who comes later may find the server full, which is its right.
            let beside = witnesses(&server, others, args, turn, |usage| {
                resident = resident.max(usage.resident_bytes.unwrap_or(0));
                if flooders.is_none() {
                    flooders = Some(begin_flood(&server, others, flood)?);
                }
                Ok(())
            });
            flooded.add(args, beside?)?;
            flooders.map_or(Ok(()), Process::end)?;
            std::thread::sleep(PEACE_AFTER);
        }
        let median = |values: &[f64]| statistics::median(values).unwrap_or_default();
        let (before_ms, beside_ms) = (undisturbed(&quiet.p99_ms), undisturbed(&flooded.p99_ms));
        let ratio = beside_ms / before_ms.max(1e-3);
        println!(
            "{:<12}{before_ms:>11.2} ms{beside_ms:>11.2} ms{ratio:>8.2}{:>12.1} %{:>12.1} %{:>9.1} MB",
            flood.name(),
            median(&quiet.cpu_percent),
            median(&flooded.cpu_percent),
            resident as f64 / 1e6
        );
        if ratio > RATIO_MAX && flood != Flood::Nothing {
            worst.push(format!("{} takes {ratio:.2} times", flood.name()));
        }
        if begin.is_some_and(|begin| resident > begin + GROWTH_MAX_BYTES) {
            worst.push(format!("{} makes the server hold {:.0} MB", flood.name(), resident as f64 / 1e6));
        }
    }
    println!(
        "allowed     {RATIO_MAX:.2} times the quiet p99; {} MB more than before",
        GROWTH_MAX_BYTES >> 20
    );
    let counters = server.stop()?;
    println!(
        "counted     {} refused, {} of them for their rate, {} failed handshakes, {} expelled ({} for flooding, {} stalled), {} address checks",
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

/// The lower quartile: a machine's own doings only ever add to a latency.
fn undisturbed(p99_ms: &[f64]) -> f64 {
    let mut sorted = p99_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 4).copied().unwrap_or_default()
}

fn addresses(server: &Server) -> Vec<(TransportKind, std::net::SocketAddr)> {
    TransportKind::ALL.into_iter().map(|kind| (kind, server.addresses()[&kind.into()])).collect()
}

/// Killed when dropped.
fn begin_flood(server: &Server, cpu: Option<usize>, flood: Flood) -> anyhow::Result<Process> {
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

/// What each turn came to.
#[derive(Default)]
struct Turns {
    p99_ms: Vec<f64>,
    /// The server's share of a processor.
    cpu_percent: Vec<f64>,
}

impl Turns {
    fn add(&mut self, args: &FloodArgs, outcome: LoadOutcome) -> anyhow::Result<()> {
        let p99_us = outcome.load.stats.one_way.quantile_us(0.99);
        let p99_us = p99_us.context("too few moves arrived to tell a p99: take a longer --duration")?;
        self.p99_ms.push(p99_us as f64 / 1e3);
        let cpu_us = outcome.server.cpu_us.unwrap_or_default() as f64;
        self.cpu_percent.push(cpu_us / args.duration.as_micros() as f64 * 100.0);
        Ok(())
    }
}

/// One match over each transport.
fn witnesses(
    server: &Server,
    cpu: Option<usize>,
    args: &FloodArgs,
    turn: u32,
    mut watch: impl FnMut(Usage) -> anyhow::Result<()>,
) -> anyhow::Result<LoadOutcome> {
    let plan = LoadPlan {
        workload: Workload::Moves,
        cpu,
        addresses: server.addresses().clone(),
        trusted: Trusted::Pin(server.pin().to_owned()),
        pairs: TransportKind::ALL.map(|kind| [Subject::from(kind); 2]).to_vec(),
        rate_hz: RATE_HZ,
        in_flight: 0,
        payload_bytes: 0,
        warmup_ms: 500,
        duration_ms: args.duration.as_millis() as u64,
        pings_hz: 1,
        seed: turn.into(),
        options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
    };
    let mut watched = Ok(());
    let outcome = play(&mut Place::Loopback, &plan, Some(server), |usage| {
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
