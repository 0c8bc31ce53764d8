//! The events of a player.

use std::time::Duration;

use bytes::Bytes;
use netduel_protocol::{Correction, LeaveReason, Move, Started, game::Position};
use netduel_transport::CloseReason;

use crate::stats::Freshness;

/// An event of a player.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The player is in the queue.
    Waiting,
    /// A match begins.
    Started(Started),
    /// The opponent moved.
    OpponentMoved {
        /// The move, with its intended send time.
        update: Move,
        /// Whether the move is newer than all before it.
        freshness: Freshness,
        /// The move's payload, empty where the opponent sends none. It is a part of the read
        /// buffer, not a copy: drop or copy it before the next event, so that it does not keep the
        /// buffer alive.
        payload: Bytes,
    },
    /// The server reset this player's position.
    Corrected(Correction),
    /// The match has ended. [`crate::Player::join`] queues for the next one.
    OpponentLeft {
        /// The reason that the opponent left.
        reason: LeaveReason,
        /// The server's final positions of both players.
        positions: [Position; 2],
    },
    /// A ping was answered.
    Pong {
        /// The round trip in µs, without the time within the server.
        rtt_us: u64,
        /// The part of the round trip from here to the server, in µs; an estimate where the clocks
        /// differ.
        up_us: u64,
        /// The time within the server, in µs.
        in_server_us: u64,
    },
    /// The server shuts down within this time.
    Draining {
        /// The time left in seconds.
        seconds: u32,
    },
    /// The connection was lost in a match, and the player reconnects. Until it has, it stands
    /// still, and its moves are dropped. [`Event::Resumed`] follows, or an error with the reason.
    Reconnecting {
        /// The reason that the connection ended.
        reason: CloseReason,
        /// The longest time that the player tries to reconnect.
        within: Duration,
    },
    /// The player resumed its seat in the match, perhaps over another transport
    /// ([`crate::Player::kind`]). Where the prediction had gone too far, [`crate::Match::position`]
    /// is the server's.
    Resumed,
    /// The opponent's connection is lost, and the server keeps its seat.
    OpponentReconnecting {
        /// The longest time that the seat is kept.
        within: Duration,
    },
    /// The opponent resumed its seat.
    OpponentBack {
        /// The name of the opponent's new transport.
        transport: String,
    },
}
