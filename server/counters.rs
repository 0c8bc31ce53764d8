//! What the server counts. One relaxed atomic each; a [`Snapshot`] is what people and reports read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the start of the server.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// The counters at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.0.load(Relaxed),)* }
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
