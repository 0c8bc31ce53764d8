//! QUIC, three ways to carry the state lane: one long stream, a stream for each update, or datagrams.
//!
//! The control lane is one bidirectional stream, opened by the client. The only file that names quinn.
//!
//! Each way gets its best shot at latest-wins: a stream that cannot take an update leaves it in our [`Outbox`], where
//! the next one replaces it; a stream for each update is reset once it is superseded; and quinn's datagram buffer,
//! which drops its oldest when full, holds no more than fits one packet.

use std::{
    any::Any,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use quinn::{
    ClientConfig, ConnectionError, ConnectionId, Endpoint, EndpointConfig, IdleTimeout, RecvStream,
    SendStream, ServerConfig, Side, TokioRuntime, TransportConfig, VarInt,
    congestion::{Bbr, BbrConfig, ControllerFactory, Cubic, CubicConfig, NewReno, NewRenoConfig},
    crypto::{
        self,
        rustls::{QuicClientConfig, QuicServerConfig},
    },
};
use quinn_proto::{TransportError, transport_parameters::TransportParameters};
use tokio_util::sync::ReusableBoxFuture;

use crate::{
    BoxFuture, Capabilities, CloseReason, Congestion, CongestionControl, ConnectError, Connection, Goodbye,
    Handshake, Identity, Lane, Listen, MAX_STATE_BYTES, Options, PathStats, Target, Transport, TransportKind,
    connection::{RecvHalf, SendHalf, buffers, setting},
    datagram::bind_udp,
    frame::{FrameKind, FrameReader, READ_CHUNK_BYTES},
    handshake::ServerMessages,
    identity::{SUITE_NAME, Verifier},
    lifeline::Lifeline,
    outbox::{Flushed, Outbox},
};

/// Updates that may be in flight as streams of their own. At 240 updates a second this is a quarter of a second of
/// them, more than most round trips; beyond it updates are superseded. quinn allocates a table of this size.
const MAX_UNI_STREAMS: u32 = 64;
/// What a stream may hold that its reader has not read: the largest updates at 240 Hz over 60 ms, or some 600 small ones.
///
/// On purpose not less. A long stream sends in order what it took, so a window of a few updates would leave more to the
/// outbox to supersede; it was tried, and made the opponent's position *older*: what is sent during an outage is what
/// finds the path again (a blocked stream waits for QUIC's probe timeout, which doubles), and a second of small updates
/// fits a packet or two. Over 20 ms with an outage of 1 s, age at p99 was 1.07 s this way and 1.42 s with ten updates.
const STREAM_WINDOW_BYTES: u32 = 16 * 1024;
/// The same for all streams of a connection: control and state.
const CONNECTION_WINDOW_BYTES: u32 = 4 * STREAM_WINDOW_BYTES;
/// Unsent datagrams, with quinn's 32 bytes of bookkeeping each: what leaves in one packet together once congestion
/// allows, so that a queued update delays no newer one. The stock 1 MiB would be minutes of stale moves.
const DATAGRAM_SEND_BUFFER_BYTES: usize = MAX_STATE_BYTES + 64;
/// Datagrams received and not yet read: a few dozen moves, or seven with the largest payloads. When full, quinn drops the
/// oldest.
const DATAGRAM_RECEIVE_BUFFER_BYTES: usize = 8 * 1024;
/// Control goes before state where both wait.
const CONTROL_PRIORITY: i32 = 1;
const UDP_HEADER_BYTES: u64 = 8;
/// The smallest packet that every QUIC path carries (RFC 9000, 14), which is where quinn begins, too.
const INITIAL_MTU_BYTES: u16 = 1200;
/// quinn without the acknowledgement frequency extension, which is not asked for, keeps to RFC 9000, 13.2.
const ACKNOWLEDGEMENTS: &str = "every second packet, or after 25 ms";
/// From this many handshakes under way on a socket on, a newcomer proves its address first (Retry, RFC 9000, 8.1.2), which
/// costs it a round trip and us no memory. Players come a few at a time; dozens at once are a rush or a forger.
const RETRY_FROM_HANDSHAKES: usize = 32;
/// First packets that wait for the server's next accept, which is never long: as many as wait in TCP's backlog.
const INCOMING_MAX: usize = 1024;
/// What such a peer may send behind its first packet: a ClientHello in three or four of them.
const INCOMING_BUFFER_BYTES: u64 = 4 * 1200;
/// The same of all that wait. quinn's default is 100 MiB.
const INCOMING_BUFFERS_BYTES: u64 = 1024 * 1024;
/// Code for a stream whose update was superseded. Nobody reads it.
const SUPERSEDED: VarInt = VarInt::from_u32(0);

pub(crate) const STREAM: Quic = Quic { lane: StateLane::Stream };
pub(crate) const UNI: Quic = Quic { lane: StateLane::Uni };
pub(crate) const DATAGRAM: Quic = Quic { lane: StateLane::Datagram };

/// How the state lane is carried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StateLane {
    Stream,
    Uni,
    Datagram,
}

