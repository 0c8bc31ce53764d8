//! One player of a load. In an open loop it sends at fixed intended times, and a stall sends the
//! delayed moves late. In a closed loop it answers what arrives. Works for any player that
//! implements [`LoadPlayer`].

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use netduel_client::{
    Event, Player,
    bot_path::BotPath,
    stats::{MoveStats, Samples},
    ticker::Ticker,
};
use netduel_protocol::{clock, game::Heading};
use netduel_transport::PathStats;

use crate::{plan::LoadPlan, result::LoadResult};

/// The time for moves in flight at the end of the window, and for the last pongs, to arrive.
const SETTLE: Duration = Duration::from_secs(2);
/// The time for close frames to leave. QUIC would wait for three probe timeouts (RFC 9000, 10.2) in
/// case one gets lost: half a second of every run.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);
/// A closed loop that received nothing for this long has lost its moves and is restarted. Longer
/// than any tick or pump of a baseline, and than a retransmission.
const STALL: Duration = Duration::from_millis(500);

/// A player that a load can drive: Netduel's own, or a baseline's.
pub trait LoadPlayer: Send + 'static {
    /// Sends the next move, whose intended time is `due_us` by this host's clock.
    fn send(&mut self, heading: Heading, due_us: u64) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Waits for the next event. Cancel safe.
    fn next(&mut self) -> impl Future<Output = anyhow::Result<PlayerEvent>> + Send;

    /// Sends a ping that the server must answer. A player without pings is never asked
    /// ([`LoadPlan::pings_hz`]).
    ///
    /// # Errors
    /// The connection is over, or the player has no pings.
    fn ping(&mut self) -> anyhow::Result<()>;

    /// Starts the window: resets all counts.
    fn restart(&mut self);

    /// Closes the window and returns its counts.
    ///
    /// # Errors
    /// The match is over.
    fn finish(&mut self) -> anyhow::Result<MoveCounts>;

    /// Returns the transport's own statistics of the path.
    fn path_stats(&self) -> PathStats;

    /// Leaves the match and closes the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// An event that reaches a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerEvent {
    /// The opponent's move of this number arrived. Numbers start at 1.
    Moved(u32),
    /// The server corrected the player's position.
    Corrected,
    /// The server answered a ping.
    Answered,
    /// The opponent left.
    Left,
}

/// The counts of one player within the window.
#[derive(Clone, Debug, Default)]
pub struct MoveCounts {
    /// Statistics of the received moves.
    pub stats: MoveStats,
    /// Number of moves sent.
    pub sent: u64,
    /// Number of moves that a newer one replaced before they left.
    pub superseded: u64,
}

impl LoadPlayer for Player {
    async fn send(&mut self, heading: Heading, due_us: u64) -> anyhow::Result<()> {
        self.steer(heading, due_us)?;
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<PlayerEvent> {
        match self.next_event().await? {
            Event::OpponentMoved { update, .. } => Ok(PlayerEvent::Moved(update.seq)),
            Event::Corrected(_) => Ok(PlayerEvent::Corrected),
            Event::Pong { .. } => Ok(PlayerEvent::Answered),
            Event::OpponentLeft { .. } => Ok(PlayerEvent::Left),
            other @ (Event::Waiting
            | Event::Started(_)
            | Event::Draining { .. }
            | Event::Reconnecting { .. }
            | Event::Resumed
            | Event::OpponentReconnecting { .. }
            | Event::OpponentBack { .. }) => {
                bail!("received {other:?} during the match")
            }
        }
    }

    fn ping(&mut self) -> anyhow::Result<()> {
        Ok(Self::ping(self)?)
    }

    fn restart(&mut self) {
        self.restart_stats();
    }

    fn finish(&mut self) -> anyhow::Result<MoveCounts> {
        self.finish_stats();
        let current = self.current().context("the match is over")?;
        let (stats, sent, superseded) = (current.stats.clone(), current.sent, current.superseded);
        Ok(MoveCounts { stats, sent, superseded })
    }

    fn path_stats(&self) -> PathStats {
        Self::path_stats(self)
    }

    async fn close(self) {
        Self::close(self).await;
    }
}

/// The schedule of one player.
pub(crate) struct PlayerTask {
    bot_path: BotPath,
    first_us: u64,
    start_us: u64,
    period_us: u64,
    open_us: u64,
    close_us: u64,
    /// Moves in flight in a closed loop; 0 in an open one.
    in_flight: u32,
    /// Whether this player sends first in a closed loop.
    opens: bool,
    /// The time between two pings. Zero means no pings.
    ping_period: Duration,
    /// Keeps every player in its match until all windows are closed.
    all_done: Arc<tokio::sync::Barrier>,
}

/// Counts beside the player's own statistics.
#[derive(Default)]
struct Counters {
    lateness: Samples,
    corrected: u64,
    pings: u64,
    pongs: u64,
    stalls: u64,
    /// The highest number of the opponent's moves.
    newest: u32,
}

impl PlayerTask {
    /// Returns the schedule of player `number` of `players` for a load that begins at `start_us`.
    /// The two players of a match have consecutive numbers.
    pub(crate) fn new(
        plan: &LoadPlan,
        start_us: u64,
        number: u64,
        players: u64,
        all_done: Arc<tokio::sync::Barrier>,
    ) -> Self {
        let period_us = 1_000_000 / u64::from(plan.rate_hz.max(1));
        let open_us = start_us + plan.warmup_ms * 1_000;
        Self {
            bot_path: BotPath::new(plan.seed.wrapping_mul(1_000).wrapping_add(number)),
            // Spread over the period, so that the load is even.
            first_us: start_us + period_us * number / players,
            start_us,
            period_us,
            open_us,
            close_us: open_us + plan.duration_ms * 1_000,
            in_flight: plan.in_flight,
            opens: number.is_multiple_of(2),
            ping_period: Duration::from_secs(1).checked_div(plan.pings_hz).unwrap_or_default(),
            all_done,
        }
    }

