//! Tests that need the inside of a connection or of an endpoint.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use netduel_testkit::{DatagramProxy, Impairment};
use quinn_proto::{Dir, TransportConfig, VarInt};
use tokio::time::timeout;

use super::streams::{control_stream, write};
use super::*;
use crate::{Close, CloseReason, FrameError, Lane, Listener, Receiver, SendHalf, Sender};

/// The timeout of every wait; none needs nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);
fn localhost() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn identity() -> Identity {
    Identity::generate(&["localhost".into()]).expect("identity")
}

/// No further bytes arrive that would make the receiver look again.
#[tokio::test]
async fn unfinished_frame_ends_the_connection() {
    let identity = identity();
    let trust = identity.trust();
    let deadline = Duration::from_millis(50);
    let (patient, impatient) =
        (Options::default(), Options { read_deadline: deadline, ..Options::default() });
    for quic in [STREAM, UNI, DATAGRAM] {
        let kind = quic.lane.kind();
        let listener = kind.bind(localhost(), &identity, &impatient).expect("bound");
        let served = accepted(&listener);
        let to = Target { kind, addr: listener.local_addr(), name: "localhost", trust: Some(&trust) };
        let (mut server, client) = tokio::join!(served, quic.open(&to, &patient));
        let (owner, _endpoint) = client.expect("connected");
        {
            let mut client = owner.shared().lock();
            let written = write(&mut client.proto, control_stream(), &[0]).expect("room");
            assert_eq!(written, 1);
            client.transmit(Instant::now());
        }
        assert_eq!(server.receiver.recv().await, Err(CloseReason::ReadDeadline(deadline)), "{kind}");
    }
}

async fn accepted(listener: &Listener) -> Connection {
    listener.accept().await.expect("a client").finish().await.expect("connected")
}

/// A listener of one kind, and the way to connect to it.
struct Bound {
    kind: TransportKind,
    listener: Listener,
    identity: Identity,
}

impl Bound {
    fn new(quic: Quic) -> Self {
        Self::with(quic, &Options::default())
    }

    fn with(quic: Quic, options: &Options) -> Self {
        let (kind, identity) = (quic.lane.kind(), identity());
        let listener = kind.bind(localhost(), &identity, options).expect("bound");
        Self { kind, listener, identity }
    }

    /// Returns both ends of a new connection, the client's first.
    async fn connected(&self) -> [Connection; 2] {
        self.connected_at(self.listener.local_addr()).await
    }

    async fn connected_at(&self, addr: SocketAddr) -> [Connection; 2] {
        let (trust, options) = (self.identity.trust(), Options::default());
        let connecting = self.kind.connect(addr, "localhost", Some(&trust), &options);
        let accepting = accepted(&self.listener);
        let (client, server) = timeout(PATIENCE, async { tokio::join!(connecting, accepting) })
            .await
            .expect("connected in time");
        [client.expect("connected"), server]
    }

    fn panics(&self) -> Vec<u64> {
        self.listener.health().iter().map(|task| task.panics).collect()
    }
}

/// Sends a control message one way and receives it.
async fn passes(from: &Sender, to: &mut Receiver) {
    from.send_control(b"still here?").expect("open");
    let heard = timeout(PATIENCE, to.recv()).await.expect("heard in time");
    assert_eq!(heard, Ok((Lane::Control, "still here?".into())));
}

async fn plays_on([client, server]: &mut [Connection; 2]) {
    passes(&client.sender, &mut server.receiver).await;
    passes(&server.sender, &mut client.receiver).await;
}

async fn end(receiver: &mut Receiver) -> CloseReason {
    timeout(PATIENCE, receiver.recv()).await.expect("an end in time").expect_err("an end")
}

#[tokio::test]
async fn panic_ends_one_connection() {
    for quic in [STREAM, UNI, DATAGRAM] {
        let bound = Bound::new(quic);
        let mut witness = bound.connected().await;
        let [mut client, mut server] = bound.connected().await;
        planned_panics::plan(server.sender.remote_addr());
        client.sender.send_state(b"a move").expect("open");
        assert_eq!(end(&mut server.receiver).await, CloseReason::Fault);
        let told = end(&mut client.receiver).await;
        assert!(matches!(&told, CloseReason::Remote(close) if close.code == Close::FAULT), "{told}");
        assert!(told.is_loss(), "the player comes back");
        assert_eq!(bound.panics(), [0, 1]);
        drop((client, server));
        plays_on(&mut witness).await;
        plays_on(&mut bound.connected().await).await;
        // The broken connection is forgotten, too.
        drop(witness);
        timeout(PATIENCE, bound.listener.flush_closes()).await.expect("no connection is left");
    }
}

