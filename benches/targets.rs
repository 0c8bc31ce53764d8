//! Netduel against its bare relay, in alternation, and against the targets of
//! `docs/performance.md`.
//!
//! This is not criterion's: a ratio of two benches that ran minutes apart tells more about the
//! machine than about them. Here each round starts both servers anew, one after the other, and
//! gives one ratio. The median of the rounds counts. Counts of a server are made in its own
//! process, by the kernel.
//!
//! `cargo bench -p netduel-benches --bench targets -- relay profile memory matches instructions`
//! runs the parts named, or all of them without a name. With the name of a transport, `relay`,
//! `profile` and `memory` keep to it. `-- update` rewrites the limits of instructions.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use netduel_baselines::Baseline;
use netduel_benches::{
    contender::Contender,
    instructions, load, player,
    profile::{self, Profile},
    runtime,
    server::{Server, served},
    share_one_cpu,
    table::{HEADER, Judged, Row, Target},
};
use netduel_loadgen::Quantiles;
use netduel_transport::TransportKind;

/// The number of rounds: odd, so that there is a middle one.
const ROUNDS: usize = 9;
/// The number of rounds for what varies little between rounds, or takes long.
const FEW_ROUNDS: usize = 3;

const PAIRS: usize = 50;
const RATE_HZ: f64 = 60.0;
/// A window of 6,000 updates.
const PACED: Duration = Duration::from_secs(1);
const CLOSED: Duration = Duration::from_millis(300);
const SATURATED: Duration = Duration::from_millis(300);

/// The numbers of connections between which memory is measured: a server that has seen players, and
/// one with 500 connections.
const MEMORY_PAIRS: [usize; 2] = [10, 250];
/// The time after which nothing of a handshake is left.
const AT_REST: Duration = Duration::from_millis(500);

const MATCHES: [usize; 3] = [1, 30, 1_000];
/// The updates a second of all players together, at any number of matches: as many as 50 pairs at
/// 60 Hz make. The rate of each falls as their number grows. Otherwise the processor would be full,
/// and the wake-ups that updates then share would hide the cost of matches.
const TOTAL_HZ: f64 = 6_000.0;

/// Fewer allocations for a move than one in two hundred are not the move's: a table that grows, a
/// node of a tree of deadlines.
const NO_ALLOCATIONS: Target = Target::OursAtMost(0.005);

/// Measures, and adds rows.
type Part = fn(&mut Vec<Row>) -> anyhow::Result<()>;

fn main() -> ExitCode {
    if served() || instructions::stepped() {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    // cargo adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let asked: Vec<String> = asked.into_iter().filter(|arg| kind_named(arg).is_none()).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|it| it == part);
    share_one_cpu();
    netduel_transport::reserve_descriptors(2 * MATCHES[2]);
    let mut rows = Vec::new();
    let parts = [("relay", relay as Part), ("profile", profiles), ("memory", memory), ("matches", matches)];
    // Rows measured before a failure are shown all the same.
    let outcome = parts.iter().filter(|(name, _)| is_asked(name)).try_for_each(|(_, part)| part(&mut rows));
    let judged: Vec<Judged> = rows.iter().map(Row::judge).collect();
    if !judged.is_empty() {
        println!("\n{HEADER}");
        judged.iter().for_each(|row| println!("{row}"));
        println!(
            "\nours and bare: medians of the rounds. ratio: the median of ours ÷ bare relay within each round, with its quartiles."
        );
        let file = results_file()?;
        std::fs::write(&file, serde_json::to_string_pretty(&judged)?)?;
        println!("also in {}", file.display());
    }
    outcome?;
    let update = asked.iter().any(|it| it == "update");
    if update || is_asked("instructions") { count_instructions(update) } else { Ok(ExitCode::SUCCESS) }
}

/// Returns cargo's build folder: this program is `…/release/deps/targets-…`.
fn results_file() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(3).context("cargo runs benches from its own folder")?.join("targets.json"))
}

/// Returns the transport of that name, if it crosses a network: `memory` names a part here, not the
/// kind.
fn kind_named(arg: &str) -> Option<TransportKind> {
    arg.parse().ok().filter(|kind| *kind != TransportKind::Memory)
}

/// Returns the kinds that have a bare relay, or those of them that were asked for.
fn kinds() -> impl Iterator<Item = (TransportKind, Contender)> {
    let asked: Vec<TransportKind> = std::env::args().filter_map(|arg| kind_named(&arg)).collect();
    let kinds = TransportKind::ALL.into_iter().filter(move |kind| asked.is_empty() || asked.contains(kind));
    kinds.filter_map(|kind| Some((kind, Contender::bare_relay_of(kind)?)))
}