    pub(crate) async fn carry_out<P: LoadPlayer>(self, mut player: P) -> anyhow::Result<LoadResult> {
        let mut ticker = Ticker::new(self.first_us, self.period_us)?;
        let mut counters = Counters::default();
        self.play_until(self.open_us, &mut player, &mut ticker, &mut counters).await?;
        player.restart();
        (counters.lateness, counters.stalls) = (Samples::default(), 0);
        let before = player.path_stats();
        self.play_until(self.close_us, &mut player, &mut ticker, &mut counters).await?;
        let count = player.finish()?;
        let after = player.path_stats();
        self.settle(&mut player, &mut counters).await?;
        self.all_done.wait().await;
        // A close frame that has not left by then is not worth the wait: the server is about to
        // end, and tells both players.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, player.close()).await;

        let grown = |read: fn(&PathStats) -> Option<u64>| Some(read(&after)?.saturating_sub(read(&before)?));
        Ok(LoadResult {
            stats: count.stats,
            sent: count.sent,
            superseded: count.superseded,
            corrected: counters.corrected,
            lateness: counters.lateness,
            stalls: counters.stalls,
            sent_bytes: grown(|path| path.sent_bytes),
            received_bytes: grown(|path| path.received_bytes),
            sent_packets: grown(|path| path.sent_packets),
            received_packets: grown(|path| path.received_packets),
            lost_packets: grown(|path| path.retransmitted_packets.or(path.lost_packets)),
            pings: counters.pings,
            pongs: counters.pongs,
            path: after,
            connects: None,
        })
    }

    /// Plays until `until_us`. This is the only load loop.
    async fn play_until<P: LoadPlayer>(
        &self,
        until_us: u64,
        player: &mut P,
        ticker: &mut Ticker,
        counters: &mut Counters,
    ) -> anyhow::Result<()> {
        // Neither timer needs to be exact, and a timer descriptor for each would be many.
        let time_left = Duration::from_micros(until_us.saturating_sub(clock::now_us()));
        let mut end = std::pin::pin!(tokio::time::sleep(time_left));
        let mut ping = tokio::time::interval(self.ping_period.max(Duration::from_millis(1)));
        let closed = self.in_flight > 0;
        let mut look = tokio::time::interval(STALL);
        let mut seen = None;
        loop {
            tokio::select! {
                biased;
                () = &mut end => return Ok(()),
                due_us = ticker.next(), if !closed => {
                    self.send(player, due_us).await?;
                    counters.lateness.record(clock::now_us() - due_us);
                }
                event = player.next() => {
                    let event = event?;
                    let advance = counters.count(event);
                    ensure!(event != PlayerEvent::Left, "the opponent left before the match was over");
                    if closed {
                        self.answer(player, advance).await?;
                    }
                }
                _ = look.tick(), if closed && self.opens => {
                    if seen == Some(counters.newest) || counters.newest == 0 {
                        counters.stalls += u64::from(seen.is_some());
                        self.answer(player, self.in_flight).await?;
                    }
                    seen = Some(counters.newest);
                }
                _ = ping.tick(), if !self.ping_period.is_zero() => {
                    player.ping()?;
                    counters.pings += 1;
                }
            }
        }
    }

    async fn send<P: LoadPlayer>(&self, player: &mut P, due_us: u64) -> anyhow::Result<()> {
        player.send(self.bot_path.heading(due_us - self.start_us), due_us).await
    }

    /// Sends one move for each of the opponent's moves that is settled: it arrived, or a later one
    /// did.
    async fn answer<P: LoadPlayer>(&self, player: &mut P, advance: u32) -> anyhow::Result<()> {
        for _ in 0..advance.min(self.in_flight) {
            self.send(player, clock::now_us()).await?;
        }
        Ok(())
    }

    /// Receives what is still in flight, so that both players of a match can leave in order.
    async fn settle<P: LoadPlayer>(&self, player: &mut P, counters: &mut Counters) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + SETTLE;
        while counters.pongs < counters.pings {
            match tokio::time::timeout_at(deadline, player.next()).await {
                Err(_) => break,
                Ok(event) => drop(counters.count(event?)),
            }
        }
        Ok(())
    }
}

impl Counters {
    /// Counts an event. Returns by how many moves the opponent advanced.
    fn count(&mut self, event: PlayerEvent) -> u32 {
        match event {
            PlayerEvent::Corrected => self.corrected += 1,
            PlayerEvent::Answered => self.pongs += 1,
            PlayerEvent::Moved(seq) => {
                let advance = seq.saturating_sub(self.newest);
                self.newest += advance;
                return advance;
            }
            PlayerEvent::Left => {}
        }
        0
    }
}
