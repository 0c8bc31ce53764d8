//! In-process connections over a path of the caller's making, under tokio's clock: with that paused, a simulation.
//!
//! The caller says of each packet what the path does to it ([`Fate`]), and a [`Link`] falls silent, heals, or loses one of
//! its ends without a word. What comes of it is what every kind promises and no more: control messages are ordered and
//! held back through an outage; updates are late, superseded and, unless the path keeps their order, lost and reordered;
//! what is queued waits for a flush; a goodbye may overtake. Keep-alives and the idle timeout are those of `heartbeat.rs`. A
//! [`Tap`] sees all of it. Behind the feature `simulation`, for the crate of that name.

mod end;
mod wire;

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    BoxFuture, Close, CloseReason, ConnectError, Connection, Handshake, Lane, Listen, Listener, Options,
    SendHalf, TransportKind,
    connection::{connection, listener::within_deadline},
};
use end::{End, connected};
use wire::Wire;

/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;
/// Where the server would be, if it were anywhere.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that connected.
    Client,
    /// The one that accepted.
    Server,
}

/// What the path does to one packet.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// How long it is under way.
    pub delay: Duration,
    /// It does not arrive. Only updates can be lost: control messages are sent again, which is delay.
    pub lost: bool,
}

/// Asked for each packet of one direction.
pub type Fates = Box<dyn FnMut(Lane) -> Fate + Send>;

/// Both directions of a path.
pub struct Path {
    /// Updates arrive in the order in which they left, and all of them, as over a byte stream; otherwise as over datagrams.
    pub in_order: bool,
    /// From the client to the server.
    pub up: Fates,
    /// From the server to the client.
    pub down: Fates,
}

/// What a [`Tap`] sees happen at one side.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The handshake is over.
    Connected,
    /// It sent a message, which replaced this many unsent updates.
    Sent(Lane, &'a [u8], usize),
    /// It flushed what it had queued, of which this many updates were superseded.
    Flushed(usize),
    /// It was handed a message.
    Received(Lane, &'a [u8]),
    /// It was handed another before it has dealt with the last one.
    ReceivedAhead(Lane, &'a [u8]),
    /// There is no other.
    NothingAhead,
    /// It said goodbye.
    Closed(&'a Close),
    /// It was told that the connection is over, by its peer or by silence.
    Ended(&'a CloseReason),
    /// It let go of the receiver.
    Released,
}

/// Sees what happens, when and where it happens: inside the task whose doing it is. Must not call the transport.
pub trait Tap: Send + Sync {
    /// `connection` is what [`Network::connect`] was given.
    fn see(&self, connection: usize, side: Side, event: Event<'_>);
}

/// What became of the messages of one lane in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Taken from the sender.
    pub sent: u64,
    /// Handed to the receiver.
    pub delivered: u64,
    /// Replaced by a newer one before they left.
    pub superseded: u64,
    /// Lost by the path.
    pub lost: u64,
    /// Still on the way, or in the way of nobody who reads.
    pub waiting: u64,
}

/// Where clients connect.
pub struct Network {
    knocks: mpsc::Sender<(SocketAddr, Handshake)>,
    options: Options,
    tap: Arc<dyn Tap>,
}

/// A network of its own, and where its server listens.
pub fn network(options: &Options, tap: Arc<dyn Tap>) -> (Network, Listener) {
    let (knocks, listening) = mpsc::channel(BACKLOG);
    let inner = Box::new(SimulatedListen(tokio::sync::Mutex::new(listening)));
    let listener = Listener::new(TransportKind::Memory, inner, options);
    (Network { knocks, options: options.clone(), tap }, listener)
}

impl Network {
    /// Connects from `from`. The future is the client's half of it, and fails as that of a real kind does.
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
        let (knocks, options) = (self.knocks.clone(), self.options.clone());
        let connecting = async move {
            client.outbox.cross().await;
            let accepting = accept(server, from, options.clone());
            knocks.try_send((from, Box::pin(accepting))).map_err(|_| refused())?;
            client.inbox.cross().await;
            Ok(connected(client, SERVER, &options))
        };
        let options = self.options.clone();
        let connecting =
            async move { within_deadline(connecting, TransportKind::Memory, SERVER, &options).await };
        (link, connecting)
    }
}

/// The server's half of a handshake: an answer, and the client's next word.
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

    fn accept(&self) -> BoxFuture<'_, io::Result<(SocketAddr, Handshake)>> {
        Box::pin(
            async move { self.0.lock().await.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()) },
        )
    }
}

/// What can be done to a connection from outside.
pub struct Link {
    up: Arc<Wire>,
    down: Arc<Wire>,
    ends: [Weak<End>; 2],
}

impl Link {
    /// From now on nothing that `from` sends arrives, or again what it sends: control messages and updates that the path
    /// keeps in order wait until then.
    pub fn silence(&self, from: Side, silent: bool) {
        self.wire(from).silence(silent);
    }

    /// `side` is gone, as when its process dies. Its peer is told if the host still stands to say so.
    pub fn vanish(&self, side: Side, peer_is_told: bool) {
        if let Some(end) = self.ends[side as usize].upgrade() {
            connection::end(&*end, CloseReason::Vanished);
        }
        if peer_is_told {
            self.wire(side).farewell(CloseReason::Vanished);
        }
    }

    /// What became of what `from` sent on `lane`.
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

    /// Whether anybody still holds a sender or the receiver of that side.
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
