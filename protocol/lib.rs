//! The messages between players and the server, independent of the transport below.
//!
//! A client opens with [`ClientMessage::Hello`] and [`ClientMessage::Join`]. The server answers
//! with [`ServerMessage::Welcome`], and with [`ServerMessage::Started`] once there are two players.
//! From then on moves travel on the state lane, and everything else on the control lane. The close
//! frame carries the [`CloseCode`] of a connection that is closed on purpose.
//!
//! A player that loses the connection in a match opens another one, over any transport, with
//! [`ClientMessage::Resume`] in place of the join. The server answers with
//! [`ServerMessage::Resumed`].
//!
//! `codec.rs` alone encodes and decodes; the rules of the game are in [`game`]; timestamps are
//! those of [`clock`].

pub mod clock;
mod codec;
pub mod game;
mod position;
mod token;
mod way_budget;

use bincode::{BorrowDecode, Decode, Encode};

pub use codec::{CodecError, MAX_MESSAGE_BYTES, Message, decode, encode};
use position::Position;
pub use token::SeatToken;
pub use way_budget::WayBudget;

/// The name of the protocol, which the handshakes of TLS, QUIC and `udp` carry (`netduel-tls/1`).
pub const NAME: &str = "netduel";
/// The version of the protocol, raised with every change of the messages. [`ClientMessage::Hello`]
/// never changes its shape, so that any two versions can tell each other their number.
pub const VERSION: u16 = 4;

/// The longest player name in bytes: as much as fits beside a score. A name has at least one
/// character that people see, and none that they do not ([`netduel_shown::Shown`]).
pub const MAX_NAME_BYTES: usize = 32;
/// The longest match code in bytes: as much as one reads out to a friend.
pub const MAX_CODE_BYTES: usize = 32;
/// The longest name of a transport kind in bytes.
pub const MAX_TRANSPORT_BYTES: usize = 32;

/// The longest payload of a move in bytes. The payload must fit one QUIC datagram together with the
/// move and its lengths, 43 bytes at most. A packet of 1,200 bytes, the smallest that every QUIC
/// path carries, leaves 1,162 (1,200 less a short header of 13, a tag of 16 and a frame header of
/// 9).
pub const PAYLOAD_MAX_BYTES: usize = 1_024;
/// The longest payload of a move in bytes where a message carries both players' moves
/// ([`ServerMessage::MovedBoth`]). It is half of [`PAYLOAD_MAX_BYTES`], since both payloads must
/// fit one datagram together. Each player has its own bound, so that one player's limit does not
/// depend on the other's payload.
pub const PAYLOAD_MAX_BYTES_OF_BOTH: usize = PAYLOAD_MAX_BYTES / 2;

/// The number of a match within one server process, from 1.
pub type MatchId = u64;

/// A message from a player to the server.
///
/// Texts are owned and payloads borrowed: a text comes once in a match, a payload with every move.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub enum ClientMessage<'a> {
    /// Opens the session. Control lane. Its shape is frozen: tag 0 and a `u16`.
    Hello {
        /// The client's [`VERSION`].
        version: u16,
    },
    /// Queues for a match: once after the hello, and again after each match. Control lane.
    Join {
        /// The name that the opponent sees, at most [`MAX_NAME_BYTES`].
        name: String,
        /// The match code, at most [`MAX_CODE_BYTES`]. Players with the same code play each other
        /// and no other.
        code: Option<String>,
    },
    /// Leaves the queue or the match, and keeps the connection. Control lane.
    Leave,
    /// Reports the player's position. State lane.
    Move(MoveWithPayload<'a>),
    /// Asks for a [`Pong`]. Control lane; ten a second are enough.
    Ping {
        /// The client's clock at sending, in µs.
        sent_us: u64,
    },
    /// Resumes, in place of the join, a seat whose connection was lost or is to be replaced.
    /// Control lane.
    Resume {
        /// The match's number.
        match_id: MatchId,
        /// The newest token that the server gave this player. The token is spent once a move
        /// arrives from the connection that was given the next one.
        token: SeatToken,
        /// The number of the attempt with this token, from 1. The server refuses an attempt that is
        /// repeated or that a later one overtook.
        attempt: u32,
    },
}

