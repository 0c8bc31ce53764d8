//! A connection as its user sees it: a [`Sender`] that never waits, and a [`Receiver`] that drives
//! the connection.

use std::{fmt, future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::Bytes;

use super::{
    error::{Close, CloseReason, SendError},
    halves::{LINGER, ReceiveHalf, SendHalf},
    kind::TransportKind,
    lane::Lane,
    path_stats::PathStats,
    proved::{Proof, Proved},
};

/// A connection, in its two halves.
///
/// ```
/// # use netduel_transport::{Identity, Options, TransportKind};
/// use netduel_transport::{Connection, Lane};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let identity = Identity::generate(&["localhost".into()])?;
/// # let options = Options::default();
/// # let listener = TransportKind::Memory.bind(([127, 0, 0, 1], 0).into(), &identity, &options)?;
/// # let connecting = TransportKind::Memory.connect(listener.local_addr(), "localhost", None, &options);
/// # let (client, server) = (connecting.await?, listener.accept().await?.finish().await?);
/// let Connection { sender, mut receiver } = client;
/// server.sender.send_control(b"welcome")?;
/// assert_eq!(receiver.recv().await?, (Lane::Control, "welcome".into()));
/// sender.send_control(b"thanks")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection {
    /// The sending half, which can be cloned and used from any task.
    pub sender: Sender,
    /// The receiving half, which exactly one task polls. It drives the connection.
    pub receiver: Receiver,
}

impl Connection {
    /// Joins two halves that a kind of transport made. The handshake is over.
    pub fn new(
        kind: TransportKind,
        remote_addr: SocketAddr,
        sender: Arc<dyn SendHalf>,
        receiver: Box<dyn ReceiveHalf>,
    ) -> Self {
        let sender = Sender { kind, remote_addr, inner: sender };
        Self { receiver: Receiver { end: EndOnDrop(sender.clone()), inner: receiver }, sender }
    }

    /// Returns the remote's address, which the finished handshake has proved.
    pub fn proved(&self) -> Proved {
        Proved::by(Proof::Handshake, self.sender.remote_addr)
    }
}

/// The sending half of a connection. It sends on both lanes without ever waiting, and is cheap to
/// clone.
///
/// ```
/// # use netduel_transport::{Identity, Options, TransportKind};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let identity = Identity::generate(&["localhost".into()])?;
/// # let options = Options::default();
/// # let listener = TransportKind::Memory.bind(([127, 0, 0, 1], 0).into(), &identity, &options)?;
/// # let connecting = TransportKind::Memory.connect(listener.local_addr(), "localhost", None, &options);
/// # let (client, server) = (connecting.await?, listener.accept().await?.finish().await?);
/// let sender = client.sender.clone();
/// // Two updates in one write where the kind gains by that.
/// sender.queue_state(b"x=1")?;
/// sender.queue_state(b"x=2")?;
/// let superseded = sender.flush()?;
/// println!("{superseded} updates were replaced before they left");
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sender {
    kind: TransportKind,
    remote_addr: SocketAddr,
    inner: Arc<dyn SendHalf>,
}

impl Sender {
    /// Returns the kind of transport.
    pub fn kind(&self) -> TransportKind {
        self.kind
    }

    /// Returns the remote's address.
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// Sends a control message, which must arrive and comes after those sent before it. The message
    /// waits in a bounded queue if the remote is slow. A full queue ends the connection.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] leaves the connection as it was. [`SendError::Closed`] holds the
    /// reason why the connection is over.
    pub fn send_control(&self, message: &[u8]) -> Result<(), SendError> {
        self.open(Lane::Control, message)?;
        self.sent(self.inner.send_control(message))
    }

    /// Queues a control message without flushing, for a message that others follow at once. Call
    /// [`Self::flush`] soon. Queued messages leave in one write where that saves something.
    ///
    /// # Errors
    /// The errors of [`Self::send_control`].
    pub fn queue_control(&self, message: &[u8]) -> Result<(), SendError> {
        self.open(Lane::Control, message)?;
        self.sent(self.inner.queue_control(message))
    }

    /// Sends a state message, which the next one makes worthless. Returns how many unsent updates
    /// it replaced.
    ///
    /// # Errors
    /// The errors of [`Self::send_control`].
    pub fn send_state(&self, message: &[u8]) -> Result<usize, SendError> {
        self.open(Lane::State, message)?;
        self.sent(self.inner.send_state(message))
    }

    /// Queues a state message without flushing. Call [`Self::flush`] to send it. Returns how many
    /// unsent updates it replaced.
    ///
    /// # Errors
    /// The errors of [`Self::send_control`].
    pub fn queue_state(&self, message: &[u8]) -> Result<usize, SendError> {
        self.open(Lane::State, message)?;
        self.sent(self.inner.queue_state(message))
    }

    /// Sends the queued messages. Returns how many updates of the batch were superseded because not
    /// all could leave.
    ///
    /// # Errors
    /// [`SendError::Closed`] holds the reason why the connection is over.
    pub fn flush(&self) -> Result<usize, SendError> {
        self.inner.close_state().check()?;
        self.sent(self.inner.flush())
    }

