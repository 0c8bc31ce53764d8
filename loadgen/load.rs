//! Carries out a load: pairs of headless players in a process of their own. It names no transport.
//! `load_player.rs` has what each player does.
//!
//! The plan arrives as JSON on standard input, and each further line is a window to play. Progress
//! leaves as JSON lines, so that the runner can read the server's usage exactly while the window is
//! open. The players leave at the end of standard input.

use std::{io::BufRead, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    sync::{Barrier, mpsc, watch},
    task::JoinSet,
};

use crate::{
    affinity, connect_load,
    event::{LoadEvent, announce, tell},
    join::pair_all,
    load_player::{LoadPlayer, PlayerTask, Report},
    moves::{self, MoveLog, Moves},
    plan::{LoadPlan, WindowPlan, Workload},
    result::LoadResult,
    window::{Window, Windows},
};

/// The longest time that pairing may take in all. Hundreds of TLS handshakes on two cores take a
/// second.
const PAIRING_TIMEOUT: Duration = Duration::from_secs(30);
/// The most windows that may wait to be played. The runner asks for one at a time.
const WINDOWS_WAITING_MAX: usize = 4;

/// Reads a plan from standard input and carries it out with Netduel's own players.
///
/// # Errors
/// The reason why a player could not connect, be paired or play.
pub fn run() -> anyhow::Result<()> {
    carry_out(async |plan, windows| match plan.workload {
        Workload::Moves => play(plan, windows, pair_all(plan)).await,
        Workload::Connects => connect_load::play(plan, windows).await,
    })
}

/// Reads a plan and carries it out with the players that `connect` makes. `connect` returns the two
/// players of each match next to each other, in the order of the plan.
///
/// # Errors
/// The reason why a player could not connect or play.
pub fn run_with<P: LoadPlayer>(
    connect: impl AsyncFnOnce(&LoadPlan) -> anyhow::Result<Vec<P>>,
) -> anyhow::Result<()> {
    carry_out(async |plan, windows| play(plan, windows, connect(plan)).await)
}

fn carry_out(play: impl AsyncFnOnce(&LoadPlan, Windows) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let plan: LoadPlan = serde_json::from_str(&line).context("no plan on standard input")?;
    if let Some(cpu) = plan.cpu {
        affinity::bind(cpu)?;
    }
    netduel_transport::reserve_descriptors(2 * plan.pairs.len());
    let (sender, windows) = mpsc::channel(WINDOWS_WAITING_MAX);
    // A thread, since tokio's own standard input keeps the runtime from ending.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let window = line.map_err(Into::into).and_then(|line| {
                serde_json::from_str(&line).with_context(|| format!("no window on standard input: {line}"))
            });
            if sender.blocking_send(window).is_err() {
                break;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(&plan, windows))
}

/// Lets the players play each window, and reports progress on standard output.
async fn play<P: LoadPlayer>(
    plan: &LoadPlan,
    mut windows: Windows,
    connect: impl Future<Output = anyhow::Result<Vec<P>>>,
) -> anyhow::Result<()> {
    let players = tokio::time::timeout(PAIRING_TIMEOUT, connect)
        .await
        .with_context(|| format!("not every player was paired within {PAIRING_TIMEOUT:?}"))??;
    tell(&LoadEvent::Paired)?;

    let player_count = players.len();
    let all_done = Arc::new(Barrier::new(player_count));
    let (begin, begun) = watch::channel(None);
    let (report, mut reports) = mpsc::channel(player_count.max(1));
    let mut tasks = JoinSet::new();
    for (number, player) in players.into_iter().enumerate() {
        let task = PlayerTask::new(plan, number as u64, player_count as u64);
        tasks.spawn(task.carry_out(player, begun.clone(), report.clone(), all_done.clone()));
    }
    while let Some(window) = next_window(&mut windows, &mut tasks).await? {
        let window = Window::begin_now(&window, plan.period_us());
        begin.send(Some(window))?;
        announce(&window, &mut tasks).await?;
        let (result, moves) = collect(plan, &window, player_count, &mut reports, &mut tasks).await?;
        tell(&LoadEvent::Window { result: Box::new(result), moves })?;
    }
    drop(begin);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Waits for the next window; `None` at the end of standard input.
///
/// # Errors
/// A malformed window, or a player that ended.
async fn next_window(
    windows: &mut Windows,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Option<WindowPlan>> {
    tokio::select! {
        window = windows.recv() => window.transpose(),
        Some(ended) = tasks.join_next() => {
            ended??;
            bail!("a player ended between two windows");
        }
    }
}

/// Waits for the results of all players, and returns them together, in the order of the players,
/// with the rows of their moves if the window keeps them.
async fn collect(
    plan: &LoadPlan,
    window: &Window,
    player_count: usize,
    reports: &mut mpsc::Receiver<Report>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<(LoadResult, Option<Moves>)> {
    let mut all = Vec::with_capacity(player_count);
    while all.len() < player_count {
        tokio::select! {
            Some(report) = reports.recv() => all.push(report),
            Some(ended) = tasks.join_next() => {
                ended??;
                bail!("a player ended before it reported its window");
            }
        }
    }
    all.sort_by_key(|report| report.number);
    let logs: Vec<MoveLog> = all.iter_mut().filter_map(|report| report.log.take()).collect();
    let results = all.into_iter().map(|report| report.result);
    let result = results.reduce(LoadResult::merge).context("the load has no players")?;
    Ok((result, window.keep_moves.then(|| moves::rows(window, &logs, plan.period_us()))))
}
