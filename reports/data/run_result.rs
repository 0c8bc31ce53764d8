//! The result of one run.

use netduel_link::LinkReport;
use netduel_loadgen::{LoadResult, Usage};
use netduel_server::Snapshot;
use serde::{Deserialize, Serialize};

use crate::plan::scenario::RunKey;

/// The result of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// The run.
    pub key: RunKey,
    /// The measurements of the players.
    pub load: LoadResult,
    /// The resources that the server used within the window.
    pub server: Usage,
    /// The resources that the players' process used within the window.
    pub players: Usage,
    /// The server's counters over the whole run, warm-up included.
    pub counters: Snapshot,
    /// The report of the emulated link for the window; `None` on loopback.
    pub link: Option<LinkReport>,
    /// Whether the link also carried a bulk transfer.
    pub shared: bool,
}
