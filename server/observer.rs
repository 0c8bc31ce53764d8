//! An observer of a running server: its counters, its kinds of transport and its census.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use metrics::Histogram;
use netduel_transport::{Identity, Listener, Supervised, TaskHealth, TransportKind};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    cli::logging::lines_lost,
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
    /// The tasks that run as long as the server: one for each listener, and a few more.
    pub(crate) tasks: Arc<Mutex<Vec<Supervised>>>,
    pub(crate) certificate: Arc<OnceLock<Identity>>,
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
    /// Creates an observer of `lobby`, which has no listeners and no tasks yet.
    pub(crate) fn new(lobby: Arc<Lobby>) -> Self {
        Self { lobby, listeners: Vec::new(), tasks: Arc::default(), certificate: Arc::default() }
    }

    /// Returns the counters so far.
    pub fn snapshot(&self) -> Snapshot {
        let counters = &self.lobby.counters;
        let listeners = || self.listeners.iter().map(|it| &it.listener);
        counters.address_checks.set(listeners().map(|it| it.address_checks()).sum());
        counters.strays.set(listeners().map(|it| it.strays()).sum());
        counters.log_lines_lost.set(lines_lost());
        let mut snapshot = counters.snapshot();
        snapshot.panics += self.health().iter().map(|task| task.panics).sum::<u64>();
        snapshot
    }

    /// Returns the health of all tasks that run as long as the server.
    pub fn health(&self) -> Vec<TaskHealth> {
        let tasks = self.tasks.lock();
        let own = tasks.iter().map(Supervised::health);
        own.chain(self.listeners.iter().flat_map(|it| it.listener.health())).collect()
    }

    /// Returns the reason to send no more players here, if there is one.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self.health().iter().find(|task| task.down) {
            Some(task) => Some(format!("the task '{}' failed and will start again", task.name)),
            None => self.lobby.is_draining().then(|| "draining".to_owned()),
        }
    }

    /// Adds a task to those whose health counts.
    pub(crate) fn supervise(&self, task: Supervised) {
        self.tasks.lock().push(task);
    }

    /// Returns the low-priority queue of the thread that serves the first listener.
    pub(crate) fn low_priority(&self) -> Arc<LowPriorityQueue> {
        self.listeners.first().map(|it| it.queue.clone()).unwrap_or_default()
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

    /// Makes the observer report the end of this identity's certificate. Takes effect once.
    pub fn watch_certificate(&self, identity: &Identity) {
        // The listeners of a server share one identity.
        let _ = self.certificate.set(identity.clone());
    }

    /// Returns the seconds until the certificate expires, negative after that; `None` if no
    /// certificate is watched.
    pub(crate) fn certificate_expires_in_s(&self, now: SystemTime) -> Option<f64> {
        let end = self.certificate.get()?.valid().end;
        Some(match end.duration_since(now) {
            Ok(left) => left.as_secs_f64(),
            Err(error) => -error.duration().as_secs_f64(),
        })
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