/// Measures Netduel and the bare relay `rounds` times, alternating which of the two runs
/// first. `measure` returns the figures of one of them, and each figure becomes a row.
fn in_alternation<const N: usize>(
    (kind, bare): (TransportKind, Contender),
    rounds: usize,
    rows: [(&str, Option<Target>); N],
    measure: impl Fn(Contender) -> anyhow::Result<[f64; N]>,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = rows.map(|(what, target)| Row {
        transport: kind.name().into(),
        what: what.into(),
        ours: Vec::new(),
        bare: Vec::new(),
        target,
    });
    for round in 0..rounds {
        let mut order = [Contender::Ours(kind), bare];
        order.rotate_left(round % 2);
        for contender in order {
            let again = |error| {
                eprintln!("{contender}, round {round}, is measured again: {error:#}");
                measure(contender)
            };
            let figures = measure(contender).or_else(again);
            let figures = figures.with_context(|| format!("{contender} failed twice in round {round}"))?;
            for (row, figure) in rows.iter_mut().zip(figures) {
                if contender == bare { row.bare.push(figure) } else { row.ours.push(figure) }
            }
        }
    }
    Ok(rows.into())
}

fn relay(all: &mut Vec<Row>) -> anyhow::Result<()> {
    for (kind, bare) in kinds() {
        eprintln!("{kind} and {bare} in alternation: 50 pairs at 60 Hz, one in flight, eight in flight");
        let cpu_target = match kind {
            TransportKind::Tcp | TransportKind::Tls => Some(Target::RatioAtMost(1.1)),
            TransportKind::QuicStream | TransportKind::QuicDatagram => Some(Target::RatioAtMost(0.85)),
            _ => None,
        };
        let saturated_target = (kind == TransportKind::Tcp).then_some(Target::RatioAtLeast(0.9));
        let rows = [
            ("server CPU of an update, 50 pairs at 60 Hz, µs", cpu_target),
            ("one-way latency p50, one in flight, µs", Some(Target::RatioAtMost(1.05))),
            ("updates for a second of server CPU, eight in flight", saturated_target),
        ];
        all.extend(in_alternation((kind, bare), ROUNDS, rows, relay_of)?);
    }
    Ok(())
}

fn relay_of(contender: Contender) -> anyhow::Result<[f64; 3]> {
    let server = Server::start(contender)?;
    runtime().block_on(async {
        let pairs = player::pairs(&server, PAIRS).await?;
        let (paced, mut pairs) = load::paced(&server, pairs, RATE_HZ, PACED).await?;
        let delays_us: Quantiles = load::closed_loop(&mut pairs[0], CLOSED).await?;
        let saturated = load::saturated(&server, &mut pairs[0], SATURATED).await?;
        Ok([paced.cpu_us_per_update(), delays_us.median(), 1e6 / saturated.cpu_us_per_update()])
    })
}

/// Profiles a move, to show why it costs what it costs.
fn profiles(all: &mut Vec<Row>) -> anyhow::Result<()> {
    if !profile::possible() {
        println!("no profiles: they need valgrind");
        return Ok(());
    }
    for (kind, bare) in kinds() {
        eprintln!("{kind} and {bare}: profiles");
        let rows = [
            ("instructions of the server for a move", None),
            ("cache lines of code that it fetches for it", None),
            ("cache lines of data", None),
        ];
        all.extend(in_alternation((kind, bare), 1, rows, |contender| {
            let Profile { instructions, code_lines, data_lines } = profile::profile(contender)?;
            Ok([instructions, code_lines, data_lines])
        })?);
    }
    Ok(())
}

fn memory(all: &mut Vec<Row>) -> anyhow::Result<()> {
    // A bare ENet relay has room for 128 players.
    for (kind, bare) in kinds().filter(|(kind, _)| *kind != TransportKind::Enet) {
        eprintln!("{kind} and {bare} in alternation: memory");
        let allocations_target = (kind == TransportKind::Tcp).then_some(NO_ALLOCATIONS);
        // A bare UDP relay has no connections, but two addresses.
        let resident_target = (kind != TransportKind::Udp).then_some(Target::RatioAtMost(1.2));
        let rows = [
            ("allocations of the server for a move", allocations_target),
            ("of these, by our own code", Some(NO_ALLOCATIONS)),
            ("its heap for an idle connection, bytes", None),
            ("resident memory for it, bytes", resident_target),
        ];
        all.extend(in_alternation((kind, bare), FEW_ROUNDS, rows, memory_of)?);
    }
    Ok(())
}

