//! Moves opaque messages over two lanes, on any of several transports. Knows nothing of games.
//!
//! A [`TransportKind`] binds a [`Listener`] or connects; either way a [`Connection`] comes out: a [`Sender`], which
//! never waits and can be shared, and a [`Receiver`], which one task polls and which *drives* the connection
//! (what could not be written at once, keep-alives, timeouts).
//!
//! **Lanes.** [`Lane::Control`] is reliable and ordered. [`Lane::State`] is latest-wins: an update that could not
//! leave yet is replaced by the next one, and some kinds may lose or reorder what did leave
//! ([`Capabilities::state_may_drop`]). Whoever uses the state lane numbers its messages.
//!
//! **A new transport** is one module that implements the crate's `Transport` trait, and one line in
//! [`TransportKind::ALL`]. What it finds here:
//!
//! - Over a byte stream (`tcp.rs`): `frame.rs` cuts it into messages, `outbox.rs` lets the newest update replace the one
//!   that waits. Over datagrams (`udp.rs`, `enet.rs`): `datagram.rs` tells peers on one socket apart, and lets nobody
//!   be remembered before its gate says so. Keep-alives and the idle timeout: `heartbeat.rs`.
//! - *TLS*: `bind` is given the server's [`Identity`], `connect` the [`Trust`] and the name that the certificate must
//!   carry. Kinds that do not encrypt leave them alone.
//! - *A path, an HTTP upgrade*, as WebSocket and WebTransport want them: not built. They belong to the kind as ALPN does
//!   to TLS's: a constant of its file, asked for inside `connect` and inside the handshake that `accept` hands out,
//!   both of which end at the handshake deadline. The `Host` header is `Target::name`. A kind whose path is the user's
//!   to choose would add it to `Target`, next to the name. WebSocket is then a byte stream after its upgrade, and
//!   WebTransport has the streams and datagrams of `quic.rs`, which should give it its endpoint.

#[cfg(feature = "bench")]
pub mod bench;
mod connection;
mod datagram;
mod enet;
mod error;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handshake;
mod heartbeat;
mod identity;
mod lifeline;
mod memory;
mod options;
mod outbox;
mod quic;
#[cfg(feature = "simulation")]
pub mod simulation;
mod tally;
mod tcp;
mod tcp_info;
mod udp;
mod udp_socket;

use std::{
    fmt,
    future::Future,
    hash::{Hash, Hasher},
    io,
    net::SocketAddr,
    pin::Pin,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

pub use connection::{Connection, Lane, PathStats, Receiver, Sender};
pub use error::{BindError, CloseReason, ConnectError, FrameError, Goodbye, IdentityError, SendError};
pub use identity::{Fingerprint, Identity, Trust};
pub use options::{Congestion, Options};
pub use tcp::path_stats as tcp_path_stats;

/// Largest message on the control lane. A join with every field at its limit is a twentieth of it.
pub const MAX_CONTROL_BYTES: usize = 4096;
/// Largest message on the state lane, on every kind: what fits one QUIC datagram in a packet of 1,200 bytes, the
/// smallest that every QUIC path carries (RFC 9000, 14). That is 1,162 bytes where headers are at their longest.
pub const MAX_STATE_BYTES: usize = 1120;

/// What a transport can do and what it cannot, so that nothing is degraded silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Nobody on the path can read or change the messages.
    pub encrypted: bool,
    /// The wire may lose or reorder state messages; otherwise loss shows as delay.
    pub state_may_drop: bool,
    /// Largest state message in bytes.
    pub max_state_bytes: usize,
    /// What decides how much may be under way.
    pub congestion: CongestionControl,
}

/// What keeps a transport from flooding the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CongestionControl {
    /// The algorithm that [`Options::congestion`] asks for.
    AsAsked,
    /// One of its protocol's own, which no option changes.
    Own,
    /// Nothing: it sends what it is given.
    None,
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a transport's file implements. Object safe, so that a kind is a value and not a type.
trait Transport: Sync {
    fn name(&self) -> &'static str;
    fn summary(&self) -> &'static str;
    fn default_port(&self) -> u16;
    fn capabilities(&self) -> Capabilities;
    fn bind(&self, addr: SocketAddr, identity: &Identity, options: &Options) -> io::Result<Box<dyn Listen>>;
    /// `lib.rs` puts the handshake deadline around it.
    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        options: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>>;
}