/// A message from the server to a player.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub enum ServerMessage<'a> {
    /// Accepts the hello. Control lane.
    Welcome {
        /// The server's [`VERSION`].
        version: u16,
        /// The id of the clock that the server's timestamps refer to, see [`clock::id`].
        clock: u64,
        /// The longest payload in bytes that this server relays: at most [`PAYLOAD_MAX_BYTES`], or
        /// [`PAYLOAD_MAX_BYTES_OF_BOTH`]. A longer one ends the connection with
        /// [`CloseCode::PayloadTooLong`].
        payload_max_bytes: u16,
    },
    /// The player is in the queue. Control lane.
    Waiting,
    /// A match begins. Control lane.
    Started(Started),
    /// The opponent moved. The bytes are those of its [`ClientMessage::Move`], so that a server
    /// passes on the bytes it received, unless their time is not credible. State lane.
    Moved(MoveWithPayload<'a>),
    /// One of the players moved. Carries both players' latest moves, by player number: the older
    /// relay policy, kept to be measured. State lane.
    MovedBoth([MoveWithPayload<'a>; 2]),
    /// A move broke the rules, and the server resets the player's position. Control lane.
    Corrected(Correction),
    /// The match has ended, since the opponent left. Control lane.
    OpponentLeft {
        /// The match's number.
        match_id: MatchId,
        /// The reason.
        reason: LeaveReason,
        /// The server's final positions of both players, by player number.
        positions: [Position; 2],
    },
    /// Answers a ping. Control lane.
    Pong(Pong),
    /// The server is shutting down. Matches may finish within this time, and no new ones begin.
    /// Control lane.
    Draining {
        /// The time left in seconds.
        seconds: u32,
    },
    /// The player has its seat again. Control lane; moves of the opponent may overtake this
    /// message.
    Resumed(Resumed),
    /// The opponent's connection is lost, and its seat is kept for a while.
    /// [`ServerMessage::OpponentBack`] or [`ServerMessage::OpponentLeft`] follows. Control lane.
    OpponentReconnecting {
        /// The match's number.
        match_id: MatchId,
        /// The longest time that the seat is kept, in ms.
        grace_ms: u32,
    },
    /// The opponent resumed its seat over another connection. Control lane.
    OpponentBack {
        /// The match's number.
        match_id: MatchId,
        /// The name of the opponent's new transport.
        opponent_transport: String,
    },
}

/// The beginning of a match.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Started {
    /// The match's number.
    pub match_id: MatchId,
    /// The receiver's own number: 0 for the player that waited, 1 for the one that joined it.
    pub player: u8,
    /// The largest step of a player, in arena units per tick and axis.
    pub velocity: f32,
    /// Ticks per second.
    pub tick_rate_hz: u32,
    /// The starting positions, by player number.
    pub positions: [Position; 2],
    /// The server's clock at the start in µs: the origin of [`Move::at_us`].
    pub started_us: u64,
    /// The opponent's name.
    pub opponent_name: String,
    /// The name of the opponent's transport.
    pub opponent_transport: String,
    /// The ticket that resumes the seat if the connection is lost; `None` where the server keeps no
    /// seats.
    pub resume_ticket: Option<ResumeTicket>,
}

/// The right to resume a seat.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct ResumeTicket {
    /// The secret that proves the right to the seat.
    pub token: SeatToken,
    /// The time that the seat is kept after the server knows that the connection is lost, in ms.
    pub grace_ms: u32,
}

/// The state of a match for a player that resumed its seat.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Resumed {
    /// The match's number.
    pub match_id: MatchId,
    /// The receiver's own number.
    pub player: u8,
    /// The server's positions of both players, by player number.
    pub positions: [Position; 2],
    /// The number of the receiver's newest accepted move. The next move needs a higher number.
    pub seq: u32,
    /// The number of corrections that the receiver was sent. A prediction from before the last of
    /// them is void.
    pub corrections: u16,
    /// The name of the opponent's transport, which may have changed.
    pub opponent_transport: String,
    /// The ticket for the next resume. The token that was shown is spent.
    pub resume_ticket: ResumeTicket,
}

/// A player's position. It is absolute, since a difference does not survive a lane that drops. The
/// server relays it unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Move {
    /// The match's number, which exposes a late move of the match before. The connection identifies
    /// the mover.
    pub match_id: MatchId,
    /// The move's number, from 1. A move that is not newer than the newest received one is stale.
    /// At 1,000 moves a second the numbers last for 49 days; then the match is over.
    pub seq: u32,
    /// The *intended* send time in µs since the start of the match, by the server's clock as the
    /// mover knows it. It never falls, and the server passes on none that lies in the future.
    pub at_us: u64,
    /// The error bound of the mover's estimate of the server's clock, in µs; 0 where both share a
    /// clock, and [`Self::CLOCK_UNKNOWN`] before the mover has any.
    pub clock_error_us: u32,
    /// The number of corrections that the mover has applied. The server drops moves from before the
    /// latest correction.
    pub corrections: u16,
    /// The player's position.
    pub position: Position,
}

