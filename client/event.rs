//! What happens to a player.

use std::time::Duration;

use bytes::Bytes;
use netduel_protocol::{Correction, LeaveReason, Move, Started, game::Position};
use netduel_transport::CloseReason;

use crate::stats::Freshness;

/// What happens to a player.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// In the queue.
    Waiting,
    /// A match begins.
    Started(Started),
    /// The opponent moved.
    OpponentMoved {
        /// Where to, and when it was meant to be sent.
        update: Move,
        /// Whether it is newer than all before.
        freshness: Freshness,
        /// What came with it: the bytes it arrived in, not a copy. Empty where the opponent sends none. Drop it
        /// before the next event, or copy it, lest it keeps a read buffer alive.
        payload: Bytes,
    },
    /// The server put this player back.
    Corrected(Correction),
    /// The match is over. [`crate::Player::join`] asks for the next one.
    OpponentLeft {
        /// How the opponent left.
        reason: LeaveReason,
        /// Where the server holds both to be.
        positions: [Position; 2],
    },
    /// A ping came back.
    Pong {
        /// Round trip in µs, without the time within the server.
        rtt_us: u64,
        /// Of that, the way there in µs. Half of it where the clocks' offset is estimated from pings.
        up_us: u64,
        /// How long it was in the server, in µs.
        in_server_us: u64,
    },
    /// The server is going down within this time.
    Draining {
        /// Seconds left.
        seconds: u32,
    },
    /// The connection is lost in the middle of a match, and the player tries to come back. Until it has, it stands still
    /// and is heard by nobody: what it sends is not kept. Follows: [`Event::Resumed`], or an error that says why not.
    Reconnecting {
        /// How the connection ended.
        reason: CloseReason,
        /// For how long it tries at most.
        within: Duration,
    },
    /// Back in the same match, perhaps over another transport: [`crate::Player::kind`]. [`crate::Match::position`] is the server's where
    /// the own prediction had gone too far.
    Resumed,
    /// The opponent's connection is lost, and the server waits for it.
    OpponentReconnecting {
        /// For how long at most.
        within: Duration,
    },
    /// The opponent is back.
    OpponentBack {
        /// The name of its transport now.
        transport: String,
    },
}
