//! The test oracle: checks the invariants of every event.
//!
//! The oracle observes each message at its sending and at its arrival. From these messages alone it
//! tracks which players wait, which play each other, and which are gone. It trusts neither the
//! players nor the server's counters, and it keeps the first violation.

mod accounting;
mod game;
mod rules;
mod seats;
mod way;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use netduel_protocol::{ClientMessage, LeaveReason, MatchId, MoveWithPayload, ServerMessage, clock, decode};
use netduel_server::Config;
use netduel_transport::{
    CloseReason, Lane,
    simulation::{Event, Side, Tap},
};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    player_model::{PlayerModel, Playing},
    trace::{Trace, describe},
};
use game::{Game, Proof};

/// The messages that a join counts as against the limit on messages, at most.
const JOIN_UNITS: u32 = 20;
/// The messages that an illegal move counts as.
const ILLEGAL_MOVE_UNITS: u32 = 5;

/// The state of a connection, from the messages that the server received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SessionState {
    /// Not connected yet, or disconnected.
    #[default]
    Gone,
    Idle,
    Waiting,
    Playing(MatchId, usize),
}

/// The oracle's record of the server's end of a connection.
#[derive(Debug, Default)]
struct Session {
    state: SessionState,
    accepted_us: u64,
    /// The match code of a join that the server has read and not answered.
    asked: Option<Option<String>>,
    code: Option<String>,
    joined: bool,
    /// Whether the server closes the connection.
    closing: bool,
    /// The number of messages that the server was handed.
    read: u32,
    /// The most that these messages may count against the limit on messages.
    units: u32,
    /// Whether the server was handed a message since its queue was last empty.
    processing: bool,
    /// The number of moves among the messages.
    moves: u64,
    /// Whether another connection took the seat.
    replaced: bool,
    /// Whether the player presented a token that is invalid or may have expired.
    may_be_refused: bool,
    /// The leave reason of a lost connection, which the opponent receives if the player does not
    /// return.
    cut_off: Option<LeaveReason>,
    /// A message that the server was handed and has not processed yet, because earlier ones come
    /// first.
    ahead: Option<(Lane, Vec<u8>)>,
    /// The time from which on no message of the player can arrive, in µs.
    lost_us: Option<u64>,
    /// The end of the time in which a past outage may still cause an idle timeout, in µs.
    excused_us: u64,
    /// The control messages in flight, by the side that sent them.
    control: [VecDeque<Vec<u8>>; 2],
}

/// The oracle's counters, for comparison with the server's.
#[derive(Debug, Default)]
struct Counters {
    updates: u64,
    superseded: u64,
    idle_timeouts: u64,
    accepted: u64,
    /// The number of moves while the opponent was away.
    away: u64,
    seats_kept: u64,
    seats_resumed: u64,
    seats_expired: u64,
    seats_refused: u64,
    /// Whether the oracle could not observe an event of a seat, so that the four seat counters may
    /// differ from the server's.
    unsure: bool,
}

/// The state of the oracle.
#[derive(Debug)]
pub(crate) struct OracleState {
    config: Config,
    /// The longest silence of a side, in µs, after which the other side closes the connection.
    silence_max_us: u64,
    pub(crate) draining: bool,
    pub(crate) trace: Trace,
    violation: Option<String>,
    pub(crate) models: Vec<PlayerModel>,
    sessions: Vec<Session>,
    /// The sessions that are not over.
    live: BTreeSet<usize>,
    games: BTreeMap<MatchId, Game>,
    /// A connection that presented a token just as the seat's grace expired or the drain began. The
    /// server's answer tells which came first.
    undecided: Option<(usize, usize, Proof)>,
    counters: Counters,
}

/// The oracle, shared by the world, its slots and the network's tap.
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
            state.violated(format!("{side:?} {connection}: {}: {what}", describe(side, event)));
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
            undecided: None,
            counters: Counters::default(),
        }))
    }

    /// Locks the state.
    pub(crate) fn state(&self) -> MutexGuard<'_, OracleState> {
        self.0.lock()
    }
}

impl OracleState {
    /// Registers a connection and returns its number. `lost` is the match of the player's lost
    /// connection.
    pub(crate) fn open(&mut self, in_order: bool, lost: Option<Playing>) -> usize {
        self.models.push(PlayerModel::new(in_order, lost));
        self.sessions.push(Session::default());
        self.models.len() - 1
    }

    /// Checks that no session is left when the server ends.
    pub(crate) fn server_ended(&mut self) {
        if !self.live.is_empty() {
            self.violated(format!("the server ended before the sessions of {:?}", self.live));
        }
    }

    /// Records whether messages of a player can arrive from now on.
    pub(crate) fn lost(&mut self, connection: usize, lost: bool) {
        let session = &mut self.sessions[connection];
        if session.lost_us.is_some() && !lost {
            session.excused_us = clock::now_us() + self.silence_max_us;
        }
        session.lost_us = lost.then(|| session.lost_us.unwrap_or_else(clock::now_us));
    }

