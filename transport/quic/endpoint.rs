//! A UDP socket for many QUIC connections, and the one task that reads it.
//!
//! The task hands each packet to its connection. It wakes each receiver that has something to read,
//! once for each batch. It also does what is due when nothing arrives: probes, keep-alives, late
//! acknowledgements, and the close frames of connections that no task holds any more. Packets leave
//! from any task: nothing here waits for room in the socket.
//!
//! Lock order: a task may take the endpoint's lock while it holds a connection's lock, and never
//! the other way round.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSliceMut},
    mem,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use atomic_waker::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use quinn_proto::{
    ClientConfig, ConnectError, ConnectionError, ConnectionEvent, ConnectionHandle, DatagramEvent,
    EcnCodepoint, EndpointConfig, EndpointEvent, Incoming, ServerConfig, Transmit,
};
use quinn_udp::RecvMeta;
use tokio::sync::Notify;

#[cfg(test)]
use super::planned_panics;
use super::{
    buffer_pool::BufferPool,
    socket::Socket,
    timer::Timer,
    timer_grid::{Tick, Timers},
};
use crate::{
    Options, Setting, TaskHealth,
    io::supervised::{Supervised, contained},
};

/// The largest read in bytes. The kernel joins packets of one remote (GRO) up to the largest IP
/// packet.
const READ_BYTES: usize = 64 * 1024;
/// The number of reads at once. Few remotes send in the same instant, and each read costs a little
/// even if it finds nothing.
const BATCH: usize = 8;
/// The largest packet that is read, in bytes, which each side tells the other: what an Ethernet
/// frame holds behind an IPv4 header. Ours are never larger. A waiting client's first packet is
/// kept, so a larger one would be larger memory for nothing.
const PACKET_BYTES_MAX: u16 = 1472;
/// The largest number of Initial packets of one turn: a ClientHello in four packets from each
/// remote of a batch. quinn-proto derives keys for each, some µs, before anything about the client
/// is known. Further ones are dropped, and an honest client sends them again.
const INITIALS_PER_TURN: usize = 4 * BATCH;
/// The name of an endpoint's task in its health.
const TASK: &str = "quic socket";
/// The name in the health of what a panic in one connection, or over one datagram, ended.
const CONNECTIONS: &str = "quic connection";

/// A connection as its endpoint's task drives it. None of its methods panics: a panic in the state
/// of one connection ends that connection.
pub(super) trait Driven: Send + Sync {
    /// Takes in a packet, or a change of connection IDs.
    fn on_packet(&self, event: ConnectionEvent) -> Arrived;
    /// Handles the deadline that was set, which has passed.
    fn on_deadline(&self, now: Instant);
    /// Sends what follows from what happened, or leaves that to the receiver if it has something to
    /// read.
    fn settle(&self, now: Instant);
    /// Ends the connection, since no task will read its packets any more.
    fn abandon(&self);
}

/// The outcome of a packet for its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// The first since the connection was last settled.
    First,
    Again,
    /// Over a limit, or for a connection that is broken.
    Dropped,
}

/// The parts of a new connection, from which [`Driven`] is made.
pub(super) struct NewConnection {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) handle: ConnectionHandle,
    pub(super) proto: quinn_proto::Connection,
}

/// A UDP socket, the connections on it, and the task that reads it.
pub(super) struct Endpoint {
    socket: Socket,
    inner: Mutex<Inner>,
    /// The task, woken for an earlier deadline or to end.
    task: AtomicWaker,
    has_incoming: Notify,
    idle: Notify,
    /// The number of panics that ended one connection, or cost one datagram.
    contained_panics: AtomicU64,
    /// The socket's buffer sizes: one copy for all connections.
    pub(super) socket_buffers: Vec<Setting>,
}

