//! A connection as its user sees it: a [`Sender`] that never waits, a [`Receiver`] that drives.

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    BoxFuture, CloseReason, Goodbye, MAX_CONTROL_BYTES, MAX_STATE_BYTES, SendError, TransportKind,
    lifeline::{self, Lifeline},
};

/// Which of the two lanes a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Reliable and ordered: what must arrive (join, paired, peer left, corrections).
    Control,
    /// Latest wins: what the next one makes worthless (moves).
    State,
}

impl Lane {
    /// Largest message on this lane, in bytes.
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Control => MAX_CONTROL_BYTES,
            Self::State => MAX_STATE_BYTES,
        }
    }
}

/// What the transport itself knows of the path. `None` where it cannot know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStats {
    /// Smoothed round-trip time in µs, as the transport's own loss recovery uses it.
    pub rtt_us: Option<u64>,
    /// Lowest round-trip time seen, in µs.
    pub min_rtt_us: Option<u64>,
    /// Congestion window in bytes.
    pub congestion_window_bytes: Option<u64>,
    /// Which of [`crate::Congestion`] is in effect, read back from the stack; `None` where the kind has none of them
    /// ([`crate::Capabilities::congestion`]).
    pub congestion: Option<String>,
    /// Packets declared lost.
    pub lost_packets: Option<u64>,
    /// Packets (TCP's segments, `udp`'s) sent again. QUIC sends frames again, never packets, and counts none.
    pub retransmitted_packets: Option<u64>,
    /// State messages that the transport itself threw away instead of sending, to spare the path: ENet's throttle.
    #[serde(default)]
    pub throttled_messages: Option<u64>,
    /// Packets (TCP segments, UDP datagrams) sent, acknowledgements and retransmissions included.
    pub sent_packets: Option<u64>,
    /// Packets received.
    pub received_packets: Option<u64>,
    /// Bytes sent: what the stack counts as payload (TCP's with retransmissions, UDP's) and the IP and TCP or UDP
    /// headers of [`Self::sent_packets`]. Link-layer headers are not in it.
    pub sent_bytes: Option<u64>,
    /// Bytes received, counted like the sent ones; TCP does not count what arrived twice.
    pub received_bytes: Option<u64>,
    /// Largest packet payload: TCP's MSS, QUIC's current MTU.
    pub max_packet_bytes: Option<u64>,
    /// TLS version and cipher suite, such as `TLSv1.3 TLS13_AES_128_GCM_SHA256`; `None` if unencrypted.
    pub tls: Option<String>,
    /// What else is set on this side, each a name and a value in words: read back from the socket where that can be, else
    /// what the library was told.
    pub settings: Vec<(String, String)>,
}

/// One of [`PathStats::settings`].
pub(crate) fn setting(name: &str, value: impl fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// The buffers of a socket, as the kernel has them now; it counts its own bookkeeping in them, and TCP's grow by need.
pub(crate) fn buffers(socket: &socket2::SockRef<'_>) -> Vec<(String, String)> {
    let known =
        [("send buffer B", socket.send_buffer_size()), ("receive buffer B", socket.recv_buffer_size())];
    known.into_iter().filter_map(|(name, bytes)| Some(setting(name, bytes.ok()?))).collect()
}

impl PathStats {
    /// Adds the headers of the packets to the bytes counted as payload. `transport_header_bytes` is TCP's or UDP's.
    pub fn with_headers(mut self, remote: SocketAddr, transport_header_bytes: u64) -> Self {
        let ip_header_bytes = if remote.is_ipv4() { 20 } else { 40 };
        let header_bytes = ip_header_bytes + transport_header_bytes;
        let add = |bytes: Option<u64>, packets: Option<u64>| Some(bytes? + packets? * header_bytes);
        self.sent_bytes = add(self.sent_bytes, self.sent_packets);
        self.received_bytes = add(self.received_bytes, self.received_packets);
        self
    }
}

/// The sending half of a transport's connection. Every method returns at once. An error ends the connection; nothing is
/// sent on one that has ended.
pub(crate) trait SendHalf: Send + Sync {
    fn lifeline(&self) -> &Lifeline;
    fn send_control(&self, message: &[u8]) -> Result<(), CloseReason>;
    /// The same, but it may wait for [`Self::flush`]. For kinds that gain by one write of many.
    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.send_control(message)
    }
    /// Returns how many unsent updates this one replaced.
    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason>;
    /// The same, but it may wait for [`Self::flush`]. For kinds that gain by one write of many.
    fn queue_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        self.send_state(message)
    }
    /// Writes what was queued.
    fn flush(&self) -> Result<usize, CloseReason> {
        Ok(0)
    }
    /// Tells the peer that and why it ends. Comes once at most.
    fn say_goodbye(&self, goodbye: &Goodbye);
    fn path_stats(&self) -> PathStats;
    /// Whether the TLS handshake resumed an earlier session; `None` without TLS.
    fn resumed(&self) -> Option<bool> {
        None
    }
}

/// The receiving half, which drives the connection. An error ends it; an ended one is not polled.
pub(crate) trait RecvHalf: Send {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>>;
    /// The next message of those that [`Self::poll_message`] has read already. Never asks the system.
    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        Ok(None)
    }
    /// Waits until the goodbye is out, for a bounded time.
    fn flush_goodbye(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// How long a side that said goodbye waits for it to arrive.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// A connection, in its two halves.
#[derive(Debug)]
pub struct Connection {
    /// Sends; can be cloned and used from any task.
    pub sender: Sender,
    /// Receives and drives; exactly one task polls it.
    pub receiver: Receiver,
}

impl Connection {
    pub(crate) fn new(
        kind: TransportKind,
        remote_addr: SocketAddr,
        sender: Arc<dyn SendHalf>,
        receiver: Box<dyn RecvHalf>,
    ) -> Self {
        let sender = Sender { kind, remote_addr, inner: sender };
        Self { receiver: Receiver { end: EndOnDrop(sender.clone()), inner: receiver }, sender }
    }
}

/// Sends on both lanes without ever waiting. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    kind: TransportKind,
    remote_addr: SocketAddr,
    inner: Arc<dyn SendHalf>,
}