#[derive(Clone, Copy)]
pub(crate) struct Quic {
    lane: StateLane,
}

impl Quic {
    fn kind(self) -> TransportKind {
        TransportKind(match self.lane {
            StateLane::Stream => &STREAM,
            StateLane::Uni => &UNI,
            StateLane::Datagram => &DATAGRAM,
        })
    }

    /// A name of its own for each way, so that two sides that disagree find out in the handshake.
    fn alpn(self) -> String {
        format!("netduel-{}/1", self.name())
    }

    fn transport_config(self, options: &Options) -> TransportConfig {
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(1u8.into())
            .max_concurrent_uni_streams(match self.lane {
                StateLane::Stream => 1u8.into(),
                StateLane::Uni => MAX_UNI_STREAMS.into(),
                StateLane::Datagram => 0u8.into(),
            })
            .stream_receive_window(STREAM_WINDOW_BYTES.into())
            .receive_window(CONNECTION_WINDOW_BYTES.into())
            .send_window(CONNECTION_WINDOW_BYTES.into())
            .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER_BYTES)
            .datagram_receive_buffer_size(
                (self.lane == StateLane::Datagram).then_some(DATAGRAM_RECEIVE_BUFFER_BYTES),
            )
            .max_idle_timeout(IdleTimeout::try_from(options.idle_timeout).ok())
            .keep_alive_interval(Some(options.keep_alive))
            // No message needs more than the smallest packet, so larger ones are not probed for.
            .initial_mtu(INITIAL_MTU_BYTES)
            .mtu_discovery_config(None)
            .congestion_controller_factory(controller(options.congestion));
        config
    }
}

fn controller(congestion: Congestion) -> Arc<dyn ControllerFactory + Send + Sync> {
    match congestion {
        Congestion::Cubic => Arc::new(CubicConfig::default()),
        Congestion::Bbr => Arc::new(BbrConfig::default()),
        Congestion::Reno => Arc::new(NewRenoConfig::default()),
    }
}

