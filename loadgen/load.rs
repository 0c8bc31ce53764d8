//! Carries out a load: pairs of headless players in a process of their own. It names no transport.
//! `load_player.rs` has what each player does.
//!
//! The plan arrives as JSON on standard input. Progress leaves as JSON lines, so that the runner
//! can read the server's usage exactly while the window is open.

use std::{io::BufRead, sync::Arc, time::Duration};

use anyhow::Context;
use netduel_protocol::clock;

use crate::{
    affinity, connect_load,
    event::{LoadEvent, announce, tell},
    join::pair_all,
    load_player::{LoadPlayer, PlayerTask},
    plan::{LoadPlan, Workload},
    result::LoadResult,
};

/// The longest time that pairing may take in all. Hundreds of TLS handshakes on two cores take a
/// second.
const PAIRING_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a plan from standard input and carries it out with Netduel's own players.
///
/// # Errors
/// The reason why a player could not connect, be paired or play.
pub fn run() -> anyhow::Result<()> {
    carry_out(async |plan| match plan.workload {
        Workload::Moves => play(plan, pair_all(plan)).await,
        Workload::Connects => connect_load::play(plan).await,
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
    carry_out(async |plan| play(plan, connect(plan)).await)
}

fn carry_out(play: impl AsyncFnOnce(&LoadPlan) -> anyhow::Result<LoadResult>) -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let plan: LoadPlan = serde_json::from_str(&line).context("no plan on standard input")?;
    if let Some(cpu) = plan.cpu {
        affinity::bind(cpu)?;
    }
    netduel_transport::reserve_descriptors(2 * plan.pairs.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(play(&plan))?;
    tell(&LoadEvent::Done(Box::new(result)))
}

/// Lets the players play, and reports progress on standard output.
async fn play<P: LoadPlayer>(
    plan: &LoadPlan,
    connect: impl Future<Output = anyhow::Result<Vec<P>>>,
) -> anyhow::Result<LoadResult> {
    let players = tokio::time::timeout(PAIRING_TIMEOUT, connect)
        .await
        .with_context(|| format!("not every player was paired within {PAIRING_TIMEOUT:?}"))??;
    tell(&LoadEvent::Paired)?;

    let start_us = clock::now_us();
    let open_us = start_us + plan.warmup_ms * 1_000;
    let close_us = open_us + plan.duration_ms * 1_000;
    let player_count = players.len() as u64;
    let all_done = Arc::new(tokio::sync::Barrier::new(players.len()));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, player) in players.into_iter().enumerate() {
        let task = PlayerTask::new(plan, start_us, number as u64, player_count, all_done.clone());
        tasks.spawn(task.carry_out(player));
    }
    let mut results = Vec::new();
    announce(open_us, close_us, &mut tasks, &mut results).await?;
    while let Some(ended) = tasks.join_next().await {
        results.push(ended??);
    }
    results.into_iter().reduce(LoadResult::merge).context("the load has no players")
}
