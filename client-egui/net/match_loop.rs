//! A connection while it lasts: the queue, matches one after another, and what is told of them. Part of the network thread.

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
        backend::{Command, Motion, Phase},
        local_server::BotSide,
        session::{Next, Over, Session},
    },
};

/// The interface is woken this often while something moves: as often as a common screen can show it.
const FRAME: Duration = Duration::from_micros(16_667);
/// Pings, and looks at the transport: enough to know the clock and to draw a line, too few to matter.
const LOOK: Duration = Duration::from_millis(100);
/// Columns of the long trace: an envelope that is a line and not a band.
const LONG_COLUMNS: usize = 200;
/// Columns of the short one: every tooth of 120 moves a second.
const SHORT_COLUMNS: usize = 600;

/// What the bot sees of its link.
type Bot = watch::Receiver<Option<BotSide>>;

/// See the module.
pub(crate) struct Table<'a> {
    session: &'a mut Session,
    player: Player,
    code: Option<String>,
    bot: Option<Bot>,
    live: LiveStats,
    steering: Steering,
    /// While a match is on.
    beat: Option<Ticker>,
    rate_hz: u32,
    /// Something moved since the interface was woken.
    news: bool,
}

impl<'a> Table<'a> {
    pub(crate) fn new(
        session: &'a mut Session,
        player: Player,
        code: Option<String>,
        bot: Option<Bot>,
    ) -> Self {
        let rate_hz = session.controls.borrow().rate_hz;
        let steering = Steering::new(clock::now_us());
        let live = LiveStats::default();
        Self { session, player, code, bot, live, steering, beat: None, rate_hz, news: false }
    }

    /// Queues and plays until the player wants something else or the connection is over.
    pub(crate) async fn play(mut self) -> Over {
        match self.play_on().await {
            Err(Over::Told(next)) => {
                // Said properly, so that the opponent is told at once.
                self.player.close().await;
                Over::Told(next)
            }
            Err(over) => over,
            Ok(never) => match never {},
        }
    }