impl Transport for Quic {
    fn name(&self) -> &'static str {
        match self.lane {
            StateLane::Stream => "quic-stream",
            StateLane::Uni => "quic-uni",
            StateLane::Datagram => "quic-datagram",
        }
    }

    fn summary(&self) -> &'static str {
        match self.lane {
            StateLane::Stream => "QUIC, control and state each one long stream",
            StateLane::Uni => "QUIC, a stream for each update, reset once superseded",
            StateLane::Datagram => "QUIC, control in a stream, state in unreliable datagrams",
        }
    }

    fn default_port(&self) -> u16 {
        match self.lane {
            StateLane::Stream => 4435,
            StateLane::Uni => 4436,
            StateLane::Datagram => 4437,
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            encrypted: true,
            state_may_drop: self.lane != StateLane::Stream,
            max_state_bytes: MAX_STATE_BYTES,
            congestion: CongestionControl::AsAsked,
        }
    }

    fn bind(&self, addr: SocketAddr, identity: &Identity, options: &Options) -> io::Result<Box<dyn Listen>> {
        let tls = identity.server_config(&self.alpn(), options.resumption)?;
        let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(WatchedServer(Arc::new(tls))));
        config
            .transport_config(Arc::new(self.transport_config(options)))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BUFFER_BYTES)
            .incoming_buffer_size_total(INCOMING_BUFFERS_BYTES)
            // A player whose address changes (Wi-Fi to mobile, a NAT that forgot) keeps its match. The new path is
            // validated before anything but a little is sent to it.
            .migration(true);
        let (endpoint, socket_buffers) = endpoint(addr, Some(config), options)?;
        let addr = endpoint.local_addr()?;
        let (handshakes, retries) = (Arc::default(), AtomicU64::new(0));
        Ok(Box::new(QuicListen {
            transport: *self,
            endpoint,
            addr,
            options: options.clone(),
            handshakes,
            retries,
            socket_buffers,
        }))
    }

    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        options: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        Box::pin(async move {
            let trust = to.trust.ok_or(ConnectError::NoTrust(to.kind))?;
            let (tls, verifier) = trust.client_config(to.kind, &self.alpn(), options.resumption)?;
            let failed = |reason: String| ConnectError::Handshake { kind: to.kind, reason };
            let tls = QuicClientConfig::try_from(tls).map_err(|error| failed(error.to_string()))?;
            let mut config = ClientConfig::new(Arc::new(WatchedClient(Arc::new(tls))));
            config.transport_config(Arc::new(self.transport_config(options)));

            let any: SocketAddr = if to.addr.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
            let (endpoint, socket_buffers) = endpoint(any, None, options)
                .map_err(|error| ConnectError::Unreachable { addr: to.addr, kind: to.kind, error })?;
            let connecting =
                endpoint.connect_with(config, to.addr, to.name).map_err(|error| failed(error.to_string()))?;
            let lost = |error| connect_error(to, &verifier, error);
            let connection = connecting.await.map_err(lost)?;
            let control = connection.open_bi().await.map_err(lost)?;
            let shared = self.assemble(connection, control.0, options, socket_buffers).await.map_err(lost)?;
            // The server sees a stream only once something was sent on it.
            let greeting = shared.out().control.push(FrameKind::KeepAlive, &[]);
            debug_assert!(greeting.is_ok(), "an empty outbox takes a greeting");
            shared.flush_or_wake(shared.out()).map_err(|reason| failed(reason.to_string()))?;
            Ok(shared.split(self.kind(), to.addr, control.1, Some(endpoint)))
        })
    }
}

impl Quic {
    async fn assemble(
        self,
        connection: quinn::Connection,
        control_stream: SendStream,
        options: &Options,
        socket_buffers: SocketBuffers,
    ) -> Result<Arc<Shared>, ConnectionError> {
        // Best effort: a stream without priority is only a little later under load.
        let _ = control_stream.set_priority(CONTROL_PRIORITY);
        let state = match self.lane {
            StateLane::Stream => {
                StateOut::Stream { outbox: Outbox::default(), stream: connection.open_uni().await? }
            }
            StateLane::Uni => StateOut::Uni(UniOut::default()),
            StateLane::Datagram => StateOut::Datagram(BytesMut::new()),
        };
        let out = Out { control: Outbox::default(), control_stream, state };
        Ok(Arc::new(Shared {
            connection,
            out: Mutex::new(out),
            lifeline: Lifeline::default(),
            options: options.clone(),
            socket_buffers,
        }))
    }
}

/// quinn's words for a failed handshake, as ours.
fn connect_error(to: &Target<'_>, verifier: &Verifier, error: ConnectionError) -> ConnectError {
    let reason = error.to_string();
    match verifier.take_refusal(&reason) {
        Some(refusal) => refusal,
        None => ConnectError::Handshake { kind: to.kind, reason },
    }
}

/// quinn's TLS for clients, watched; see [`Watched`].
struct WatchedClient(Arc<QuicClientConfig>);

impl crypto::ClientConfig for WatchedClient {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, quinn::ConnectError> {
        let tls = self.0.clone().start_session(version, server_name, params)?;
        Ok(Box::new(Watched { tls, side: Side::Client, server: ServerMessages::default() }))
    }
}

