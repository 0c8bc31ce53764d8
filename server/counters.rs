//! What the server counts. One relaxed atomic each; a [`Snapshot`] is what people and reports read.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use netduel_protocol::CloseCode;
use netduel_transport::{Close, CloseReason, FrameError, PathStats, Sender, TransportKind};
use serde::{Deserialize, Serialize};

use crate::{mutex::lock, player_sender::KINDS};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*; by transport: $($(#[doc = $part_doc:literal])* $part:ident of $sum:ident,)*) => {
        /// Counters since the start of the server.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[doc = $doc])* pub(crate) $name: Counter,)*
            /// By [`crate::player_sender::kind_number`] of who is to have them.
            pub(crate) updates: [Updates; KINDS],
            paths: Mutex<Vec<PathSample>>,
        }

        /// What became of the updates for the players of one transport.
        #[derive(Debug, Default)]
        pub(crate) struct Updates {
            $($(#[doc = $part_doc])* pub(crate) $part: Counter,)*
        }

        impl Updates {
            /// Calls `see` with the name of each one's sum over all transports, what it is, and its value.
            pub(crate) fn each(&self, mut see: impl FnMut(&'static str, &'static str, u64)) {
                $(see(stringify!($sum), concat!($($part_doc),*).trim_ascii(), self.$part.get());)*
            }
        }

        /// The counters at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)] // A file from before something was counted has none of it.
        pub struct Snapshot {
            $($(#[doc = $doc])* pub $name: u64,)*
            $($(#[doc = $part_doc])* pub $sum: u64,)*
            /// What the first connection of each kind that joined said of itself then: what this side really had set.
            pub paths: Vec<PathSample>,
        }

        impl Snapshot {
            /// Calls `see` with each counter's name, what it is, and its value; but for sums over transports.
            pub(crate) fn each(&self, mut see: impl FnMut(&'static str, &'static str, u64)) {
                $(see(stringify!($name), concat!($($doc),*).trim_ascii(), self.$name);)*
            }
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot {
                    $($name: self.$name.get(),)*
                    $($sum: self.updates.iter().map(|of| of.$part.get()).sum(),)*
                    paths: lock(&self.paths).clone(),
                }
            }
        }
    };
}

counters! {
    /// Peers that knocked.
    accepted,
    /// Handshakes that failed or took too long.
    handshakes_failed,
    /// Connections closed because the server was full.
    refused_full,
    /// Connections refused because their address has too many.
    refused_address,
    /// Connections dropped because their address opened too many in a short time.
    refused_rate,
    /// Connections dropped because too many handshakes were under way.
    refused_handshakes,
    /// Joins refused because there were too many matches.
    refused_matches,
    /// Seats asked for with a token that is wrong or spent, or whose match is over.
    refused_resume,
    /// QUIC handshakes that had to prove their address first, since many were under way.
    address_checks,
    /// Datagrams that were no connection's and began none: noise, or late for a connection that is over.
    strays,
    /// Times that the system refused to accept a connection.
    accept_errors,
    /// Connections the server ended because of what the player sent, or did not send. The sum of the causes below.
    expelled,
    /// Of them: another version of the protocol.
    expelled_version,
    /// Of them: frames, messages or payloads that are malformed or too long.
    expelled_malformed,
    /// Of them: messages that may not come now.
    expelled_unexpected,
    /// Of them: no hello or join in time.
    expelled_join_timeout,
    /// Of them: too many messages a second, or packets, frames and keep-alives that need bring none.
    expelled_flooding,
    /// Of them: too many moves against the rules.
    expelled_cheating,
    /// Of them: a frame was begun and not finished, or control messages were not read.
    expelled_stalled,
    /// Connections over which nothing came any more.
    idle_timeouts,
    /// Sessions that ended by a panic of the server's own.
    panics,
    /// Matches begun.
    matches_started,
    /// Matches over.
    matches_ended,
    /// Seats kept for a player whose connection was lost.
    seats_kept,
    /// Players that came back to their seat, lost or not.
    seats_resumed,
    /// Seats kept for nothing: nobody came back in time, and the match was over.
    seats_expired,
    /// Moves that came in.
    moves_received,
    /// Moves that were overtaken, from before a correction, or from a match that is over.
    moves_stale,
    /// Moves against the rules; each led to a correction.
    moves_illegal,
    ; by transport:
    /// Updates handed to a transport for a player.
    relayed of updates_relayed,
    /// Updates that were replaced by a newer one before they could leave.
    superseded of updates_superseded,
    /// Updates whose receiver's connection was over.
    undeliverable of updates_undeliverable,
    /// Updates for a player whose seat was kept meanwhile.
    away of updates_away,
}

/// A connection of a kind, as the server's side of it saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathSample {
    /// Of which transport.
    pub transport: TransportKind,
    /// What it said of itself.
    pub path: PathStats,
}

impl Counters {
    /// Notes what a connection says of itself, if it is the first of its kind: at most one for each kind there is.
    pub(crate) fn note_path(&self, sender: &Sender) {
        let mut paths = lock(&self.paths);
        if paths.iter().all(|it| it.transport != sender.kind()) {
            paths.push(PathSample { transport: sender.kind(), path: sender.path_stats() });
        }
    }

    /// A player was sent away for `goodbye`.
    pub(crate) fn count_expelled(&self, goodbye: &Close) {
        let cause = match CloseCode::from_code(goodbye.code) {
            Some(CloseCode::VersionMismatch) => &self.expelled_version,
            Some(CloseCode::Malformed | CloseCode::PayloadTooLong) => &self.expelled_malformed,
            Some(CloseCode::JoinTimeout) => &self.expelled_join_timeout,
            Some(CloseCode::TooManyMessages) => &self.expelled_flooding,
            Some(CloseCode::TooManyCorrections) => &self.expelled_cheating,
            Some(CloseCode::Unexpected) => &self.expelled_unexpected,
            // Not for what the player did: counted where it is decided.
            _ => return,
        };
        self.expelled.increment();
        cause.increment();
    }

    /// A connection ended by itself.
    pub(crate) fn count_closed(&self, reason: &CloseReason) {
        let cause = match reason {
            CloseReason::IdleTimeout(_) => return self.idle_timeouts.increment(),
            CloseReason::ReadDeadline(_) | CloseReason::ControlLaneFull(_) => &self.expelled_stalled,
            CloseReason::BadFrame(FrameError::TooMany { .. }) => &self.expelled_flooding,
            CloseReason::BadFrame(_) => &self.expelled_malformed,
            CloseReason::Local(_)
            | CloseReason::Peer(_)
            | CloseReason::Vanished
            | CloseReason::Transport(_) => return,
        };
        self.expelled.increment();
        cause.increment();
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        // Mostly nothing was superseded, and adding nothing would take the processor as long.
        if count > 0 {
            self.0.fetch_add(count, Relaxed);
        }
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Somebody else counts; this is what it has now.
    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Relaxed);
    }
}
