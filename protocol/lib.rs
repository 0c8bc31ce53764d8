//! What players and server say to each other over any transport. Depends on none.
//!
//! A client opens with [`ClientMessage::Hello`] and [`ClientMessage::Join`]; the server answers
//! [`ServerMessage::Welcome`], then [`ServerMessage::Started`] once there are two. From then on moves flow on the state
//! lane and everything else on the control lane. What ends a connection travels as its goodbye, see [`CloseCode`].
//!
//! Who loses the connection in a match comes back over another one with [`ClientMessage::Resume`] in place of the join, over
//! any transport, and is told where it stands with [`ServerMessage::Resumed`].
//!
//! Bytes are made and read in `codec.rs` only; the rules of the game are in [`game`]; timestamps are those of [`clock`].

pub mod clock;
mod codec;
pub mod game;
mod token;

use bincode::{BorrowDecode, Decode, Encode};

pub use codec::{CodecError, MAX_MESSAGE_BYTES, Message, decode, encode};
use game::Position;
pub use token::SeatToken;

/// Raised with every change of the messages. [`ClientMessage::Hello`] keeps its shape for ever, so that any two
/// versions can tell each other what they are.
pub const VERSION: u16 = 3;

/// Longest player name in bytes: what fits beside a score.
pub const MAX_NAME_BYTES: usize = 32;
/// Longest match code in bytes: what one reads out to a friend.
pub const MAX_CODE_BYTES: usize = 32;
/// Longest name of a transport kind in bytes.
pub const MAX_TRANSPORT_BYTES: usize = 32;

/// Longest payload of a move in bytes. With the move and its lengths, 43 bytes at most, it must fit one QUIC datagram in
/// a packet of 1,200 bytes, the smallest that every QUIC path carries: 1,162 of those are left (1,200 less a short
/// header of 13, a tag of 16 and a frame header of 9).
pub const PAYLOAD_MAX_BYTES: usize = 1_024;
/// The same where a message tells of both players' moves ([`ServerMessage::MovedBoth`]): half, since both payloads must
/// fit one datagram together. One bound for each player, so that what one may send does not depend on the other.
pub const PAYLOAD_MAX_BYTES_OF_BOTH: usize = PAYLOAD_MAX_BYTES / 2;

/// Numbers the matches of one server process, from 1.
pub type GameId = u64;

/// From a player to the server.
///
/// Texts are owned and payloads borrowed: a text comes once in a match, a payload with every move.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub enum ClientMessage<'a> {
    /// First of all, on the control lane. Frozen: tag 0 and a `u16`.
    Hello {
        /// The [`VERSION`] spoken.
        version: u16,
    },
    /// Queue for a match: once after the hello, and again after a match for the next one. Control lane.
    Join {
        /// What to show the opponent; at most [`MAX_NAME_BYTES`].
        name: String,
        /// Players with the same code meet each other and nobody else; at most [`MAX_CODE_BYTES`].
        code: Option<String>,
    },
    /// Leave the queue or the match and stay connected. Control lane.
    Leave,
    /// Where this player is. State lane.
    Move(MoveWithPayload<'a>),
    /// Asks for a [`Pong`]. Control lane; ten a second are plenty.
    Ping {
        /// The client's clock at sending, in µs.
        sent_us: u64,
    },
    /// In place of the join: back to the seat of a match whose connection was lost, or is to be replaced. Control lane.
    Resume {
        /// Which match.
        game: GameId,
        /// The newest that the server gave this player. It is spent once a move came from who was given the next.
        token: SeatToken,
        /// Counts the tries with this token, from 1. A try that is repeated, or that another overtook, leads nowhere.
        attempt: u32,
    },
}

