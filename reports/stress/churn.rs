//! `netduel-report churn`: players who connect, are paired and drop out, again and again over every transport; afterwards the
//! server holds what it held before.

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
    plan::scenario::Contender,
    run::{
        place::Place,
        server::{Server, ServerSpec},
    },
};

/// Seats of who dropped out are kept for so long: with the server's own fifteen seconds a fast machine would have tens of
/// thousands of them at once, and the matches would run out.
const RESUME_GRACE_S: u32 = 1;
/// Buffers and pools have grown to their size after so many cycles for each pair: some seconds, and so longer than seats are
/// kept.
const WARM_UP_PER_PAIR: u64 = 250;
/// As in a soak: what an allocator returns late. A leak of 100 bytes for each of 100,000 cycles would be 10 MB.
const GROWTH_MAX_BYTES: u64 = 1 << 20;
/// Memory is looked at so often on the way: a leak is a slope, an allocator's habits are steps.
const PARTS: u64 = 10;
/// Until who was lost without a goodbye has timed out, with time to spare.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long two may take to meet.
const MEETING_TIMEOUT: Duration = Duration::from_secs(20);

/// Flags of a churn.
#[derive(Args, Clone, Debug)]
pub struct ChurnArgs {
    /// How often two players connect, are paired and drop out; on every combination of two transports in turn
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    cycles: u64,

    /// Pairs at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=500))]
    pairs: u64,
}

/// What the server holds.
struct Held {
    descriptors: Option<usize>,
    resident_bytes: Option<u64>,
}

/// Comes and goes, and says what is left of it.
///
/// # Errors
/// A pair that does not meet; descriptors or memory that do not come back.
pub fn churn(args: &ChurnArgs) -> anyhow::Result<()> {
    let spec = ServerSpec {
        resume_grace_s: Some(RESUME_GRACE_S),
        ..ServerSpec::new(&TransportKind::ALL, Contender::plain(TransportKind::ALL[0]))
    };
    let server = Server::start(&Place::Loopback, &spec)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let untouched = server.descriptors();
    let (warm_up, start) = (args.pairs * WARM_UP_PER_PAIR, Instant::now());
    runtime.block_on(come_and_go(&server, args.pairs, 0..warm_up))?;
    let before = settled(&server, untouched)?;
    let (mut resident, mut done) = (Vec::new(), warm_up);
    for part in 1..=PARTS {
        let end = warm_up + args.cycles * part / PARTS;
        runtime.block_on(come_and_go(&server, args.pairs, done..end))?;
        (done, resident) = (end, [resident, vec![server.usage().resident_bytes]].concat());
    }
    let (took, after) = (start.elapsed(), settled(&server, before.descriptors)?);
    let counters = server.stop()?;

    println!(
        "cycles      {} over all pairs of transports, after {warm_up} to warm up, in {took:.1?}",
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
        ensure!(growth <= GROWTH_MAX_BYTES, "the server's memory grew by {:.1} MB", growth as f64 / 1e6);
    }
    let all = warm_up + args.cycles;
    ensure!(counters.matches_started == all, "{} matches of {all} were started", counters.matches_started);
    ensure!(counters.matches_ended == all, "{} matches of {all} were ended", counters.matches_ended);
    ensure!(counters.expelled == 0, "{} players were expelled who did nothing wrong", counters.expelled);
    ensure!(counters.panics == 0, "{} sessions panicked", counters.panics);
    Ok(())
}

async fn come_and_go(server: &Server, pairs: u64, cycles: std::ops::Range<u64>) -> anyhow::Result<()> {
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
                let of = |index: u64| kinds[index as usize % kinds.len()];
                let [first, second] =
                    [of(number), of(number / kinds.len() as u64)].map(|kind| PlayerConfig {
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
                // Dropped: a program that just ends.
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

/// What the server holds once it has let go of everybody.
fn settled(server: &Server, descriptors: Option<usize>) -> anyhow::Result<Held> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    while server.descriptors() > descriptors {
        ensure!(
            Instant::now() < deadline,
            "the server holds {:?} descriptors, and {descriptors:?} before",
            server.descriptors()
        );
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(Held { descriptors: server.descriptors(), resident_bytes: server.usage().resident_bytes })
}
