//! The server's counters: one relaxed atomic each. A [`Snapshot`] is what people and reports read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use netduel_protocol::CloseCode;
use netduel_transport::{Close, CloseReason, FrameError, PathStats, Recovery, Sender, TransportKind};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::player_sender::KINDS;

/// A counter as Prometheus names it.
pub(crate) struct Metric {
    /// The metric's full name. Counters of one family share it.
    pub(crate) name: &'static str,
    /// The cause that tells the counters of a family apart.
    pub(crate) cause: Option<&'static str>,
    /// One sentence for the metric's HELP line.
    pub(crate) help: &'static str,
}

/// Calls `$see` with one counter's [`Metric`] and value; a `sum` is left out, since Prometheus adds
/// up the causes itself.
macro_rules! see {
    ($see:ident, $name:ident, $help:expr, $value:expr, sum) => {};
    ($see:ident, $name:ident, $help:expr, $value:expr, $family:ident $cause:literal) => {
        $see(
            Metric {
                name: concat!("netduel_", stringify!($family), "_total"),
                cause: Some($cause),
                help: $help,
            },
            $value,
        )
    };
    ($see:ident, $name:ident, $help:expr, $value:expr,) => {
        $see(
            Metric { name: concat!("netduel_", stringify!($name), "_total"), cause: None, help: $help },
            $value,
        )
    };
}

