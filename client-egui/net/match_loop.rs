//! The match loop: serves one connection through the queue and one match after another.

use std::time::{Duration, Instant};

use netduel_client::{
    Event, PlayError, Player,
    stats::{
        Freshness,
        live::{LiveStats, RECENT_US, TRACE_US},
    },
    ticker::Ticker,
};
use netduel_protocol::{Started, clock, game::Position};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    model::interpolation::Steering,
    net::{
        local_server::BotSide,
        messages::{Channels, Command, MatchRequest, Phase, PositionUpdate},
    },
};

/// The period at which a moving match wakes the interface: the frame time of a 60 Hz screen.
const FRAME: Duration = Duration::from_micros(16_667);
/// The period of pings and of transport samples. It suffices for the clock and the plots, and its
/// load is negligible.
const SAMPLE_PERIOD: Duration = Duration::from_millis(100);
/// The number of columns of the long trace. At this number its envelope is drawn as a line, not as
/// a band.
const LONG_COLUMNS: usize = 200;
/// The number of columns of the short trace. It resolves each of 120 moves a second.
const SHORT_COLUMNS: usize = 600;

/// The receiver of the bot's figures.
type Bot = watch::Receiver<Option<BotSide>>;

/// The next activity of the network thread after a match or a request ended.
pub(crate) enum Next {
    /// Waits for a command.
    Idle,
    /// Starts a new match request.
    Begin(Box<MatchRequest>),
    /// Ends the thread: the interface is gone.
    Quit,
}

/// The reason that a match loop ended.
pub(crate) enum MatchEnd {
    /// The player gave a command.
    ByCommand(Next),
    /// The connection is over.
    ByError(PlayError),
}

impl From<PlayError> for MatchEnd {
    fn from(error: PlayError) -> Self {
        Self::ByError(error)
    }
}

/// One connection with its queue and matches.
pub(crate) struct MatchLoop<'a> {
    channels: &'a mut Channels,
    player: Player,
    code: Option<String>,
    bot: Option<Bot>,
    live: LiveStats,
    steering: Steering,
    /// The ticker of the moves; `None` outside a match.
    ticker: Option<Ticker>,
    rate_hz: u32,
    /// Whether something moved since the interface was last woken.
    moved: bool,
}

impl<'a> MatchLoop<'a> {
    pub(crate) fn new(
        channels: &'a mut Channels,
        player: Player,
        code: Option<String>,
        bot: Option<Bot>,
    ) -> Self {
        let rate_hz = channels.controls.borrow().rate_hz;
        let steering = Steering::new(clock::now_us());
        let live = LiveStats::default();
        Self { channels, player, code, bot, live, steering, ticker: None, rate_hz, moved: false }
    }

