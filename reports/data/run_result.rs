//! The result of one run.

use netduel_link::LinkReport;
use netduel_loadgen::{LoadResult, Usage};
use netduel_server::Snapshot;
use serde::{Deserialize, Serialize};

use crate::plan::scenario::RunKey;

/// What came out of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// Which run.
    pub key: RunKey,
    /// What the players saw.
    pub load: LoadResult,
    /// What the server used within the window.
    pub server: Usage,
    /// What the players' process used within the window.
    pub players: Usage,
    /// What the server counted over the whole run, warm-up included.
    pub counters: Snapshot,
    /// What the emulated link did within the window; none on loopback.
    pub link: Option<LinkReport>,
    /// Whether the link carried a bulk transfer, too.
    pub shared: bool,
}