/// quinn's TLS for servers, watched; see [`Watched`].
struct WatchedServer(Arc<QuicServerConfig>);

impl crypto::ServerConfig for WatchedServer {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<crypto::Keys, crypto::UnsupportedVersion> {
        self.0.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let tls = self.0.clone().start_session(version, params);
        Box::new(Watched { tls, side: Side::Server, server: ServerMessages::default() })
    }
}

/// quinn's TLS session, and what the server's messages in it tell. Nothing but the handshake goes through it: packets are
/// encrypted with the keys that it hands out.
struct Watched {
    tls: Box<dyn crypto::Session>,
    side: Side,
    server: ServerMessages,
}

/// What [`quinn::Connection::handshake_data`] says of ours: whether the handshake resumed a session, once it is over.
struct Resumed(Option<bool>);

impl crypto::Session for Watched {
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(Resumed(self.server.resumed())))
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        if self.side == Side::Client {
            self.server.pass(bytes);
        }
        self.tls.read_handshake(bytes)
    }

    fn write_handshake(&mut self, bytes: &mut Vec<u8>) -> Option<crypto::Keys> {
        let start = bytes.len();
        let keys = self.tls.write_handshake(bytes);
        if self.side == Side::Server {
            self.server.pass(&bytes[start..]);
        }
        keys
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> crypto::Keys {
        self.tls.initial_keys(dst_cid, side)
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.tls.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn crypto::HeaderKey>, Box<dyn crypto::PacketKey>)> {
        self.tls.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.tls.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.tls.transport_parameters()
    }

    fn next_1rtt_keys(&mut self) -> Option<crypto::KeyPair<Box<dyn crypto::PacketKey>>> {
        self.tls.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.tls.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), crypto::ExportKeyingMaterialError> {
        self.tls.export_keying_material(output, label, context)
    }
}

/// What [`buffers`] said of an endpoint's socket: one copy for all of its connections.
type SocketBuffers = Arc<[(String, String)]>;

/// With what its socket's buffers are.
fn endpoint(
    addr: SocketAddr,
    server: Option<ServerConfig>,
    options: &Options,
) -> io::Result<(Endpoint, SocketBuffers)> {
    let socket = bind_udp(addr, options)?;
    let buffers = buffers(&socket2::SockRef::from(&socket)).into();
    Ok((Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))?, buffers))
}

struct QuicListen {
    transport: Quic,
    endpoint: Endpoint,
    addr: SocketAddr,
    options: Options,
    socket_buffers: SocketBuffers,
    handshakes: Arc<AtomicUsize>,
    retries: AtomicU64,
}