fn memory_of(contender: Contender) -> anyhow::Result<[f64; 4]> {
    let mut server = Server::start_counting(contender)?;
    runtime().block_on(async {
        let [few, many] = MEMORY_PAIRS;
        let mut pairs = player::pairs(&server, few).await?;
        // Memory that grows once has grown by then.
        load::closed_loop(&mut pairs[0], CLOSED).await?;
        let before = server.heap()?;
        let moves = load::closed_loop(&mut pairs[0], CLOSED).await?.count();
        let allocated = server.heap()?.allocations - before.allocations;
        server.blame()?;
        let blamed = load::closed_loop(&mut pairs[0], CLOSED).await?.count();
        let ours = server.heap()?.ours;
        drop((server, pairs));
        let allocations = [allocated as f64 / moves as f64, ours as f64 / blamed as f64];

        // Another server, which has kept nothing of that.
        let mut server = Server::start_counting(contender)?;
        let _pairs = player::pairs(&server, few).await?;
        tokio::time::sleep(AT_REST).await;
        let (heap, resident) = (server.heap()?, server.resident_bytes()?);
        let more = player::pairs(&server, many - few).await?;
        tokio::time::sleep(AT_REST).await;
        let connections = (2 * more.len()) as f64;
        let heap_bytes = server.heap()?.live_bytes as f64 - heap.live_bytes as f64;
        let resident_bytes = server.resident_bytes()? as f64 - resident as f64;
        Ok([allocations[0], allocations[1], heap_bytes / connections, resident_bytes / connections])
    })
}

/// Measures the same number of updates in all, from more and more matches. The bare relays show
/// how much of a rise is the kernel's, or the library's.
fn matches(all: &mut Vec<Row>) -> anyhow::Result<()> {
    let bare_relays = [Baseline::BareTcp, Baseline::BareTls, Baseline::QuinnStream, Baseline::QuinnDatagram]
        .map(Contender::Bare);
    let ours = ["tcp", "tls", "quic-stream", "quic-datagram"].map(|kind| kind.parse().map(Contender::Ours));
    for contender in ours.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().chain(bare_relays) {
        eprintln!("{contender}: 1 to 1,000 matches");
        let mut figures = MATCHES.map(|_| Vec::new());
        for _ in 0..FEW_ROUNDS {
            for (figures, count) in figures.iter_mut().zip(MATCHES) {
                let figure = cpu_us_with_matches(contender, count);
                figures.push(figure.with_context(|| format!("{contender}, {count} matches"))?);
            }
        }
        let [alone, more @ ..] = figures;
        for (ours, count) in more.into_iter().zip(&MATCHES[1..]) {
            let judged = matches!(contender, Contender::Ours(_)) && *count == MATCHES[MATCHES.len() - 1];
            all.push(Row {
                transport: contender.to_string(),
                what: format!("server CPU of an update, {count} matches ÷ 1, µs"),
                ours,
                bare: alone.clone(),
                target: judged.then_some(Target::RatioAtMost(1.0)),
            });
        }
    }
    Ok(())
}

fn cpu_us_with_matches(contender: Contender, count: usize) -> anyhow::Result<f64> {
    let server = Server::start(contender)?;
    runtime().block_on(async {
        let pairs = player::pairs(&server, count).await?;
        let (spent, _) = load::paced(&server, pairs, TOTAL_HZ / (2 * count) as f64, PACED).await?;
        Ok(spent.cpu_us_per_update())
    })
}

/// Fails if a step exceeds its limit of instructions.
fn count_instructions(update: bool) -> anyhow::Result<ExitCode> {
    let Some(counts) = instructions::count()? else {
        println!("\nno instructions counted: that needs valgrind");
        return Ok(ExitCode::SUCCESS);
    };
    println!("\ninstructions            now  budget");
    for count in &counts {
        let budget = count.budget.map_or("none".into(), |budget| budget.to_string());
        let verdict = if count.holds() { "OK" } else { "ABOVE BUDGET" };
        println!("{:<23} {:>6} {budget:>6}  {verdict}", count.step, count.instructions);
    }
    if update {
        instructions::update(&counts)?;
    } else if !counts.iter().all(instructions::Count::holds) {
        println!(
            "a step takes more than it did: find out why, or let it with `cargo bench -p netduel-benches --bench targets -- update`"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
