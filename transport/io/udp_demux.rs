//! A demultiplexer of datagrams: a client has a UDP socket of its own, a server has one for all
//! clients. `udp.rs` and `enet.rs` build on it.
//!
//! Either way a connection gets a [`DatagramSender`], which any task uses without waiting, and a
//! [`DatagramReceiver`]. On a server one task reads the socket and puts each datagram into its
//! remote's inbox. The [`AddressValidator`] judges datagrams from unknown addresses: it answers
//! without keeping any state, or lets the sender in.
//!
//! A remote is identified by its address. If a NAT changes its port on the way, it is unknown
//! again, and its connection times out.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use atomic_waker::AtomicWaker;
use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use socket2::SockAddr;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::answering_socket::{AnsweringSocket, Arrived, Ends};
use crate::{Options, PathStats, Setting, Supervised, TaskHealth};

/// The largest datagram that this side sends, in bytes: QUIC's smallest packet, so that all kinds
/// cross the same paths.
pub(crate) const PACKET_BYTES: usize = 1200;
/// The largest datagram that is read, in bytes: what an Ethernet frame holds behind an IPv4 header.
/// Ours are never larger.
const DATAGRAM_BYTES_MAX: usize = 1472;
/// The largest number of datagrams that wait for one connection's task. Linux lets a socket hold as
/// many small ones (208 KiB). A full inbox drops the oldest, since the newest update counts.
const INBOX_DATAGRAMS: usize = 256;
/// The size in bytes of the chunks that datagrams are cut from: a hundred moves or more for each
/// allocation.
const POOL_CHUNK_BYTES: usize = 16 * 1024;
/// The largest number of remotes on a server's socket: more than the game server takes, and as many
/// as ENet's peer numbers can be.
const REMOTES_MAX: usize = 4096;
/// The largest number of handshakes under way. Further clients get no answer until one of them is
/// over. As TCP's backlog.
const HALF_OPEN_MAX: usize = 1024;
/// The back-off after the system refused to read, so that a lasting error does not take a whole
/// processor.
const READ_BACK_OFF: Duration = Duration::from_millis(10);
const UDP_HEADER_BYTES: u64 = 8;

/// The sending side of one remote's datagrams, with the counters of both directions.
pub(crate) struct DatagramSender {
    socket: Arc<AnsweringSocket>,
    ends: Ends,
    /// The destination on a socket that many remotes share; `None` on a connected socket.
    to: Option<SockAddr>,
    sent: Count,
    received: Count,
}

#[derive(Default)]
struct Count {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn add(&self, bytes: usize) {
        self.packets.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

impl DatagramSender {
    fn new(socket: Arc<AnsweringSocket>, ends: Ends, to: Option<SockAddr>) -> Arc<Self> {
        Arc::new(Self { socket, ends, to, sent: Count::default(), received: Count::default() })
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.ends.remote
    }

    /// Sends one datagram. Returns `false` if the system has no room for it now. Never waits.
    ///
    /// Any other refusal counts as a loss on the path. A route may come back, and an ICMP message
    /// of an unreachable port can be forged, so no refusal may end a connection.
    pub(crate) fn send(&self, datagram: &[u8]) -> bool {
        // The datagram goes straight to the system: tokio's readiness belongs to the task that
        // reads.
        let outcome = match &self.to {
            None => self.socket.send(datagram),
            Some(to) => self.socket.send_to(datagram, to, self.ends),
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => {}
            Ok(()) => self.sent.add(datagram.len()),
        }
        true
    }

    /// Returns the number of payload bytes sent so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent.bytes.load(Relaxed)
    }

    /// Returns the buffers of the socket, as the kernel has them now.
    pub(crate) fn socket_buffers(&self) -> Vec<Setting> {
        Setting::buffers(&self.socket.options())
    }

    /// Returns the counters, headers included. The protocol fills in the rest.
    pub(crate) fn path_stats(&self) -> PathStats {
        PathStats {
            sent_packets: Some(self.sent.packets.load(Relaxed)),
            received_packets: Some(self.received.packets.load(Relaxed)),
            sent_bytes: Some(self.sent.bytes.load(Relaxed)),
            received_bytes: Some(self.received.bytes.load(Relaxed)),
            max_packet_bytes: Some(PACKET_BYTES as u64),
            ..PathStats::default()
        }
        .with_headers(self.ends.remote, UDP_HEADER_BYTES)
    }
}

/// The receiving side of one remote's datagrams.
pub(crate) struct DatagramReceiver {
    sender: Arc<DatagramSender>,
    source: Source,
}

enum Source {
    Own(PooledReader),
    Shared { inbox: Arc<Inbox>, demux: Arc<Running> },
}

#[derive(Default)]
struct Inbox {
    waiting: Mutex<VecDeque<Bytes>>,
    reader: AtomicWaker,
}

impl Inbox {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Bytes>> {
        self.waiting.lock()
    }