/// From the server to a player.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub enum ServerMessage<'a> {
    /// The hello was good. Control lane.
    Welcome {
        /// The server's [`VERSION`].
        version: u16,
        /// Which clock the server's timestamps are of, see [`clock::id`].
        clock: u64,
        /// Longest payload in bytes that this server relays: [`PAYLOAD_MAX_BYTES`] at most, or
        /// [`PAYLOAD_MAX_BYTES_OF_BOTH`]. A longer one ends the connection with [`CloseCode::PayloadTooLong`].
        payload_max_bytes: u16,
    },
    /// In the queue; nobody to play with yet. Control lane.
    Waiting,
    /// A match begins. Control lane.
    Started(Started),
    /// The opponent moved. The same bytes as its [`ClientMessage::Move`], so that a server passes on what it was given.
    /// State lane.
    Moved(MoveWithPayload<'a>),
    /// Somebody moved, and these are both players' latest moves, by player number: the older relay policy, kept to be
    /// measured. State lane.
    MovedBoth([MoveWithPayload<'a>; 2]),
    /// A move broke the rules: the player is where the server says. Control lane.
    Corrected(Correction),
    /// The match is over, since the opponent is gone. Control lane.
    OpponentLeft {
        /// Which match.
        game: GameId,
        /// How.
        reason: LeaveReason,
        /// Where the server holds both players to be at the end, by player number.
        positions: [Position; 2],
    },
    /// Answers a ping. Control lane.
    Pong(Pong),
    /// The server is going down: matches may end within this time, new ones do not begin. Control lane.
    Draining {
        /// Time left in seconds.
        seconds: u32,
    },
    /// Back in the seat. Control lane; moves of the opponent may overtake it.
    Resumed(Resumed),
    /// The opponent's connection is lost, and its seat is kept for a while: [`ServerMessage::OpponentBack`] or
    /// [`ServerMessage::OpponentLeft`] follows. Control lane.
    OpponentReconnecting {
        /// Which match.
        game: GameId,
        /// For how long at most, in ms.
        grace_ms: u32,
    },
    /// The opponent is back in its seat, over another connection. Control lane.
    OpponentBack {
        /// Which match.
        game: GameId,
        /// The name of its transport now.
        opponent_transport: String,
    },
}

/// A match begins.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Started {
    /// Which match.
    pub game: GameId,
    /// The receiver's own number: 0 waited, 1 came.
    pub player: u8,
    /// Arena units per tick and axis that a player may move.
    pub velocity: f32,
    /// Ticks per second.
    pub tick_rate_hz: u32,
    /// Where both begin, by player number.
    pub positions: [Position; 2],
    /// The server's clock at the start in µs: what [`Move::at_us`] counts from.
    pub started_us: u64,
    /// The opponent's name.
    pub opponent_name: String,
    /// The name of the opponent's transport.
    pub opponent_transport: String,
    /// How to come back if the connection is lost; `None` where the server keeps no seats.
    pub resume_ticket: Option<ResumeTicket>,
}

/// What takes a player back to its seat.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct ResumeTicket {
    /// Proves whose seat it is, in this match.
    pub token: SeatToken,
    /// How long the seat is kept once the server knows that the connection is lost, in ms.
    pub grace_ms: u32,
}

/// A player is back in its seat: what it must know to go on.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Resumed {
    /// Which match.
    pub game: GameId,
    /// The receiver's own number.
    pub player: u8,
    /// Where the server holds both to be, by player number.
    pub positions: [Position; 2],
    /// The receiver's newest move that the server accepted: the next one has a higher number.
    pub seq: u32,
    /// That move's [`Move::at_us`], which decides how far the next one may lie.
    pub at_us: u64,
    /// Corrections the receiver has had. A prediction from before the last of them is void.
    pub corrections: u16,
    /// The name of the opponent's transport, which may have changed.
    pub opponent_transport: String,
    /// The next way back; the token that led here is spent.
    pub resume_ticket: ResumeTicket,
}

