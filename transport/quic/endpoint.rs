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
    io::{self, IoSliceMut},
    mem,
    net::SocketAddr,
    sync::Arc,
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

use super::{
    buffer_pool::BufferPool,
    socket::Socket,
    timer::Timer,
    timer_grid::{Tick, Timers},
};
use crate::{Options, Setting};

/// The largest read in bytes. The kernel joins packets of one remote (GRO) up to the largest IP
/// packet.
const READ_BYTES: usize = 64 * 1024;
/// The number of reads at once. Few remotes send in the same instant, and each read costs a little
/// even if it finds nothing.
const BATCH: usize = 8;

/// A connection as its endpoint's task drives it.
pub(super) trait Driven: Send + Sync {
    /// Takes in a packet, or a change of connection IDs. Returns `true` for the first since the
    /// connection was last settled.
    fn on_packet(&self, event: ConnectionEvent) -> bool;
    /// Handles the deadline that was set, which has passed.
    fn on_deadline(&self, now: Instant);
    /// Sends what follows from what happened, or leaves that to the receiver if it has something to
    /// read.
    fn settle(&self, now: Instant);
    /// Ends the connection, since no task will read its packets any more.
    fn abandon(&self);
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
    /// The socket's buffer sizes: one copy for all connections.
    pub(super) socket_buffers: Vec<Setting>,
}

struct Inner {
    proto: quinn_proto::Endpoint,
    connections: Connections,
    /// The first packets that wait to be accepted. quinn-proto bounds them by `INCOMING_MAX`.
    incoming: VecDeque<Incoming>,
    timers: Timers,
    /// The number of datagrams that belong to no connection. A few of them are of connections that
    /// begin or are over.
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
        let config = Arc::new(EndpointConfig::default());
        let inner = Inner {
            proto: quinn_proto::Endpoint::new(config, server.map(Arc::new), may_probe_mtu, None),
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
            socket_buffers,
        });
        let mut task = Task::new(endpoint.clone(), timer);
        tokio::spawn(std::future::poll_fn(move |cx| task.poll(cx)));
        Ok((EndpointHandle(endpoint), addr))
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
pub(super) struct EndpointHandle(Arc<Endpoint>);

impl EndpointHandle {
    /// Begins a connection to a server.
    pub(super) fn connect<C: Driven + 'static>(
        &self,
        client: ClientConfig,
        to: SocketAddr,
        name: &str,
        make: impl FnOnce(NewConnection) -> Arc<C>,
    ) -> Result<Arc<C>, ConnectError> {
        let mut inner = self.0.lock();
        let (handle, connection) = inner.proto.connect(Instant::now(), client, to, name)?;
        Ok(self.0.add(inner, handle, connection, make))
    }

    /// Waits for the next client. Cancel safe.
    pub(super) async fn next_incoming(&self) -> IncomingHandshake {
        loop {
            let incoming = self.0.lock().incoming.pop_front();
            match incoming {
                Some(incoming) => {
                    let (endpoint, remote) = (self.0.clone(), incoming.remote_address());
                    return IncomingHandshake { endpoint, remote, incoming: Some(incoming) };
                }
                None => self.0.has_incoming.notified().await,
            }
        }
    }

    /// Returns how many datagrams belonged to no connection, so far.
    pub(super) fn strays(&self) -> u64 {
        self.0.lock().strays
    }

    /// Waits until no connection is left, close frames included.
    pub(super) async fn idle(&self) {
        loop {
            // Created before the look, so that nothing is missed in between.
            let idle = self.0.idle.notified();
            if self.0.lock().proto.open_connections() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for EndpointHandle {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.closed = true;
        for incoming in mem::take(&mut inner.incoming) {
            inner.proto.ignore(incoming);
        }
        drop(inner);
        self.0.task.wake();
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
        match inner.proto.accept(incoming, Instant::now(), &mut packet, None) {
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
        for (meta, read) in self.metas[..count].iter().zip(self.read.chunks_exact(READ_BYTES)) {
            for packet in read[..meta.len].chunks(meta.stride.max(1)) {
                self.response.clear();
                let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
                let packet = self.packets.copy(packet);
                let (from, to) = (meta.addr, meta.dst_ip);
                match inner.proto.handle(now, from, to, ecn, packet, &mut self.response) {
                    Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                        let connection = inner.connections.get(handle);
                        self.arrived.extend(connection.map(|connection| (connection.clone(), event)));
                    }
                    Some(DatagramEvent::NewConnection(incoming)) if inner.closed => {
                        inner.proto.ignore(incoming);
                    }
                    Some(DatagramEvent::NewConnection(incoming)) => {
                        inner.incoming.push_back(incoming);
                        self.endpoint.has_incoming.notify_one();
                    }
                    Some(DatagramEvent::Response(transmit)) => {
                        inner.strays += 1;
                        self.endpoint.send(&transmit, &self.response);
                    }
                    None => inner.strays += 1,
                }
            }
        }
    }

    fn hand_out(&mut self, now: Instant) {
        for (connection, event) in self.arrived.drain(..) {
            if connection.on_packet(event) {
                self.touched.push(connection);
            }
        }
        for connection in self.touched.drain(..) {
            connection.settle(now);
        }
    }
}

impl Drop for Task {
    /// Ends the connections with the runtime, since no task reads for them any more.
    fn drop(&mut self) {
        let connections = mem::take(&mut self.endpoint.lock().connections);
        for connection in connections.0.into_iter().flatten() {
            connection.abandon();
        }
    }
}