/// A handshake under way, for as long as it lives.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl QuicListen {
    /// The next peer; while many handshakes are under way, the next that has proved its address.
    async fn next(&self) -> io::Result<quinn::Incoming> {
        loop {
            let incoming = self.endpoint.accept().await.ok_or(io::ErrorKind::NotConnected)?;
            let many = self.handshakes.load(Relaxed) >= RETRY_FROM_HANDSHAKES;
            if !many || incoming.remote_address_validated() {
                return Ok(incoming);
            }
            // Never refused: who may not be asked again has proved its address.
            if incoming.retry().is_ok() {
                self.retries.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Listen for QuicListen {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(SocketAddr, Handshake)>> {
        Box::pin(async move {
            let incoming = self.next().await?;
            self.handshakes.fetch_add(1, Relaxed);
            let under_way = UnderWay(self.handshakes.clone());
            let (remote, transport, options) =
                (incoming.remote_address(), self.transport, self.options.clone());
            let socket_buffers = self.socket_buffers.clone();
            let handshake: Handshake = Box::pin(async move {
                let _under_way = under_way;
                let kind = transport.kind();
                let failed =
                    |error: ConnectionError| ConnectError::Handshake { kind, reason: error.to_string() };
                let connection = incoming.accept().map_err(failed)?.await.map_err(failed)?;
                let control = connection.accept_bi().await.map_err(failed)?;
                let shared = transport
                    .assemble(connection, control.0, &options, socket_buffers)
                    .await
                    .map_err(failed)?;
                Ok(shared.split(kind, remote, control.1, None))
            });
            Ok((remote, handshake))
        })
    }

    fn address_checks(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    fn flush_goodbyes(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.endpoint.wait_idle())
    }
}

/// What both halves hold.
struct Shared {
    connection: quinn::Connection,
    out: Mutex<Out>,
    lifeline: Lifeline,
    options: Options,
    /// As they were when the socket was made: quinn keeps it to itself.
    socket_buffers: SocketBuffers,
}

struct Out {
    control: Outbox,
    control_stream: SendStream,
    state: StateOut,
}

enum StateOut {
    Stream {
        outbox: Outbox,
        stream: SendStream,
    },
    Uni(UniOut),
    /// Memory that quinn's datagrams share; it comes back when they are sent, so the steady state allocates nothing.
    Datagram(BytesMut),
}

/// The state lane as a stream for each update.
#[derive(Default)]
struct UniOut {
    /// The newest update, if it has no stream yet.
    next: Option<Bytes>,
    /// The stream of the update before, and what is left to write of it; reset once it is superseded.
    current: Option<(SendStream, Bytes)>,
    /// All of the current update is written.
    finished: bool,
    /// A stream that the receiver's task waited for.
    spare: Option<SendStream>,
    pool: BytesMut,
}

impl UniOut {
    fn flush(&mut self, connection: &quinn::Connection, cx: &mut Context<'_>) -> io::Result<Flushed> {
        if let Some(update) = self.next.take() {
            let stream = match self.spare.take() {
                Some(stream) => stream,
                None => match pin!(connection.open_uni()).poll(cx) {
                    Poll::Ready(stream) => stream?,
                    Poll::Pending => {
                        self.next = Some(update);
                        return Ok(Flushed::Blocked);
                    }
                },
            };
            self.finished = false;
            if let Some((mut superseded, _)) = self.current.replace((stream, update)) {
                // Refused if all of it was acknowledged, which is just as well.
                let _ = superseded.reset(SUPERSEDED);
            }
        }
        let Some((stream, rest)) = self.current.as_mut().filter(|_| !self.finished) else {
            return Ok(Flushed::All);
        };
        while !rest.is_empty() {
            match poll_write(stream, rest, cx) {
                Ok(count) => drop(rest.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
        }
        self.finished = true;
        // Refused only if the peer stopped the stream, which is its right.
        let _ = stream.finish();
        Ok(Flushed::All)
    }
}

/// quinn's write as a non-blocking one. `cx` is woken when it is worth trying again.
fn poll_write(stream: &mut SendStream, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<usize> {
    match Pin::new(stream).poll_write(cx, bytes) {
        Poll::Ready(written) => Ok(written?),
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// A copy of `message` in pooled memory.
fn pooled(pool: &mut BytesMut, message: &[u8]) -> Bytes {
    pool.reserve(message.len());
    pool.extend_from_slice(message);
    pool.split().freeze()
}

impl Shared {
    fn split(
        self: Arc<Self>,
        kind: TransportKind,
        remote: SocketAddr,
        control: RecvStream,
        endpoint: Option<Endpoint>,
    ) -> Connection {
        let deadline = self.options.read_deadline;
        let state = match &self.out().state {
            StateOut::Stream { .. } => {
                StateIn::Unopened(ReusableBoxFuture::new(next_stream(self.connection.clone())))
            }
            StateOut::Uni(_) => StateIn::Uni {
                accepting: ReusableBoxFuture::new(next_stream(self.connection.clone())),
                streams: Vec::new(),
                opening: None,
            },
            StateOut::Datagram(_) => {
                StateIn::Datagram(ReusableBoxFuture::new(next_datagram(self.connection.clone())))
            }
        };
        let control = Framed { stream: control, frames: FrameReader::new(deadline) };
        let receiver = QuicReceiver { shared: self.clone(), control, state, endpoint };
        Connection::new(kind, remote, self, Box::new(receiver))
    }

    /// The lock is held for a few memory copies, never across an await.
    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self, error: ConnectionError) -> CloseReason {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX);
                CloseReason::Peer(Goodbye::new(code, String::from_utf8_lossy(&close.reason)))
            }
            ConnectionError::TimedOut => CloseReason::IdleTimeout(self.options.idle_timeout),
            ConnectionError::Reset => CloseReason::Vanished,
            other => CloseReason::Transport(other.to_string()),
        }
    }

    /// The connection's own reason where it has one, which says more than a stream's error.
    fn stream_failed(&self, error: &io::Error) -> CloseReason {
        match self.connection.close_reason() {
            Some(error) => self.reason(error),
            None => CloseReason::Transport(error.to_string()),
        }
    }

    /// Hands quinn what it takes; never waits. `cx` is woken when it may take more.
    fn flush(&self, out: &mut Out, cx: &mut Context<'_>) -> io::Result<Flushed> {
        let Out { control, control_stream, state } = out;
        let control = control.flush(|bytes| poll_write(control_stream, bytes, cx))?;
        let state = match state {
            StateOut::Stream { outbox, stream } => outbox.flush(|bytes| poll_write(stream, bytes, cx))?,
            StateOut::Uni(uni) => uni.flush(&self.connection, cx)?,
            StateOut::Datagram(_) => Flushed::All,
        };
        Ok(if control == Flushed::Blocked { control } else { state })
    }

    /// Sends what is queued, and leaves the rest to the receiver's task.
    fn flush_or_wake(&self, mut out: MutexGuard<'_, Out>) -> Result<(), CloseReason> {
        let flushed = self.flush(&mut out, &mut Context::from_waker(Waker::noop()));
        drop(out);
        match flushed {
            Ok(Flushed::All) => Ok(()),
            Ok(Flushed::Blocked) => {
                self.lifeline.wake();
                Ok(())
            }
            Err(error) => Err(self.stream_failed(&error)),
        }
    }
}

impl SendHalf for Shared {
    fn lifeline(&self) -> &Lifeline {
        &self.lifeline
    }

    fn send_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        let mut out = self.out();
        if let Err(waiting) = out.control.push(FrameKind::Control, message) {
            return Err(CloseReason::ControlLaneFull(waiting));
        }
        self.flush_or_wake(out)
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let mut out = self.out();
        let replaced = match &mut out.state {
            StateOut::Stream { outbox, .. } => {
                outbox.replace_state(message);
                outbox.take_superseded()
            }
            StateOut::Uni(uni) => {
                let update = pooled(&mut uni.pool, message);
                usize::from(uni.next.replace(update).is_some())
            }
            StateOut::Datagram(pool) => {
                // quinn drops its oldest to make room. It does not say how many; at least one.
                let replaced = usize::from(self.connection.datagram_send_buffer_space() < message.len());
                let update = pooled(pool, message);
                drop(out);
                return match self.connection.send_datagram(update) {
                    Ok(()) => Ok(replaced),
                    Err(quinn::SendDatagramError::ConnectionLost(error)) => Err(self.reason(error)),
                    Err(error) => Err(CloseReason::Transport(error.to_string())),
                };
            }
        };
        self.flush_or_wake(out).map(|()| replaced)
    }

    fn say_goodbye(&self, goodbye: &Goodbye) {
        self.connection.close(goodbye.code.into(), goodbye.reason.as_bytes());
    }

    fn path_stats(&self) -> PathStats {
        let stats = self.connection.stats();
        let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).ok();
        PathStats {
            rtt_us: micros(stats.path.rtt),
            min_rtt_us: micros(stats.path.min_rtt),
            congestion_window_bytes: Some(stats.path.cwnd),
            congestion: congestion_in_effect(&self.connection).map(str::to_owned),
            lost_packets: Some(stats.path.lost_packets),
            retransmitted_packets: None,
            throttled_messages: None,
            sent_packets: Some(stats.udp_tx.datagrams),
            received_packets: Some(stats.udp_rx.datagrams),
            sent_bytes: Some(stats.udp_tx.bytes),
            received_bytes: Some(stats.udp_rx.bytes),
            max_packet_bytes: Some(stats.path.current_mtu.into()),
            tls: Some(SUITE_NAME.to_owned()),
            settings: self.settings(),
        }
        .with_headers(self.connection.remote_address(), UDP_HEADER_BYTES)
    }

    fn resumed(&self) -> Option<bool> {
        self.connection.handshake_data()?.downcast::<Resumed>().ok()?.0
    }
}

impl Shared {
    /// quinn tells nothing back of these, so they are what it was told; but for the socket's, which are the kernel's word.
    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = vec![
            setting("initial MTU B", INITIAL_MTU_BYTES),
            setting("MTU discovery", "off"),
            setting("acknowledgements", ACKNOWLEDGEMENTS),
            setting("stream window B", STREAM_WINDOW_BYTES),
            setting("connection window B", CONNECTION_WINDOW_BYTES),
        ];
        settings.extend(match self.out().state {
            StateOut::Stream { .. } => vec![],
            StateOut::Uni(_) => vec![setting("streams at once", MAX_UNI_STREAMS)],
            StateOut::Datagram(_) => vec![
                setting("datagrams to send B", DATAGRAM_SEND_BUFFER_BYTES),
                setting("datagrams to read B", DATAGRAM_RECEIVE_BUFFER_BYTES),
            ],
        });
        settings.extend(self.socket_buffers.iter().cloned());
        settings
    }
}

/// Asked of the controller itself, not of the configuration.
fn congestion_in_effect(connection: &quinn::Connection) -> Option<&'static str> {
    let controller = connection.congestion_state().into_any();
    let congestion = if controller.is::<Cubic>() {
        Congestion::Cubic
    } else if controller.is::<Bbr>() {
        Congestion::Bbr
    } else if controller.is::<NewReno>() {
        Congestion::Reno
    } else {
        return None;
    };
    Some(congestion.name())
}

