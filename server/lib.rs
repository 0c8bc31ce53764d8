//! Matches players and relays their moves, on every transport at once. Entry: [`run`].
//!
//! Each connection is one session (`session.rs`), and the lobby (`lobby.rs`) knows all of them.
//! `matchmaking.rs` decides who plays whom. A match (`relay.rs`) has two seats (`seat.rs`), which
//! outlive their connections for a while. `admission.rs` limits connections, and `threads.rs`
//! serves on more than one processor.

mod admission;
pub mod cli;
mod config;
mod counters;
mod lobby;
mod low_priority;
mod matchmaking;
mod metrics;
mod observer;
mod player;
mod player_sender;
mod relay;
mod relay_latency;
mod seat;
mod session;
mod threads;

use std::{sync::Arc, time::Duration};

use netduel_transport::Listener;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{Config, RelayPolicy};
pub use counters::{PathSample, Snapshot};
pub use lobby::Census;
pub use observer::Observer;
pub use threads::{THREADS_MAX, Threads};

use lobby::Lobby;
use low_priority::LowPriorityQueue;
use observer::Serving;

/// The pause after a failed accept, usually for want of file descriptors: long enough for some to
/// be freed, short for a player.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
/// The pause after a dropped connection. A drop costs tens of µs, so a flood of such connections to
/// one listener takes a few hundredths of the thread. Meanwhile new connections wait in the
/// system's backlog, or the system drops them for less.
const DROP_PAUSE: Duration = Duration::from_millis(1);
/// The time for the last sessions to end after all were closed: longer than any close lingers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves on bound `listeners` until `shutdown` is cancelled, then lets matches finish for
/// [`Config::drain_timeout`]. Returns the counters.
pub async fn run(listeners: Vec<Listener>, config: Config, shutdown: CancellationToken) -> Snapshot {
    Server::new(listeners, config).run(shutdown).await
}

/// A server that can be observed while it runs.
pub struct Server {
    observer: Observer,
}

impl Server {
    /// Creates a server. It accepts no player before [`Self::run`].
    pub fn new(listeners: Vec<Listener>, config: Config) -> Self {
        let mut server =
            Self { observer: Observer { lobby: Arc::new(Lobby::new(config)), listeners: vec![] } };
        server.serve_on(&Handle::current(), listeners);
        server
    }

    /// Adds `listeners`. The thread of `runtime`, within which they must have been bound, serves
    /// them.
    pub fn serve_on(&mut self, runtime: &Handle, listeners: Vec<Listener>) {
        let queue = Arc::new(LowPriorityQueue::default());
        let here = |listener| Serving {
            runtime: runtime.clone(),
            listener: Arc::new(listener),
            queue: queue.clone(),
        };
        self.observer.listeners.extend(listeners.into_iter().map(here));
    }

    /// Returns an observer of the running server.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Serves as [`run`] does.
    pub async fn run(self, shutdown: CancellationToken) -> Snapshot {
        let Observer { lobby, listeners } = &self.observer;
        let sessions = TaskTracker::new();
        for serving in listeners {
            let accept = accept_all(serving.clone(), lobby.clone(), sessions.clone(), shutdown.clone());
            serving.runtime.spawn(accept);
        }
        shutdown.cancelled().await;

        let drain_timeout = lobby.config.drain_timeout;
        lobby.drain(drain_timeout);
        sessions.close();
        if tokio::time::timeout(drain_timeout, sessions.wait()).await.is_err() {
            lobby.close_all();
            if tokio::time::timeout(CLOSE_TIMEOUT, sessions.wait()).await.is_err() {
                tracing::warn!("{} sessions did not end in time", sessions.len());
            }
        }
        // A close over QUIC is the listener's to send, and to send again if it is lost.
        let closes = async {
            for serving in listeners {
                serving.listener.flush_closes().await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closes).await;
        self.observer.snapshot()
    }
}

async fn accept_all(
    Serving { listener, queue, .. }: Serving,
    lobby: Arc<Lobby>,
    sessions: TaskTracker,
    shutdown: CancellationToken,
) {
    let mut failed = 0_u64;
    loop {
        let accepted = tokio::select! {
            biased; // Accepts no client after the shutdown began.
            () = shutdown.cancelled() => return,
            accepted = queue.run(listener.accept()) => accepted,
        };
        let incoming = match accepted {
            Ok(incoming) => incoming,
            Err(error) => {
                if failed == 0 {
                    tracing::warn!("cannot accept over {}, will try again: {error}", listener.kind());
                }
                failed += 1;
                lobby.counters.accept_errors.increment();
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
                continue;
            }
        };
        if failed > 0 {
            tracing::warn!("accepts over {} again, after {failed} failures", listener.kind());
            failed = 0;
        }
        let admission = if sessions.len() >= lobby.config.sessions_max() {
            lobby.counters.refused_full.increment();
            None
        } else {
            lobby.admission.admit(incoming.remote_addr(), &lobby.config, &lobby.counters)
        };
        match admission {
            Some(admission) => {
                drop(sessions.spawn(session::run(incoming, admission, lobby.clone(), queue.clone())))
            }
            None => {
                drop(incoming);
                tokio::time::sleep(DROP_PAUSE).await;
            }
        }
    }
}