    /// Returns the bytes that wait to be sent: 0 on a kind that cannot tell.
    pub fn queued_bytes(&self) -> usize {
        self.inner.queued_bytes()
    }

    /// Ends the connection with a close frame. Messages sent just before may be lost, so the close
    /// frame carries what the remote must know. The first close counts.
    pub fn close(&self, close: Close) {
        self.end(CloseReason::Local(close));
    }

    /// Waits until the connection is over, and returns the reason. Cancel safe.
    ///
    /// The receiver must be polled meanwhile: it drives the connection and finds out about the
    /// remote's end.
    pub async fn closed(&self) -> CloseReason {
        self.inner.close_state().closed().await
    }

    fn end(&self, reason: CloseReason) -> CloseReason {
        end(&*self.inner, reason)
    }

    /// Returns an error if `message` is too large or the connection is over.
    fn open(&self, lane: Lane, message: &[u8]) -> Result<(), SendError> {
        let (size, max) = (message.len(), lane.max_bytes());
        if size > max {
            return Err(SendError::TooLarge { size, max });
        }
        Ok(self.inner.close_state().check()?)
    }

    fn sent<T>(&self, outcome: Result<T, CloseReason>) -> Result<T, SendError> {
        outcome.map_err(|reason| self.end(reason).into())
    }

    /// Returns the transport's current statistics of the path.
    pub fn path_stats(&self) -> PathStats {
        self.inner.path_stats()
    }

    /// Whether the handshake resumed an earlier TLS session, so that no certificate was sent and
    /// none was checked anew. `None` on unencrypted kinds. Either side reads it from the handshake
    /// itself.
    pub fn resumed(&self) -> Option<bool> {
        self.inner.resumed()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} to {})", self.kind, self.remote_addr)
    }
}

/// Ends a connection for `reason` unless it has ended, and tells the remote where that makes sense.
/// Returns the reason that counts, which is the first.
pub(crate) fn end(half: &dyn SendHalf, reason: CloseReason) -> CloseReason {
    let state = half.close_state();
    let Some(counts) = state.end(reason.clone()) else { return state.reason().cloned().unwrap_or(reason) };
    let counts = counts.clone();
    if let Some(close) = counts.to_close() {
        half.send_close(&close);
    }
    state.wake();
    counts
}

/// The receiving half of a connection, which also drives it. Keep polling it even where no message
/// is expected. Dropping it ends the connection.
///
/// ```
/// # use netduel_transport::{Identity, Options, TransportKind};
/// use netduel_transport::{Close, CloseReason};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let identity = Identity::generate(&["localhost".into()])?;
/// # let options = Options::default();
/// # let listener = TransportKind::Memory.bind(([127, 0, 0, 1], 0).into(), &identity, &options)?;
/// # let connecting = TransportKind::Memory.connect(listener.local_addr(), "localhost", None, &options);
/// # let (client, server) = (connecting.await?, listener.accept().await?.finish().await?);
/// client.sender.send_control(b"one")?;
/// client.sender.close(Close::new(Close::FIRST_APPLICATION_CODE, "enough"));
/// let mut receiver = server.receiver;
/// let reason = loop {
///     match receiver.recv().await {
///         Ok((lane, message)) => println!("{lane:?}: {message:?}"),
///         Err(reason) => break reason,
///     }
/// };
/// assert!(matches!(reason, CloseReason::Remote(close) if close.reason == "enough"));
/// # Ok(())
/// # }
/// ```
pub struct Receiver {
    // Stands before `inner` so that it is dropped first: sending the close frame needs what `inner`
    // holds.
    end: EndOnDrop,
    inner: Box<dyn ReceiveHalf>,
}

/// A guard that ends a connection which is still open.
struct EndOnDrop(Sender);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.close(Close::new(Close::GONE, "the program dropped the connection"));
    }
}

impl Receiver {
    /// Waits for the next message, and returns it with its lane. Cancel safe.
    ///
    /// # Errors
    /// The reason why the connection is over. Every further call returns the same reason.
    pub async fn recv(&mut self) -> Result<(Lane, Bytes), CloseReason> {
        let sender = &self.end.0;
        let close_state = sender.inner.close_state();
        poll_fn(|cx| {
            close_state.drive(cx, |cx| {
                close_state.check()?;
                self.inner.poll_message(cx).map_err(|reason| sender.end(reason))
            })
        })
        .await
    }

    /// Returns the next message if it was read together with an earlier one. Never asks the system,
    /// so it costs no waiting. `None` does not tell whether more has arrived since.
    ///
    /// # Errors
    /// The errors of [`Self::recv`].
    pub fn try_recv(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        let sender = &self.end.0;
        sender.inner.close_state().check()?;
        self.inner.next_message().map_err(|reason| sender.end(reason))
    }

    /// Sends the close frame and waits, for at most a second, until it has left.
    pub async fn close(self, close: Close) {
        self.end.0.close(close);
        // A timeout is no error: the remote may have left first.
        let _ = tokio::time::timeout(LINGER, self.inner.flush_close()).await;
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sender { kind, remote_addr, .. } = &self.end.0;
        write!(f, "Receiver({kind} from {remote_addr})")
    }
}
