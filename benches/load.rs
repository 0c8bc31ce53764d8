//! The loads of the benches: one move in flight, many pairs at a fixed rate, and saturation of one
//! processor.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use netduel_client::ticker::Ticker;
use netduel_loadgen::Quantiles;
use netduel_protocol::clock;
use tokio::task::JoinSet;

use crate::{
    player::{Pair, Player, relay},
    server::Server,
};

/// The time before a window opens, in which the players settle.
pub(crate) const WARM_UP: Duration = Duration::from_millis(150);
/// Moves under way of a pair at saturation: as many as `cargo compare --preset baselines` has.
const IN_FLIGHT: u32 = 8;
/// The time without an arrival after which all moves under way are lost (UDP, QUIC's datagrams).
const LOST_AFTER: Duration = Duration::from_millis(50);

/// The longest time of a closed loop. After that a move is lost, and the loop would wait for ever.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// A server's work within a window.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// CPU of the server, in µs.
    pub cpu_us: f64,
    /// Moves that arrived.
    pub updates: f64,
    /// Length of the window, in seconds.
    pub seconds: f64,
}

impl Spent {
    /// Returns the server's CPU for each update, in µs.
    pub fn cpu_us_per_update(&self) -> f64 {
        self.cpu_us / self.updates
    }
}

/// A counter of arriving moves.
type Arrivals = Arc<AtomicU64>;

async fn window(server: &Server, length: Duration, arrivals: &Arrivals) -> anyhow::Result<Spent> {
    tokio::time::sleep(WARM_UP).await;
    let (cpu_us, updates, opened) = (server.cpu_us()?, arrivals.load(Relaxed), Instant::now());
    tokio::time::sleep(length).await;
    Ok(Spent {
        cpu_us: (server.cpu_us()? - cpu_us) as f64,
        updates: (arrivals.load(Relaxed) - updates) as f64,
        seconds: opened.elapsed().as_secs_f64(),
    })
}

/// Sends moves from one player to the other, each after the last has arrived. Returns the time of
/// each, in µs.
///
/// # Errors
/// The reason why a connection is over, or a lost move. No single move has a time limit, since the
/// limit's cost would be measured, too.
pub async fn closed_loop(pair: &mut Pair, length: Duration) -> anyhow::Result<Quantiles> {
    tokio::time::timeout(length + STUCK_AFTER, one_after_another(pair, length))
        .await
        .context("a move never arrived")?
}

async fn one_after_another([mover, watcher]: &mut Pair, length: Duration) -> anyhow::Result<Quantiles> {
    let mut delays_us = Vec::new();
    let begun = Instant::now();
    let mut sent = begun;
    while sent < begun + length {
        relay(mover, watcher).await?;
        let arrived = Instant::now();
        delays_us.push((arrived - sent).as_secs_f64() * 1e6);
        sent = arrived;
    }
    Ok(delays_us.into_iter().collect())
}

/// Lets every player move at the given rate, evenly spread over its period, in an open loop:
/// delayed moves are sent late. Returns the server's usage within the window, and the players.
///
/// # Errors
/// The reason why a connection is over.
pub async fn paced(
    server: &Server,
    pairs: Vec<Pair>,
    rate_hz: f64,
    length: Duration,
) -> anyhow::Result<(Spent, Vec<Pair>)> {
    let arrivals = Arrivals::default();
    let period_us = (1e6 / rate_hz) as u64;
    let count = 2 * pairs.len() as u64;
    let start_us = clock::now_us() + period_us.min(10_000);
    let end_us = start_us + (WARM_UP + length).as_micros() as u64;
    let mut tasks = JoinSet::new();
    for (number, player) in pairs.into_iter().flatten().enumerate() {
        // The two players of a pair are half a period apart.
        let place = number as u64 / 2 + (number as u64 % 2) * (count / 2);
        let ticker = Ticker::new(start_us + period_us * place / count, period_us)?;
        let arrivals = arrivals.clone();
        tasks.spawn(
            async move { anyhow::Ok((number, keep_moving(player, ticker, end_us, &arrivals).await?)) },
        );
    }
    let spent = window(server, length, &arrivals).await?;
    let mut players = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        players.push(ended??);
    }
    players.sort_by_key(|(number, _)| *number);
    let mut players = players.into_iter().map(|(_, player)| player);
    let pairs = std::iter::from_fn(|| Some([players.next()?, players.next()?])).collect();
    Ok((spent, pairs))
}

async fn keep_moving(
    mut player: Player,
    mut ticker: Ticker,
    end_us: u64,
    arrivals: &Arrivals,
) -> anyhow::Result<Player> {
    loop {
        tokio::select! {
            due_us = ticker.next() => {
                if due_us >= end_us {
                    return Ok(player);
                }
                player.send().await?;
            }
            number = player.next() => {
                number?;
                arrivals.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Keeps eight moves under way between the players of a pair until the window closes. Each move
/// leaves at once, and each player answers every move that is settled: it arrived, or a later one
/// did. `netduel_loadgen` has the same closed loop.
///
/// # Errors
/// The reason why a connection is over.
pub async fn saturated(server: &Server, pair: &mut Pair, length: Duration) -> anyhow::Result<Spent> {
    let arrivals = Arrivals::default();
    tokio::select! {
        ended = circulate(pair, &arrivals) => ended.map(|never| match never {}),
        spent = window(server, length, &arrivals) => spent,
    }
}

/// Keeps eight moves under way, until an error.
async fn circulate([first, second]: &mut Pair, arrivals: &Arrivals) -> anyhow::Result<Infallible> {
    // The highest number of the moves that each has received or knows to be lost.
    let mut newest = [second.newest(), first.newest()];
    let mut look = tokio::time::interval(LOST_AFTER);
    let mut seen = None;
    loop {
        tokio::select! {
            biased;
            number = first.next() => answer(first, &mut newest[0], number?, arrivals).await?,
            number = second.next() => answer(second, &mut newest[1], number?, arrivals).await?,
            _ = look.tick() => {
                let arrived = arrivals.load(Relaxed);
                // The first tick begins the loop.
                if seen == Some(arrived) || seen.is_none() {
                    for _ in 0..IN_FLIGHT {
                        first.send().await?;
                    }
                }
                seen = Some(arrived);
            }
        }
    }
}

/// Counts an arrival, and sends one move for each that it settles.
async fn answer(
    player: &mut Player,
    newest: &mut u32,
    number: u32,
    arrivals: &Arrivals,
) -> anyhow::Result<()> {
    arrivals.fetch_add(1, Relaxed);
    let settled = number.saturating_sub(*newest).min(IN_FLIGHT);
    *newest = number.max(*newest);
    for _ in 0..settled {
        player.send().await?;
    }
    Ok(())
}
