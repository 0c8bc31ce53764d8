//! One player of a load. In an open loop it sends at fixed intended times, and a stall sends the
//! delayed moves late. In a closed loop it answers what arrives. Works for any player that
//! implements [`LoadPlayer`].

use std::{future::Future, ops::Range, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use netduel_client::{
    Event, Player,
    bot_path::BotPath,
    stats::{MoveStats, Samples},
    ticker::Ticker,
};
use netduel_protocol::{clock, game::Heading};
use netduel_transport::PathStats;
use tokio::sync::{Barrier, mpsc, watch};

use crate::{
    moves::MoveLog,
    plan::LoadPlan,
    result::{LoadResult, PlayerFigures},
    window::Window,
};

/// The time for the last pongs to arrive after the drain.
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
    fn send(&mut self, heading: Heading, due_us: u64) -> impl Future<Output = anyhow::Result<Sent>> + Send;

    /// Waits for the next event. Cancel safe.
    fn next(&mut self) -> impl Future<Output = anyhow::Result<PlayerEvent>> + Send;

    /// Sends a ping that the server must answer. A player without pings is never asked
    /// ([`LoadPlan::pings_hz`]).
    ///
    /// # Errors
    /// The connection is over, or the player has no pings.
    fn ping(&mut self) -> anyhow::Result<()>;

    /// Opens a window at its begin: resets all counts, and from now on counts moves by their
    /// intended time, as [`MoveStats::open`] does. The times are those of this host's clock.
    fn open(&mut self, begin_us: u64, window_us: Range<u64>);

    /// Closes the window after its drain and returns its counts.
    ///
    /// # Errors
    /// The match is over.
    fn finish(&mut self) -> anyhow::Result<MoveCounts>;

    /// Returns the transport's own statistics of the path.
    fn path_stats(&self) -> PathStats;

    /// Leaves the match and closes the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A move that a player sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The move's number, from 1.
    pub seq: u32,
    /// Number of unsent moves that it replaced, which are the ones just before it.
    pub replaced: usize,
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

/// The counts of one player within the window, by the intended times of moves.
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
    async fn send(&mut self, heading: Heading, due_us: u64) -> anyhow::Result<Sent> {
        let replaced = self.steer(heading, due_us)?;
        let seq = self.current().context("the match is over")?.seq();
        Ok(Sent { seq, replaced })
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

    fn open(&mut self, begin_us: u64, window_us: Range<u64>) {
        self.open_window(begin_us, window_us);
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

/// One player of a load, and its schedule.
pub(crate) struct PlayerTask {
    number: u64,
    bot_path: BotPath,
    /// The first move's time after the window's begin.
    phase_us: u64,
    period_us: u64,
    /// Moves in flight in a closed loop; 0 in an open one.
    in_flight: u32,
    /// Whether this player sends first in a closed loop.
    opens: bool,
    /// The time between two pings. Zero means no pings.
    ping_period: Duration,
    /// The highest number of the opponent's moves.
    newest: u32,
    /// Number of all players.
    players: usize,
}

/// The result of one player's window, and its log if the moves are kept.
pub(crate) struct Report {
    pub(crate) number: u64,
    pub(crate) result: LoadResult,
    pub(crate) log: Option<MoveLog>,
}

/// Counts of a window beside the player's own statistics.
#[derive(Default)]
struct Counters {
    lateness: Samples,
    corrected: u64,
    pings: u64,
    pongs: u64,
    stalls: u64,
    log: Option<MoveLog>,
}

/// The timers of one window.
struct Timers {
    ticker: Ticker,
    ping: tokio::time::Interval,
    /// The times at which a closed loop is looked at.
    look: tokio::time::Interval,
    /// The highest number of the opponent's moves at the last look.
    seen: u32,
}

impl PlayerTask {
    /// Returns the schedule of player `number` of `players`. The two players of a match have
    /// consecutive numbers.
    pub(crate) fn new(plan: &LoadPlan, number: u64, players: u64) -> Self {
        let period_us = plan.period_us();
        Self {
            number,
            bot_path: BotPath::new(plan.seed.wrapping_mul(1_000).wrapping_add(number)),
            // Spread over the period, so that the load is even.
            phase_us: plan.phase_us + period_us * number / players,
            period_us,
            in_flight: plan.in_flight,
            opens: number.is_multiple_of(2),
            ping_period: Duration::from_secs(1).checked_div(plan.pings_hz).unwrap_or_default(),
            newest: 0,
            players: players as usize,
        }
    }

    /// Plays every window that `begun` has, and sends its result to `report`. Between windows the
    /// player reads what arrives. At the end of the windows it waits until `all_done`, which keeps
    /// every player in its match until then, and leaves.
    pub(crate) async fn carry_out<P: LoadPlayer>(
        mut self,
        mut player: P,
        mut begun: watch::Receiver<Option<Window>>,
        report: mpsc::Sender<Report>,
        all_done: Arc<Barrier>,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                more = begun.changed() => if more.is_err() { break },
                event = player.next() => {
                    self.count(&mut Counters::default(), event?)?;
                    continue;
                }
            }
            let window = *begun.borrow_and_update();
            let Some(window) = window else { continue };
            report.send(self.play(&window, &mut player).await?).await?;
        }
        all_done.wait().await;
        // A close frame that has not left by then is not worth the wait: the server is about to
        // end, and tells both players.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, player.close()).await;
        Ok(())
    }

    /// Plays one window from its begin to the end of its drain.
    async fn play<P: LoadPlayer>(&mut self, window: &Window, player: &mut P) -> anyhow::Result<Report> {
        let mut timers = Timers {
            ticker: Ticker::new(window.begin_us + self.phase_us, self.period_us)?,
            ping: tokio::time::interval(self.ping_period.max(Duration::from_millis(1))),
            look: tokio::time::interval_at(tokio::time::Instant::now() + STALL, STALL),
            seen: self.newest,
        };
        let log = window.keep_moves.then(|| MoveLog::new(self.players));
        let mut counters = Counters { log, ..Counters::default() };
        player.open(window.begin_us, window.open_us..window.close_us);
        if self.in_flight > 0 && self.opens {
            self.answer(window, player, self.in_flight, &mut counters).await?;
        }
        self.play_until(window.open_us, window, player, &mut timers, &mut counters).await?;
        let before = player.path_stats();
        self.play_until(window.close_us, window, player, &mut timers, &mut counters).await?;
        let after = player.path_stats();
        self.play_until(window.end_us, window, player, &mut timers, &mut counters).await?;
        let count = player.finish()?;
        self.settle(player, &mut counters).await?;

        let grown = |read: fn(&PathStats) -> Option<u64>| Some(read(&after)?.saturating_sub(read(&before)?));
        let result = LoadResult {
            players: vec![PlayerFigures::of(&count.stats, count.sent)],
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
            recovery: after.recovery.since(&before.recovery),
            pings: counters.pings,
            pongs: counters.pongs,
            path: after,
            connects: None,
        };
        Ok(Report { number: self.number, result, log: counters.log })
    }

    /// Plays until `until_us`. This is the only load loop.
    async fn play_until<P: LoadPlayer>(
        &mut self,
        until_us: u64,
        window: &Window,
        player: &mut P,
        timers: &mut Timers,
        counters: &mut Counters,
    ) -> anyhow::Result<()> {
        // Neither timer needs to be exact, and a timer descriptor for each would be many.
        let time_left = Duration::from_micros(until_us.saturating_sub(clock::now_us()));
        let mut end = std::pin::pin!(tokio::time::sleep(time_left));
        let closed = self.in_flight > 0;
        loop {
            tokio::select! {
                biased;
                () = &mut end => return Ok(()),
                due_us = timers.ticker.next(), if !closed => {
                    let sent_us = self.send(window, player, due_us, counters).await?;
                    if window.contains(due_us) {
                        counters.lateness.record(sent_us - due_us);
                    }
                }
                event = player.next() => {
                    let event = event?;
                    let advance = self.count(counters, event)?;
                    if let (Some(log), PlayerEvent::Moved(seq)) = (&mut counters.log, event) {
                        log.on_arrival(window, seq, advance > 0, clock::now_us());
                    }
                    if closed {
                        self.answer(window, player, advance, counters).await?;
                    }
                }
                _ = timers.look.tick(), if closed && self.opens => {
                    if timers.seen == self.newest {
                        counters.stalls += u64::from(window.contains(clock::now_us()));
                        self.answer(window, player, self.in_flight, counters).await?;
                    }
                    timers.seen = self.newest;
                }
                _ = timers.ping.tick(), if !self.ping_period.is_zero() => {
                    player.ping()?;
                    counters.pings += 1;
                }
            }
        }
    }

    /// Sends the next move. Returns the time at which the transport had taken it.
    async fn send<P: LoadPlayer>(
        &self,
        window: &Window,
        player: &mut P,
        due_us: u64,
        counters: &mut Counters,
    ) -> anyhow::Result<u64> {
        let Sent { seq, replaced } =
            player.send(self.bot_path.heading(due_us - window.begin_us), due_us).await?;
        let sent_us = clock::now_us();
        if let Some(log) = &mut counters.log {
            log.on_sent(window, seq, replaced, due_us, sent_us);
        }
        Ok(sent_us)
    }

    /// Sends one move for each of the opponent's moves that is settled: it arrived, or a later one
    /// did.
    async fn answer<P: LoadPlayer>(
        &self,
        window: &Window,
        player: &mut P,
        advance: u32,
        counters: &mut Counters,
    ) -> anyhow::Result<()> {
        for _ in 0..advance.min(self.in_flight) {
            self.send(window, player, clock::now_us(), counters).await?;
        }
        Ok(())
    }

    /// Receives until every ping is answered, so that none is missed and both players of a match
    /// can leave in order.
    async fn settle<P: LoadPlayer>(&mut self, player: &mut P, counters: &mut Counters) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + SETTLE;
        while counters.pongs < counters.pings {
            match tokio::time::timeout_at(deadline, player.next()).await {
                Err(_) => break,
                Ok(event) => drop(self.count(counters, event?)?),
            }
        }
        Ok(())
    }

    /// Counts an event. Returns by how many moves the opponent advanced.
    fn count(&mut self, counters: &mut Counters, event: PlayerEvent) -> anyhow::Result<u32> {
        match event {
            PlayerEvent::Corrected => counters.corrected += 1,
            PlayerEvent::Answered => counters.pongs += 1,
            PlayerEvent::Moved(seq) => {
                let advance = seq.saturating_sub(self.newest);
                self.newest += advance;
                return Ok(advance);
            }
            PlayerEvent::Left => bail!("the opponent left before the match was over"),
        }
        Ok(0)
    }
}
