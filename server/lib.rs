//! Pairs players and relays their moves, on every transport at once. Entry: [`run`].
//!
//! `session.rs` is one connection; `lobby.rs` knows them all; `pairing.rs` says who meets whom; `relay.rs` is a match.

pub mod command;
mod counters;
mod lobby;
mod pairing;
mod relay;
mod session;

use std::{sync::Arc, time::Duration};

use netduel_transport::Listener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use counters::{PathSample, Snapshot};
pub use relay::RelayPolicy;

use lobby::Lobby;

/// After an accept failed (no file descriptors, usually): long enough for some to be freed, short for a player.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);
/// After everybody was told to go: longer than any goodbye lingers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The server's limits and policy.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is told of a move.
    pub relay: RelayPolicy,
    /// Connected players at most. The default takes about 40 MB if all of them come over QUIC.
    pub connections_max: usize,
    /// From the connection to the first join. Ours takes a round trip; ten seconds is a very bad link's.
    pub join_timeout: Duration,
    /// Messages that a player may send a second, all kinds together. Sixteen times what the fastest client of ours sends
    /// (240 moves); a flood above it would take the server's one thread from everybody else.
    pub messages_per_s_max: u32,
    /// How long matches may go on after the server was told to end.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            relay: RelayPolicy::Other,
            connections_max: 1_000,
            join_timeout: Duration::from_secs(10),
            messages_per_s_max: 4_000,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves on bound `listeners` until `shutdown` is cancelled, then lets matches finish for a while. Returns what was
/// counted.
pub async fn run(listeners: Vec<Listener>, config: Config, shutdown: CancellationToken) -> Snapshot {
    let lobby = Arc::new(Lobby::new(config));
    let sessions = TaskTracker::new();
    let listeners: Vec<Arc<Listener>> = listeners.into_iter().map(Arc::new).collect();
    for listener in &listeners {
        tokio::spawn(accept_all(listener.clone(), lobby.clone(), sessions.clone(), shutdown.clone()));
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
    // A goodbye over QUIC is the listener's to send, and to send again if it is lost.
    let goodbyes = async {
        for listener in &listeners {
            listener.flush_goodbyes().await;
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbyes).await;
    lobby.counters.snapshot()
}

async fn accept_all(
    listener: Arc<Listener>,
    lobby: Arc<Lobby>,
    sessions: TaskTracker,
    shutdown: CancellationToken,
) {
    // Those above the limit are let in to be told so; beyond twice the limit they are dropped unheard.
    let sessions_max = lobby.config.connections_max.saturating_mul(2);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if sessions.len() >= sessions_max => lobby.counters.refused_full.increment(),
            Ok(accepting) => drop(sessions.spawn(session::run(accepting, lobby.clone()))),
            Err(error) => {
                tracing::warn!("cannot accept over {}: {error}", listener.kind());
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}