type Incoming<T> = ReusableBoxFuture<'static, Result<T, ConnectionError>>;

async fn next_datagram(connection: quinn::Connection) -> Result<Bytes, ConnectionError> {
    connection.read_datagram().await
}

async fn next_stream(connection: quinn::Connection) -> Result<RecvStream, ConnectionError> {
    connection.accept_uni().await
}

async fn next_credit(connection: quinn::Connection) -> Result<SendStream, ConnectionError> {
    connection.open_uni().await
}

/// Where state messages come from.
enum StateIn {
    /// One long stream, which the peer has not sent on yet.
    Unopened(Incoming<RecvStream>),
    Stream(Framed),
    Uni {
        accepting: Incoming<RecvStream>,
        /// Begun and not ended, oldest first. QUIC's stream limit bounds it.
        streams: Vec<UniIn>,
        /// Armed while an update waits for a stream to leave by.
        opening: Option<Incoming<SendStream>>,
    },
    Datagram(Incoming<Bytes>),
}

/// A stream of frames.
struct Framed {
    stream: RecvStream,
    frames: FrameReader,
}

impl Framed {
    fn poll_frame(
        &mut self,
        wanted: FrameKind,
        cx: &mut Context<'_>,
        shared: &Shared,
    ) -> Poll<Result<Bytes, CloseReason>> {
        loop {
            while let Some((kind, payload)) = self.frames.next()? {
                match kind {
                    kind if kind == wanted => return Poll::Ready(Ok(payload)),
                    FrameKind::KeepAlive => {}
                    _ => {
                        return Poll::Ready(
                            Err(crate::FrameError::Misplaced("close or other lane's").into()),
                        );
                    }
                }
            }
            if let Poll::Ready(reason) = self.frames.poll_deadline(cx) {
                return Poll::Ready(Err(reason));
            }
            match ready!(pin!(self.stream.read_chunk(READ_CHUNK_BYTES, true)).poll(cx)) {
                Ok(Some(chunk)) => self.frames.buffer().extend_from_slice(&chunk.bytes),
                Ok(None) => return Poll::Ready(Err(CloseReason::Vanished)),
                Err(error) => return Poll::Ready(Err(shared.stream_failed(&error.into()))),
            }
        }
    }
}

