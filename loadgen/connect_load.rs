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

use crate::{
    event::{LoadEvent, announce, tell},
    join::join_match,
    plan::LoadPlan,
    result::{Connects, LoadResult},
};

/// The period at which the first move is repeated until the opponent's arrives: a lossy link may
/// lose it.
const MOVE_PERIOD: Duration = Duration::from_micros(16_667);
/// The longest time that two players may take to be paired and to receive each other's first move.
const MEETING_TIMEOUT: Duration = Duration::from_secs(20);

/// Carries out a plan of players that connect and leave.
pub(crate) async fn play(plan: &LoadPlan) -> anyhow::Result<LoadResult> {
    tell(&LoadEvent::Paired)?;
    let start_us = clock::now_us();
    let open_us = start_us + plan.warmup_ms * 1_000;
    let close_us = open_us + plan.duration_ms * 1_000;
    let period_us = 1_000_000 / u64::from(plan.rate_hz.max(1));
    let configs = plan.configs()?;
    let pairs = configs.len() as u64;
    let mut tasks = tokio::task::JoinSet::new();
    for (number, pair) in configs.into_iter().enumerate() {
        let first_us = start_us + period_us * number as u64 / pairs;
        tasks.spawn(come_and_go(Arc::new(pair), first_us, period_us, open_us..close_us));
    }
    let mut results = Vec::new();
    announce(open_us, close_us, &mut tasks, &mut results).await?;
    while let Some(ended) = tasks.join_next().await {
        results.push(ended??);
    }
    results.into_iter().reduce(LoadResult::merge).context("the load has no pairs")
}

/// Runs one pair on its schedule. A pair that is still busy skips its next time.
async fn come_and_go(
    pair: Arc<[PlayerConfig; 2]>,
    first_us: u64,
    period_us: u64,
    window_us: std::ops::Range<u64>,
) -> anyhow::Result<LoadResult> {
    let mut ticker = Ticker::new(first_us, period_us)?;
    let mut result = LoadResult { connects: Some(Connects::default()), ..LoadResult::default() };
    let mut free_us = first_us;
    loop {
        let due_us = ticker.next().await;
        if due_us >= window_us.end {
            break;
        }
        // The previous two players were still closing, so this arrival is skipped.
        if due_us < free_us {
            continue;
        }
        result.lateness.record(clock::now_us().saturating_sub(due_us));
        let meeting = tokio::time::timeout(MEETING_TIMEOUT, meet(&pair, due_us));
        let met = meeting.await.context("two players did not meet in time")??;
        if window_us.contains(&due_us) {
            if let Some(connects) = &mut result.connects {
                connects.merge(&met.connects);
            }
            result.path = met.path;
        }
        free_us = clock::now_us();
    }
    // No pair ends before the window does.
    tokio::time::sleep(Duration::from_micros(window_us.end.saturating_sub(clock::now_us()))).await;
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
