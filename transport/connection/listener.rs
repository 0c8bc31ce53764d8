//! A bound transport as its user sees it: [`Listener`], and the clients that arrive at it as
//! [`Incoming`].

use std::{fmt, future::Future, io, net::SocketAddr};

use super::{
    connection::Connection,
    error::ConnectError,
    kind::TransportKind,
    options::Options,
    proved::Proved,
    transport::{Arrival, Listen},
};
use crate::TaskHealth;

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
        let arrival = self.inner.accept().await?;
        Ok(Incoming { kind: self.kind, arrival, options: self.options.clone() })
    }

    /// Returns how many clients had to prove their address before anything else: QUIC's Retry.
    /// Other kinds always validate addresses, or leave it to TCP, and count none.
    pub fn address_checks(&self) -> u64 {
        self.inner.address_checks()
    }

    /// Returns how many datagrams belonged to no connection and began none, so far: noise, or late
    /// packets of a connection that is over. Kinds over TCP count none, since there each byte has a
    /// connection.
    pub fn strays(&self) -> u64 {
        self.inner.strays()
    }

    /// Returns the health of its tasks, and how many panics ended one connection alone. Empty for
    /// kinds that have no task of their own.
    pub fn health(&self) -> Vec<TaskHealth> {
        self.inner.health()
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
    arrival: Arrival,
    options: Options,
}

impl Incoming {
    /// Returns the client's address, which may be a mere claim. See [`Self::proved`].
    pub fn remote_addr(&self) -> SocketAddr {
        match &self.arrival {
            Arrival::Proved(client, _) => client.addr(),
            Arrival::Claimed(addr, _) => *addr,
        }
    }

    /// Returns the client's address if the client has proved it. A QUIC client proves its address
    /// only when asked to, or by finishing its handshake.
    pub fn proved(&self) -> Option<Proved> {
        match &self.arrival {
            Arrival::Proved(client, _) => Some(*client),
            Arrival::Claimed(..) => None,
        }
    }

    /// Asks the client to come again with a proof of its address, and keeps nothing of it. A client
    /// that has proved its address is refused.
    pub fn demand_proof(self) {
        if let Arrival::Claimed(_, client) = self.arrival {
            client.demand_proof();
        }
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// Ends connected or failed within [`Options::handshake_timeout`].
    pub async fn finish(self) -> Result<Connection, ConnectError> {
        let addr = self.remote_addr();
        let handshake = match self.arrival {
            Arrival::Proved(_, handshake) => handshake,
            Arrival::Claimed(_, client) => client.finish(),
        };
        within_deadline(handshake, self.kind, addr, &self.options).await
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({} from {})", self.kind, self.remote_addr())
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
