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

use crate::{BoxFuture, CloseReason, Goodbye, MAX_CONTROL_BYTES, MAX_STATE_BYTES, SendError, TransportKind};

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

/// The sending half of a transport's connection. Every method returns at once.
pub(crate) trait SendHalf: Send + Sync {
    fn send_control(&self, message: &[u8]) -> Result<(), CloseReason>;
    /// Returns how many unsent updates this one replaced.
    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason>;
    fn close(&self, goodbye: Goodbye);
    fn path_stats(&self) -> PathStats;
    /// Whether the TLS handshake resumed an earlier session; `None` without TLS.
    fn resumed(&self) -> Option<bool> {
        None
    }
}

/// The receiving half, which drives the connection. Dropping it ends the connection.
pub(crate) trait RecvHalf: Send {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>>;
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
        Self { receiver: Receiver { sender: sender.clone(), inner: receiver }, sender }
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
        check_size(Lane::Control, message)?;
        Ok(self.inner.send_control(message)?)
    }

    /// Sends an update that the next one makes worthless. Returns how many unsent updates it replaced.
    ///
    /// # Errors
    /// As [`Self::send_control`].
    pub fn send_state(&self, message: &[u8]) -> Result<usize, SendError> {
        check_size(Lane::State, message)?;
        Ok(self.inner.send_state(message)?)
    }

    /// Ends the connection with a word for the peer. What was sent just before may be lost, so the goodbye carries
    /// what the peer must know. The first goodbye counts.
    pub fn close(&self, goodbye: Goodbye) {
        self.inner.close(goodbye);
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

fn check_size(lane: Lane, message: &[u8]) -> Result<(), SendError> {
    let (size, max) = (message.len(), lane.max_bytes());
    if size > max { Err(SendError::TooLarge { size, max }) } else { Ok(()) }
}

/// Receives from both lanes and drives the connection: keep polling it even where nothing is expected. Dropping it
/// ends the connection.
pub struct Receiver {
    sender: Sender,
    inner: Box<dyn RecvHalf>,
}

impl Receiver {
    /// The next message and its lane. Cancel safe.
    ///
    /// # Errors
    /// Why the connection is over; the same again on every further call.
    pub async fn recv(&mut self) -> Result<(Lane, Bytes), CloseReason> {
        poll_fn(|cx| self.inner.poll_recv(cx)).await
    }

    /// Says goodbye and waits, for at most a second, until it is out.
    pub async fn close(self, goodbye: Goodbye) {
        self.sender.close(goodbye);
        // Not an error: the peer may have been the first to leave.
        let _ = tokio::time::timeout(LINGER, self.inner.flush_goodbye()).await;
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} from {})", self.sender.kind, self.sender.remote_addr)
    }
}
