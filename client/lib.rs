//! A headless player: connect, join, send moves, receive events. The bots, the benches, the reports and the window are
//! all made of it.
//!
//! [`Player::connect`] comes first, then [`Player::join`]; from then on [`Player::next_event`] is polled by one task, which
//! also sends: [`Player::steer`] moves by the rules and predicts the own position, which a correction of the server puts
//! right. Statistics are pure and live in [`stats`].
//!
//! A connection that is lost in a match is no error: the player comes back to its seat by itself, and says so with
//! [`Event::Reconnecting`] and [`Event::Resumed`].

pub mod bot_path;
pub mod cli;
mod connect;
mod error;
mod event;
pub mod recording;
pub mod stats;
pub mod ticker;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use netduel_protocol::{
    ClientMessage, CloseCode, MAX_MESSAGE_BYTES, Move, MoveWithPayload, Resumed, ServerMessage, Started,
    clock,
    game::{self, Heading, Position},
};
use netduel_transport::{
    Close, CloseReason, Options, PathStats, Receiver, SendError, Sender, TransportKind, Trust,
};

pub use error::PlayError;
pub use event::Event;

use connect::{Reconnect, Seat, Welcomed};
use stats::{ClockSync, Freshness, MoveStats};

/// Where and how to connect, and as whom.
#[derive(Clone, Debug)]
pub struct PlayerConfig {
    /// The server.
    pub addr: SocketAddr,
    /// The name its certificate must carry.
    pub server_name: String,
    /// Over which transport.
    pub kind: TransportKind,
    /// Which certificates are good; needed for encrypted kinds.
    pub trust: Option<Trust>,
    /// Settings of the connection.
    pub options: Options,
    /// What the opponent sees.
    pub name: String,
    /// The period in which the opponent is expected to send, in µs; it decides what counts as a freeze.
    pub period_us: u64,
}

/// A match as this player sees it.
#[derive(Clone, Debug)]
pub struct Match {
    /// How it began.
    pub started: Started,
    /// Where this player is, predicted.
    pub position: Position,
    /// Where the opponent is, by its newest move.
    pub opponent_position: Position,
    /// Statistics of the opponent's moves.
    pub stats: MoveStats,
    /// Moves sent.
    pub sent: u64,
    /// Moves that replaced an unsent one on this side.
    pub superseded: u64,
    seq: u32,
    corrections: u16,
    /// Intended time of the last move sent, since the start.
    last_at_us: u64,
}

impl Match {
    /// Goes on from what the server holds. Moves that were lost with the connection may have led further than one move may
    /// lie from the last that came; then the prediction is void, as after a correction.
    fn resume(&mut self, resumed: Resumed) {
        let Resumed { positions, seq, at_us, corrections, opponent_transport, resume_ticket, .. } = resumed;
        let me = usize::from(self.started.player);
        let known = Move { at_us, position: positions[me], ..Move::default() };
        let predicted = Move { at_us: self.last_at_us, position: self.position, ..Move::default() };
        if corrections != self.corrections || game::check(&known, &predicted).is_err() {
            self.position = known.position;
        }
        self.seq = self.seq.max(seq);
        self.corrections = corrections;
        self.opponent_position = positions[1 - me];
        self.started.opponent_transport = opponent_transport;
        self.started.resume_ticket = Some(resume_ticket);
    }
}

/// A connected player.
#[derive(Debug)]
pub struct Player {
    sender: Sender,
    receiver: Receiver,
    /// Where to come back if the connection is lost.
    reconnect_targets: Vec<PlayerConfig>,
    /// While the connection is lost.
    reconnect: Option<Reconnect>,
    name: String,
    period_us: u64,
    clock: ClockSync,
    /// Sent with every move.
    payload: Vec<u8>,
    /// What the server relays, in bytes.
    payload_max_bytes: usize,
    current: Option<Match>,
}

