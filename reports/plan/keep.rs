//! The evidence that a comparison keeps beside its results, on request.

use serde::{Deserialize, Serialize};

/// The kinds of evidence to keep. `docs/evidence.md` describes their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// A row for each move.
    pub moves: bool,
    /// A packet capture of each session, with the keys of its TLS sessions.
    pub capture: bool,
    /// The qlog of each player's QUIC connection.
    pub qlog: bool,
}

impl Keep {
    /// Whether anything is kept.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}