    async fn play_on(&mut self) -> Result<std::convert::Infallible, Over> {
        self.player.join(self.code.as_deref())?;
        let (mut frame, mut look) = (ticks(FRAME), ticks(LOOK));
        loop {
            let playing = self.beat.is_some();
            tokio::select! {
                event = self.player.next_event() => self.on_event(event?)?,
                due_us = next_beat(&mut self.beat) => self.on_beat(due_us)?,
                Ok(()) = self.session.controls.changed() => self.on_controls()?,
                command = self.session.commands.recv() => self.on_command(command)?,
                _ = frame.tick(), if playing => self.on_frame(),
                _ = look.tick(), if playing => self.on_look()?,
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), PlayError> {
        let now_us = clock::now_us();
        match event {
            Event::Waiting => self.session.outbox.update(|state| {
                state.phase = Phase::Waiting { since: Instant::now() };
            }),
            Event::Started(started) => self.on_started(started, now_us)?,
            Event::OpponentMoved { update, freshness, .. } => {
                self.live.on_move(self.player.match_us(now_us), &update, freshness);
                if freshness == Freshness::Fresh {
                    self.tell(Motion::Peer { position: update.position, sent_us: update.at_us });
                }
            }
            Event::Corrected(correction) => {
                self.tell(Motion::Own { position: correction.position, at_us: now_us });
            }
            Event::OpponentLeft { reason, .. } => {
                self.beat = None;
                self.on_frame();
                self.session.outbox.update(|state| state.phase = Phase::OpponentLeft { reason });
            }
            Event::Pong { rtt_us, up_us, in_server_us } => {
                let down_us = rtt_us.saturating_sub(up_us);
                self.live.on_pong(self.player.match_us(now_us), up_us, in_server_us, down_us);
            }
            Event::Draining { seconds } => {
                self.session.outbox.update(|state| state.draining_s = Some(seconds));
            }
            Event::Reconnecting { reason, within } => self.session.outbox.update(|state| {
                state.phase = Phase::Reconnecting { why: reason.to_string(), until: Instant::now() + within };
            }),
            Event::OpponentReconnecting { within } => self.session.outbox.update(|state| {
                state.phase = Phase::OpponentReconnecting { until: Instant::now() + within };
            }),
            Event::Resumed | Event::OpponentBack { .. } => self.on_back(now_us),
        }
        Ok(())
    }

    fn on_started(&mut self, started: Started, now_us: u64) -> Result<(), PlayError> {
        self.live = LiveStats::default();
        self.steering = Steering::new(now_us);
        self.steering.turn(now_us, self.session.controls.borrow().heading);
        self.set_beat(now_us)?;
        let me = usize::from(started.player.min(1));
        let positions: [Position; 2] = [started.positions[me], started.positions[1 - me]];
        self.tell(Motion::Began { positions });
        self.session.outbox.update(|state| {
            state.phase = Phase::Playing;
            state.started = Some(started.into());
            // Those of the last match would count as this one's.
            (state.figures, state.totals) = Default::default();
            (state.peer_figures, state.peer_totals) = Default::default();
            state.draining_s = None;
        });
        self.on_look()
    }

    /// Somebody is back in the match, perhaps over another transport.
    fn on_back(&mut self, now_us: u64) {
        let Some(current) = self.player.current() else { return };
        let (position, started) = (current.position, current.started.clone());
        self.tell(Motion::Own { position, at_us: now_us });
        self.session.outbox.update(|state| {
            state.phase = Phase::Playing;
            state.started = Some(started.into());
        });
    }

    fn set_beat(&mut self, now_us: u64) -> Result<(), PlayError> {
        let period_us = 1_000_000 / u64::from(self.rate_hz.max(1));
        let no_timer = |error: std::io::Error| PlayError::CannotSend(format!("no timer: {error}"));
        self.beat = Some(Ticker::new(now_us + period_us, period_us).map_err(no_timer)?);
        Ok(())
    }

    fn on_beat(&mut self, due_us: u64) -> Result<(), PlayError> {
        let heading = self.steering.take(due_us);
        self.player.steer(heading, due_us)?;
        if let Some(current) = self.player.current() {
            let position = current.position;
            self.tell(Motion::Own { position, at_us: due_us });
        }
        Ok(())
    }

    fn on_controls(&mut self) -> Result<(), PlayError> {
        let controls = *self.session.controls.borrow_and_update();
        let now_us = clock::now_us();
        self.steering.turn(now_us, controls.heading);
        if controls.rate_hz != self.rate_hz {
            self.rate_hz = controls.rate_hz;
            if self.beat.is_some() {
                self.set_beat(now_us)?;
            }
        }
        Ok(())
    }

    fn on_command(&mut self, command: Option<Command>) -> Result<(), Over> {
        match command {
            None => Err(Over::Told(Next::Quit)),
            Some(Command::Start(wish)) => Err(Over::Told(Next::Begin(wish))),
            Some(Command::Leave) => Err(Over::Told(Next::Idle)),
            Some(Command::Again) => {
                self.beat = None;
                self.player.leave()?;
                Ok(self.player.join(self.code.as_deref())?)
            }
        }
    }

    fn tell(&mut self, motion: Motion) {
        self.session.outbox.moved(motion);
        self.news = true;
    }

    /// Wakes the interface if there is something to show.
    fn on_frame(&mut self) {
        if std::mem::take(&mut self.news) {
            self.session.outbox.wake();
        }
    }

    /// Tells the figures, and pings.
    fn on_look(&mut self) -> Result<(), PlayError> {
        let now_us = clock::now_us();
        let match_us = self.player.match_us(now_us);
        self.live.on_path(match_us, self.player.path_stats());
        let Some(current) = self.player.current() else { return self.player.ping() };
        let figures = self.live.figures(match_us, &current.stats, current.sent, current.superseded);
        let trace = self.live.trace(match_us, TRACE_US, LONG_COLUMNS);
        let close_trace = self.live.trace(match_us, RECENT_US, SHORT_COLUMNS);
        let totals = current.stats.finished(match_us);
        let peer = self.bot.as_ref().and_then(|bot| bot.borrow().clone());
        let (peer_figures, peer_totals) = peer.map(|peer| (peer.figures, peer.totals)).unzip();
        self.session.outbox.update(|state| {
            state.figures = figures.into();
            state.totals = totals.into();
            state.trace = trace.into();
            state.close_trace = close_trace.into();
            state.peer_figures = peer_figures;
            state.peer_totals = peer_totals;
            state.match_offset_us = match_us.wrapping_sub(now_us).cast_signed();
        });
        // Last, since it leaves when this returns: what was computed here is no part of its way.
        self.player.ping()
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    // After a stall one is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// The next beat of a match, or never.
async fn next_beat(beat: &mut Option<Ticker>) -> u64 {
    match beat {
        Some(beat) => beat.next().await,
        None => std::future::pending().await,
    }
}