    fn push(&self, datagram: Bytes) {
        let mut waiting = self.waiting();
        if waiting.len() == INBOX_DATAGRAMS {
            waiting.pop_front();
        }
        waiting.push_back(datagram);
        drop(waiting);
        self.reader.wake();
    }
}

impl DatagramReceiver {
    /// Polls for the next datagram. An error says only that an earlier datagram did not arrive
    /// because no socket listens there. It may be forged, and the next call goes on.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        // A flood of forged datagrams, which the protocol discards, must not keep this task running
        // forever.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let datagram = match &mut self.source {
            Source::Own(scoop) => ready!(scoop.poll(&self.sender.socket, cx))?.0,
            Source::Shared { inbox, .. } => {
                let next = inbox.waiting().pop_front();
                let next = next.or_else(|| {
                    inbox.reader.register(cx.waker());
                    inbox.waiting().pop_front()
                });
                match next {
                    Some(datagram) => datagram,
                    None => return Poll::Pending,
                }
            }
        };
        turn.made_progress();
        self.sender.received.add(datagram.len());
        Poll::Ready(Ok(datagram))
    }

    /// Returns the next datagram if it was read from the socket already.
    pub(crate) fn try_recv(&mut self) -> Option<Bytes> {
        let Source::Shared { inbox, .. } = &self.source else { return None };
        let datagram = inbox.waiting().pop_front()?;
        self.sender.received.add(datagram.len());
        Some(datagram)
    }
}

impl Drop for DatagramReceiver {
    fn drop(&mut self) {
        if let Source::Shared { demux, .. } = &self.source {
            demux.routes().remove(&self.sender.ends.remote);
        }
    }
}

/// A reader that cuts the datagrams of a socket from chunks.
struct PooledReader {
    buffer: Box<[u8]>,
    /// The rest of the last read, with the place in the buffer where it begins.
    left: Option<(usize, Arrived)>,
    pool: BytesMut,
}

impl PooledReader {
    fn new(socket: &AnsweringSocket) -> Self {
        // The buffer is one byte longer than the largest datagram, so that a larger one is noticed.
        let buffer = vec![0; socket.buffer_bytes(DATAGRAM_BYTES_MAX + 1)].into();
        Self { buffer, left: None, pool: BytesMut::new() }
    }

    /// Polls for the next datagram that is not oversized.
    fn poll(&mut self, socket: &AnsweringSocket, cx: &mut Context<'_>) -> Poll<io::Result<(Bytes, Ends)>> {
        loop {
            let (place, arrived) = match self.left.take() {
                Some(left) => left,
                None => (0, ready!(socket.poll_recv(cx, &mut self.buffer))?),
            };
            let ends = arrived.ends;
            let end = (place + arrived.stride).min(arrived.bytes);
            if end < arrived.bytes {
                self.left = Some((end, arrived));
            }
            let bytes = end - place;
            if bytes <= DATAGRAM_BYTES_MAX {
                if self.pool.capacity() - self.pool.len() < bytes {
                    self.pool.reserve(POOL_CHUNK_BYTES);
                }
                self.pool.extend_from_slice(&self.buffer[place..end]);
                return Poll::Ready(Ok((self.pool.split().freeze(), ends)));
            }
        }
    }
}

/// Opens a client's socket, for one remote.
pub(crate) fn connect(
    to: SocketAddr,
    options: &Options,
) -> io::Result<(Arc<DatagramSender>, DatagramReceiver)> {
    let socket = AnsweringSocket::connect(to, options)?;
    let reader = PooledReader::new(&socket);
    let sender = DatagramSender::new(Arc::new(socket), Ends { remote: to, local: None }, None);
    Ok((sender.clone(), DatagramReceiver { sender, source: Source::Own(reader) }))
}

/// A judge of datagrams from unknown addresses. An attacker reaches it from forged addresses, so it
/// must keep no state, and must not answer with more bytes than it got.
pub(crate) trait AddressValidator: Send + 'static {
    /// Returns `true` to let the sender in; the datagram becomes its first. The bytes left in
    /// `answer` are sent back.
    fn validate(&mut self, from: SocketAddr, datagram: &[u8], answer: &mut Vec<u8>) -> bool;
}

/// A client that the address validator admitted.
pub(crate) struct Incoming {
    pub(crate) sender: Arc<DatagramSender>,
    pub(crate) receiver: DatagramReceiver,
    /// The client's place among the handshakes under way, held until the handshake is over.
    pub(crate) half_open: OwnedSemaphorePermit,
}

/// A server's socket.
pub(crate) struct Demux {
    addr: SocketAddr,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Incoming>>,
    /// The reading task. It is dropped with the demultiplexer and all its receivers, and then the
    /// socket is closed.
    running: Arc<Running>,
}

