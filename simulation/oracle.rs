//! What must hold of everything that happens: the oracle sees each message where it is sent and where it arrives, and
//! knows at any moment who waits, who plays whom, and who is gone. It believes nobody: neither a player nor the server's
//! counters. The first violation is kept.

mod accounting;
mod game;
mod rules;
mod seats;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netduel_protocol::{ClientMessage, GameId, LeaveReason, MoveWithPayload, ServerMessage, clock, decode};
use netduel_server::Config;
use netduel_transport::{
    CloseReason, Lane,
    simulation::{Event, Side, Tap},
};

use crate::{
    player_model::{PlayerModel, Playing},
    trace::{Trace, words},
};
use game::{Game, Proof};

/// Where a connection stands by what the server was told and said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SessionState {
    /// Not connected yet, or no more.
    #[default]
    Gone,
    Idle,
    Waiting,
    Playing(GameId, usize),
}

/// The server's end of a connection.
#[derive(Debug, Default)]
struct Session {
    state: SessionState,
    accepted_us: u64,
    /// The code of a join that was read and not answered.
    asked: Option<Option<String>>,
    code: Option<String>,
    joined: bool,
    /// The server closes it.
    closing: bool,
    read: u32,
    /// It was handed a message since it last had nothing ahead.
    dealing: bool,
    /// Of them, moves.
    moves: u64,
    /// Another connection took its seat.
    replaced: bool,
    /// It showed a token that is not good, or that may not be any more.
    may_be_refused: bool,
    /// It ended without the player's intent; what the opponent is told of it if the player does not come back.
    cut_off: Option<LeaveReason>,
    /// A message that it was handed and has not dealt with: first come those before.
    ahead: Option<(Lane, Vec<u8>)>,
    /// Since when nothing of the player can arrive.
    lost_us: Option<u64>,
    /// Until when it may still be given up for an outage that is over.
    excused_us: u64,
    /// Control messages on their way, by the side that sent them.
    control: [VecDeque<Vec<u8>>; 2],
}

/// What the oracle counted, to be held against the server's own count.
#[derive(Debug, Default)]
struct Counters {
    updates: u64,
    superseded: u64,
    idle_timeouts: u64,
    accepted: u64,
    /// Moves for who was away.
    away: u64,
    seats_kept: u64,
    seats_resumed: u64,
    seats_expired: u64,
    seats_refused: u64,
    /// Something of seats could not be seen, so that the four before this may differ from the server's.
    unsure: bool,
}

#[derive(Debug)]
pub(crate) struct OracleState {
    config: Config,
    /// A side is heard of within this time, or its peer gives it up.
    silence_max_us: u64,
    pub(crate) draining: bool,
    pub(crate) trace: Trace,
    violation: Option<String>,
    pub(crate) models: Vec<PlayerModel>,
    sessions: Vec<Session>,
    /// Sessions that are not over.
    live: BTreeSet<usize>,
    games: BTreeMap<GameId, Game>,
    /// A connection showed a token as its seat's time ran out, or as the server began to drain: which was first, the answer
    /// tells.
    asking: Option<(usize, usize, Proof)>,
    counters: Counters,
}

/// See the module.
pub(crate) struct Oracle(Mutex<OracleState>);

impl Tap for Oracle {
    fn see(&self, connection: usize, side: Side, event: Event<'_>) {
        let mut state = self.state();
        state.trace.event(clock::now_us(), connection, side, event);
        let outcome = match side {
            Side::Server => state.at_server(connection, event),
            Side::Client => state.at_client(connection, event),
        };
        if let Err(what) = outcome {
            state.violated(format!("{side:?} {connection}: {}: {what}", words(side, event)));
        }
    }
}