    /// Queues and plays until the player gives a command or the connection is over.
    pub(crate) async fn play(mut self) -> MatchEnd {
        match self.play_until_end().await {
            Err(MatchEnd::ByCommand(next)) => {
                // A proper close lets the server inform the opponent at once.
                self.player.close().await;
                MatchEnd::ByCommand(next)
            }
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn play_until_end(&mut self) -> Result<std::convert::Infallible, MatchEnd> {
        self.player.join(self.code.as_deref())?;
        let (mut frame, mut sample) = (ticks(FRAME), ticks(SAMPLE_PERIOD));
        loop {
            let playing = self.ticker.is_some();
            tokio::select! {
                event = self.player.next_event() => self.on_event(event?)?,
                due_us = next_tick(&mut self.ticker) => self.on_tick(due_us)?,
                Ok(()) = self.channels.controls.changed() => self.on_controls()?,
                command = self.channels.commands.recv() => self.on_command(command)?,
                _ = frame.tick(), if playing => self.on_frame(),
                _ = sample.tick(), if playing => self.on_sample()?,
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), PlayError> {
        let now_us = clock::now_us();
        match event {
            Event::Waiting => self.channels.outbox.update(|state| {
                state.phase = Phase::Waiting { since: Instant::now() };
            }),
            Event::Started(started) => self.on_started(started, now_us)?,
            Event::OpponentMoved { update, freshness, .. } => {
                if self.player.clock().offset_us().is_some() {
                    self.live.on_move(self.player.match_us(now_us), &update, freshness);
                }
                if freshness == Freshness::Fresh {
                    self.push_position(PositionUpdate::Opponent {
                        position: update.position,
                        sent_us: update.at_us,
                    });
                }
            }
            Event::Corrected(correction) => {
                self.push_position(PositionUpdate::Own { position: correction.position, at_us: now_us });
            }
            Event::OpponentLeft { reason, .. } => {
                self.ticker = None;
                self.on_frame();
                self.channels.outbox.update(|state| state.phase = Phase::OpponentLeft { reason });
            }
            Event::Pong { rtt_us, up_us, in_server_us } => {
                let down_us = rtt_us.saturating_sub(up_us);
                self.live.on_pong(self.player.match_us(now_us), up_us, in_server_us, down_us);
            }
            Event::Draining { seconds } => {
                self.channels.outbox.update(|state| state.draining_s = Some(seconds));
            }
            Event::Reconnecting { reason, within } => self.channels.outbox.update(|state| {
                state.phase = Phase::Reconnecting { why: reason.to_string(), until: Instant::now() + within };
            }),
            Event::OpponentReconnecting { within } => self.channels.outbox.update(|state| {
                state.phase = Phase::OpponentReconnecting { until: Instant::now() + within };
            }),
            Event::Resumed | Event::OpponentBack { .. } => self.on_back(now_us),
        }
        Ok(())
    }

    fn on_started(&mut self, started: Started, now_us: u64) -> Result<(), PlayError> {
        self.live = LiveStats::default();
        self.steering = Steering::new(now_us);
        self.steering.turn(now_us, self.channels.controls.borrow().heading);
        self.set_beat(now_us)?;
        let me = usize::from(started.player.min(1));
        let positions: [Position; 2] = [started.positions[me], started.positions[1 - me]];
        self.push_position(PositionUpdate::MatchStarted { positions });
        self.channels.outbox.update(|state| {
            state.phase = Phase::Playing;
            state.started = Some(started.into());
            // The figures of the last match must not count for this one.
            (state.figures, state.totals) = Default::default();
            (state.opponent_figures, state.opponent_totals) = Default::default();
            state.draining_s = None;
        });
        self.on_sample()
    }

    /// Continues the match after one of its players reconnected, perhaps over another transport.
    fn on_back(&mut self, now_us: u64) {
        let Some(current) = self.player.current() else { return };
        let (position, started) = (current.position, current.started.clone());
        self.push_position(PositionUpdate::Own { position, at_us: now_us });
        self.channels.outbox.update(|state| {
            state.phase = Phase::Playing;
            state.started = Some(started.into());
        });
    }

    fn set_beat(&mut self, now_us: u64) -> Result<(), PlayError> {
        let period_us = 1_000_000 / u64::from(self.rate_hz.max(1));
        let no_timer = |error: std::io::Error| PlayError::CannotSend(format!("no timer: {error}"));
        self.ticker = Some(Ticker::new(now_us + period_us, period_us).map_err(no_timer)?);
        Ok(())
    }

    fn on_tick(&mut self, due_us: u64) -> Result<(), PlayError> {
        let heading = self.steering.take(due_us);
        self.player.steer(heading, due_us)?;
        if let Some(current) = self.player.current() {
            let position = current.position;
            self.push_position(PositionUpdate::Own { position, at_us: due_us });
        }
        Ok(())
    }

    fn on_controls(&mut self) -> Result<(), PlayError> {
        let controls = *self.channels.controls.borrow_and_update();
        let now_us = clock::now_us();
        self.steering.turn(now_us, controls.heading);
        if controls.rate_hz != self.rate_hz {
            self.rate_hz = controls.rate_hz;
            if self.ticker.is_some() {
                self.set_beat(now_us)?;
            }
        }
        Ok(())
    }

    fn on_command(&mut self, command: Option<Command>) -> Result<(), MatchEnd> {
        match command {
            None => Err(MatchEnd::ByCommand(Next::Quit)),
            Some(Command::Start(request)) => Err(MatchEnd::ByCommand(Next::Begin(request))),
            Some(Command::Leave) => Err(MatchEnd::ByCommand(Next::Idle)),
            Some(Command::Again) => {
                self.ticker = None;
                self.player.leave()?;
                Ok(self.player.join(self.code.as_deref())?)
            }
        }
    }

    fn push_position(&mut self, update: PositionUpdate) {
        self.channels.outbox.moved(update);
        self.moved = true;
    }

    /// Wakes the interface if a player moved since the last frame.
    fn on_frame(&mut self) {
        if std::mem::take(&mut self.moved) {
            self.channels.outbox.wake();
        }
    }

    /// Publishes the figures, and sends a ping.
    fn on_sample(&mut self) -> Result<(), PlayError> {
        let now_us = clock::now_us();
        let match_us = self.player.match_us(now_us);
        self.live.on_path(match_us, self.player.path_stats());
        let Some(current) = self.player.current() else { return self.player.ping() };
        let figures = self.live.figures(match_us, &current.stats, current.sent, current.superseded);
        let trace = self.live.trace(match_us, TRACE_US, LONG_COLUMNS);
        let close_trace = self.live.trace(match_us, RECENT_US, SHORT_COLUMNS);
        let totals = current.stats.finished(match_us);
        let bot = self.bot.as_ref().and_then(|bot| bot.borrow().clone());
        let (opponent_figures, opponent_totals) = bot.map(|bot| (bot.figures, bot.totals)).unzip();
        self.channels.outbox.update(|state| {
            state.figures = figures.into();
            state.totals = totals.into();
            state.trace = trace.into();
            state.close_trace = close_trace.into();
            state.opponent_figures = opponent_figures;
            state.opponent_totals = opponent_totals;
            state.match_offset_us = match_us.wrapping_sub(now_us).cast_signed();
        });
        // The ping comes last because it leaves when this function returns. So the computation
        // above does not delay it.
        self.player.ping()
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    // One tick after a stall is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Waits for the next tick of a match, or forever outside a match.
async fn next_tick(ticker: &mut Option<Ticker>) -> u64 {
    match ticker {
        Some(ticker) => ticker.next().await,
        None => std::future::pending().await,
    }
}
