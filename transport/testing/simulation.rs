//! In-process connections over a simulated path, under tokio's clock. With that clock paused, the
//! whole is a simulation.
//!
//! The caller decides for each packet what the path does to it ([`Fate`]). A [`Link`] falls silent,
//! heals, or loses one of its ends without a close frame. The result is what every kind promises
//! and no more:
//! - Control messages are ordered, and held back through an outage.
//! - Updates are late and superseded. Unless the path keeps their order, they are also lost and
//!   reordered.
//! - Queued messages wait for a flush.
//! - A close frame may overtake.
//!
//! Keep-alives and the idle timeout are those of `io/keep_alive.rs`. A [`Tap`] sees all of it.
//! Behind the feature `simulation`, for the crate of that name.

mod end;
mod path;
mod tap;
mod wire;

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Weak},
};

use tokio::sync::mpsc;

use crate::{
    Arrival, BoxFuture, CloseReason, ConnectError, Connection, Handshake, Lane, Listen, Listener, Options,
    Proof, Proved, SendHalf, TransportKind,
    connection::{connection, listener::within_deadline},
};
use end::{End, connected};
pub use path::{Fate, Fates, Flow, Path, Side};
pub use tap::{Event, Tap};
use wire::Wire;

/// The largest number of connections that wait to be accepted.
const BACKLOG: usize = 1024;
/// The server's address, which stands for no host.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A simulated network, to which clients connect.
pub struct Network {
    incoming: mpsc::Sender<(SocketAddr, Handshake)>,
    options: Options,
    tap: Arc<dyn Tap>,
}

/// Makes a network, and its server's listener.
pub fn network(options: &Options, tap: Arc<dyn Tap>) -> (Network, Listener) {
    let (incoming, listening) = mpsc::channel(BACKLOG);
    let inner = Box::new(SimulatedListen(tokio::sync::Mutex::new(listening)));
    let listener = Listener::new(TransportKind::Memory, inner, options);
    (Network { incoming, options: options.clone(), tap }, listener)
}

impl Network {
    /// Connects from `from`. The returned future is the client's half of the handshake, and fails
    /// as that of a real kind does.
    pub fn connect(
        &self,
        number: usize,
        from: SocketAddr,
        path: Path,
    ) -> (Link, impl Future<Output = Result<Connection, ConnectError>> + Send + use<>) {
        let Path { in_order, up, down } = path;
        let [up, down] = [up, down].map(|fates| Arc::new(Wire::new(in_order, fates)));
        let end = |side, inbox: &Arc<Wire>, outbox: &Arc<Wire>| {
            let (inbox, outbox) = (inbox.clone(), outbox.clone());
            Arc::new(End { number, side, tap: self.tap.clone(), inbox, outbox })
        };
        let (client, server) = (end(Side::Client, &down, &up), end(Side::Server, &up, &down));
        let link = Link { up, down, ends: [Arc::downgrade(&client), Arc::downgrade(&server)] };
        let (incoming, options) = (self.incoming.clone(), self.options.clone());
        let connecting = async move {
            client.outbox.cross().await;
            let accepting = accept(server, from, options.clone());
            incoming.try_send((from, Box::pin(accepting))).map_err(|_| refused())?;
            client.inbox.cross().await;
            Ok(connected(client, SERVER, &options))
        };
        let options = self.options.clone();
        let connecting =
            async move { within_deadline(connecting, TransportKind::Memory, SERVER, &options).await };
        (link, connecting)
    }
}

/// Does the server's half of a handshake: an answer, and the client's next packet.
async fn accept(server: Arc<End>, from: SocketAddr, options: Options) -> Result<Connection, ConnectError> {
    server.outbox.cross().await;
    server.inbox.cross().await;
    Ok(connected(server, from, &options))
}

fn refused() -> ConnectError {
    let error = io::ErrorKind::ConnectionRefused.into();
    ConnectError::Unreachable { addr: SERVER, kind: TransportKind::Memory, error }
}

struct SimulatedListen(tokio::sync::Mutex<mpsc::Receiver<(SocketAddr, Handshake)>>);

impl Listen for SimulatedListen {
    fn local_addr(&self) -> SocketAddr {
        SERVER
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            let (from, handshake) = self.0.lock().await.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok(Arrival::Proved(Proved::by(Proof::SameProcess, from), handshake))
        })
    }
}

/// The controls of one connection's path.
pub struct Link {
    up: Arc<Wire>,
    down: Arc<Wire>,
    ends: [Weak<End>; 2],
}

impl Link {
    /// Silences or heals the direction from `from`. While it is silent, nothing arrives. Control
    /// messages, and updates of a path that keeps their order, wait until it heals.
    pub fn silence(&self, from: Side, silent: bool) {
        self.wire(from).silence(silent);
    }

    /// Ends `side` as when its process dies. The remote is told if the host still stands to say so.
    pub fn vanish(&self, side: Side, remote_is_told: bool) {
        if let Some(end) = self.ends[side as usize].upgrade() {
            connection::end(&*end, CloseReason::Vanished);
        }
        if remote_is_told {
            self.wire(side).end(CloseReason::Vanished);
        }
    }

    /// Returns the counters of the messages that `from` sent on `lane`.
    pub fn flow(&self, from: Side, lane: Lane) -> Flow {
        let queue = self.wire(from).queue();
        let waiting = match lane {
            Lane::Control => queue.control.len() + queue.control_unsent.len(),
            Lane::State => queue.updates.len() + queue.unsent.len(),
        };
        Flow { waiting: waiting as u64, ..queue.flows[lane as usize] }
    }

    /// Whether `from` queued something and did not flush it, although the path would take it.
    pub fn is_unflushed(&self, from: Side) -> bool {
        let is_open =
            self.ends[from as usize].upgrade().is_some_and(|end| end.close_state().reason().is_none());
        let queue = self.wire(from).queue();
        let updates_wait_for_the_path = queue.silent && queue.in_order;
        let updates_wait = !queue.unsent.is_empty() && !updates_wait_for_the_path;
        is_open && (updates_wait || !queue.control_unsent.is_empty())
    }

    /// Whether a sender or the receiver of that side still exists.
    pub fn held(&self, side: Side) -> bool {
        self.ends[side as usize].strong_count() > 0
    }

    fn wire(&self, from: Side) -> &Wire {
        match from {
            Side::Client => &self.up,
            Side::Server => &self.down,
        }
    }
}