struct Inner {
    proto: quinn_proto::Endpoint,
    connections: Connections,
    /// The first packets that wait to be accepted. quinn-proto bounds them by `INCOMING_MAX`.
    incoming: VecDeque<Incoming>,
    timers: Timers,
    /// The number of datagrams that belong to no connection, or exceed a limit. A few of them are
    /// of connections that begin or are over.
    strays: u64,
    /// The time until which the task sleeps unless it is woken. It is in the past while the task
    /// runs.
    sleeps_until: Tick,
    /// Whether no task accepts or connects here any more, so that the task ends with the last
    /// connection.
    closed: bool,
}

/// The connections by handle. quinn-proto numbers its connections from 0 and reuses a number once
/// it is free.
#[derive(Default)]
struct Connections(Vec<Option<Arc<dyn Driven>>>);

impl Connections {
    fn insert(&mut self, ConnectionHandle(number): ConnectionHandle, connection: Arc<dyn Driven>) {
        if self.0.len() <= number {
            self.0.resize_with(number + 1, || None);
        }
        self.0[number] = Some(connection);
    }

    fn get(&self, ConnectionHandle(number): ConnectionHandle) -> Option<&Arc<dyn Driven>> {
        self.0.get(number)?.as_ref()
    }

    fn remove(&mut self, ConnectionHandle(number): ConnectionHandle) {
        if let Some(place) = self.0.get_mut(number) {
            *place = None;
        }
    }
}

impl Endpoint {
    /// Binds a socket and starts its task.
    pub(super) fn bind(
        addr: SocketAddr,
        server: Option<ServerConfig>,
        options: &Options,
    ) -> io::Result<(EndpointHandle, SocketAddr)> {
        let (socket, socket_buffers) = Socket::bind(addr, options)?;
        let addr = socket.local_addr()?;
        let timer = Timer::new(server.is_some())?;
        // Larger packets are never probed for, so it does not matter whether the system would
        // fragment them.
        let may_probe_mtu = false;
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(PACKET_BYTES_MAX).map_err(io::Error::other)?;
        let inner = Inner {
            proto: quinn_proto::Endpoint::new(Arc::new(config), server.map(Arc::new), may_probe_mtu, None),
            connections: Connections::default(),
            incoming: VecDeque::new(),
            timers: Timers::default(),
            strays: 0,
            sleeps_until: Tick::PAST,
            closed: false,
        };
        let endpoint = Arc::new(Self {
            socket,
            inner: Mutex::new(inner),
            task: AtomicWaker::new(),
            has_incoming: Notify::new(),
            idle: Notify::new(),
            contained_panics: AtomicU64::new(0),
            socket_buffers,
        });
        let (life, mut timer) = (Life(endpoint.clone()), Some(timer));
        let task = Supervised::spawn(TASK, move || {
            // After a panic there may be no descriptor for a better timer.
            let timer = timer.take().unwrap_or_else(Timer::tokio);
            let mut task = Task::new(life.0.clone(), timer);
            task.look_at_all(Instant::now());
            poll_fn(move |cx| task.poll(cx))
        });
        Ok((EndpointHandle { endpoint, task }, addr))
    }

    /// Notes that a connection broke by a panic.
    pub(super) fn on_broken_connection(&self, said: &str) {
        self.contained_panics.fetch_add(1, Relaxed);
        tracing::error!("a QUIC connection panicked; the other connections continue: {said}");
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Sends a packet. Returns `false` if the system has no room for it now.
    pub(super) fn send(&self, transmit: &Transmit, packet: &[u8]) -> bool {
        self.socket.send(transmit, packet)
    }

    /// Moves a connection's deadline.
    pub(super) fn set_timer(&self, connection: ConnectionHandle, from: Option<Tick>, to: Option<Tick>) {
        let mut inner = self.lock();
        inner.timers.set(connection, from, to);
        let earlier = to.is_some_and(|to| to < inner.sleeps_until);
        drop(inner);
        if earlier {
            self.task.wake();
        }
    }

    /// Takes in a connection's event for its endpoint, and returns the answer.
    pub(super) fn on_event(
        &self,
        connection: ConnectionHandle,
        event: EndpointEvent,
    ) -> Option<ConnectionEvent> {
        let mut inner = self.lock();
        let drained = event.is_drained();
        let answer = inner.proto.handle_event(connection, event);
        if drained {
            inner.connections.remove(connection);
            if inner.proto.open_connections() == 0 {
                self.idle.notify_waiters();
                self.task.wake();
            }
        }
        answer
    }
}

/// A handle that keeps an endpoint open for new connections. Its listener holds it, or its one
/// client.
pub(super) struct EndpointHandle {
    endpoint: Arc<Endpoint>,
    task: Supervised,
}

impl EndpointHandle {
    /// Begins a connection to a server.
    pub(super) fn connect<C: Driven + 'static>(
        &self,
        client: ClientConfig,
        to: SocketAddr,
        name: &str,
        make: impl FnOnce(NewConnection) -> Arc<C>,
    ) -> Result<Arc<C>, ConnectError> {
        let mut inner = self.endpoint.lock();
        let (handle, connection) = inner.proto.connect(Instant::now(), client, to, name)?;
        Ok(self.endpoint.add(inner, handle, connection, make))
    }