struct QuicReceiver {
    shared: Arc<Shared>,
    control: Framed,
    state: StateIn,
    /// A client's own socket, which goes with the connection.
    endpoint: Option<Endpoint>,
}

impl QuicReceiver {
    /// Writes what a sender could not, as quinn takes it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let shared = &self.shared;
        loop {
            let mut out = shared.out();
            shared.flush(&mut out, cx).map_err(|error| shared.stream_failed(&error))?;
            let (StateOut::Uni(uni), StateIn::Uni { opening, .. }) = (&mut out.state, &mut self.state) else {
                return Ok(());
            };
            if uni.next.is_none() {
                return Ok(());
            }
            let waiting =
                opening.get_or_insert_with(|| ReusableBoxFuture::new(next_credit(shared.connection.clone())));
            match waiting.poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(stream) => {
                    *opening = None;
                    uni.spare = Some(stream.map_err(|error| shared.reason(error))?);
                }
            }
        }
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, CloseReason>> {
        let shared = &self.shared;
        match &mut self.state {
            StateIn::Unopened(accepting) => {
                let stream = ready!(accepting.poll(cx)).map_err(|error| shared.reason(error))?;
                let frames = FrameReader::new(shared.options.read_deadline);
                self.state = StateIn::Stream(Framed { stream, frames });
                self.poll_state(cx)
            }
            StateIn::Stream(framed) => framed.poll_frame(FrameKind::State, cx, shared),
            StateIn::Datagram(next) => {
                let datagram = ready!(next.poll(cx)).map_err(|error| shared.reason(error));
                next.set(next_datagram(shared.connection.clone()));
                match datagram {
                    Ok(bytes) if bytes.len() > MAX_STATE_BYTES => Poll::Ready(Err(too_long(bytes.len()))),
                    other => Poll::Ready(other),
                }
            }
            StateIn::Uni { accepting, streams, .. } => {
                while let Poll::Ready(stream) = accepting.poll(cx) {
                    accepting.set(next_stream(shared.connection.clone()));
                    let stream = stream.map_err(|error| shared.reason(error))?;
                    streams.push(UniIn { stream, data: BytesMut::new() });
                }
                poll_newest(streams, cx)
            }
        }
    }
}

