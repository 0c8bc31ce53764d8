//! The traits that a kind of transport implements, inside this crate or outside it.

use std::{io, net::SocketAddr};

use super::{
    connection::Connection,
    error::ConnectError,
    halves::BoxFuture,
    kind::{KindInfo, TransportKind},
    options::Options,
    proved::Proved,
};
use crate::{
    TaskHealth,
    tls::{identity::Identity, trust::Trust},
};

/// The handshake of a client that arrived at a listener. It owns what it needs, so that handshakes
/// run side by side.
///
/// It ends well only once the client has shown that it receives at its address.
pub type Handshake = BoxFuture<'static, Result<Connection, ConnectError>>;

/// A kind of transport: binds listeners and connects to them.
///
/// The trait is object safe, so that a kind is a value and not a type parameter. A transport from
/// outside this crate implements it for a `static` value and calls [`TransportKind::register`]. It
/// builds its connections from a [`SendHalf`](crate::SendHalf) and a
/// [`ReceiveHalf`](crate::ReceiveHalf) by [`Connection::new`].
pub trait Transport: Sync {
    /// Returns the kind's static description. The same on every call.
    fn info(&self) -> &'static KindInfo;

    /// Binds a listener to `addr` (port 0 takes any free one). Called inside a tokio runtime.
    ///
    /// `kind` is the value that stands for this transport, for its connections and errors. A kind
    /// that does not encrypt ignores `identity`.
    ///
    /// # Errors
    /// The system's refusal.
    fn bind(
        &self,
        kind: TransportKind,
        addr: SocketAddr,
        identity: &Identity,
        options: &Options,
    ) -> io::Result<Box<dyn Listen>>;

    /// Connects to a server. The caller puts [`Options::handshake_timeout`] around the future.
    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        options: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>>;
}

/// A bound socket of some transport.
pub trait Listen: Send + Sync {
    /// Returns the bound address, with the port that port 0 became.
    fn local_addr(&self) -> SocketAddr;

    /// Waits for the next client, and returns it with its handshake. Cancel safe.
    ///
    /// The handshake's work belongs into the returned future. The caller puts the handshake timeout
    /// around it.
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>>;

    /// Returns how many clients had to prove their address before anything else, so far.
    fn address_checks(&self) -> u64 {
        0
    }

    /// Returns how many datagrams belonged to no connection and began none, so far.
    fn strays(&self) -> u64 {
        0
    }

    /// Returns the health of the listener's tasks, and how many panics ended one connection alone.
    fn health(&self) -> Vec<TaskHealth> {
        Vec::new()
    }

    /// Waits until the close frames of ended connections are sent, where that is the listener's
    /// task.
    fn flush_closes(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A client that has arrived at a listener. Dropping it refuses the client.
pub enum Arrival {
    /// A client that has proved its address, and its handshake.
    Proved(Proved, Handshake),
    /// A client that only claims its address. A forged datagram may claim anybody's.
    Claimed(SocketAddr, Box<dyn Unproved>),
}

/// The first step of a client that has not proved its address yet. Dropping it refuses the client.
pub trait Unproved: Send {
    /// Goes on with the handshake, whose end proves the address.
    fn finish(self: Box<Self>) -> Handshake;

    /// Asks the client to come again with a proof, and keeps nothing of it.
    fn demand_proof(self: Box<Self>);
}

/// The server that a client connects to, and the proof that it is the right one.
#[derive(Debug)]
pub struct Target<'a> {
    /// The value that stands for the transport, for its connections and errors.
    pub kind: TransportKind,
    /// The server's address.
    pub addr: SocketAddr,
    /// The name that the certificate must carry. Unencrypted kinds and pins ignore it.
    pub name: &'a str,
    /// The certificates that are trusted. Encrypted kinds require it.
    pub trust: Option<&'a Trust>,
}