    /// Waits for the next client. Cancel safe.
    pub(super) async fn next_incoming(&self) -> IncomingHandshake {
        loop {
            let incoming = self.endpoint.lock().incoming.pop_front();
            match incoming {
                Some(incoming) => {
                    let (endpoint, remote) = (self.endpoint.clone(), incoming.remote_address());
                    return IncomingHandshake { endpoint, remote, incoming: Some(incoming) };
                }
                None => self.endpoint.has_incoming.notified().await,
            }
        }
    }

    /// Returns how many datagrams belonged to no connection, or exceeded a limit, so far.
    pub(super) fn strays(&self) -> u64 {
        self.endpoint.lock().strays
    }

    #[cfg(test)]
    pub(super) fn incoming_count(&self) -> usize {
        self.endpoint.lock().incoming.len()
    }

    /// Returns the health of the endpoint's task and of its connections.
    pub(super) fn health(&self) -> [TaskHealth; 2] {
        let panics = self.endpoint.contained_panics.load(Relaxed);
        [self.task.health(), TaskHealth { name: CONNECTIONS, panics, down: false }]
    }

    /// Waits until no connection is left, close frames included.
    pub(super) async fn idle(&self) {
        loop {
            // Created before the look, so that nothing is missed in between.
            let idle = self.endpoint.idle.notified();
            if self.endpoint.lock().proto.open_connections() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for EndpointHandle {
    fn drop(&mut self) {
        let mut inner = self.endpoint.lock();
        inner.closed = true;
        for incoming in mem::take(&mut inner.incoming) {
            inner.proto.ignore(incoming);
        }
        drop(inner);
        self.endpoint.task.wake();
    }
}

impl Endpoint {
    /// Makes a new connection known before anything else can arrive for it.
    fn add<C: Driven + 'static>(
        self: &Arc<Self>,
        mut inner: MutexGuard<'_, Inner>,
        handle: ConnectionHandle,
        proto: quinn_proto::Connection,
        make: impl FnOnce(NewConnection) -> Arc<C>,
    ) -> Arc<C> {
        let connection = make(NewConnection { endpoint: self.clone(), handle, proto });
        inner.connections.insert(handle, connection.clone());
        drop(inner);
        connection.settle(Instant::now());
        connection
    }
}

/// A client that has arrived. Dropping it refuses the client.
pub(super) struct IncomingHandshake {
    endpoint: Arc<Endpoint>,
    remote: SocketAddr,
    /// The client's first packet, until its fate is decided.
    incoming: Option<Incoming>,
}

impl IncomingHandshake {
    pub(super) fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    pub(super) fn address_proved(&self) -> bool {
        self.incoming.as_ref().is_some_and(Incoming::remote_address_validated)
    }

    /// Asks the client to come again with a proof of its address. Returns `false` if it was asked
    /// already.
    pub(super) fn retry(mut self) -> bool {
        let Some(incoming) = self.incoming.take() else { return false };
        let mut packet = Vec::new();
        let outcome = self.endpoint.lock().proto.retry(incoming, &mut packet);
        match outcome {
            Ok(transmit) => {
                self.endpoint.send(&transmit, &packet); // No room is a loss: the remote asks again.
                true
            }
            Err(error) => {
                self.incoming = Some(error.into_incoming());
                false
            }
        }
    }

    /// Begins the handshake.
    pub(super) fn accept<C: Driven + 'static>(
        mut self,
        make: impl FnOnce(NewConnection) -> Arc<C>,
    ) -> Result<Arc<C>, ConnectionError> {
        let Some(incoming) = self.incoming.take() else { return Err(ConnectionError::LocallyClosed) };
        let mut packet = Vec::new();
        let mut inner = self.endpoint.lock();
        // After a panic quinn-proto may keep an entry of the connection, which leads nowhere.
        let accepted =
            contained(|| inner.proto.accept(incoming, Instant::now(), &mut packet, None).map_err(Box::new));
        let accepted = accepted.map_err(|said| {
            self.endpoint.on_broken_connection(&said);
            ConnectionError::LocallyClosed
        })?;
        match accepted {
            Ok((handle, connection)) => Ok(self.endpoint.add(inner, handle, connection, make)),
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.endpoint.send(&transmit, &packet);
                }
                Err(error.cause)
            }
        }
    }
}