    /// Records a violation. Only the first one is kept.
    pub(crate) fn violated(&mut self, what: String) {
        self.trace.note(clock::now_us(), format_args!("VIOLATED: {what}"));
        let at_s = clock::now_us() as f64 / 1e6;
        self.violation.get_or_insert(format!("at {at_s:.6} s: {what}"));
    }

    /// Returns the first violation.
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
                self.models[connection].receive(lane, &message)?;
                match &message {
                    ServerMessage::Moved(told) => self.check_origin(connection, told)?,
                    ServerMessage::MovedBoth(both) => {
                        for told in both.iter().filter(|told| told.update.seq > 0) {
                            self.check_origin(connection, told)?;
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

    /// Checks the isolation of matches: the payload names the mover, who must be a player of the
    /// receiver's match.
    fn check_origin(&mut self, receiver: usize, told: &MoveWithPayload<'_>) -> Result<(), String> {
        let origin = origin(told.payload);
        let receives_own = self.tells_both();
        let game = self.games.get_mut(&told.update.match_id).ok_or("an update of an unknown match")?;
        let number = |player| game.seats.iter().position(|seat| seat.holders.contains(&player));
        match (number(receiver), origin.and_then(number)) {
            (Some(receives), Some(moved)) if receives != moved || receives_own => {
                let newest = &mut game.seats[receives].reached[moved];
                *newest = told.update.seq.max(*newest);
                Ok(())
            }
            _ => Err(format!("{receiver} receives a move of {origin:?} in the match {game:?}")),
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
                self.handed(connection, lane, message)?;
                self.read(connection, lane, message);
            }
            Event::ReceivedAhead(lane, message) => {
                self.handed(connection, lane, message)?;
                let ahead = (lane, message.to_vec());
                if let Some((lane, message)) = self.sessions[connection].ahead.replace(ahead) {
                    self.read(connection, lane, &message);
                }
            }
            Event::NothingAhead => {
                self.read_ahead(connection);
                self.sessions[connection].processing = false;
            }
            Event::Sent(lane, message, superseded) => {
                if lane == Lane::Control {
                    self.sessions[connection].control[Side::Server as usize].push_back(message.to_vec());
                }
                self.counters.superseded += superseded as u64;
                let message = decode(message).map_err(|error| error.to_string())?;
                self.sent(connection, &message)?;
            }
            Event::Flushed(superseded) => self.counters.superseded += superseded as u64,
            Event::Closed(close) => {
                self.may_close(connection, close)?;
                self.sessions[connection].closing = true;
            }
            Event::Ended(reason) => {
                self.ended(connection, reason);
                let timed_out = matches!(reason, CloseReason::IdleTimeout(_));
                self.counters.idle_timeouts += u64::from(timed_out);
                let session = &self.sessions[connection];
                if timed_out && session.lost_us.is_none() && session.excused_us < clock::now_us() {
                    return Err("idle timeout although its messages could arrive".into());
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

    /// Records a message that the server was handed.
    fn handed(&mut self, connection: usize, lane: Lane, bytes: &[u8]) -> Result<(), String> {
        let session = &mut self.sessions[connection];
        session.read += 1;
        session.processing = true;
        let message = decode::<ClientMessage>(bytes);
        session.units += match &message {
            Ok(ClientMessage::Join { .. }) => JOIN_UNITS,
            Ok(ClientMessage::Move(_)) => ILLEGAL_MOVE_UNITS,
            _ => 1,
        };
        let is_move = matches!(message, Ok(ClientMessage::Move(_)));
        session.moves += u64::from(is_move && lane == Lane::State);
        if lane == Lane::Control { session.arrived(Side::Client, bytes) } else { Ok(()) }
    }

    /// Records a message that the server processes.
    fn read(&mut self, connection: usize, lane: Lane, bytes: &[u8]) {
        let session = &mut self.sessions[connection];
        match (decode::<ClientMessage>(bytes), lane) {
            (Ok(ClientMessage::Move(told)), Lane::State) => self.moves(connection, &told),
            // At any other place, the server expels the player for it.
            (Ok(ClientMessage::Resume { match_id, token, attempt }), _) if session.read == 2 => {
                self.presents(connection, Proof { match_id, token, attempt });
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

    /// Records that a player left the queue or the match by itself.
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
    /// Checks the control lane: messages arrive in the order of their sending, exactly once.
    fn arrived(&mut self, from: Side, message: &[u8]) -> Result<(), String> {
        match self.control[from as usize].pop_front() {
            Some(sent) if sent == message => Ok(()),
            sent => {
                Err(format!("expected a control message of {} B first", sent.map_or(0, |sent| sent.len())))
            }
        }
    }
}

/// Returns the sender's number, with which a payload begins.
fn origin(payload: &[u8]) -> Option<usize> {
    let (number, _) = payload.split_first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}
