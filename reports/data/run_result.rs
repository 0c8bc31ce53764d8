//! The result of one run.

use netduel_link::LinkReport;
use netduel_loadgen::{Lane, LoadResult, Usage};
use netduel_server::Snapshot;
use serde::{Deserialize, Serialize};

use crate::{
    data::tcp_counters::TcpCounters,
    plan::{sampling::Order, scenario::RunKey},
};

/// The TCP counters of both sides of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpOfSides {
    /// Those of the server's network namespace.
    pub server: TcpCounters,
    /// Those of the players' network namespace.
    pub players: TcpCounters,
}

/// The result of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// The run.
    pub key: RunKey,
    /// The order in which the run and its neighbours went on.
    pub order: Order,
    /// The measurements of the players.
    pub load: LoadResult,
    /// The resources that the server used within the window.
    pub server: Usage,
    /// The resources that the players' process used within the window.
    pub players: Usage,
    /// The CPU time of server, players and emulator together within the window, in µs.
    pub machine_cpu_us: Option<u64>,
    /// The server's counters over its whole life: those of the run with its warm-up, or in turns
    /// those of all runs of the arm. `None` for a remote server and for a baseline.
    pub counters: Option<Snapshot>,
    /// The counters of TCP within the window in the namespaces of both sides. On loopback, they are
    /// one namespace. `None` for a remote server, and where the kernel does not tell.
    pub tcp: Option<TcpOfSides>,
    /// The report of the emulated link for the window; `None` on loopback.
    pub link: Option<LinkReport>,
    /// Whether the link also carried a bulk transfer.
    pub shared: bool,
    /// The processors of server, players and emulator.
    pub cpus: Lane,
}

impl RunResult {
    /// Returns a run of which only the load is known.
    pub fn new(key: RunKey, load: LoadResult) -> Self {
        Self {
            key,
            order: Order::Afresh,
            load,
            server: Usage::default(),
            players: Usage::default(),
            machine_cpu_us: None,
            counters: None,
            tcp: None,
            link: None,
            shared: false,
            cpus: Lane::default(),
        }
    }
}