impl Drop for IncomingHandshake {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            let mut packet = Vec::new();
            let transmit = self.endpoint.lock().proto.refuse(incoming, &mut packet);
            self.endpoint.send(&transmit, &packet);
        }
    }
}

/// The life of an endpoint's task, panics and restarts included.
struct Life(Arc<Endpoint>);

impl Drop for Life {
    /// Ends the connections with the runtime, since no task reads for them any more.
    fn drop(&mut self) {
        let connections = mem::take(&mut self.0.lock().connections);
        for connection in connections.0.into_iter().flatten() {
            connection.abandon();
        }
    }
}

/// The endpoint's task, with the memory that it reuses.
struct Task {
    endpoint: Arc<Endpoint>,
    /// The read buffers: [`BATCH`] times [`READ_BYTES`]. The system allocates only the pages that
    /// are written to, and most never are.
    read: Box<[u8]>,
    packets: BufferPool,
    arrived: Vec<(Arc<dyn Driven>, ConnectionEvent)>,
    touched: Vec<Arc<dyn Driven>>,
    due: Vec<Arc<dyn Driven>>,
    response: Vec<u8>,
    metas: [RecvMeta; BATCH],
    timer: Timer,
    /// The tick that the timer is set to.
    timer_at: Tick,
}

impl Task {
    fn new(endpoint: Arc<Endpoint>, timer: Timer) -> Self {
        Self {
            endpoint,
            read: vec![0; BATCH * READ_BYTES].into(),
            packets: BufferPool::new(),
            arrived: Vec::new(),
            touched: Vec::new(),
            due: Vec::new(),
            response: Vec::new(),
            metas: [RecvMeta::default(); BATCH],
            timer,
            timer_at: Tick::NEVER,
        }
    }

    /// Looks at every connection, since a panic of the task before may have lost what was due.
    fn look_at_all(&mut self, now: Instant) {
        let mut inner = self.endpoint.lock();
        inner.timers = Timers::default();
        self.due.extend(inner.connections.0.iter().flatten().cloned());
        drop(inner);
        for connection in self.due.drain(..) {
            connection.on_deadline(now);
            connection.settle(now);
        }
    }

    /// Runs one turn: what is due, and at most one batch, so that the receivers get theirs.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.endpoint.task.register(cx.waker());
        let now = Instant::now();
        self.fire(now);
        let failed = self.receive(cx, now).is_err();

