//! A load of players that connect and leave: two connect, are paired, make the first move each, and
//! leave, again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use netduel_client::{Event, Player, PlayerConfig, bot_path::BotPath, ticker::Ticker};
use netduel_protocol::clock;
use tokio::sync::mpsc;

use crate::{
    event::{LoadEvent, announce, tell},
    join::join_match,
    plan::LoadPlan,
    result::{Connects, LoadResult},
    window::{Window, Windows},
};

/// The period at which the first move is repeated until the opponent's arrives: a lossy link may
/// lose it.
const MOVE_PERIOD: Duration = Duration::from_micros(16_667);
/// The longest time that two players may take to be paired and to receive each other's first move.
const MEETING_TIMEOUT: Duration = Duration::from_secs(20);

/// Plays every window with players that connect and leave.
pub(crate) async fn play(plan: &LoadPlan, mut windows: Windows) -> anyhow::Result<()> {
    tell(&LoadEvent::Paired)?;
    let pairs: Vec<Arc<[PlayerConfig; 2]>> = plan.configs()?.into_iter().map(Arc::new).collect();
    while let Some(window) = windows.recv().await.transpose()? {
        // Meetings have no periods that the warm-up needs to cover.
        let window = Window::begin_now(&window, 0);
        let result = play_window(plan, &pairs, window).await?;
        tell(&LoadEvent::Window(Box::new(result)))?;
    }
    Ok(())
}

async fn play_window(
    plan: &LoadPlan,
    pairs: &[Arc<[PlayerConfig; 2]>],
    window: Window,
) -> anyhow::Result<LoadResult> {
    let mut tasks = tokio::task::JoinSet::new();
    let (report, mut reports) = mpsc::channel(pairs.len().max(1));
    for (number, pair) in pairs.iter().enumerate() {
        let first_us = window.begin_us + plan.period_us() * number as u64 / pairs.len() as u64;
        let (pair, report) = (pair.clone(), report.clone());
        let result = come_and_go(pair, first_us, plan.period_us(), window);
        tasks.spawn(async move { Ok(report.send(result.await?).await?) });
    }
    drop(report);
    announce(&window, &mut tasks).await?;
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let results = std::iter::from_fn(|| reports.try_recv().ok());
    results.reduce(LoadResult::merge).context("the load has no pairs")
}

/// Runs one pair on its schedule. A pair that is still busy skips its next time.
async fn come_and_go(
    pair: Arc<[PlayerConfig; 2]>,
    first_us: u64,
    period_us: u64,
    window: Window,
) -> anyhow::Result<LoadResult> {
    let mut ticker = Ticker::new(first_us, period_us)?;
    let mut result = LoadResult { connects: Some(Connects::default()), ..LoadResult::default() };
    let mut free_us = first_us;
    loop {
        let due_us = ticker.next().await;
        if due_us >= window.close_us {
            break;
        }
        // The previous two players were still closing, so this arrival is skipped.
        if due_us < free_us {
            continue;
        }
        result.lateness.record(clock::now_us().saturating_sub(due_us));
        let meeting = tokio::time::timeout(MEETING_TIMEOUT, meet(&pair, due_us));
        let met = meeting.await.context("two players did not meet in time")??;
        if window.contains(due_us) {
            if let Some(connects) = &mut result.connects {
                connects.merge(&met.connects);
            }
            result.path = met.path;
        }
        free_us = clock::now_us();
    }
    // No pair ends before the window does.
    tokio::time::sleep(Duration::from_micros(window.close_us.saturating_sub(clock::now_us()))).await;
    Ok(result)
}

struct Met {
    connects: Connects,
    path: netduel_transport::PathStats,
}

/// Connects two players at once, lets both make their first moves, and leaves.
async fn meet(pair: &[PlayerConfig; 2], due_us: u64) -> anyhow::Result<Met> {
    let have_met = AtomicUsize::new(0);
    let join = |config| join_and_move(config, &have_met);
    let (first, second) = tokio::try_join!(join(&pair[0]), join(&pair[1]))?;
    let mut connects = Connects { count: 2, ..Connects::default() };
    for (player, paired_us, moved_us) in [&first, &second] {
        connects.resumed += u64::from(player.resumed() == Some(true));
        connects.paired.record(paired_us - due_us);
        connects.first_move.record(moved_us - due_us);
    }
    let path = first.0.path_stats();
    tokio::join!(first.0.close(), second.0.close());
    Ok(Met { connects, path })
}

/// Returns the player, the time of its match's start, and the time of the opponent's first move.
/// The player keeps moving until both players have a move.
async fn join_and_move(config: &PlayerConfig, have_met: &AtomicUsize) -> anyhow::Result<(Player, u64, u64)> {
    let mut player = join_match(config).await?;
    let paired_us = clock::now_us();
    let mut moved_us = None;
    let bot_path = BotPath::new(paired_us);
    let mut moves = tokio::time::interval(MOVE_PERIOD);
    loop {
        tokio::select! {
            _ = moves.tick() => match moved_us {
                Some(moved_us) if have_met.load(Relaxed) == 2 => return Ok((player, paired_us, moved_us)),
                _ => {
                    let now_us = clock::now_us();
                    player.steer(bot_path.heading(now_us - paired_us), now_us)?;
                }
            },
            event = player.next_event() => if let (Event::OpponentMoved { .. }, None) = (event?, moved_us) {
                moved_us = Some(clock::now_us());
                have_met.fetch_add(1, Relaxed);
            }
        }
    }
}