impl Player {
    /// Connects and exchanges hellos.
    ///
    /// # Errors
    /// Connected or failed within the handshake deadline, twice at most: once for the transport, once for the hello.
    pub async fn connect(config: &PlayerConfig) -> Result<Self, PlayError> {
        let Welcomed { connection, clock: theirs, payload_max_bytes } = connect::hello(config, None).await?;
        Ok(Self {
            sender: connection.sender,
            receiver: connection.receiver,
            reconnect_targets: vec![config.clone()],
            reconnect: None,
            name: config.name.clone(),
            period_us: config.period_us,
            clock: ClockSync::new(theirs != 0 && theirs == clock::id()),
            payload: Vec::new(),
            payload_max_bytes,
            current: None,
        })
    }

    /// Where to come back if the connection is lost within a match: to these addresses of the same server in turn, over
    /// whatever transport each says. Without this call it is where the player connected; with none it does not come back.
    pub fn set_reconnect_targets(&mut self, reconnect_targets: Vec<PlayerConfig>) {
        self.reconnect_targets = reconnect_targets;
    }

    /// Queues for a match: with anybody, or with whoever gives the same code.
    ///
    /// # Errors
    /// A name or code that is too long; a connection that is over.
    pub fn join(&mut self, code: Option<&str>) -> Result<(), PlayError> {
        self.say(&ClientMessage::Join { name: self.name.clone(), code: code.map(str::to_owned) })
    }

    /// What goes with every move from now on: bytes that only the opponent understands, none to begin with. Call it before
    /// each move if they differ. It is copied into memory that is kept, so the steady state allocates nothing.
    ///
    /// # Errors
    /// [`PlayError::PayloadTooLong`] for more than [`Self::payload_max_bytes`].
    pub fn set_payload(&mut self, payload: &[u8]) -> Result<(), PlayError> {
        let (size, max) = (payload.len(), self.payload_max_bytes);
        if size > max {
            return Err(PlayError::PayloadTooLong { size, max });
        }
        self.payload.clear();
        self.payload.extend_from_slice(payload);
        Ok(())
    }

    /// Longest payload in bytes that the server relays, as it said in its welcome.
    pub fn payload_max_bytes(&self) -> usize {
        self.payload_max_bytes
    }

    /// Moves by `heading` since the last move, and tells the opponent. `intended_us` is when this was meant to be sent,
    /// by this host's clock. Returns how many unsent moves it replaced.
    ///
    /// # Errors
    /// There is no match, or the connection is over. One that is lost and may come back is none: nothing is sent then.
    pub fn steer(&mut self, heading: Heading, intended_us: u64) -> Result<usize, PlayError> {
        let at_us = self.match_us(intended_us);
        let current = self.playing()?;
        let elapsed_us = at_us.saturating_sub(current.last_at_us);
        let position = game::advance(current.position, heading, elapsed_us);
        self.send_move(position, intended_us)
    }