        let mut inner = self.endpoint.lock();
        if inner.closed && inner.proto.open_connections() == 0 {
            return Poll::Ready(());
        }
        // After an error that may stay, reading waits a little. Otherwise it would take a whole
        // processor.
        let next = if failed { Tick::after(now) } else { inner.timers.first() };
        inner.sleeps_until = next;
        drop(inner);
        if next != Tick::NEVER {
            if next != self.timer_at {
                self.timer_at = next;
                self.timer.set(next.instant());
            }
            if self.timer.poll(cx).is_ready() {
                self.timer_at = Tick::NEVER; // To be set again, whatever becomes of it now.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Handles the connections whose deadline has passed.
    fn fire(&mut self, now: Instant) {
        let mut inner = self.endpoint.lock();
        inner.sleeps_until = Tick::PAST;
        while let Some(connection) = inner.timers.pop(Tick::until(now)) {
            self.due.extend(inner.connections.get(connection).cloned());
        }
        drop(inner);
        for connection in self.due.drain(..) {
            connection.on_deadline(now);
        }
    }

    /// Reads at most one batch and distributes it. Wakes the task again if there may be more.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        let mut read = self.read.chunks_exact_mut(READ_BYTES);
        let mut read: [_; BATCH] = std::array::from_fn(|_| IoSliceMut::new(read.next().unwrap_or_default()));
        let socket = &self.endpoint.socket;
        let Poll::Ready(count) = socket.poll_receive(cx, &mut read, &mut self.metas) else { return Ok(()) };
        self.route(count?, now);
        self.hand_out(now);
        if self.endpoint.socket.poll_readable(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Finds the connection of each packet.
    fn route(&mut self, count: usize, now: Instant) {
        let mut inner = self.endpoint.lock();
        let mut initials = 0;
        for (meta, read) in self.metas[..count].iter().zip(self.read.chunks_exact(READ_BYTES)) {
            for packet in read[..meta.len].chunks(meta.stride.max(1)) {
                #[cfg(test)]
                planned_panics::at(packet, planned_panics::IN_THE_TASK);
                initials += usize::from(is_initial(packet));
                if packet.len() > PACKET_BYTES_MAX.into() || initials > INITIALS_PER_TURN {
                    inner.strays += 1;
                    continue;
                }
                self.response.clear();
                let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
                let packet = self.packets.copy(packet);
                let (from, to) = (meta.addr, meta.dst_ip);
                let event = contained(|| {
                    #[cfg(test)]
                    planned_panics::at(&packet, planned_panics::ON_A_DATAGRAM);
                    inner.proto.handle(now, from, to, ecn, packet, &mut self.response)
                });
                match event {
                    Ok(Some(DatagramEvent::ConnectionEvent(handle, event))) => {
                        let connection = inner.connections.get(handle);
                        self.arrived.extend(connection.map(|connection| (connection.clone(), event)));
                    }
                    Ok(Some(DatagramEvent::NewConnection(incoming))) if inner.closed => {
                        inner.proto.ignore(incoming);
                    }
                    Ok(Some(DatagramEvent::NewConnection(incoming))) => {
                        inner.incoming.push_back(incoming);
                        self.endpoint.has_incoming.notify_one();
                    }
                    Ok(Some(DatagramEvent::Response(transmit))) => {
                        inner.strays += 1;
                        self.endpoint.send(&transmit, &self.response);
                    }
                    Ok(None) => inner.strays += 1,
                    Err(said) => {
                        self.endpoint.contained_panics.fetch_add(1, Relaxed);
                        tracing::error!("a datagram from {from} made QUIC panic; it was dropped: {said}");
                    }
                }
            }
        }
    }

    fn hand_out(&mut self, now: Instant) {
        let mut dropped = 0;
        for (connection, event) in self.arrived.drain(..) {
            match connection.on_packet(event) {
                Arrived::First => self.touched.push(connection),
                Arrived::Again => {}
                Arrived::Dropped => dropped += 1,
            }
        }
        if dropped > 0 {
            self.endpoint.lock().strays += dropped;
        }
        for connection in self.touched.drain(..) {
            connection.settle(now);
        }
    }
}

/// Whether a packet is an Initial one (RFC 9000, 17.2.2), which a client may begin with.
fn is_initial(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & 0xf0 == 0xc0)
}