/// Where a player is: absolute, since a difference does not survive a lane that drops. Relayed as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Move {
    /// The match it belongs to. Guards against a late one from the match before; who moved, the connection says.
    pub game: GameId,
    /// From 1, one more with each move. What is not newer than the newest seen is stale.
    pub seq: u32,
    /// The *intended* send time in µs since the start of the match, by the server's clock as the mover knows it.
    pub at_us: u64,
    /// How far the mover's idea of the server's clock may be off, in µs; 0 where both share a clock.
    pub clock_error_us: u32,
    /// Corrections the mover has taken in. Moves from before the latest correction are dropped.
    pub corrections: u16,
    /// Where the player is.
    pub position: Position,
}

/// A move and what came with it: bytes that only players understand, and that the server relays untouched. They are of
/// the move they came with, so they are as lossy as moves are and are superseded along with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, BorrowDecode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct MoveWithPayload<'a> {
    /// Where the player is.
    pub update: Move,
    /// At most [`PAYLOAD_MAX_BYTES`], or [`PAYLOAD_MAX_BYTES_OF_BOTH`]; may be empty.
    pub payload: &'a [u8],
}

impl From<Move> for MoveWithPayload<'_> {
    /// Without a payload.
    fn from(update: Move) -> Self {
        Self { update, payload: &[] }
    }
}

/// The server's word on where a player is.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Correction {
    /// Which match.
    pub game: GameId,
    /// How many corrections this player has had in it, this one included.
    pub corrections: u16,
    /// The move that broke the rules.
    pub seq: u32,
    /// Where the player is.
    pub position: Position,
}

/// The four timestamps of a round trip, but for the last, which the receiver takes. RTT is `(t4 − t1) − (t3 − t2)`
/// and the clock's offset `((t2 − t1) + (t3 − t4)) / 2`, as in NTP (RFC 5905, 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Pong {
    /// t1: the client's clock when it sent the ping, in µs.
    pub ping_sent_us: u64,
    /// t2: the server's clock when it read the ping, in µs.
    pub received_us: u64,
    /// t3: the server's clock when it sent this, in µs.
    pub sent_us: u64,
}

/// How an opponent left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// Its connection broke.
    Disconnected,
    /// It was not heard for too long.
    TimedOut,
    /// The server closed its connection, for breaking the protocol or the rules.
    Expelled,
}

/// Why a connection is closed on purpose: the codes of a goodbye on top of the transport's own (below 0x100).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The client is done.
    Done = 0x100,
    /// Client and server speak different versions.
    VersionMismatch = 0x101,
    /// The server has no room.
    ServerFull = 0x102,
    /// A message that does not decode, or whose values make no sense; a payload over [`PAYLOAD_MAX_BYTES`] is one.
    Malformed = 0x103,
    /// A message that may not come now: a move before pairing, a second hello.
    Unexpected = 0x104,
    /// No hello or no join in time.
    JoinTimeout = 0x105,
    /// Too many moves against the rules.
    TooManyCorrections = 0x106,
    /// The server is going down.
    ShuttingDown = 0x107,
    /// More messages a second than the server takes.
    TooManyMessages = 0x108,
    /// A payload longer than the welcome allowed.
    PayloadTooLong = 0x109,
    /// The player's address has as many connections as one may have.
    TooManyFromAddress = 0x110,
    /// The server has as many matches as it takes.
    TooManyMatches = 0x111,
    /// The server failed in this session, by a fault of its own.
    ServerFault = 0x112,
    /// No seat is kept for that token: it is wrong, was used, or its match is over. Which of them is not said.
    NoSuchSeat = 0x113,
    /// The player came back to its seat over another connection.
    Replaced = 0x114,
}

impl CloseCode {
    const ALL: [Self; 15] = [
        Self::Done,
        Self::VersionMismatch,
        Self::ServerFull,
        Self::Malformed,
        Self::Unexpected,
        Self::JoinTimeout,
        Self::TooManyCorrections,
        Self::ShuttingDown,
        Self::TooManyMessages,
        Self::PayloadTooLong,
        Self::TooManyFromAddress,
        Self::TooManyMatches,
        Self::ServerFault,
        Self::NoSuchSeat,
        Self::Replaced,
    ];

    /// The code in the goodbye.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The opposite of [`Self::code`].
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code() == code)
    }
}
