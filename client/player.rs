//! A headless player: connects, joins, sends moves and receives events.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use netduel_protocol::{
    ClientMessage, CloseCode, MAX_MESSAGE_BYTES, Move, MoveWithPayload, Resumed, ServerMessage, Started,
    clock,
    game::{self, Heading, Position},
};
use netduel_transport::{Close, CloseReason, PathStats, Receiver, SendError, Sender, TransportKind};

use crate::{
    config::PlayerConfig,
    connect::{self, Welcomed},
    error::PlayError,
    event::Event,
    reconnect::{Reconnect, Seat},
    stats::{ClockSync, Freshness, MoveStats},
};

/// A match as this player sees it.
#[derive(Clone, Debug)]
pub struct Match {
    /// The beginning of the match.
    pub started: Started,
    /// This player's predicted position.
    pub position: Position,
    /// The opponent's position, by its newest move.
    pub opponent_position: Position,
    /// Statistics of the opponent's moves.
    pub stats: MoveStats,
    /// The number of moves sent.
    pub sent: u64,
    /// The number of moves that replaced an unsent one on this side.
    pub superseded: u64,
    seq: u32,
    corrections: u16,
    /// The time at which the player learned of the match, by this host's clock, in µs. Nobody walks
    /// before it.
    began_us: u64,
    /// The intended time of the last step by this host's clock, in µs. Steps are measured by one
    /// steady clock, since the estimate of the server's clock changes.
    stepped_us: u64,
    /// The intended time of the last move sent, in µs since the start of the match by the server's
    /// clock; 0 before that clock is known.
    last_at_us: u64,
}