/// The handle of the reading task, alive as long as the demultiplexer or a receiver is.
struct Running {
    socket: Arc<AnsweringSocket>,
    routes: Mutex<HashMap<SocketAddr, Arc<Inbox>>>,
    /// The number of datagrams from unknown addresses that were neither answered nor admitted.
    strays: AtomicU64,
    reader: Supervised,
}

impl Running {
    fn routes(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Inbox>>> {
        self.routes.lock()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Demux {
    pub(crate) fn bind(
        addr: SocketAddr,
        validator: impl AddressValidator,
        options: &Options,
    ) -> io::Result<Self> {
        Self::bind_bounded(addr, validator, options, HALF_OPEN_MAX)
    }

    fn bind_bounded(
        addr: SocketAddr,
        validator: impl AddressValidator,
        options: &Options,
        half_open_max: usize,
    ) -> io::Result<Self> {
        let socket = Arc::new(AnsweringSocket::bind(addr, options)?);
        let addr = socket.local_addr()?;
        let (sender, incoming) = mpsc::channel(half_open_max);
        let running = Arc::new_cyclic(|running| {
            let reader = Reader {
                socket: socket.clone(),
                running: running.clone(),
                validator,
                incoming: sender,
                half_open: Arc::new(Semaphore::new(half_open_max)),
                answer: Vec::new(),
            };
            // The reader outlives a panic; a datagram or two are lost with it.
            let reader = Arc::new(tokio::sync::Mutex::new(reader));
            let reader = Supervised::spawn("udp socket", move || {
                let reader = reader.clone();
                async move { reader.lock().await.run().await }
            });
            Running { socket, routes: Mutex::default(), strays: AtomicU64::new(0), reader }
        });
        Ok(Self { addr, incoming: tokio::sync::Mutex::new(incoming), running })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns how many datagrams from unknown addresses were neither answered nor admitted.
    pub(crate) fn strays(&self) -> u64 {
        self.running.strays.load(Relaxed)
    }

    /// Returns the health of the reading task.
    pub(crate) fn health(&self) -> TaskHealth {
        self.running.reader.health()
    }

    /// Waits for the next admitted client. Cancel safe.
    pub(crate) async fn next_incoming(&self) -> io::Result<Incoming> {
        Ok(self.incoming.lock().await.recv().await.ok_or(io::ErrorKind::NotConnected)?)
    }
}

struct Reader<G> {
    socket: Arc<AnsweringSocket>,
    running: Weak<Running>,
    validator: G,
    incoming: mpsc::Sender<Incoming>,
    half_open: Arc<Semaphore>,
    answer: Vec<u8>,
}

impl<G: AddressValidator> Reader<G> {
    async fn run(&mut self) {
        let mut scoop = PooledReader::new(&self.socket);
        loop {
            tokio::task::coop::consume_budget().await;
            let Ok((datagram, ends)) = poll_fn(|cx| scoop.poll(&self.socket, cx)).await else {
                tokio::time::sleep(READ_BACK_OFF).await;
                continue;
            };
            let Some(running) = self.running.upgrade() else { return };
            let inbox = running.routes().get(&ends.remote).cloned();
            match inbox {
                Some(inbox) => inbox.push(datagram),
                None => self.validate(running, ends, datagram),
            }
        }
    }

    fn validate(&mut self, running: Arc<Running>, ends: Ends, datagram: Bytes) {
        let to = SockAddr::from(ends.remote);
        self.answer.clear();
        let admitted = self.validator.validate(ends.remote, &datagram, &mut self.answer);
        debug_assert!(self.answer.len() <= datagram.len(), "a forged address must not multiply traffic");
        if !self.answer.is_empty() {
            // The remote repeats its request if the answer is lost.
            let _ = self.socket.send_to(&self.answer, &to, ends);
        }
        if !admitted {
            running.strays.fetch_add(u64::from(self.answer.is_empty()), Relaxed);
            return;
        }
        // Without room, without a task that accepts, or without a free place, the client gets no
        // answer. It tries again or gives up.
        let Ok(half_open) = self.half_open.clone().try_acquire_owned() else { return };
        let Ok(place) = self.incoming.try_reserve() else { return };
        let inbox = Arc::<Inbox>::default();
        inbox.push(datagram);
        let mut routes = running.routes();
        if routes.len() >= REMOTES_MAX {
            return;
        }
        match routes.entry(ends.remote) {
            Entry::Occupied(_) => return,
            Entry::Vacant(route) => {
                route.insert(inbox.clone());
            }
        }
        drop(routes);
        let sender = DatagramSender::new(running.socket.clone(), ends, Some(to));
        let receiver =
            DatagramReceiver { sender: sender.clone(), source: Source::Shared { inbox, demux: running } };
        place.send(Incoming { sender, receiver, half_open });
    }
}

#[cfg(test)]
mod tests;
