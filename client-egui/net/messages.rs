//! The messages between the interface and the network thread, and the state that both share.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use netduel_client::{
    cli::ConnectArgs,
    stats::{
        MoveStats,
        live::{Figures, Trace},
    },
};
use netduel_protocol::{
    LeaveReason, Started,
    game::{Heading, Position},
};
use netduel_server::Plaintext;
use netduel_transport::TransportKind;
use tokio::sync::{mpsc, watch};

/// The server that a player wants to play on.
#[derive(Clone, Debug)]
pub enum ServerChoice {
    /// A local server on the loopback, with a bot as the opponent.
    Bot,
    /// A local server that other players can reach, over unencrypted transports or not.
    Host(Plaintext),
    /// A remote server.
    Join(ConnectArgs),
}

/// A player's request for a match.
#[derive(Clone, Debug)]
pub struct MatchRequest {
    /// The server to play on.
    pub server: ServerChoice,
    /// The transport to connect with.
    pub kind: TransportKind,
    /// The player's name, which the opponent sees.
    pub name: String,
    /// The match code. The server matches only players who give the same code.
    pub code: Option<String>,
}

/// A command of the interface to the network thread.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Ends the current activity and starts a new match request.
    Start(Box<MatchRequest>),
    /// Queues for another match, or retries if there is no connection.
    Again,
    /// Ends the match and the connection.
    Leave,
}

/// Held keys and the update rate, which the network thread reads when it sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Controls {
    pub(crate) heading: Heading,
    pub(crate) rate_hz: u32,
}

/// The activity of the network thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// No match was requested.
    #[default]
    Idle,
    /// The local server starts.
    StartingServer,
    /// The client connects to the server.
    Connecting {
        /// Number of the attempt; the first is 1.
        attempt: u32,
    },
    /// The player waits in the queue.
    Waiting {
        /// Start of the wait.
        since: Instant,
    },
    /// A match is on.
    Playing,
    /// A match is on and the own connection is lost. The client reconnects by itself until the seat
    /// expires.
    Reconnecting {
        /// Reason of the loss.
        why: String,
        /// End of the seat's grace period.
        until: Instant,
    },
    /// A match is on and the opponent's connection is lost.
    OpponentReconnecting {
        /// End of the opponent's grace period; the match ends then.
        until: Instant,
    },
    /// The opponent left, so the match is over. The connection stays open.
    OpponentLeft {
        /// Reason of the opponent's leaving.
        reason: LeaveReason,
    },
    /// The connection broke. The network thread will retry by itself.
    Lost {
        /// Reason of the loss.
        why: String,
        /// Number of the next attempt.
        attempt: u32,
        /// Time of the next attempt.
        retry_at: Instant,
    },
    /// The server cannot be reached. The network thread retries only when the player asks.
    Unreachable {
        /// Reason of the failure.
        why: String,
    },
    /// The server, its certificate or a setting forbids the match, so an automatic retry would not
    /// help.
    Refused {
        /// Reason of the refusal and its remedy.
        why: String,
    },
}

impl Phase {
    /// Whether a match is on, connected or not.
    pub fn in_match(&self) -> bool {
        matches!(self, Self::Playing | Self::Reconnecting { .. } | Self::OpponentReconnecting { .. })
    }
}

/// The state of the network thread. The newest snapshot replaces the previous one.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The current activity.
    pub phase: Phase,
    /// Start data of the current match, or of the last one after its end.
    pub started: Option<Arc<Started>>,
    /// Addresses and fingerprint of the hosted server, for other players.
    pub invitation: Option<Arc<Invitation>>,
    /// Recent figures of this player's link.
    pub figures: Arc<Figures>,
    /// Statistics of this player's link over the whole match.
    pub totals: Arc<MoveStats>,
    /// Trace of the last half minute.
    pub trace: Arc<Trace>,
    /// Trace of the last five seconds at a finer resolution.
    pub close_trace: Arc<Trace>,
    /// Recent figures of the opponent's link, if the opponent is this program's bot.
    pub opponent_figures: Option<Arc<Figures>>,
    /// Statistics of the opponent's link over the whole match, if the opponent is this program's
    /// bot.
    pub opponent_totals: Option<Arc<MoveStats>>,
    /// Offset from this host's clock to the time since the start of the match, in µs.
    pub match_offset_us: i64,
    /// Seconds until the server shuts down, if it drains.
    pub draining_s: Option<u32>,
}

/// The data that others need to join a hosted server.
#[derive(Clone, Debug, Default)]
pub struct Invitation {
    /// This machine's address, or a placeholder if the routing table names none.
    pub host: String,
    /// Every transport with its port.
    pub ports: Vec<(TransportKind, u16)>,
    /// The fingerprint of the server's key.
    pub pin: String,
}

/// A change of a player's known position.
#[derive(Clone, Copy, Debug)]
pub enum PositionUpdate {
    /// A match started.
    MatchStarted {
        /// Start positions of the own player and of the opponent.
        positions: [Position; 2],
    },
    /// The own player's position after its last move or after a correction by the server.
    Own {
        /// The position.
        position: Position,
        /// Time on this host's clock, in µs.
        at_us: u64,
    },
    /// A fresh move of the opponent.
    Opponent {
        /// The opponent's new position.
        position: Position,
        /// Intended sending time, in µs since the start of the match.
        sent_us: u64,
    },
}

/// The network thread's sending end towards the interface.
pub(crate) struct Outbox {
    pub(crate) snapshot: watch::Sender<Snapshot>,
    pub(crate) positions: SyncSender<PositionUpdate>,
    pub(crate) wake: Box<dyn Fn() + Send>,
}

impl Outbox {
    /// Changes the snapshot and wakes the interface.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_modify(change);
        (self.wake)();
    }

    /// Queues a position update without waking the interface, which is woken once a frame.
    pub(crate) fn moved(&self, update: PositionUpdate) {
        // The queue is full only while the interface stalls. The next snapshot carries the newest
        // state.
        let _ = self.positions.try_send(update);
    }

    /// Wakes the interface.
    pub(crate) fn wake(&self) {
        (self.wake)();
    }
}

/// The network thread's ends of all channels to the interface.
pub(crate) struct Channels {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) controls: watch::Receiver<Controls>,
    pub(crate) outbox: Outbox,
}
