//! A load of players that connect and leave: two connect, are paired, make the first move each, and
//! leave, again and again.
//!
//! A meeting begins when it is due, also while earlier ones are still going on: the slow ones hold
//! back none of their successors.

use std::{
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use netduel_client::{Event, Player, PlayerConfig, bot_path::BotPath, stats::Samples, ticker::Ticker};
use netduel_protocol::clock;
use netduel_transport::PathStats;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    event::{LoadEvent, announce, tell},
    join::{Joined, join_counting},
    plan::LoadPlan,
    result::{Connects, LoadResult},
    window::{Window, Windows},
};

/// The period at which the first move is repeated until the opponent's arrives: a lossy link may
/// lose it.
const MOVE_PERIOD: Duration = Duration::from_micros(16_667);
/// The longest time that two players may take to be paired and to receive each other's first move.
const MEETING_TIMEOUT: Duration = Duration::from_secs(20);
/// The most meetings of one pair at the same time: those of a second at the fastest preset, all
/// waiting for a first packet that was lost. More would measure this process.
const MEETINGS_MAX: usize = 64;

/// Plays every window with players that connect and leave.
pub(crate) async fn play(plan: &LoadPlan, mut windows: Windows) -> anyhow::Result<()> {
    tell(&LoadEvent::Paired)?;
    let pairs: Vec<Arc<Pair>> = plan.configs()?.into_iter().map(Pair::new).collect();
    while let Some(window) = windows.recv().await.transpose()? {
        // Meetings have no periods that the warm-up needs to cover.
        let window = Window::begin_now(&window, 0);
        let result = play_window(plan, &pairs, window).await?;
        tell(&LoadEvent::Window { result: Box::new(result), moves: None })?;
    }
    Ok(())
}