/// The newest update that has wholly arrived. Older ones still under way are stopped: they are superseded.
fn poll_newest(streams: &mut Vec<UniIn>, cx: &mut Context<'_>) -> Poll<Result<Bytes, CloseReason>> {
    for index in (0..streams.len()).rev() {
        match streams[index].poll_update(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(Some(update))) => {
                streams.drain(..=index);
                return Poll::Ready(Ok(update));
            }
            Poll::Ready(Ok(None)) => drop(streams.remove(index)),
            Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
        }
    }
    Poll::Pending
}

/// A stream that carries one update.
struct UniIn {
    stream: RecvStream,
    data: BytesMut,
}

impl UniIn {
    /// The whole update; `None` if the sender took it back.
    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CloseReason>> {
        loop {
            match ready!(pin!(self.stream.read_chunk(MAX_STATE_BYTES + 1, true)).poll(cx)) {
                Ok(Some(chunk)) => {
                    self.data.extend_from_slice(&chunk.bytes);
                    if self.data.len() > MAX_STATE_BYTES {
                        return Poll::Ready(Err(too_long(self.data.len())));
                    }
                }
                Ok(None) => return Poll::Ready(Ok(Some(self.data.split().freeze()))),
                Err(_) => return Poll::Ready(Ok(None)), // The connection's own end shows elsewhere.
            }
        }
    }
}

fn too_long(size: usize) -> CloseReason {
    crate::FrameError::TooLong { size, max: MAX_STATE_BYTES }.into()
}

impl RecvHalf for QuicReceiver {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        self.poll_flush(cx)?;
        match self.control.poll_frame(FrameKind::Control, cx, &self.shared) {
            Poll::Ready(message) => Poll::Ready(message.map(|bytes| (Lane::Control, bytes))),
            Poll::Pending => self.poll_state(cx).map_ok(|bytes| (Lane::State, bytes)),
        }
    }

    fn flush_goodbye(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(endpoint) = &self.endpoint {
                endpoint.wait_idle().await;
            }
        })
    }
}