/// A panic in the state of one player's connection while the opponent's task sends to it.
#[tokio::test]
async fn panicking_send_harms_no_sender() {
    let bound = Bound::new(DATAGRAM);
    let trust = bound.identity.trust();
    let to = Target {
        kind: bound.kind,
        addr: bound.listener.local_addr(),
        name: "localhost",
        trust: Some(&trust),
    };
    let options = Options::default();
    let (server, client) = tokio::join!(accepted(&bound.listener), DATAGRAM.open(&to, &options));
    let (owner, _endpoint) = client.expect("connected");
    let shared = owner.shared();
    let broken = shared.with(|_| -> () { panic!("a test asked for a panic") });
    assert_eq!(broken, Err(CloseReason::Fault));
    assert_eq!(shared.send_state(b"a move"), Err(CloseReason::Fault));
    assert_eq!(shared.send_control(b"hello"), Err(CloseReason::Fault));
    assert_eq!(SendHalf::flush(&**shared), Err(CloseReason::Fault));
    shared.send_close(&Close::new(Close::GONE, "too late"));
    drop(server);
}

#[tokio::test]
async fn panicking_datagram_is_dropped() {
    let bound = Bound::new(DATAGRAM);
    let mut witness = bound.connected().await;
    let stranger = UdpSocket::bind(localhost()).expect("bound");
    stranger.send_to(planned_panics::ON_A_DATAGRAM, bound.listener.local_addr()).expect("sent");
    let counted = async {
        while bound.panics() != [0, 1] {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.expect("counted");
    plays_on(&mut witness).await;
    plays_on(&mut bound.connected().await).await;
}

#[tokio::test]
async fn panicking_task_starts_again() {
    let bound = Bound::new(UNI);
    let mut witness = bound.connected().await;
    let stranger = UdpSocket::bind(localhost()).expect("bound");
    for panics in 1..=2 {
        stranger.send_to(planned_panics::IN_THE_TASK, bound.listener.local_addr()).expect("sent");
        let counted = async {
            while bound.panics() != [panics, 0] {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, counted).await.expect("counted");
        plays_on(&mut witness).await;
        plays_on(&mut bound.connected().await).await;
        assert!(bound.listener.health().iter().all(|task| !task.down));
    }
}

/// A remote that advertises numbers of its own, on the socket of an [`Endpoint`] of ours.
struct Remote {
    endpoint: EndpointHandle,
    addr: SocketAddr,
    trust: crate::Trust,
}

impl Remote {
    fn advertising(transport: TransportConfig) -> Self {
        let identity = identity();
        let kind = UNI.lane.kind();
        let tls = identity.server_config(&Options::default().alpn(kind), false).expect("TLS");
        let tls = QuicServerConfig::try_from(tls).expect("TLS 1.3");
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let (endpoint, addr) = Endpoint::bind(localhost(), Some(config), &Options::default()).expect("bound");
        Self { endpoint, addr, trust: identity.trust() }
    }

    /// Connects a client of ours by `path`. Returns the remote's connection with it.
    async fn connected(&self, path: SocketAddr) -> (ConnectionGuard, EndpointHandle, ConnectionGuard) {
        let options = Options::default();
        let kind = UNI.lane.kind();
        let to = Target { kind, addr: path, name: "localhost", trust: Some(&self.trust) };
        let accepting = async {
            let incoming = self.endpoint.next_incoming().await;
            let owner = incoming.accept(|new| Shared::new(new, UNI.config(&options)));
            let owner = ConnectionGuard::new(owner.expect("accepted"));
            owner.connected().await.expect("connected");
            owner
        };
        let (client, server) = tokio::join!(UNI.open(&to, &options), accepting);
        let (owner, endpoint) = client.expect("connected");
        (owner, endpoint, server)
    }
}

/// Returns how many streams `shared` has opened for updates, so far.
fn streams_opened(shared: &Shared) -> u64 {
    shared.lock().proto.streams().open(Dir::Uni).map_or(u64::MAX, |next| next.index())
}

/// The remote lets this side open any number of streams, and then acknowledges nothing.
#[tokio::test]
async fn unacknowledged_streams_are_bounded() {
    const UPDATES: usize = 20_000;
    let mut everything = TransportConfig::default();
    everything
        .max_concurrent_bidi_streams(VarInt::from_u32(u32::MAX >> 16))
        .max_concurrent_uni_streams(VarInt::from_u32(100_000))
        .stream_receive_window(VarInt::MAX)
        .receive_window(VarInt::MAX);
    let remote = Remote::advertising(everything);
    let path = DatagramProxy::to(remote.addr).await;
    let (owner, _endpoint, _server) = remote.connected(path.addr()).await;
    path.set(Impairment::Blackhole);
    let shared = owner.shared();
    let mut superseded = 0;
    for _ in 0..UPDATES {
        superseded += shared.send_state(&[7; 60]).expect("open");
    }
    let streams = shared.lock().proto.streams().send_streams();
    assert!(streams <= 2 * config::MAX_UNI_STREAMS as usize, "{streams} streams wait for {UPDATES} updates");
    assert!(superseded > UPDATES / 2, "only {superseded} updates were superseded");
}

/// The remote acknowledges everything and never lets this side send a byte on a stream of an
/// update. quinn-proto remembers each stream that was blocked.
#[tokio::test]
async fn blocked_streams_are_bounded() {
    const UPDATES: usize = 2_000;
    let mut nothing = TransportConfig::default();
    // The greeting on the control stream, an empty frame, uses up the connection's window.
    nothing
        .max_concurrent_bidi_streams(1_u8.into())
        .max_concurrent_uni_streams(VarInt::from_u32(100_000))
        .receive_window(VarInt::from_u32(crate::io::frame::HEADER_BYTES as u32));
    let remote = Remote::advertising(nothing);
    let (owner, _endpoint, server) = remote.connected(remote.addr).await;
    let shared = owner.shared();
    for _ in 0..UPDATES {
        shared.send_state(&[7; 60]).expect("open");
        tokio::task::yield_now().await; // The acknowledgements arrive.
    }
    let opened = streams_opened(shared);
    assert_eq!(opened, 1, "{opened} streams were opened, and none of them may be written to");
    drop(server);
}

/// Repeated packets carry no message and cost a decryption each.
#[tokio::test]
async fn packets_over_the_limit_are_dropped() {
    const LIMIT: u32 = 200;
    /// The pace of the messages, each of which has packets of its own then.
    const SPACING: Duration = Duration::from_millis(5);
    let begun = Instant::now();
    let bound = Bound::with(STREAM, &Options { packets_per_s_max: LIMIT, ..Options::default() });
    let path = DatagramProxy::to(bound.listener.local_addr()).await;
    let [mut client, mut server] = bound.connected_at(path.addr()).await;
    path.set(Impairment::Flood);
    let mut sent = 0;
    let dropped = async {
        while bound.listener.strays() == 0 {
            client.sender.send_control(b"still here?").expect("open");
            sent += 1;
            tokio::time::sleep(SPACING).await;
        }
    };
    timeout(PATIENCE, dropped).await.expect("a packet was dropped");
    path.set(Impairment::None);
    // The limit also held for packets that carried messages, until they were sent again.
    for _ in 0..sent {
        let heard = timeout(PATIENCE, server.receiver.recv()).await.expect("heard in time");
        assert_eq!(heard, Ok((Lane::Control, "still here?".into())));
    }
    passes(&server.sender, &mut client.receiver).await;
    let taken_in = server.sender.path_stats().received_packets.expect("known");
    let allowed = f64::from(LIMIT) * (1.0 + begun.elapsed().as_secs_f64());
    assert!(taken_in as f64 <= allowed, "{taken_in} packets were taken in, and {allowed} are allowed");
}

/// The endpoint's task leaves the handshake's packets to the task that accepts the client.
#[tokio::test]
async fn handshake_waits_for_its_task() {
    let remote = Remote::advertising(UNI.config(&Options::default()).transport());
    let path = DatagramProxy::to(remote.addr).await;
    let trust = remote.trust.clone();
    let addr = path.addr();
    let client = tokio::spawn(async move {
        let to = Target { kind: UNI.lane.kind(), addr, name: "localhost", trust: Some(&trust) };
        UNI.open(&to, &Options::default()).await
    });
    let incoming = timeout(PATIENCE, remote.endpoint.next_incoming()).await.expect("a client");
    path.set(Impairment::Flood);
    let owner = incoming.accept(|new| Shared::new(new, UNI.config(&Options::default())));
    let owner = ConnectionGuard::new(owner.expect("accepted"));
    let waiting = async {
        while owner.shared().lock().deferred_packets() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the client goes on");
    assert!(owner.shared().lock().proto.is_handshaking());
    timeout(PATIENCE, owner.connected()).await.expect("in time").expect("connected");
    assert_eq!(owner.shared().lock().deferred_packets(), 0);
    let client = timeout(PATIENCE, client).await.expect("in time").expect("no panic");
    client.expect("connected");
}

#[tokio::test]
async fn deferred_packets_are_bounded() {
    let remote = Remote::advertising(UNI.config(&Options::default()).transport());
    let path = DatagramProxy::to(remote.addr).await;
    let (trust, addr) = (remote.trust.clone(), path.addr());
    let client = tokio::spawn(async move {
        let to = Target { kind: UNI.lane.kind(), addr, name: "localhost", trust: Some(&trust) };
        UNI.open(&to, &Options::default()).await
    });
    let incoming = timeout(PATIENCE, remote.endpoint.next_incoming()).await.expect("a client");
    let owner = incoming.accept(|new| Shared::new(new, UNI.config(&Options::default())));
    let owner = ConnectionGuard::new(owner.expect("accepted"));
    path.set(Impairment::Flood); // Each packet comes 200 times.
    let flooded = async {
        while remote.endpoint.strays() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, flooded).await.expect("packets are dropped");
    assert_eq!(owner.shared().lock().deferred_packets(), connection::HANDSHAKE_PACKETS_MAX);
    client.abort();
}

/// Each Retry costs some µs, and a flood of Initials may ask for a thousand.
#[tokio::test]
async fn retries_come_in_pieces() {
    const CLIENTS: usize = RETRIES_AT_ONCE as usize + 4;
    let remote = Remote::advertising(UNI.config(&Options::default()).transport());
    let Remote { endpoint, addr, trust } = remote;
    let (kind, config) = (UNI.lane.kind(), UNI.config(&Options::default()));
    let handshakes = Arc::new(AtomicUsize::new(RETRY_FROM_HANDSHAKES));
    let listener = QuicListen { kind, endpoint, addr, config, handshakes, retries: Arc::default() };
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let trust = trust.clone();
        clients.spawn(async move {
            let to = Target { kind, addr, name: "localhost", trust: Some(&trust) };
            UNI.open(&to, &Options::default()).await.map(drop)
        });
    }
    let waiting = async {
        while listener.endpoint.incoming_count() < CLIENTS {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("all have come");
    let mut next = std::pin::pin!(listener.next());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(next.as_mut().poll(&mut context).is_pending());
    assert_eq!(listener.retries.load(Relaxed), u64::from(RETRIES_AT_ONCE));
    assert!(next.as_mut().poll(&mut context).is_pending());
    assert_eq!(listener.retries.load(Relaxed), CLIENTS as u64);
    clients.shutdown().await;
}

/// quinn-proto queues an answer to each frame that retires a connection ID.
#[tokio::test]
async fn connection_id_frames_are_bounded() {
    const RETIRE_CONNECTION_ID: u8 = 0x19;
    let bound = Bound::new(DATAGRAM);
    let (trust, injector) = (bound.identity.trust(), injection::Injector::default());
    let (kind, addr) = (bound.kind, bound.listener.local_addr());
    let to = Target { kind, addr, name: "localhost", trust: Some(&trust) };
    let options = Options::default();
    let connecting = DATAGRAM.open_with(&to, &options, |tls| injector.around(tls));
    let (mut server, client) = tokio::join!(accepted(&bound.listener), connecting);
    let (client, _endpoint) = client.expect("connected");
    let mut witness = bound.connected().await;
    let some = [RETIRE_CONNECTION_ID, 0].repeat(injection::FRAMES_BYTES_MAX / 2);
    for _ in 0..2 * work_limit::CONNECTION_ID_FRAMES_MAX as usize / (some.len() / 2) {
        injector.send(client.shared(), &some).expect("open");
    }
    for _ in 0..work_limit::LOOK_PACKETS {
        injector.send(client.shared(), &[1]).expect("open"); // A ping.
    }
    let end = end(&mut server.receiver).await;
    let CloseReason::BadFrame(FrameError::TooManyInAll { max, .. }) = end else { panic!("{end}") };
    assert_eq!(max, work_limit::CONNECTION_ID_FRAMES_MAX);
    plays_on(&mut witness).await;
}

/// quinn-proto 0.11.19 takes a final size below what it received, and a reset of such a stream
/// subtracts with an overflow. A build that checks for overflows panics there.
#[tokio::test]
async fn library_panic_ends_one_connection() {
    const STREAM_WITH_END: u8 = 0x0f;
    const RESET_STREAM: u8 = 0x04;
    let bound = Bound::new(DATAGRAM);
    let (trust, injector) = (bound.identity.trust(), injection::Injector::default());
    let (kind, addr) = (bound.kind, bound.listener.local_addr());
    let to = Target { kind, addr, name: "localhost", trust: Some(&trust) };
    let options = Options::default();
    let connecting = DATAGRAM.open_with(&to, &options, |tls| injector.around(tls));
    let (mut server, client) = tokio::join!(accepted(&bound.listener), connecting);
    let (client, _endpoint) = client.expect("connected");
    let mut witness = bound.connected().await;
    // Stream 0 ends at 0, behind the greeting's bytes: id, offset, length; id, code, final size.
    let frames = [STREAM_WITH_END, 0, 0, 0, RESET_STREAM, 0, 0, 0];
    injector.send(client.shared(), &frames).expect("open");
    let end = end(&mut server.receiver).await;
    if cfg!(debug_assertions) {
        assert_eq!(end, CloseReason::Fault);
        assert_eq!(bound.panics(), [0, 1]);
    }
    plays_on(&mut witness).await;
}
