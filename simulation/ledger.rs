//! What must hold of everything that happens: the ledger sees each message where it is sent and where it arrives, and
//! knows at any moment who waits, who plays whom, and who is gone. It believes nobody: neither a player nor the server's
//! counters. The first violation is kept.

mod account;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netduel_protocol::{
    ClientMessage, GameId, Move, MoveWithPayload, ServerMessage, clock, decode, game::START,
};
use netduel_server::Config;
use netduel_transport::{
    CloseReason, Lane,
    simulation::{Event, Side, Tap},
};

use crate::{
    seat::Seat,
    trace::{Trace, words},
};

/// Where a connection stands by what the server was told and said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stand {
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
    stand: Stand,
    accepted_us: u64,
    /// The code of a join that was read and not answered.
    asked: Option<Option<String>>,
    code: Option<String>,
    joined: bool,
    /// The server closes it.
    closing: bool,
    read: u32,
    /// Of them, moves.
    moves: u64,
    /// A message that it was handed and has not dealt with: first come those before.
    ahead: Option<(Lane, Vec<u8>)>,
    /// The newest move that was read, and who its payload says that it is of.
    moved: Option<(Move, Vec<u8>)>,
    /// Since when nothing of the player can arrive.
    lost_us: Option<u64>,
    /// Until when it may still be given up for an outage that is over.
    excused_us: u64,
    /// Control messages on their way, by the side that sent them.
    control: [VecDeque<Vec<u8>>; 2],
}

#[derive(Debug)]
struct Game {
    players: [usize; 2],
    /// The newest moves that were relayed; at first, where they begin.
    relayed: [Move; 2],
    /// By player: the numbers of the newest moves of both that have reached it.
    told: [[u32; 2]; 2],
    over: bool,
}

/// What the ledger counted, to be held against the server's own count.
#[derive(Debug, Default)]
struct Tally {
    updates: u64,
    superseded: u64,
    idle_timeouts: u64,
    accepted: u64,
}

#[derive(Debug)]
pub(crate) struct Books {
    config: Config,
    /// A side is heard of within this time, or its peer gives it up.
    silence_max_us: u64,
    pub(crate) draining: bool,
    pub(crate) trace: Trace,
    violation: Option<String>,
    pub(crate) seats: Vec<Seat>,
    sessions: Vec<Session>,
    /// Sessions that are not over.
    live: BTreeSet<usize>,
    games: BTreeMap<GameId, Game>,
    tally: Tally,
}

/// See the module.
pub(crate) struct Ledger(Mutex<Books>);

impl Tap for Ledger {
    fn see(&self, connection: usize, side: Side, event: Event<'_>) {
        let mut books = self.books();
        books.trace.event(clock::now_us(), connection, side, event);
        let outcome = match side {
            Side::Server => books.at_server(connection, event),
            Side::Client => books.at_client(connection, event),
        };
        if let Err(what) = outcome {
            books.violated(format!("{side:?} {connection}: {}: {what}", words(side, event)));
        }
    }
}

impl Ledger {
    pub(crate) fn new(config: Config, silence_max: Duration, trace: Trace) -> Self {
        Self(Mutex::new(Books {
            config,
            silence_max_us: silence_max.as_micros() as u64,
            draining: false,
            trace,
            violation: None,
            seats: Vec::new(),
            sessions: Vec::new(),
            live: BTreeSet::new(),
            games: BTreeMap::new(),
            tally: Tally::default(),
        }))
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// A connection begins; returns its number.
    pub(crate) fn open(&mut self, in_order: bool) -> usize {
        self.seats.push(Seat::new(in_order));
        self.sessions.push(Session::default());
        self.seats.len() - 1
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
                self.seats[connection].hear(lane, &message)?;
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
        let is_own = origin == Some(hearer);
        let game = self.games.get_mut(&told.update.game).ok_or("an update of no match")?;
        let number = |player| game.players.iter().position(|it| *it == player);
        match (number(hearer), origin.and_then(number)) {
            (Some(hears), Some(moved)) if hears_own || !is_own => {
                let newest = &mut game.told[hears][moved];
                *newest = told.update.seq.max(*newest);
                Ok(())
            }
            _ => Err(format!("{hearer} hears {origin:?} in a match of {:?}", game.players)),
        }
    }

    fn at_server(&mut self, connection: usize, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Connected => {
                self.tally.accepted += 1;
                self.live.insert(connection);
                let session = &mut self.sessions[connection];
                (session.stand, session.accepted_us) = (Stand::Idle, clock::now_us());
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
            Event::NothingAhead => self.read_ahead(connection),
            Event::Sent(lane, message, superseded) => {
                if lane == Lane::Control {
                    self.sessions[connection].control[Side::Server as usize].push_back(message.to_vec());
                }
                self.tally.superseded += superseded as u64;
                let message = decode(message).map_err(|error| error.to_string())?;
                self.said(connection, &message)?;
            }
            Event::Flushed(superseded) => self.tally.superseded += superseded as u64,
            Event::Closed(goodbye) => {
                self.may_close(connection, goodbye)?;
                self.sessions[connection].closing = true;
            }
            Event::Ended(reason) => {
                self.read_ahead(connection);
                let timed_out = matches!(reason, CloseReason::IdleTimeout(_));
                self.tally.idle_timeouts += u64::from(timed_out);
                let session = &self.sessions[connection];
                if timed_out && session.lost_us.is_none() && session.excused_us < clock::now_us() {
                    return Err("given up while it could be heard".into());
                }
            }
            Event::Released => {
                self.in_time(connection)?;
                self.live.remove(&connection);
                self.depart(connection);
                self.sessions[connection].stand = Stand::Gone;
            }
        }
        Ok(())
    }

    fn came(&mut self, connection: usize, lane: Lane, bytes: &[u8]) -> Result<(), String> {
        let session = &mut self.sessions[connection];
        session.read += 1;
        let is_move = matches!(decode::<ClientMessage>(bytes), Ok(ClientMessage::Move(_)));
        session.moves += u64::from(is_move && lane == Lane::State);
        if lane == Lane::Control { session.arrived(Side::Client, bytes) } else { Ok(()) }
    }

    /// The server deals with a message.
    fn read(&mut self, connection: usize, lane: Lane, bytes: &[u8]) {
        let session = &mut self.sessions[connection];
        match (decode::<ClientMessage>(bytes), lane) {
            (Ok(ClientMessage::Move(told)), Lane::State) => {
                session.moved = Some((told.update, told.payload.to_vec()));
            }
            (Ok(ClientMessage::Join { code, .. }), Lane::Control) if session.stand == Stand::Idle => {
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
        if let Stand::Playing(game, _) = session.stand
            && let Some(game) = self.games.get_mut(&game)
        {
            game.over = true;
        }
        session.asked = None;
        if session.stand != Stand::Gone {
            session.stand = Stand::Idle;
        }
    }
}

impl Game {
    fn of(players: [usize; 2]) -> Self {
        let relayed = START.map(|position| Move { position, ..Move::default() });
        Self { players, relayed, told: Default::default(), over: false }
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