impl Match {
    /// Returns the number of this player's last move, from 1; 0 before it.
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// Continues from the server's state. The prediction stays, since the server lets a player
    /// catch up with the moves that were lost with the connection; a correction on the way voids
    /// it.
    fn resume(&mut self, resumed: Resumed) {
        let Resumed { positions, seq, corrections, opponent_transport, resume_ticket, .. } = resumed;
        let me = usize::from(self.started.player);
        if corrections != self.corrections {
            self.position = positions[me];
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
    /// The servers to reconnect to if the connection is lost.
    reconnect_targets: Vec<PlayerConfig>,
    /// The reconnecting, while the connection is lost.
    reconnect: Option<Reconnect>,
    name: String,
    period_us: u64,
    clock: ClockSync,
    /// The payload that is sent with every move.
    payload: Vec<u8>,
    /// The longest payload that the server relays, in bytes.
    payload_max_bytes: usize,
    current: Option<Match>,
}

impl Player {
    /// Connects and exchanges hello and welcome. Takes at most twice the handshake deadline: once
    /// for the transport, once for the welcome.
    ///
    /// # Errors
    /// The connection failed, or the server refused it.
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

    /// Sets the targets to reconnect to if the connection is lost within a match: addresses of the
    /// same server, tried in turn, each over its own transport. The default is the address that the
    /// player connected to. With no targets the player does not reconnect.
    pub fn set_reconnect_targets(&mut self, reconnect_targets: Vec<PlayerConfig>) {
        self.reconnect_targets = reconnect_targets;
    }

    /// Queues for a match with any player, or with the player that gives the same code.
    ///
    /// # Errors
    /// The name or code is too long, or the connection has ended.
    pub fn join(&mut self, code: Option<&str>) -> Result<(), PlayError> {
        self.send(&ClientMessage::Join { name: self.name.clone(), code: code.map(str::to_owned) })
    }

    /// Sets the payload of every following move: bytes that only the opponent understands, none to
    /// begin with. Call it before each move if the payload differs. It is copied into memory that
    /// is kept, so the steady state allocates nothing.
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

    /// Returns the longest payload in bytes that the server relays, as its welcome said.
    pub fn payload_max_bytes(&self) -> usize {
        self.payload_max_bytes
    }

    /// Moves by `heading` since the last move, and sends the move to the opponent. `intended_us` is
    /// the intended send time by this host's clock. Returns the number of unsent moves that the
    /// move replaced.
    ///
    /// A connection that is lost and may come back is no error: nothing is sent then.
    ///
    /// # Errors
    /// There is no match, its move numbers are used up, or the connection has ended.
    pub fn steer(&mut self, heading: Heading, intended_us: u64) -> Result<usize, PlayError> {
        let current = self.playing()?;
        let elapsed_us = intended_us.saturating_sub(current.stepped_us);
        let position = game::advance(current.position, heading, elapsed_us);
        self.send_move(position, intended_us)
    }

    /// Sends this player's position to the opponent, legal or not.
    ///
    /// # Errors
    /// As [`Self::steer`].
    pub fn send_move(&mut self, position: Position, intended_us: u64) -> Result<usize, PlayError> {
        let (match_us, clock_error_us) = (self.match_us(intended_us), self.clock_error_us());
        let away = self.reconnect.is_some();
        let current = self.playing()?;
        current.stepped_us = intended_us.max(current.began_us);
        if away {
            return Ok(0); // The player stands still.
        }
        current.seq = match current.seq.checked_add(1) {
            Some(seq) if seq < u32::MAX => seq,
            _ => return Err(PlayError::MovesUsedUp),
        };
        current.position = position;
        // An unknown clock tells nothing, and a new estimate must not let the time run back.
        let at_us = match clock_error_us {
            Move::CLOCK_UNKNOWN => current.last_at_us,
            _ => match_us.max(current.last_at_us),
        };
        let before_us = std::mem::replace(&mut current.last_at_us, at_us);
        let (match_id, seq, corrections) = (current.started.match_id, current.seq, current.corrections);
        let update = Move { match_id, seq, at_us, clock_error_us, corrections, position };
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let message = ClientMessage::Move(MoveWithPayload { update, payload: &self.payload });
        let bytes = netduel_protocol::encode(&message, &mut buffer)?;
        let replaced = match self.sender.send_state(bytes) {
            Ok(replaced) => replaced,
            // `next_event` handles the loss.
            Err(SendError::Closed(reason)) if self.may_reconnect(&reason) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let current = self.playing()?;
        current.sent += u64::from(current.stats.counts(at_us));
        // The move before is the one that was replaced.
        if current.stats.counts(before_us) {
            current.superseded += replaced as u64;
        }
        Ok(replaced)
    }

    /// Asks the server for its clock. The answer is [`Event::Pong`].
    ///
    /// # Errors
    /// The connection has ended.
    pub fn ping(&self) -> Result<(), PlayError> {
        if self.reconnect.is_some() {
            return Ok(());
        }
        match self.send(&ClientMessage::Ping { sent_us: clock::now_us() }) {
            Err(PlayError::Ended(reason)) if self.may_reconnect(&reason) => Ok(()),
            said => said,
        }
    }

    /// Leaves the queue or the match, and keeps the connection.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn leave(&mut self) -> Result<(), PlayError> {
        (self.current, self.reconnect) = (None, None);
        self.send(&ClientMessage::Leave)
    }

    /// Closes the connection. Waits at most a second until the close is sent.
    pub async fn close(self) {
        self.receiver.close(Close::new(CloseCode::Done.code(), "the player has finished")).await;
    }

    /// Waits for the next event. Cancel safe.
    ///
    /// # Errors
    /// The reason that the connection has ended.
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

    /// Returns the current match, or the last one.
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

    /// Opens a window of measurement, see [`MoveStats::open`]. The times are those of this host's
    /// clock. Moves sent count by their intended time, too.
    pub fn open_window(&mut self, begin_us: u64, window_us: Range<u64>) {
        let begin_us = self.match_us(begin_us);
        let window_us = self.match_us(window_us.start)..self.match_us(window_us.end);
        if let Some(current) = &mut self.current {
            current.stats.open(begin_us, window_us);
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

    /// Returns the estimate of the server's clock.
    pub fn clock(&self) -> &ClockSync {
        &self.clock
    }

    /// Uses this offset of the server's clock from now on, see [`ClockSync::agree`].
    pub fn agree_on_clock(&mut self, offset_us: i64) {
        self.clock.agree(offset_us);
    }

    fn clock_error_us(&self) -> u32 {
        self.clock.error_us().unwrap_or(Move::CLOCK_UNKNOWN)
    }

    /// Returns the transport's statistics of the path.
    pub fn path_stats(&self) -> PathStats {
        self.sender.path_stats()
    }

    /// Whether the connection resumed an earlier TLS session, see [`Sender::resumed`].
    pub fn resumed(&self) -> Option<bool> {
        self.sender.resumed()
    }

    /// Returns the transport of the connection.
    pub fn kind(&self) -> TransportKind {
        self.sender.kind()
    }

    fn playing(&mut self) -> Result<&mut Match, PlayError> {
        self.current
            .as_mut()
            .ok_or_else(|| PlayError::CannotSend("no match is in progress: wait for the start of one".into()))
    }

    /// Converts a time of this host to µs since the start of the match by the server's clock.
    pub fn match_us(&self, local_us: u64) -> u64 {
        let started_us = self.current.as_ref().map_or(0, |current| current.started.started_us);
        self.clock.server_us(local_us).saturating_sub(started_us)
    }

    fn send(&self, message: &ClientMessage<'_>) -> Result<(), PlayError> {
        connect::send(&self.sender, message)
    }

    fn on_message(&mut self, bytes: &Bytes, now_us: u64) -> Result<Option<Event>, PlayError> {
        Ok(Some(match netduel_protocol::decode(bytes)? {
            ServerMessage::Moved(received) => return Ok(self.on_opponent_move(&received, bytes, now_us)),
            ServerMessage::MovedBoth(updates) => {
                let opponent = self.current.as_ref().map(|current| usize::from(1 - current.started.player));
                return Ok(opponent.and_then(|number| self.on_opponent_move(&updates[number], bytes, now_us)));
            }
            ServerMessage::Waiting => Event::Waiting,
            ServerMessage::Started(started) => self.on_started(started, now_us),
            ServerMessage::Corrected(correction) => match &mut self.current {
                Some(current) if current.started.match_id == correction.match_id => {
                    current.corrections = correction.corrections;
                    current.position = correction.position;
                    Event::Corrected(correction)
                }
                _ => return Ok(None),
            },
            ServerMessage::OpponentLeft { match_id, reason, positions } => match &mut self.current {
                Some(current) if current.started.match_id == match_id => {
                    current.started.resume_ticket = None;
                    Event::OpponentLeft { reason, positions }
                }
                _ => return Ok(None),
            },
            ServerMessage::OpponentReconnecting { match_id, grace_ms } => match &self.current {
                Some(current) if current.started.match_id == match_id => {
                    Event::OpponentReconnecting { within: Duration::from_millis(grace_ms.into()) }
                }
                _ => return Ok(None),
            },
            ServerMessage::OpponentBack { match_id, opponent_transport } => match &mut self.current {
                Some(current) if current.started.match_id == match_id => {
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
                return Err(PlayError::BadServer(format!("{message:?} in the middle of a session").into()));
            }
        }))
    }

    /// Whether the player reconnects after a connection that ended for `reason`.
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
        // The ticket is taken: after one that led nowhere the player does not reconnect.
        let seat = self.current.as_mut().and_then(|current| {
            let Started { match_id, player, ref mut resume_ticket, .. } = current.started;
            Some(Seat { match_id, player, resume_ticket: resume_ticket.take()? })
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

    fn on_started(&mut self, started: Started, now_us: u64) -> Event {
        let me = usize::from(started.player);
        self.current = Some(Match {
            position: started.positions[me],
            opponent_position: started.positions[1 - me],
            stats: MoveStats::new(self.period_us),
            sent: 0,
            superseded: 0,
            seq: 0,
            corrections: 0,
            began_us: now_us,
            stepped_us: now_us,
            last_at_us: 0,
            started: started.clone(),
        });
        Event::Started(started)
    }

    /// Handles the opponent's move. Returns `None` for a move of another match, and for the echo of
    /// a player that has not moved yet.
    fn on_opponent_move(
        &mut self,
        received: &MoveWithPayload<'_>,
        bytes: &Bytes,
        now_us: u64,
    ) -> Option<Event> {
        let update = received.update;
        let (now_us, clock_error_us) = (self.match_us(now_us), self.clock_error_us());
        let current = self.current.as_mut().filter(|current| current.started.match_id == update.match_id)?;
        if update.seq == 0 {
            return None;
        }
        let freshness = current.stats.on_move(now_us, &update, clock_error_us);
        if freshness == Freshness::Fresh {
            current.opponent_position = update.position;
        }
        // An empty slice is a static one, and keeps no buffer alive.
        let payload = bytes.slice_ref(received.payload);
        Some(Event::OpponentMoved { update, freshness, payload })
    }
}