/// A bound socket of some transport.
trait Listen: Send + Sync {
    fn local_addr(&self) -> SocketAddr;
    /// The next peer that knocks; cancel safe. The handshake is the returned future's.
    fn accept(&self) -> BoxFuture<'_, io::Result<(SocketAddr, Handshake)>>;
    /// Peers that had to prove their address before anything else, so far.
    fn address_checks(&self) -> u64 {
        0
    }
    /// Datagrams that were no connection's, and began none, so far.
    fn strays(&self) -> u64 {
        0
    }
    /// Returns once the goodbyes of connections that ended are out, where that is the listener's to do.
    fn flush_goodbyes(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

type Handshake = BoxFuture<'static, Result<Connection, ConnectError>>;

/// Whom to connect to, and how to know that it is the right one.
struct Target<'a> {
    kind: TransportKind,
    addr: SocketAddr,
    /// The name the certificate must carry; unused by unencrypted kinds and by pins.
    name: &'a str,
    trust: Option<&'a Trust>,
}

/// One way to move messages. A small copyable value; compare, print and parse it by its name.
#[derive(Clone, Copy)]
pub struct TransportKind(&'static dyn Transport);

impl TransportKind {
    /// Every kind that crosses a network, in the order in which menus and reports show them.
    pub const ALL: [Self; 7] = [
        Self(&tcp::PLAIN),
        Self(&tcp::TLS),
        Self(&quic::STREAM),
        Self(&quic::UNI),
        Self(&quic::DATAGRAM),
        Self(&enet::ENET),
        Self(&udp::UDP),
    ];

    /// In-process, for tests: no socket, no loss, no encryption. Its addresses are ports in this process only.
    pub const MEMORY: Self = Self(&memory::MEMORY);

    /// The name in flags, logs and reports.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// One line that says how the two lanes are carried.
    pub fn summary(self) -> &'static str {
        self.0.summary()
    }

    /// Where a server listens for this kind unless told otherwise.
    pub fn default_port(self) -> u16 {
        self.0.default_port()
    }

    /// What it can do and what it cannot.
    pub fn capabilities(self) -> Capabilities {
        self.0.capabilities()
    }

    /// Listens on `addr` (port 0 takes any free one). Needs a tokio runtime.
    ///
    /// # Errors
    /// The system's refusal, with what to do about it.
    pub fn bind(
        self,
        addr: SocketAddr,
        identity: &Identity,
        options: &Options,
    ) -> Result<Listener, BindError> {
        let inner =
            self.0.bind(addr, identity, options).map_err(|error| BindError::new(self, addr, error))?;
        Ok(Listener { kind: self, inner, options: options.clone() })
    }

    /// Connects to a server at `addr`. `name` is what its certificate must carry (a host name or an address);
    /// `trust` says which certificates are good and is required for encrypted kinds. Sessions are kept in it and resumed
    /// from it where [`Options::resumption`] asks for that.
    ///
    /// # Errors
    /// Ends connected or failed within [`Options::handshake_timeout`], never in between.
    pub async fn connect(
        self,
        addr: SocketAddr,
        name: &str,
        trust: Option<&Trust>,
        options: &Options,
    ) -> Result<Connection, ConnectError> {
        let target = Target { kind: self, addr, name, trust };
        within_deadline(self.0.connect(&target, options), self, addr, options).await
    }
}

impl PartialEq for TransportKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for TransportKind {}

impl Hash for TransportKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no transport's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport '{name}': there are {}", TransportKind::ALL.map(TransportKind::name).join(", "))]
pub struct UnknownTransport {
    /// What was asked for.
    pub name: String,
}

impl FromStr for TransportKind {
    type Err = UnknownTransport;

    fn from_str(name: &str) -> Result<Self, UnknownTransport> {
        (Self::ALL.into_iter())
            .chain([Self::MEMORY])
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownTransport { name: name.into() })
    }
}

impl Serialize for TransportKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for TransportKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A bound address of one kind, from which connections come.
pub struct Listener {
    kind: TransportKind,
    inner: Box<dyn Listen>,
    options: Options,
}

impl Listener {
    /// The kind it was bound for.
    pub fn kind(&self) -> TransportKind {
        self.kind
    }

    /// The address it is bound to, with the port that port 0 became.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// Waits for the next peer that knocks. Cancel safe. Its handshake is left to [`Accepting::finish`], so that a
    /// slow one keeps nobody else waiting.
    ///
    /// # Errors
    /// The system's (no file descriptors, for one): wait a little and call again.
    pub async fn accept(&self) -> io::Result<Accepting> {
        let (remote_addr, handshake) = self.inner.accept().await?;
        Ok(Accepting { kind: self.kind, remote_addr, handshake, options: self.options.clone() })
    }

    /// Peers that had to prove their address before they were handed out, since many handshakes were under way: QUIC's
    /// Retry. Other kinds always see to that themselves, and count none.
    pub fn address_checks(&self) -> u64 {
        self.inner.address_checks()
    }

    /// Datagrams so far that were no connection's and began none: noise, or what comes late for a connection that is over.
    /// Kinds over TCP count none, since there each byte has a connection.
    pub fn strays(&self) -> u64 {
        self.inner.strays()
    }

    /// Waits until the goodbyes of its connections are out; put a time limit around it. For the end of a program.
    pub async fn flush_goodbyes(&self) {
        self.inner.flush_goodbyes().await;
    }
}

/// A peer that knocked and is not connected yet.
pub struct Accepting {
    kind: TransportKind,
    remote_addr: SocketAddr,
    handshake: Handshake,
    options: Options,
}

impl Accepting {
    /// Who knocks. Not verified on kinds whose handshake does that.
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// Ends connected or failed within [`Options::handshake_timeout`].
    pub async fn finish(self) -> Result<Connection, ConnectError> {
        within_deadline(self.handshake, self.kind, self.remote_addr, &self.options).await
    }
}

async fn within_deadline(
    handshake: impl Future<Output = Result<Connection, ConnectError>>,
    kind: TransportKind,
    addr: SocketAddr,
    options: &Options,
) -> Result<Connection, ConnectError> {
    let timeout = options.handshake_timeout;
    tokio::time::timeout(timeout, handshake).await.unwrap_or(Err(ConnectError::Timeout {
        addr,
        kind,
        timeout,
    }))
}
