//! A bound transport as its user sees it: [`Listener`], and the clients that arrive at it as
//! [`Incoming`].

use std::{fmt, future::Future, io, net::SocketAddr};

use super::{
    connection::Connection,
    error::ConnectError,
    kind::TransportKind,
    options::Options,
    transport::{Handshake, Listen},
};

/// A bound address of one kind, which accepts connections.
///
/// ```
/// use netduel_transport::{Identity, Options, TransportKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::generate(&["localhost".into()])?;
/// let listener = TransportKind::Udp.bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default())?;
/// assert_ne!(listener.local_addr().port(), 0);
/// # Ok(())
/// # }
/// ```
pub struct Listener {
    kind: TransportKind,
    inner: Box<dyn Listen>,
    options: Options,
}

impl Listener {
    pub(crate) fn new(kind: TransportKind, inner: Box<dyn Listen>, options: &Options) -> Self {
        Self { kind, inner, options: options.clone() }
    }

    /// Returns the kind that it was bound for.
    pub fn kind(&self) -> TransportKind {
        self.kind
    }

    /// Returns the bound address, with the port that port 0 became.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// Waits for the next client. Cancel safe. [`Incoming::finish`] does the handshake, so that a
    /// slow client delays no other.
    ///
    /// # Errors
    /// The system's refusal, such as no free file descriptor: wait a little and call again.
    pub async fn accept(&self) -> io::Result<Incoming> {
        let (remote_addr, handshake) = self.inner.accept().await?;
        Ok(Incoming { kind: self.kind, remote_addr, handshake, options: self.options.clone() })
    }

    /// Returns how many clients had to prove their address first because many handshakes were under
    /// way: QUIC's Retry. Other kinds always validate addresses, or leave it to TCP, and count
    /// none.
    pub fn address_checks(&self) -> u64 {
        self.inner.address_checks()
    }

    /// Returns how many datagrams belonged to no connection and began none, so far: noise, or late
    /// packets of a connection that is over. Kinds over TCP count none, since there each byte has a
    /// connection.
    pub fn strays(&self) -> u64 {
        self.inner.strays()
    }

    /// Waits until the close frames of its connections are sent. Programs call it at their end,
    /// with a time limit around it.
    pub async fn flush_closes(&self) {
        self.inner.flush_closes().await;
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({} at {})", self.kind, self.local_addr())
    }
}

/// A client that has arrived at a listener and is not connected yet. Dropping it refuses the
/// client.
///
/// ```
/// use netduel_transport::{Identity, Options, TransportKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let identity = Identity::generate(&["localhost".into()])?;
/// # let options = Options::default();
/// # let listener = TransportKind::Tcp.bind(([127, 0, 0, 1], 0).into(), &identity, &options)?;
/// # let (kind, addr) = (listener.kind(), listener.local_addr());
/// # tokio::spawn(async move { kind.connect(addr, "localhost", None, &Options::default()).await });
/// let incoming = listener.accept().await?;
/// println!("{} arrives", incoming.remote_addr());
/// // A server finishes handshakes in tasks of their own, so that a slow client delays no other.
/// let connected = tokio::spawn(incoming.finish()).await?;
/// assert!(connected.is_ok());
/// # Ok(())
/// # }
/// ```
pub struct Incoming {
    kind: TransportKind,
    remote_addr: SocketAddr,
    handshake: Handshake,
    options: Options,
}

impl Incoming {
    /// Returns the client's address. Kinds whose handshake validates it have not done so yet.
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

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({} from {})", self.kind, self.remote_addr)
    }
}

/// Ends a handshake when [`Options::handshake_timeout`] has passed.
pub(crate) async fn within_deadline(
    handshake: impl Future<Output = Result<Connection, ConnectError>>,
    kind: TransportKind,
    addr: SocketAddr,
    options: &Options,
) -> Result<Connection, ConnectError> {
    let timeout = options.handshake_timeout;
    let timed_out = ConnectError::Timeout { addr, kind, timeout };
    tokio::time::timeout(timeout, handshake).await.unwrap_or(Err(timed_out))
}