impl Sender {
    /// The transport below.
    pub fn kind(&self) -> TransportKind {
        self.kind
    }

    /// The peer's address.
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// Sends a message that must arrive, after those sent before it. Waits in a bounded queue where the peer is
    /// slow; a full queue ends the connection.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] leaves the connection as it was; [`SendError::Closed`] says why it is over.
    pub fn send_control(&self, message: &[u8]) -> Result<(), SendError> {
        self.open(Lane::Control, message)?;
        self.sent(self.inner.send_control(message))
    }

    /// As [`Self::send_control`], for a message that others follow at once: all leave in one write where that saves
    /// something, and by [`Self::flush`] at the latest, which has to come soon.
    ///
    /// # Errors
    /// As [`Self::send_control`].
    pub fn queue_control(&self, message: &[u8]) -> Result<(), SendError> {
        self.open(Lane::Control, message)?;
        self.sent(self.inner.queue_control(message))
    }

    /// Sends an update that the next one makes worthless. Returns how many unsent updates it replaced.
    ///
    /// # Errors
    /// As [`Self::send_control`].
    pub fn send_state(&self, message: &[u8]) -> Result<usize, SendError> {
        self.open(Lane::State, message)?;
        self.sent(self.inner.send_state(message))
    }

    /// To [`Self::send_state`] what [`Self::queue_control`] is to the other.
    ///
    /// # Errors
    /// As [`Self::send_control`].
    pub fn queue_state(&self, message: &[u8]) -> Result<usize, SendError> {
        self.open(Lane::State, message)?;
        self.sent(self.inner.queue_state(message))
    }

    /// Sends what was queued. Returns how many updates of the batch were superseded, since not all could leave.
    ///
    /// # Errors
    /// [`SendError::Closed`] says why the connection is over.
    pub fn flush(&self) -> Result<usize, SendError> {
        self.inner.lifeline().check()?;
        self.sent(self.inner.flush())
    }

    /// Ends the connection with a word for the peer. What was sent just before may be lost, so the goodbye carries
    /// what the peer must know. The first goodbye counts.
    pub fn close(&self, goodbye: Goodbye) {
        self.end(CloseReason::Local(goodbye));
    }

    fn end(&self, reason: CloseReason) -> CloseReason {
        lifeline::end(&*self.inner, reason)
    }

    /// May be sent: it is not too large, and the connection is open.
    fn open(&self, lane: Lane, message: &[u8]) -> Result<(), SendError> {
        let (size, max) = (message.len(), lane.max_bytes());
        if size > max {
            return Err(SendError::TooLarge { size, max });
        }
        Ok(self.inner.lifeline().check()?)
    }

    fn sent<T>(&self, outcome: Result<T, CloseReason>) -> Result<T, SendError> {
        outcome.map_err(|reason| self.end(reason).into())
    }

    /// What the transport knows of the path now.
    pub fn path_stats(&self) -> PathStats {
        self.inner.path_stats()
    }

    /// Whether the handshake resumed an earlier TLS session, so that no certificate was sent and none was checked
    /// anew; `None` on unencrypted kinds. Asked of the handshake itself, on either side.
    pub fn resumed(&self) -> Option<bool> {
        self.inner.resumed()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} to {})", self.kind, self.remote_addr)
    }
}

/// Receives from both lanes and drives the connection: keep polling it even where nothing is expected. Dropping it
/// ends the connection.
pub struct Receiver {
    // Before `inner`, so that it is dropped first: a goodbye needs what that holds.
    end: EndOnDrop,
    inner: Box<dyn RecvHalf>,
}

/// Ends a connection that nobody has ended.
struct EndOnDrop(Sender);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.close(Goodbye::new(Goodbye::GONE, "the program dropped the connection"));
    }
}

impl Receiver {
    /// The next message and its lane. Cancel safe.
    ///
    /// # Errors
    /// Why the connection is over; the same again on every further call.
    pub async fn recv(&mut self) -> Result<(Lane, Bytes), CloseReason> {
        let sender = &self.end.0;
        let lifeline = sender.inner.lifeline();
        poll_fn(|cx| {
            lifeline.drive(cx, |cx| {
                lifeline.check()?;
                self.inner.poll_message(cx).map_err(|reason| sender.end(reason))
            })
        })
        .await
    }

    /// The next message if it has been read already, together with the one before: it never asks the system, so that
    /// nothing waits for it. `None` says nothing of what may have arrived since.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub fn try_recv(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        let sender = &self.end.0;
        sender.inner.lifeline().check()?;
        self.inner.next_message().map_err(|reason| sender.end(reason))
    }

    /// Says goodbye and waits, for at most a second, until it is out.
    pub async fn close(self, goodbye: Goodbye) {
        self.end.0.close(goodbye);
        // Not an error: the peer may have been the first to leave.
        let _ = tokio::time::timeout(LINGER, self.inner.flush_goodbye()).await;
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sender { kind, remote_addr, .. } = &self.end.0;
        write!(f, "Receiver({kind} from {remote_addr})")
    }
}