    /// Tells the opponent where this player is, whatever the rules say of it.
    ///
    /// # Errors
    /// As [`Self::steer`].
    pub fn send_move(&mut self, position: Position, intended_us: u64) -> Result<usize, PlayError> {
        let (at_us, clock_error_us) = (self.match_us(intended_us), self.clock.error_us());
        let away = self.reconnect.is_some();
        let current = self.playing()?;
        if away {
            // It stands still, so that it need not be put back over the whole way.
            current.last_at_us = at_us;
            return Ok(0);
        }
        current.seq += 1;
        current.position = position;
        current.last_at_us = at_us;
        let (game, seq, corrections) = (current.started.game, current.seq, current.corrections);
        let update = Move { game, seq, at_us, clock_error_us, corrections, position };
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let message = ClientMessage::Move(MoveWithPayload { update, payload: &self.payload });
        let bytes = netduel_protocol::encode(&message, &mut buffer)?;
        let replaced = match self.sender.send_state(bytes) {
            Ok(replaced) => replaced,
            // `next_event` finds out.
            Err(SendError::Closed(reason)) if self.may_reconnect(&reason) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let current = self.playing()?;
        current.sent += 1;
        current.superseded += replaced as u64;
        Ok(replaced)
    }

    /// Asks the server for its clock; the answer comes as [`Event::Pong`].
    ///
    /// # Errors
    /// The connection is over.
    pub fn ping(&self) -> Result<(), PlayError> {
        if self.reconnect.is_some() {
            return Ok(());
        }
        match self.say(&ClientMessage::Ping { sent_us: clock::now_us() }) {
            Err(PlayError::Ended(reason)) if self.may_reconnect(&reason) => Ok(()),
            said => said,
        }
    }

    /// Leaves the queue or the match; the connection stays.
    ///
    /// # Errors
    /// The connection is over.
    pub fn leave(&mut self) -> Result<(), PlayError> {
        (self.current, self.reconnect) = (None, None);
        self.say(&ClientMessage::Leave)
    }

    /// Says goodbye and waits, for at most a second, until it is out.
    pub async fn close(self) {
        self.receiver.close(Close::new(CloseCode::Done.code(), "the player is done")).await;
    }

    /// The next thing that happens. Cancel safe.
    ///
    /// # Errors
    /// Why the connection is over.
    pub async fn next_event(&mut self) -> Result<Event, PlayError> {
        loop {
            if let Some(reconnect) = &mut self.reconnect {
                let back = reconnect.done().await;
                self.reconnect = None;
                let (welcomed, resumed) = back?;
                return Ok(self.on_resumed(welcomed, resumed));
            }
            let (_lane, bytes) = match self.receiver.recv().await {
                Ok(received) => received,
                Err(reason) => return self.on_lost(reason),
            };
            if let Some(event) = self.on_message(&bytes, clock::now_us())? {
                return Ok(event);
            }
        }
    }

    /// The match being played, or the last one.
    pub fn current(&self) -> Option<&Match> {
        self.current.as_ref()
    }

    /// Starts a new window of measurement, see [`MoveStats::restart`].
    pub fn restart_stats(&mut self) {
        let now_us = self.match_us(clock::now_us());
        if let Some(current) = &mut self.current {
            current.stats.restart(now_us);
            (current.sent, current.superseded) = (0, 0);
        }
    }

    /// Closes the window of measurement, see [`MoveStats::finish`].
    pub fn finish_stats(&mut self) {
        let now_us = self.match_us(clock::now_us());
        if let Some(current) = &mut self.current {
            current.stats.finish(now_us);
        }
    }

    /// What pings told of the server's clock.
    pub fn clock(&self) -> &ClockSync {
        &self.clock
    }

    /// What the transport knows of the path.
    pub fn path_stats(&self) -> PathStats {
        self.sender.path_stats()
    }

    /// Whether the connection resumed an earlier TLS session, see [`Sender::resumed`].
    pub fn resumed(&self) -> Option<bool> {
        self.sender.resumed()
    }

    /// The transport below.
    pub fn kind(&self) -> TransportKind {
        self.sender.kind()
    }

    fn playing(&mut self) -> Result<&mut Match, PlayError> {
        self.current.as_mut().ok_or_else(|| PlayError::CannotSend("no match is being played".into()))
    }

    /// A time of this host as µs since the start of the match by the server's clock.
    pub fn match_us(&self, local_us: u64) -> u64 {
        let started_us = self.current.as_ref().map_or(0, |current| current.started.started_us);
        self.clock.server_us(local_us).saturating_sub(started_us)
    }

    fn say(&self, message: &ClientMessage<'_>) -> Result<(), PlayError> {
        connect::say(&self.sender, message)
    }

    fn on_message(&mut self, bytes: &Bytes, now_us: u64) -> Result<Option<Event>, PlayError> {
        Ok(Some(match netduel_protocol::decode(bytes)? {
            ServerMessage::Moved(told) => return Ok(self.on_peer_move(&told, bytes, now_us)),
            ServerMessage::MovedBoth(updates) => {
                let peer = self.current.as_ref().map(|current| usize::from(1 - current.started.player));
                return Ok(peer.and_then(|peer| self.on_peer_move(&updates[peer], bytes, now_us)));
            }
            ServerMessage::Waiting => Event::Waiting,
            ServerMessage::Started(started) => self.on_started(started),
            ServerMessage::Corrected(correction) => match &mut self.current {
                Some(current) if current.started.game == correction.game => {
                    current.corrections = correction.corrections;
                    current.position = correction.position;
                    Event::Corrected(correction)
                }
                _ => return Ok(None),
            },
            ServerMessage::OpponentLeft { game, reason, positions } => match &mut self.current {
                Some(current) if current.started.game == game => {
                    current.started.resume_ticket = None;
                    Event::OpponentLeft { reason, positions }
                }
                _ => return Ok(None),
            },
            ServerMessage::OpponentReconnecting { game, grace_ms } => match &self.current {
                Some(current) if current.started.game == game => {
                    Event::OpponentReconnecting { within: Duration::from_millis(grace_ms.into()) }
                }
                _ => return Ok(None),
            },
            ServerMessage::OpponentBack { game, opponent_transport } => match &mut self.current {
                Some(current) if current.started.game == game => {
                    current.started.opponent_transport.clone_from(&opponent_transport);
                    Event::OpponentBack { transport: opponent_transport }
                }
                _ => return Ok(None),
            },
            ServerMessage::Pong(pong) => {
                let rtt_us = self.clock.on_pong(now_us, &pong);
                let up_us = pong.received_us.saturating_sub(self.clock.server_us(pong.ping_sent_us));
                let in_server_us = pong.sent_us.saturating_sub(pong.received_us);
                Event::Pong { rtt_us, up_us: up_us.min(rtt_us), in_server_us }
            }
            ServerMessage::Draining { seconds } => Event::Draining { seconds },
            message @ (ServerMessage::Welcome { .. } | ServerMessage::Resumed(_)) => {
                return Err(PlayError::BadServer(format!("{message:?} in the middle of it")));
            }
        }))
    }

    /// Whether a connection that ended so is worth coming back for.
    fn may_reconnect(&self, reason: &CloseReason) -> bool {
        let current = self.current.as_ref();
        reason.is_loss()
            && !self.reconnect_targets.is_empty()
            && current.is_some_and(|current| current.started.resume_ticket.is_some())
    }

    fn on_lost(&mut self, reason: CloseReason) -> Result<Event, PlayError> {
        if !self.may_reconnect(&reason) {
            return Err(reason.into());
        }
        // Taken: a way back that led nowhere is not tried again.
        let seat = self.current.as_mut().and_then(|current| {
            let Started { game, player, ref mut resume_ticket, .. } = current.started;
            Some(Seat { game, player, resume_ticket: resume_ticket.take()? })
        });
        let Some(seat) = seat else { return Err(reason.into()) };
        let within = Duration::from_millis(seat.resume_ticket.grace_ms.into());
        self.reconnect = Some(Reconnect::new(self.reconnect_targets.clone(), seat, reason.clone()));
        Ok(Event::Reconnecting { reason, within })
    }

    fn on_resumed(&mut self, welcomed: Welcomed, resumed: Resumed) -> Event {
        let Welcomed { connection, payload_max_bytes, .. } = welcomed;
        (self.sender, self.receiver) = (connection.sender, connection.receiver);
        self.payload_max_bytes = payload_max_bytes;
        if let Some(current) = &mut self.current {
            current.resume(resumed);
        }
        Event::Resumed
    }

    fn on_started(&mut self, started: Started) -> Event {
        let me = usize::from(started.player);
        self.current = Some(Match {
            position: started.positions[me],
            opponent_position: started.positions[1 - me],
            stats: MoveStats::new(self.period_us),
            sent: 0,
            superseded: 0,
            seq: 0,
            corrections: 0,
            last_at_us: 0,
            started: started.clone(),
        });
        Event::Started(started)
    }

    /// `None` for a move of another match, or for the echo of a player who has not moved yet.
    fn on_peer_move(&mut self, told: &MoveWithPayload<'_>, bytes: &Bytes, now_us: u64) -> Option<Event> {
        let update = told.update;
        let (now_us, clock_error_us) = (self.match_us(now_us), self.clock.error_us());
        let current = self.current.as_mut().filter(|current| current.started.game == update.game)?;
        if update.seq == 0 {
            return None;
        }
        let freshness = current.stats.on_move(now_us, &update, clock_error_us);
        if freshness == Freshness::Fresh {
            current.opponent_position = update.position;
        }
        // An empty slice is a static one: it holds on to nothing.
        let payload = bytes.slice_ref(told.payload);
        Some(Event::OpponentMoved { update, freshness, payload })
    }
}
