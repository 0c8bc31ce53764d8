//! The size of the measurements of a group, and the order of its runs.

use std::time::Duration;

use netduel_loadgen::WindowPlan;
use serde::{Deserialize, Serialize};

/// The matches, the windows and their number for one kind of network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// The numbers of concurrent matches; each has groups of its own.
    pub pairs: Vec<u32>,
    /// The number of repeats of each combination. In turns, it is the number of rounds.
    pub repeats: u32,
    /// The warm-up before each measured window, in ms, in which handshakes, congestion windows and
    /// caches settle.
    pub warmup_ms: u64,
    /// The measured window of each run, in ms.
    pub duration_ms: u64,
    /// The time after each window in which moves of the window may still arrive, in ms.
    pub drain_ms: u64,
}

impl Sampling {
    /// One window over an emulated link. It meets about 55 stalls of a busy Wi-Fi, of which one in
    /// six loses nothing, and nine epochs of ENet's throttle. The warm-up outlasts the
    /// handshakes over a satellite. The drain outlasts a second retransmission of TCP.
    pub const LINK: Self =
        Self { pairs: Vec::new(), repeats: 1, warmup_ms: 1_500, duration_ms: 45_000, drain_ms: 1_000 };

    /// Twenty rounds of short windows. They follow each other within seconds, so that every
    /// contender meets the same drift of the machine. A window of a fifth of a second has 336 moves
    /// of 14 matches at 60 Hz, which is enough for a cost per move.
    pub const ROUNDS: Self =
        Self { pairs: Vec::new(), repeats: 20, warmup_ms: 50, duration_ms: 200, drain_ms: 20 };

    /// Rounds over a real network to a remote server. The warm-up and the drain outlast its round
    /// trip.
    pub const REMOTE: Self =
        Self { pairs: Vec::new(), repeats: 15, warmup_ms: 250, duration_ms: 1_000, drain_ms: 400 };

    /// Returns this sampling with these numbers of matches.
    #[must_use]
    pub fn of(self, pairs: &[u32]) -> Self {
        Self { pairs: pairs.to_vec(), ..self }
    }

    /// Returns the plan of one window.
    pub(crate) fn window(&self, keep_moves: bool) -> WindowPlan {
        WindowPlan {
            warmup_ms: self.warmup_ms,
            duration_ms: self.duration_ms,
            drain_ms: self.drain_ms,
            keep_moves,
        }
    }

    /// Returns the time of one window with its warm-up and its drain.
    pub fn window_time(&self) -> Duration {
        Duration::from_millis(self.window(false).total_ms())
    }
}

/// The order of the runs of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// All arms run at once, each with its own link, server and players. The link decides the delay
    /// of a move, so that arms do not change each other's.
    Beside,
    /// All arms are connected, and play short windows one after the other in rounds. The machine
    /// decides the cost of a move, so that each arm has it alone.
    InTurns,
    /// Each run starts its own server and players, and nothing runs beside it.
    Afresh,
}
