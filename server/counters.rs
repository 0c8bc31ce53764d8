//! What the server counts. One relaxed atomic each; a [`Snapshot`] is what people and reports read.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use netduel_transport::{PathStats, Sender, TransportKind};
use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the start of the server.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
            paths: Mutex<Vec<PathSample>>,
        }

        /// The counters at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// What the first connection of each kind that joined said of itself then: what this side really had set.
            #[serde(default)]
            pub paths: Vec<PathSample>,
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.0.load(Relaxed),)* paths: self.lock_paths().clone() }
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
    /// Connections the server ended because of what the player sent, or did not send.
    expelled,
    /// Matches begun.
    matches_started,
    /// Matches over.
    matches_ended,
    /// Moves that came in.
    moves_received,
    /// Updates handed to a transport for a player.
    updates_relayed,
    /// Updates that were replaced by a newer one before they could leave.
    updates_superseded,
    /// Updates whose receiver was gone.
    updates_undeliverable,
    /// Moves that were overtaken, from before a correction, or from a match that is over.
    moves_stale,
    /// Moves against the rules; each led to a correction.
    moves_illegal,
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
        let mut paths = self.lock_paths();
        if paths.iter().all(|it| it.transport != sender.kind()) {
            paths.push(PathSample { transport: sender.kind(), path: sender.path_stats() });
        }
    }

    fn lock_paths(&self) -> MutexGuard<'_, Vec<PathSample>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }
}
