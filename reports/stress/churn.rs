//! The command `churn`: players connect, are paired and disconnect repeatedly over every transport.
//! Afterwards the server must hold as many descriptors and as much memory as before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use netduel_client::PlayerConfig;
use netduel_loadgen::join_match;
use netduel_transport::{Options, TransportKind, Trust};
use tokio::task::JoinSet;

use crate::{
    plan::contender::Contender,
    run::{
        place::Place,
        server::{Server, ServerSpec},
    },
};

/// The grace of the server, in s. With the default of fifteen seconds a fast machine would have
/// tens of thousands of seats in grace at once, and would reach the limit of matches.
const RESUME_GRACE_S: u32 = 1;
/// The warm-up cycles of each pair, after which buffers and pools have their final size. They take
/// some seconds, and so longer than the grace.
const WARM_UP_PER_PAIR: u64 = 250;
/// The largest growth of memory, as in a soak: memory that an allocator returns late. A leak of 100
/// bytes per cycle would be 10 MB in 100,000 cycles.
const GROWTH_MAX_BYTES: u64 = 1 << 20;
/// The number of memory readings on the way: a leak is a slope, the habits of an allocator are
/// steps.
const PARTS: u64 = 10;
/// The time within which connections that were lost without a close time out, with a margin.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval between readings of the descriptors.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The time within which two players must be paired.
const MEETING_TIMEOUT: Duration = Duration::from_secs(20);

/// The flags of `churn`.
#[derive(Args, Clone, Debug)]
pub struct ChurnArgs {
    /// Number of cycles, each of which connects, pairs and drops two players; the cycles take every
    /// combination of two transports in turn
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    cycles: u64,

    /// Concurrent pairs
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=500))]
    pairs: u64,
}

/// The resources that the server holds.
struct Held {
    descriptors: Option<usize>,
    resident_bytes: Option<u64>,
}

/// Runs the churn, and prints what the server still holds.
///
/// # Errors
/// A pair that is not paired in time, or descriptors or memory that the server keeps.
pub fn churn(args: &ChurnArgs) -> anyhow::Result<()> {
    let spec = ServerSpec {
        resume_grace_s: Some(RESUME_GRACE_S),
        ..ServerSpec::new(&TransportKind::ALL, Contender::plain(TransportKind::ALL[0]))
    };
    let server = Server::start(&Place::Loopback, &spec)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let untouched = server.descriptors();
    let (warm_up, start) = (args.pairs * WARM_UP_PER_PAIR, Instant::now());
    runtime.block_on(run_cycles(&server, args.pairs, 0..warm_up))?;
    let before = settled(&server, untouched)?;
    let (mut resident, mut done) = (Vec::new(), warm_up);
    for part in 1..=PARTS {
        let end = warm_up + args.cycles * part / PARTS;
        runtime.block_on(run_cycles(&server, args.pairs, done..end))?;
        (done, resident) = (end, [resident, vec![server.usage().resident_bytes]].concat());
    }
    let (took, after) = (start.elapsed(), settled(&server, before.descriptors)?);
    let counters = server.stop()?;

    println!(
        "cycles      {} over all pairs of transports, after {warm_up} of warm-up, in {took:.1?}",
        args.cycles
    );
    println!("matches     {} started, {} ended", counters.matches_started, counters.matches_ended);
    if let Some((before, after)) = before.descriptors.zip(after.descriptors) {
        println!("descriptors {before} before, {after} after");
    }
    if let Some((before, after)) = before.resident_bytes.zip(after.resident_bytes) {
        println!("memory      {:.2} MB before, {:.2} MB after", before as f64 / 1e6, after as f64 / 1e6);
        let parts: Vec<_> =
            resident.iter().flatten().map(|bytes| format!("{:.2}", *bytes as f64 / 1e6)).collect();
        println!("            {} MB after each tenth", parts.join(", "));
        let growth = after.saturating_sub(before);
        ensure!(growth <= GROWTH_MAX_BYTES, "the memory of the server grew by {:.1} MB", growth as f64 / 1e6);
    }
    let all = warm_up + args.cycles;
    ensure!(counters.matches_started == all, "{} of {all} matches started", counters.matches_started);
    ensure!(counters.matches_ended == all, "{} of {all} matches ended", counters.matches_ended);
    ensure!(counters.expelled == 0, "the server expelled {} well-behaved players", counters.expelled);
    ensure!(counters.panics == 0, "{} sessions panicked", counters.panics);
    Ok(())
}

/// Runs the cycles of a range, with a number of concurrent pairs.
async fn run_cycles(server: &Server, pairs: u64, cycles: std::ops::Range<u64>) -> anyhow::Result<()> {
    let trust = Trust::pin(server.pin().parse()?);
    let (all, next) = (cycles.end - cycles.start, Arc::new(AtomicU64::new(cycles.start)));
    let progress = ProgressBar::new(all)
        .with_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} cycles, {eta} left")?);
    let mut tasks = JoinSet::new();
    for _ in 0..pairs.min(all) {
        let (next, end, progress, trust) = (next.clone(), cycles.end, progress.clone(), trust.clone());
        let addresses = server.addresses().clone();
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= end {
                    return anyhow::Ok(());
                }
                let kinds = TransportKind::ALL;
                let kind_at = |index: u64| kinds[index as usize % kinds.len()];
                let [first, second] =
                    [kind_at(number), kind_at(number / kinds.len() as u64)].map(|kind| PlayerConfig {
                        addr: addresses[&kind.into()],
                        server_name: "localhost".into(),
                        kind,
                        trust: Some(trust.clone()),
                        options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
                        name: format!("churn {number}"),
                        period_us: 1_000_000,
                    });
                let meeting = async { tokio::try_join!(join_match(&first), join_match(&second)) };
                let met = tokio::time::timeout(MEETING_TIMEOUT, meeting).await;
                let what = || format!("cycle {number}, {} with {}", first.kind, second.kind);
                // Both players are dropped without a close, like a program that just exits.
                drop(met.with_context(what)?.with_context(what)?);
                progress.inc(1);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    progress.finish_and_clear();
    Ok(())
}

/// Waits until the descriptors of the server are back at their number, and returns what it holds.
fn settled(server: &Server, descriptors: Option<usize>) -> anyhow::Result<Held> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    while server.descriptors() > descriptors {
        ensure!(
            Instant::now() < deadline,
            "the server still holds {:?} descriptors; it held {descriptors:?} before",
            server.descriptors()
        );
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(Held { descriptors: server.descriptors(), resident_bytes: server.usage().resident_bytes })
}