impl Move {
    /// The [`Self::clock_error_us`] of a mover that knows nothing of the server's clock: then
    /// [`Self::at_us`] tells nothing to others.
    pub const CLOCK_UNKNOWN: u32 = u32::MAX;
}

/// A move and its payload: bytes that only players understand, and that the server relays
/// unchanged. The payload belongs to its move: it is lost or superseded together with the move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, BorrowDecode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct MoveWithPayload<'a> {
    /// The player's position.
    pub update: Move,
    /// At most [`PAYLOAD_MAX_BYTES`] or [`PAYLOAD_MAX_BYTES_OF_BOTH`] bytes; may be empty.
    pub payload: &'a [u8],
}

impl From<Move> for MoveWithPayload<'_> {
    /// Wraps a move without a payload.
    fn from(update: Move) -> Self {
        Self { update, payload: &[] }
    }
}

/// The position to which the server resets a player.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Correction {
    /// The match's number.
    pub match_id: MatchId,
    /// The number of corrections that this player was sent in the match, this one included.
    pub corrections: u16,
    /// The number of the move that broke the rules.
    pub seq: u32,
    /// The player's position.
    pub position: Position,
}

/// The answer to a ping: three of the four timestamps. The receiver adds the fourth. RTT is
/// `(t4 − t1) − (t3 − t2)`, and the clock's offset is `((t2 − t1) + (t3 − t4)) / 2`, as in NTP
/// (RFC 5905, 8).
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

/// The reason that an opponent left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub enum LeaveReason {
    /// The opponent left by itself.
    Left,
    /// The opponent's connection broke.
    Disconnected,
    /// The opponent was silent for too long.
    TimedOut,
    /// The server expelled the opponent, for breaking the protocol or the rules.
    Expelled,
}

/// The reason that a connection is closed on purpose: application codes of the close frame, beside
/// the transport's own (below 0x100).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The client has finished.
    Done = 0x100,
    /// Client and server speak different versions.
    VersionMismatch = 0x101,
    /// The server is full.
    ServerFull = 0x102,
    /// A message does not decode, or its values make no sense, such as a payload over
    /// [`PAYLOAD_MAX_BYTES`].
    Malformed = 0x103,
    /// A message is not allowed in this state, such as a move before the match or a second hello.
    Unexpected = 0x104,
    /// No hello or no join arrived in time.
    JoinTimeout = 0x105,
    /// Too many illegal moves.
    TooManyCorrections = 0x106,
    /// The server is shutting down.
    ShuttingDown = 0x107,
    /// More messages a second than the server accepts.
    TooManyMessages = 0x108,
    /// A payload is longer than the welcome allowed.
    PayloadTooLong = 0x109,
    /// The player's address has too many connections.
    TooManyFromAddress = 0x110,
    /// The server has too many matches.
    TooManyMatches = 0x111,
    /// The server failed in this session, by a fault of its own.
    ServerFault = 0x112,
    /// No seat is kept for this token: it is wrong, was used, or its match has ended. The server
    /// does not say which.
    NoSuchSeat = 0x113,
    /// The player resumed its seat over another connection.
    Replaced = 0x114,
    /// The player or its address left too many matches right after their start, or tried too many
    /// match codes.
    TooManyJoins = 0x115,
}

impl CloseCode {
    const ALL: [Self; 16] = [
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
        Self::TooManyJoins,
    ];

    /// Returns the code for the close frame.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Returns the reason that has this code, if there is one.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_come_back_from_numbers() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
        }
        assert_eq!((CloseCode::Done.code(), CloseCode::Replaced.code()), (0x100, 0x114));
        let known = (0..0x1000).filter(|code| CloseCode::from_code(*code).is_some()).count();
        assert_eq!(known, CloseCode::ALL.len(), "each has a number of its own");
    }

    #[test]
    fn moves_begin_without_a_payload() {
        let update = Move { seq: 9, ..Move::default() };
        assert_eq!(MoveWithPayload::from(update), MoveWithPayload { update, payload: &[] });
    }
}
