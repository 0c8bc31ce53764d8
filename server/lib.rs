//! Matches players and relays their moves, on every transport at once. Entry: [`run`].
//!
//! Each connection is one session (`session.rs`), and the lobby (`lobby.rs`) knows all of them.
//! `matchmaking.rs` decides who plays whom. A match (`relay.rs`) has two seats (`seat.rs`), which
//! outlive their connections for a while. `admission.rs` limits connections, and `threads.rs`
//! serves on more than one processor. A task that panics is started again (`netduel_transport`'s
//! `Supervised`), and `/health` names it until then.

mod admission;
pub mod cli;
mod config;
mod counters;
mod faults;
mod listening;
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

use std::{convert::Infallible, sync::Arc, time::Duration};

use netduel_transport::{Listener, Supervised};
use tokio::{runtime::Handle, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use admission::MemoryReading;
pub use config::{Config, RelayPolicy};
pub use counters::{PathSample, Snapshot};
pub use listening::{ListenError, Plaintext, ServerOptions};
pub use lobby::Census;
pub use observer::Observer;
pub use threads::{THREADS_MAX, Threads};

use admission::Admission;
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
/// The time between two readings of memory. A flood needs several seconds for what is left between
/// the two watermarks, and a reading costs some tens of µs.
const MEMORY_PERIOD: Duration = Duration::from_secs(1);
/// The players that one reading of exhausted memory expels. Their queues hold a megabyte at most;
/// the next reading shows whether that was enough.
const EXPELLED_AT_ONCE: usize = 16;
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
        let mut server = Self { observer: Observer::new(Arc::new(Lobby::new(config))) };
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
        let Observer { lobby, listeners, .. } = &self.observer;
        let (sessions, newcomers) = (TaskTracker::new(), TaskTracker::new());
        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        for serving in listeners {
            let accepting = Accepting {
                serving: serving.clone(),
                lobby: lobby.clone(),
                sessions: sessions.clone(),
                newcomers: newcomers.clone(),
                shutdown: shutdown.clone(),
            };
            self.supervise(&serving.runtime, "accept", &over, move || accepting.clone().run());
        }
        let keeper = lobby.clone();
        let keep_deadlines = move || {
            let lobby = keeper.clone();
            async move { lobby.keep_deadlines().await }
        };
        self.supervise(&Handle::current(), "deadlines", &over, keep_deadlines);
        let watched = lobby.clone();
        self.supervise(&Handle::current(), "memory", &over, move || watch_memory(watched.clone()));
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
        over.cancel();
        newcomers.close();
        let last_words = async {
            newcomers.wait().await;
            // A close over QUIC is the listener's to send, and to send again if it is lost.
            for serving in listeners {
                serving.listener.flush_closes().await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, last_words).await;
        self.observer.snapshot()
    }

    /// Starts a task on `runtime` that runs until `over`, and starts again after a panic.
    fn supervise<F: Future<Output = Infallible> + Send + 'static>(
        &self,
        runtime: &Handle,
        name: &'static str,
        over: &CancellationToken,
        mut make: impl FnMut() -> F + Send + 'static,
    ) {
        let over = over.clone();
        let task = Supervised::spawn_on(runtime, name, move || {
            let (over, work) = (over.clone(), make());
            async move {
                let _ = over.run_until_cancelled(work).await;
            }
        });
        self.observer.supervise(task);
    }
}

/// Reads the use of memory from time to time, and expels players while it is exhausted.
async fn watch_memory(lobby: Arc<Lobby>) -> Infallible {
    let mut ticks = tokio::time::interval(MEMORY_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        faults::strike("memory");
        let reading = (lobby.config.memory_reading)();
        if reading.is_none() {
            return std::future::pending().await; // The system will not tell later, either.
        }
        lobby.admission.memory.note(reading);
        if lobby.admission.memory.is_exhausted() {
            lobby.expel_largest(EXPELLED_AT_ONCE);
        }
    }
}

/// The acceptance of clients of one listener.
#[derive(Clone)]
struct Accepting {
    serving: Serving,
    lobby: Arc<Lobby>,
    sessions: TaskTracker,
    /// The sessions that began while the server drains. They end with a goodbye, and the end of the
    /// server does not wait for them.
    newcomers: TaskTracker,
    shutdown: CancellationToken,
}

impl Accepting {
    /// Accepts clients, also while the server drains. The lobby tells them then that the server
    /// shuts down.
    async fn run(self) -> Infallible {
        let Self { serving: Serving { listener, queue, .. }, lobby, sessions, newcomers, shutdown } = self;
        let mut failed = 0_u64;
        loop {
            let incoming = match queue.run(listener.accept()).await {
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
            faults::strike("accept");
            let admission = if sessions.len() + newcomers.len() >= lobby.config.sessions_max() {
                lobby.counters.refused_full.increment();
                Admission::Refused
            } else {
                lobby.admission.admit(incoming.proved(), &lobby.config, &lobby.counters)
            };
            match admission {
                Admission::Admitted(permit) => {
                    let tracker = if shutdown.is_cancelled() { &newcomers } else { &sessions };
                    tracker.spawn(session::run(incoming, permit, lobby.clone(), queue.clone()));
                }
                // No pause: an answer costs some µs, and behind a forged claim an honest one may
                // wait.
                Admission::ProofDemanded => incoming.demand_proof(),
                Admission::Refused => {
                    drop(incoming);
                    tokio::time::sleep(DROP_PAUSE).await;
                }
            }
        }
    }
}