async fn play_window(plan: &LoadPlan, pairs: &[Arc<Pair>], window: Window) -> anyhow::Result<LoadResult> {
    let mut tasks = JoinSet::new();
    let (report, mut reports) = mpsc::channel(pairs.len().max(1));
    for (number, pair) in pairs.iter().enumerate() {
        let first_us = window.begin_us + plan.period_us() * number as u64 / pairs.len() as u64;
        let ticker = Ticker::new(first_us, plan.period_us())?;
        let result = meet_again_and_again(pair.clone(), ticker, window);
        let report = report.clone();
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

/// Two players that meet.
struct Pair {
    configs: [PlayerConfig; 2],
    /// The number of meetings so far: each has a match code of its own.
    meetings: AtomicU64,
}

impl Pair {
    fn new(configs: [PlayerConfig; 2]) -> Arc<Self> {
        Arc::new(Self { configs, meetings: AtomicU64::new(0) })
    }

    /// Returns the players of the next meeting.
    fn next(&self) -> [PlayerConfig; 2] {
        let number = self.meetings.fetch_add(1, Relaxed);
        let mut configs = self.configs.clone();
        configs.iter_mut().for_each(|config| config.name = format!("{} {number}", config.name));
        configs
    }
}

/// A meeting that is over: the time that it was due, and what came of it.
struct Over {
    due_us: u64,
    met: anyhow::Result<Met>,
}

struct Met {
    players: [Times; 2],
    resumed: u64,
    retries: u64,
    path: PathStats,
}

/// The times that one player took, in µs from the intended beginning.
struct Times {
    paired_us: u64,
    first_move_us: u64,
}

/// Begins a meeting at each tick of the window and its warm-up, and waits for all that count.
async fn meet_again_and_again(
    pair: Arc<Pair>,
    mut ticker: Ticker,
    window: Window,
) -> anyhow::Result<LoadResult> {
    let mut meetings = JoinSet::new();
    let mut result = LoadResult {
        connects: Some(Connects::new(window.close_us - window.open_us)),
        ..LoadResult::default()
    };
    let mut failure = None;
    loop {
        tokio::select! {
            biased;
            due_us = ticker.next() => {
                if due_us >= window.close_us {
                    break;
                }
                if meetings.len() == MEETINGS_MAX {
                    let overflowed = result.connects.as_mut().map(|connects| &mut connects.overflowed);
                    overflowed.filter(|_| window.contains(due_us)).into_iter().for_each(|it| it.add_assign(2));
                    continue;
                }
                if window.contains(due_us) {
                    result.lateness.record(clock::now_us().saturating_sub(due_us));
                }
                let configs = pair.next();
                meetings.spawn(async move {
                    let met = tokio::time::timeout(MEETING_TIMEOUT, meet(&configs, due_us)).await;
                    let met = met.context("two players did not meet in time").and_then(|met| met);
                    Over { due_us, met }
                });
            }
            Some(over) = meetings.join_next() => count(&mut result, &window, over?, &mut failure),
        }
    }
    while let Some(over) = meetings.join_next().await {
        count(&mut result, &window, over?, &mut failure);
    }
    match failure {
        // Nobody ever met: there is nothing to measure, and the reason matters.
        Some(failure) if result.connects.as_ref().is_none_or(|connects| connects.count == 0) => Err(failure),
        _ => Ok(result),
    }
}

/// Counts a meeting if it was due within the window. Players that never met took for ever.
fn count(result: &mut LoadResult, window: &Window, over: Over, failure: &mut Option<anyhow::Error>) {
    let Some(connects) = result.connects.as_mut().filter(|_| window.contains(over.due_us)) else { return };
    let at_us = over.due_us - window.open_us;
    match over.met {
        Ok(met) => {
            connects.count += 2;
            connects.resumed += met.resumed;
            connects.retries += met.retries;
            for Times { paired_us, first_move_us } in met.players {
                connects.record(at_us, paired_us, first_move_us);
            }
            result.path = met.path;
        }
        Err(error) => {
            connects.failed += 2;
            (0..2).for_each(|_| connects.record(at_us, Samples::VALUE_MAX_US, Samples::VALUE_MAX_US));
            failure.get_or_insert(error);
        }
    }
}

/// Connects two players at once, lets both make their first moves, and leaves.
async fn meet(configs: &[PlayerConfig; 2], due_us: u64) -> anyhow::Result<Met> {
    let have_met = AtomicUsize::new(0);
    let join = |config| join_and_move(config, &have_met, due_us);
    let (first, second) = tokio::try_join!(join(&configs[0]), join(&configs[1]))?;
    let resumed =
        [&first, &second].map(|it| u64::from(it.joined.player.resumed() == Some(true))).iter().sum();
    let retries = u64::from(first.joined.retries + second.joined.retries);
    let path = first.joined.player.path_stats();
    tokio::join!(first.joined.player.close(), second.joined.player.close());
    Ok(Met { players: [first.times, second.times], resumed, retries, path })
}

struct Moved {
    joined: Joined,
    times: Times,
}

/// Connects a player, and moves until both players have a move of their opponent.
async fn join_and_move(config: &PlayerConfig, have_met: &AtomicUsize, due_us: u64) -> anyhow::Result<Moved> {
    let mut joined = join_counting(config).await?;
    let player: &mut Player = &mut joined.player;
    let started_us = clock::now_us();
    let paired_us = started_us.saturating_sub(due_us);
    let mut first_move_us = None;
    let bot_path = BotPath::new(started_us);
    let mut moves = tokio::time::interval(MOVE_PERIOD);
    loop {
        tokio::select! {
            _ = moves.tick() => match first_move_us {
                Some(first_move_us) if have_met.load(Relaxed) == 2 => {
                    return Ok(Moved { joined, times: Times { paired_us, first_move_us } });
                }
                _ => {
                    let now_us = clock::now_us();
                    player.steer(bot_path.heading(now_us - started_us), now_us)?;
                }
            },
            event = player.next_event() => {
                if let (Event::OpponentMoved { .. }, None) = (event?, first_move_us) {
                    first_move_us = Some(clock::now_us().saturating_sub(due_us));
                    have_met.fetch_add(1, Relaxed);
                }
            }
        }
    }
}