/// Declares each counter once: `name,` is a metric of its own, `name [family "cause"],` is one
/// cause of a family, and `name [sum],` is the sum of a family.
macro_rules! counters {
    (
        $($(#[doc = $doc:literal])* $name:ident $([$($label:tt)*])?,)*;
        by transport: $($(#[doc = $part_doc:literal])* $part:ident of $sum:ident,)*
    ) => {
        /// Counters since the start of the server.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[doc = $doc])* pub(crate) $name: Counter,)*
            /// The counters of updates, indexed by the [`crate::player_sender::kind_number`] of
            /// the receiving player's transport.
            pub(crate) updates: [Updates; KINDS],
            paths: Mutex<Vec<PathSample>>,
        }

        /// Counters of the updates for the players of one transport.
        #[derive(Debug, Default)]
        pub(crate) struct Updates {
            $($(#[doc = $part_doc])* pub(crate) $part: Counter,)*
        }

        impl Updates {
            /// Calls `see` with each counter and its value.
            pub(crate) fn each(&self, mut see: impl FnMut(Metric, u64)) {
                $(see!(see, $sum, concat!($($part_doc),*).trim_ascii(), self.$part.get(),);)*
            }
        }

        /// The counters at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)] // A file from before a counter existed lacks it.
        pub struct Snapshot {
            $($(#[doc = $doc])* pub $name: u64,)*
            $($(#[doc = $part_doc])* pub $sum: u64,)*
            /// The path statistics of each transport over which a player joined.
            pub paths: Vec<PathSample>,
        }

        impl Snapshot {
            /// Calls `see` with each counter and its value, but for sums.
            pub(crate) fn each(&self, mut see: impl FnMut(Metric, u64)) {
                $(see!(see, $name, concat!($($doc),*).trim_ascii(), self.$name, $($($label)*)?);)*
            }
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot {
                    $($name: self.$name.get(),)*
                    $($sum: self.updates.iter().map(|of| of.$part.get()).sum(),)*
                    paths: self.paths.lock().clone(),
                }
            }
        }
    };
}

counters! {
    /// Incoming connections that were let through to the handshake.
    accepted,
    /// Handshakes that failed or timed out.
    handshakes_failed,
    /// Connections closed because the server was full.
    refused_full [refused "full"],
    /// Connections refused because their address had too many connections.
    refused_address [refused "address"],
    /// Connections dropped because their address opened connections too fast.
    refused_rate [refused "rate"],
    /// Connections dropped because too many handshakes were in progress.
    refused_handshakes [refused "handshakes"],
    /// Connections dropped because memory was short.
    refused_memory [refused "memory"],
    /// Joins refused because there were too many matches.
    refused_matches [refused "matches"],
    /// Joins refused because the player or its address left too many matches early, or tried too
    /// many match codes.
    refused_joins [refused "joins"],
    /// Resume requests refused because the token was wrong or spent, or its match was over.
    refused_resume [refused "resume"],
    /// QUIC handshakes whose client had to prove its address first, because many clients had not.
    address_checks,
    /// Datagrams that belonged to no connection and began none: noise, or late datagrams of a
    /// closed connection.
    strays,
    /// Accept calls that the operating system refused.
    accept_errors,
    /// Connections that the server closed because of what the player sent or failed to send: the
    /// sum of the causes below.
    expelled [sum],
    /// Players expelled for another version of the protocol.
    expelled_version [expelled "version"],
    /// Players expelled for frames, messages or payloads that are malformed or too long.
    expelled_malformed [expelled "malformed"],
    /// Players expelled for a message that is not allowed in the session's state.
    expelled_unexpected [expelled "unexpected"],
    /// Players expelled because no hello or join arrived in time.
    expelled_join_timeout [expelled "join_timeout"],
    /// Players expelled for too many messages or bytes a second, alone or with the others of their
    /// address, or for too many packets, frames, records and keep-alives without a message.
    expelled_flooding [expelled "flooding"],
    /// Players expelled for too many illegal moves.
    expelled_cheating [expelled "cheating"],
    /// Players expelled because a frame was not finished in time, or control messages were not
    /// read.
    expelled_stalled [expelled "stalled"],
    /// Players expelled because memory was exhausted.
    expelled_memory [expelled "memory"],
    /// Connections that timed out in silence.
    idle_timeouts,
    /// Panics of the server. Each ended one session, or one task that started again.
    panics,
    /// Joins held back because the player or its address left matches early, or tried many match
    /// codes.
    joins_held,
    /// Log lines that were lost since standard error took none, or left out since there were too
    /// many.
    log_lines_lost,
    /// Matches started.
    matches_started,
    /// Matches ended.
    matches_ended,
    /// Seats kept for a player whose connection was lost.
    seats_kept,
    /// Seats resumed over a new connection, whether or not the old one was known to be lost.
    seats_resumed,
    /// Kept seats whose player did not come back in time, so that the match ended.
    seats_expired,
    /// Moves received.
    moves_received,
    /// Moves that were overtaken, were sent before a correction, or belong to a match that has
    /// ended.
    moves_stale,
    /// Moves that broke the rules and led to a correction.
    moves_illegal,
    ;
    by transport:
    /// Updates handed to a transport for a player.
    relayed of updates_relayed,
    /// Updates that a newer one of the same burst replaced before they were handed to a transport.
    outdated of updates_outdated,
    /// Updates that a newer one replaced before they were sent.
    superseded of updates_superseded,
    /// Updates whose receiver's connection had ended.
    undeliverable of updates_undeliverable,
    /// Updates for a player whose seat was kept at that time.
    away of updates_away,
}

/// The path statistics of one transport, as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathSample {
    /// The connection's transport.
    pub transport: TransportKind,
    /// The statistics of the first connection that joined, at that time: the settings that this
    /// side had in effect.
    pub path: PathStats,
    /// The loss recovery of this side on all connections that have ended.
    pub recovery: Option<Recovery>,
}

impl Counters {
    /// Records the path statistics of a connection, if it is the first of its transport.
    pub(crate) fn note_path(&self, sender: &Sender) {
        let mut paths = self.paths.lock();
        if paths.iter().all(|it| it.transport != sender.kind()) {
            paths.push(PathSample { transport: sender.kind(), path: sender.path_stats(), recovery: None });
        }
    }

    /// Adds the loss recovery of a connection that ends, if it had joined.
    pub(crate) fn note_end(&self, sender: &Sender) {
        let of_connection = sender.path_stats().recovery;
        let mut paths = self.paths.lock();
        if let Some(sample) = paths.iter_mut().find(|it| it.transport == sender.kind()) {
            sample.recovery =
                Some(sample.recovery.map_or(of_connection, |recovery| recovery.plus(&of_connection)));
        }
    }

    /// Counts a player that was expelled with `close`.
    pub(crate) fn count_expelled(&self, close: &Close) {
        let cause = match CloseCode::from_code(close.code) {
            Some(CloseCode::VersionMismatch) => &self.expelled_version,
            Some(CloseCode::Malformed | CloseCode::PayloadTooLong) => &self.expelled_malformed,
            Some(CloseCode::JoinTimeout) => &self.expelled_join_timeout,
            Some(CloseCode::TooManyMessages) => &self.expelled_flooding,
            Some(CloseCode::TooManyCorrections) => &self.expelled_cheating,
            Some(CloseCode::Unexpected) => &self.expelled_unexpected,
            // Other codes are counted where the server decides on them.
            _ => return,
        };
        self.expelled.increment();
        cause.increment();
    }

    /// Counts a connection that ended by itself.
    pub(crate) fn count_closed(&self, reason: &CloseReason) {
        let cause = match reason {
            CloseReason::IdleTimeout(_) => return self.idle_timeouts.increment(),
            CloseReason::ReadDeadline(_) | CloseReason::ControlLaneFull(_) => &self.expelled_stalled,
            CloseReason::BadFrame(FrameError::TooMany { .. } | FrameError::TooManyInAll { .. }) => {
                &self.expelled_flooding
            }
            CloseReason::BadFrame(_) => &self.expelled_malformed,
            CloseReason::Local(_)
            | CloseReason::Remote(_)
            | CloseReason::Vanished
            | CloseReason::Transport(_)
            | CloseReason::Fault => return,
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
        // Mostly nothing was superseded, and adding zero would take the processor as long.
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

    /// Sets the value that another component counts.
    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Relaxed);
    }
}
