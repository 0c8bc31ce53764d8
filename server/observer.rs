//! An observer of a running server: its counters, its kinds of transport and its census.

use std::sync::Arc;

use metrics::Histogram;
use netduel_transport::{Listener, TransportKind};
use tokio::runtime::Handle;

use crate::{
    counters::{Snapshot, Updates},
    lobby::{Census, Lobby},
    low_priority::LowPriorityQueue,
    player_sender::kind_number,
};

/// Observes a server. Every figure is computed on request, so that nothing is counted twice.
#[derive(Clone)]
pub struct Observer {
    pub(crate) lobby: Arc<Lobby>,
    pub(crate) listeners: Vec<Serving>,
}

/// A listener, and the runtime within which it was bound.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) runtime: Handle,
    pub(crate) listener: Arc<Listener>,
    /// The queue of all connections that the runtime's thread serves.
    pub(crate) queue: Arc<LowPriorityQueue>,
}

impl Observer {
    /// Returns the counters so far.
    pub fn snapshot(&self) -> Snapshot {
        let counters = &self.lobby.counters;
        let listeners = || self.listeners.iter().map(|it| &it.listener);
        counters.address_checks.set(listeners().map(|it| it.address_checks()).sum());
        counters.strays.set(listeners().map(|it| it.strays()).sum());
        counters.snapshot()
    }

    /// Returns the counters of the updates for players over `kind`.
    pub(crate) fn updates(&self, kind: TransportKind) -> &Updates {
        &self.lobby.counters.updates[kind_number(kind)]
    }

    /// Makes sessions record the relay's latency into `histograms`, one for each transport that
    /// moves arrive over. Takes effect once.
    pub(crate) fn record_relay_latency(&self, histograms: Vec<(TransportKind, Histogram)>) {
        // A second recorder would get the first one's figures.
        let _ = self.lobby.relay_latency.set(histograms);
    }

    /// Returns the kinds that the server listens for, each once.
    pub fn kinds(&self) -> Vec<TransportKind> {
        let mut kinds = Vec::new();
        for kind in self.listeners.iter().map(|it| it.listener.kind()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// Returns the use of memory in percent of its limit; 0 where the system does not tell.
    pub(crate) fn memory_percent(&self) -> u32 {
        self.lobby.admission.memory.percent()
    }

    /// Counts the connections, players and matches of this moment.
    pub fn census(&self) -> Census {
        self.lobby.census()
    }
}
