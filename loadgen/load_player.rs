//! What each player of a load does, by the clock. An open loop sends on a beat: every move has the time it was meant for,
//! and a stall sends what it delayed, late. A closed loop answers what arrives. Whose players they are it does not know.

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

/// Time for what is under way at the end of the window to arrive, and for the last pongs.
const SETTLE: Duration = Duration::from_secs(2);
/// Time for the goodbyes to leave. QUIC would stay for three probe timeouts (RFC 9000, 10.2) in case one gets lost: half
/// a second of every run.
const GOODBYE: Duration = Duration::from_millis(50);
/// A closed loop in which nothing came for this long has lost its moves, and is begun again: longer than any tick or pump
/// of a baseline, and than a retransmission.
const STALL: Duration = Duration::from_millis(500);

/// Who can be driven by a load: a player of ours, or of a baseline.
pub trait LoadPlayer: Send + 'static {
    /// Sends the next move, which was meant for `due_us` of this host's clock.
    fn send(&mut self, heading: Heading, due_us: u64) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// The next thing that happens. Cancel safe.
    fn next(&mut self) -> impl Future<Output = anyhow::Result<PlayerEvent>> + Send;

    /// Sends what the server must answer; who cannot is never asked to ([`LoadPlan::pings_hz`]).
    ///
    /// # Errors
    /// The connection is over, or there is no such thing.
    fn ping(&mut self) -> anyhow::Result<()>;

    /// Starts the window: what was counted is forgotten.
    fn restart(&mut self);

    /// Closes the window: what was counted in it.
    ///
    /// # Errors
    /// There is no match any more.
    fn finish(&mut self) -> anyhow::Result<MoveCounts>;

    /// What the transport says of itself.
    fn path_stats(&self) -> PathStats;

    /// Says goodbye.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What happens to a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerEvent {
    /// The other one's move of this number arrived; they count from 1.
    Moved(u32),
    /// The server put the player back.
    Corrected,
    /// A ping was answered.
    Answered,
    /// The other player has left.
    Left,
}

/// What a player counted within the window.
#[derive(Clone, Debug, Default)]
pub struct MoveCounts {
    /// Of the moves received.
    pub stats: MoveStats,
    /// Moves sent.
    pub sent: u64,
    /// Moves replaced by a newer one before they left.
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
                bail!("{other:?} in the middle of the match")
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

/// What one player does, by the clock.
pub(crate) struct PlayerTask {
    course: BotPath,
    first_us: u64,
    start_us: u64,
    period_us: u64,
    open_us: u64,
    close_us: u64,
    /// Moves under way in a closed loop; 0 in an open one.
    in_flight: u32,
    /// Who begins a closed loop.
    opens: bool,
    /// Zero: none.
    ping_period: Duration,
    /// Nobody leaves before everybody's window is closed.
    all_done: Arc<tokio::sync::Barrier>,
}

/// What is counted besides the player's own statistics.
#[derive(Default)]
struct Counters {
    lateness: Samples,
    corrected: u64,
    pings: u64,
    pongs: u64,
    stalls: u64,
    /// The highest number of the other one's moves.
    newest: u32,
}

impl PlayerTask {
    /// Of player `number` of so many, when the load begins at `start_us`. Players of a match have numbers next to each other.
    pub(crate) fn new(
        plan: &LoadPlan,
        start_us: u64,
        number: u64,
        everybody: u64,
        all_done: Arc<tokio::sync::Barrier>,
    ) -> Self {
        let period_us = 1_000_000 / u64::from(plan.rate_hz.max(1));
        let open_us = start_us + plan.warmup_ms * 1_000;
        Self {
            course: BotPath::new(plan.seed.wrapping_mul(1_000).wrapping_add(number)),
            // Spread over the period, so that the load is even.
            first_us: start_us + period_us * number / everybody,
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
        let mut beat = Ticker::new(self.first_us, self.period_us)?;
        let mut counters = Counters::default();
        self.play_until(self.open_us, &mut player, &mut beat, &mut counters).await?;
        player.restart();
        (counters.lateness, counters.stalls) = (Samples::default(), 0);
        let before = player.path_stats();
        self.play_until(self.close_us, &mut player, &mut beat, &mut counters).await?;
        let count = player.finish()?;
        let after = player.path_stats();
        self.settle(&mut player, &mut counters).await?;
        self.all_done.wait().await;
        // What is not out by then is not worth the wait: the server is about to end, and tells both sides.
        let _ = tokio::time::timeout(GOODBYE, player.close()).await;

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

    /// The one load loop.
    async fn play_until<P: LoadPlayer>(
        &self,
        until_us: u64,
        player: &mut P,
        beat: &mut Ticker,
        counters: &mut Counters,
    ) -> anyhow::Result<()> {
        // Neither needs to be exact, and a descriptor for each would be many.
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
                due_us = beat.next(), if !closed => {
                    self.send(player, due_us).await?;
                    counters.lateness.record(clock::now_us() - due_us);
                }
                event = player.next() => {
                    let event = event?;
                    let news = counters.count(event);
                    ensure!(event != PlayerEvent::Left, "the other player left in the middle of the match");
                    if closed {
                        self.answer(player, news).await?;
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
        player.send(self.course.heading(due_us - self.start_us), due_us).await
    }

    /// A move for each of the other one's that is out of the way: arrived, or overtaken by one that did.
    async fn answer<P: LoadPlayer>(&self, player: &mut P, news: u32) -> anyhow::Result<()> {
        for _ in 0..news.min(self.in_flight) {
            self.send(player, clock::now_us()).await?;
        }
        Ok(())
    }

    /// Takes in what is still under way, so that both ends of a match leave in peace.
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
    /// By how many moves the other one is further now.
    fn count(&mut self, event: PlayerEvent) -> u32 {
        match event {
            PlayerEvent::Corrected => self.corrected += 1,
            PlayerEvent::Answered => self.pongs += 1,
            PlayerEvent::Moved(seq) => {
                let news = seq.saturating_sub(self.newest);
                self.newest += news;
                return news;
            }
            PlayerEvent::Left => {}
        }
        0
    }
}