impl Oracle {
    pub(crate) fn new(config: Config, silence_max: Duration, trace: Trace) -> Self {
        Self(Mutex::new(OracleState {
            config,
            silence_max_us: silence_max.as_micros() as u64,
            draining: false,
            trace,
            violation: None,
            models: Vec::new(),
            sessions: Vec::new(),
            live: BTreeSet::new(),
            games: BTreeMap::new(),
            asking: None,
            counters: Counters::default(),
        }))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, OracleState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OracleState {
    /// A connection begins, of who lost the match `lost` or none; returns its number.
    pub(crate) fn open(&mut self, in_order: bool, lost: Option<Playing>) -> usize {
        self.models.push(PlayerModel::new(in_order, lost));
        self.sessions.push(Session::default());
        self.models.len() - 1
    }

    /// The server says that it is done: then everybody has been let go.
    pub(crate) fn server_ended(&mut self) {
        if !self.live.is_empty() {
            self.violated(format!("the server ended before the sessions of {:?}", self.live));
        }
    }

    /// From now on nothing of that player arrives, or again.
    pub(crate) fn lost(&mut self, connection: usize, lost: bool) {
        let session = &mut self.sessions[connection];
        if session.lost_us.is_some() && !lost {
            session.excused_us = clock::now_us() + self.silence_max_us;
        }
        session.lost_us = lost.then(|| session.lost_us.unwrap_or_else(clock::now_us));
    }

    pub(crate) fn violated(&mut self, what: String) {
        self.trace.note(clock::now_us(), format_args!("VIOLATED: {what}"));
        let at_s = clock::now_us() as f64 / 1e6;
        self.violation.get_or_insert(format!("at {at_s:.6} s: {what}"));
    }

    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    fn at_client(&mut self, connection: usize, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Sent(Lane::Control, message, _) => {
                self.sessions[connection].control[Side::Client as usize].push_back(message.to_vec());
            }
            Event::Received(lane, message) => {
                if lane == Lane::Control {
                    self.sessions[connection].arrived(Side::Server, message)?;
                }
                let message = decode(message).map_err(|error| error.to_string())?;
                self.models[connection].hear(lane, &message)?;
                match &message {
                    ServerMessage::Moved(told) => self.has_origin(connection, told)?,
                    ServerMessage::MovedBoth(both) => {
                        for told in both.iter().filter(|told| told.update.seq > 0) {
                            self.has_origin(connection, told)?;
                        }
                    }
                    _ => {}
                }
            }
            Event::Released => self.lost(connection, true),
            _ => {}
        }
        Ok(())
    }

    /// A move names its mover in its payload: one of the two of that match, to whom it is told.
    fn has_origin(&mut self, hearer: usize, told: &MoveWithPayload<'_>) -> Result<(), String> {
        let origin = origin(told.payload);
        let hears_own = self.tells_both();
        let game = self.games.get_mut(&told.update.game).ok_or("an update of no match")?;
        let number = |player| game.seats.iter().position(|seat| seat.sat.contains(&player));
        match (number(hearer), origin.and_then(number)) {
            (Some(hears), Some(moved)) if hears != moved || hears_own => {
                let newest = &mut game.seats[hears].reached[moved];
                *newest = told.update.seq.max(*newest);
                Ok(())
            }
            _ => Err(format!("{hearer} hears {origin:?} in the match {game:?}")),
        }
    }

    fn at_server(&mut self, connection: usize, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Connected => {
                self.counters.accepted += 1;
                self.live.insert(connection);
                let session = &mut self.sessions[connection];
                (session.state, session.accepted_us) = (SessionState::Idle, clock::now_us());
            }
            Event::Received(lane, message) => {
                self.came(connection, lane, message)?;
                self.read(connection, lane, message);
            }
            Event::ReceivedAhead(lane, message) => {
                self.came(connection, lane, message)?;
                let ahead = (lane, message.to_vec());
                if let Some((lane, message)) = self.sessions[connection].ahead.replace(ahead) {
                    self.read(connection, lane, &message);
                }
            }
            Event::NothingAhead => {
                self.read_ahead(connection);
                self.sessions[connection].dealing = false;
            }
            Event::Sent(lane, message, superseded) => {
                if lane == Lane::Control {
                    self.sessions[connection].control[Side::Server as usize].push_back(message.to_vec());
                }
                self.counters.superseded += superseded as u64;
                let message = decode(message).map_err(|error| error.to_string())?;
                self.said(connection, &message)?;
            }
            Event::Flushed(superseded) => self.counters.superseded += superseded as u64,
            Event::Closed(goodbye) => {
                self.may_close(connection, goodbye)?;
                self.sessions[connection].closing = true;
            }
            Event::Ended(reason) => {
                self.ended(connection, reason);
                let timed_out = matches!(reason, CloseReason::IdleTimeout(_));
                self.counters.idle_timeouts += u64::from(timed_out);
                let session = &self.sessions[connection];
                if timed_out && session.lost_us.is_none() && session.excused_us < clock::now_us() {
                    return Err("given up while it could be heard".into());
                }
            }
            Event::Released => {
                self.in_time(connection)?;
                self.live.remove(&connection);
                self.depart(connection);
                self.sessions[connection].state = SessionState::Gone;
            }
        }
        Ok(())
    }

    fn came(&mut self, connection: usize, lane: Lane, bytes: &[u8]) -> Result<(), String> {
        let session = &mut self.sessions[connection];
        session.read += 1;
        session.dealing = true;
        let is_move = matches!(decode::<ClientMessage>(bytes), Ok(ClientMessage::Move(_)));
        session.moves += u64::from(is_move && lane == Lane::State);
        if lane == Lane::Control { session.arrived(Side::Client, bytes) } else { Ok(()) }
    }

    /// The server deals with a message.
    fn read(&mut self, connection: usize, lane: Lane, bytes: &[u8]) {
        let session = &mut self.sessions[connection];
        match (decode::<ClientMessage>(bytes), lane) {
            (Ok(ClientMessage::Move(told)), Lane::State) => self.moves(connection, &told),
            // Where else it comes, the server sends its player away.
            (Ok(ClientMessage::Resume { game, token, attempt }), _) if session.read == 2 => {
                self.shows(connection, Proof { game, token, attempt });
            }
            (Ok(ClientMessage::Join { code, .. }), Lane::Control) if session.state == SessionState::Idle => {
                session.asked = Some(code);
            }
            (Ok(ClientMessage::Leave), Lane::Control) => self.depart(connection),
            _ => {}
        }
    }

    fn read_ahead(&mut self, connection: usize) {
        if let Some((lane, message)) = self.sessions[connection].ahead.take() {
            self.read(connection, lane, &message);
        }
    }

    /// Out of the queue or the match, by its own doing.
    fn depart(&mut self, connection: usize) {
        let session = &mut self.sessions[connection];
        if let SessionState::Playing(game, _) = session.state
            && let Some(game) = self.games.get_mut(&game)
        {
            game.over = true;
        }
        session.asked = None;
        if session.state != SessionState::Gone {
            session.state = SessionState::Idle;
        }
    }
}

impl Session {
    /// The control lane: what arrives is what was sent, in that order, once.
    fn arrived(&mut self, from: Side, message: &[u8]) -> Result<(), String> {
        match self.control[from as usize].pop_front() {
            Some(sent) if sent == message => Ok(()),
            sent => {
                Err(format!("a control message of {} B should come first", sent.map_or(0, |sent| sent.len())))
            }
        }
    }
}

/// A payload begins with its sender's number.
fn origin(payload: &[u8]) -> Option<usize> {
    let (number, _) = payload.split_first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}
