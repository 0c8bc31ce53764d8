//! Faults 12, 13, 17, 18 and 20: clients that do not reach a session.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use netduel_protocol::CloseCode;
use netduel_transport::{Close, ConnectError, Identity, Options, TransportKind, Trust};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use super::{
    cookies, datagrams, encrypted,
    raw::{Raw, udp_hello},
    world::{PATIENCE, World, event, localhost},
};

/// Noise, and each other kind of transport: refused or ignored, and the next client is served.
pub(crate) async fn another_protocol_and_garbage(world: &World) {
    let noise: Vec<u8> = (0..4_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    if datagrams(world.kind) {
        let accepted = world.observer.snapshot().accepted;
        let raw = UdpSocket::bind(localhost()).await.expect("bound");
        for size in (0..1_500).step_by(7) {
            for first in [0, 0x40, 0x80, 0xc0, 0xd0, 0xd2, 0xff] {
                let mut datagram = noise[size..2 * size].to_vec();
                datagram.splice(..1.min(size), std::iter::once(first).take(size));
                raw.send_to(&datagram, world.addr).await.expect("sent");
            }
            tokio::task::yield_now().await;
        }
        let counters = world.observer.snapshot();
        // QUIC begins a handshake for some first packets; none of those succeeds.
        let heard = counters.accepted - accepted;
        let failed = |it: &World| it.observer.snapshot().handshakes_failed;
        world.until("those that were heard failed", |it| failed(it) >= heard).await;
        world.until("the others are counted", |it| it.observer.snapshot().strays > 0).await;
    } else {
        let mut raw = TcpStream::connect(world.addr).await.expect("connected");
        let refused = |it: &World| {
            let counters = it.observer.snapshot();
            if encrypted(it.kind) { counters.handshakes_failed } else { counters.expelled_malformed }
        };
        let write = async {
            let _ = raw.write_all(&noise).await; // Fails where the server closes before it has read everything.
        };
        world.attack_until("the noise is counted", |it| refused(it) == 1, write).await;
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, raw.read_to_end(&mut said)).await.expect("an end in time");
    }
    let options = Options { handshake_timeout: Duration::from_millis(500), ..world.client_options() };
    for other in TransportKind::ALL.into_iter().filter(|other| *other != world.kind) {
        let trust = world.identity.trust();
        if let Ok(mut connection) = other.connect(world.addr, "localhost", Some(&trust), &options).await {
            // Plain TCP has no handshake; there the first frame exposes the other transport.
            connection.sender.send_control(b"hello?").expect("open");
            let end = timeout(PATIENCE, connection.receiver.recv()).await.expect("an end in time");
            end.expect_err("the server speaks another transport");
        }
    }
    world.only_witnesses().await;
    assert_eq!(world.connect().await.sender.kind(), world.kind, "the next is served");
}

/// The client sends a byte at a time (1 B/s, twenty times as fast). A frame must be complete by its
/// deadline, however busy the client is.
pub(crate) async fn a_byte_at_a_time(world: &World) {
    const INTERVAL: Duration = Duration::from_millis(50);
    let frame = [&[1, 0, 0], &[7; 256][..]].concat();
    let mut raw = Raw::open(world).await;
    let drip = async {
        for byte in &frame {
            if raw.write(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(INTERVAL).await;
        }
        panic!("the server waited for the whole frame");
    };
    let stalled = |world: &World| world.observer.snapshot().expelled_stalled > 0;
    world.attack_until("the slow client is expelled", stalled, drip).await;
    if !matches!(raw, Raw::Stream(_)) {
        assert_eq!(raw.close_frame().await.code, Close::READ_DEADLINE);
    }
    world.counted("stalled", 1, |it| it.expelled_stalled).await;
    if world.kind == TransportKind::Tls {
        // The same attack before the handshake, beside a connection that sends nothing.
        let failed = world.observer.snapshot().handshakes_failed;
        let silent = TcpStream::connect(world.addr).await.expect("connected");
        let mut slow = TcpStream::connect(world.addr).await.expect("connected");
        let drip = async {
            for byte in [22, 3, 1, 2, 0, 1].into_iter().chain([0; 506]) {
                if slow.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        };
        let both = |it: &World| it.observer.snapshot().handshakes_failed == failed + 2;
        world.attack_until("both are counted", both, drip).await;
        drop(silent);
    }
}

/// The handshakes that `transport/quic.rs` allows on a socket before it validates addresses.
const UNASKED: usize = 32;

/// Forwards the clients' datagrams and drops the server's answers, so that the clients look like
/// address forgers.
async fn one_way(server: SocketAddr) -> SocketAddr {
    let inside = UdpSocket::bind(localhost()).await.expect("bound");
    let outside = UdpSocket::bind(localhost()).await.expect("bound");
    let addr = inside.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok(size) = inside.recv(&mut datagram).await {
            // A full send buffer is loss, as on any path.
            let _ = outside.send_to(&datagram[..size], server).await;
        }
    });
    addr
}

/// Starts enough forged handshakes that the server validates the addresses of new clients.
async fn forgers(world: &World) -> JoinSet<()> {
    let (kind, mut forgers) = (world.kind, JoinSet::new());
    for _ in 0..2 * UNASKED {
        let nowhere = one_way(world.addr).await;
        let (trust, options) = (world.identity.trust(), world.client_options());
        forgers.spawn(async move {
            let _ = kind.connect(nowhere, "localhost", Some(&trust), &options).await;
        });
    }
    world.until("they are under way", |it| it.observer.census().handshakes >= UNASKED).await;
    forgers
}

pub(crate) async fn handshakes_of_forged_addresses(world: &World) {
    let before = world.observer.snapshot();
    if cookies(world.kind) {
        // The server answers the hello with a challenge that is no longer than the hello, and
        // remembers nothing.
        let mut answer = [0; 2048];
        for _ in 0..500 {
            let forger = UdpSocket::bind(localhost()).await.expect("bound");
            let hello = udp_hello(Options::default().alpn(world.kind).as_bytes());
            forger.send_to(&hello, world.addr).await.expect("sent");
            let answered = timeout(PATIENCE, forger.recv(&mut answer)).await.expect("in time");
            assert!(answered.expect("received") <= hello.len());
        }
        assert_eq!(world.observer.snapshot().accepted, before.accepted);
        assert_eq!(world.observer.census().handshakes, 0);
    } else {
        let mut forgers = forgers(world).await;
        let newcomer = world.joined(world.addr, "newcomer").await;
        assert!(world.observer.snapshot().address_checks > 0);
        forgers.shutdown().await;
        let mut newcomer = newcomer;
        assert_eq!(event(&mut newcomer).await, netduel_client::Event::Waiting);
        newcomer.close().await;
    }
    world.only_witnesses().await;
    let after = world.observer.snapshot();
    let newcomers = u64::from(!cookies(world.kind));
    let gone = after.handshakes_failed - before.handshakes_failed;
    assert_eq!(after.accepted - before.accepted, gone + newcomers, "all failed but the newcomer");
}

/// The address validation of one client is useless to another.
pub(crate) async fn a_replayed_retry_token(world: &World) {
    let mut forgers = forgers(world).await;
    let path = Recorder::start(world.addr).await;
    let proven = world.connect_at(path.addr).await;
    forgers.shutdown().await;
    world.until("the forgers are gone", |it| it.observer.census().handshakes == 0).await;
    let recorded: Vec<_> = path.recorded().into_iter().filter(|it| has_token(it)).collect();
    assert!(!recorded.is_empty(), "the server asked for no proof");
    let accepted = world.observer.snapshot().accepted;
    let thief = UdpSocket::bind(localhost()).await.expect("bound");
    let replay = async |times: usize| {
        for datagram in recorded.iter().cycle().take(times * recorded.len()) {
            thief.send_to(datagram, world.addr).await.expect("sent");
        }
    };
    // The token is replayed while its own connection lives, and after.
    replay(20).await;
    proven.receiver.close(Close::new(CloseCode::Done.code(), "done")).await;
    world.only_witnesses().await;
    let mut answer = [0; 2048];
    let refused = async {
        loop {
            replay(1).await;
            if let Ok(size) = timeout(Duration::from_millis(50), thief.recv(&mut answer)).await {
                break size.expect("received");
            }
        }
    };
    let size = timeout(PATIENCE, refused).await.expect("refused in time");
    assert!(size < 200, "{size} bytes for a client without a proved address");
    assert_eq!(world.observer.snapshot().accepted, accepted, "a stolen proof began a handshake");
}

/// Whether a datagram is an Initial packet with a token (RFC 9000, 17.2.2): the token's length
/// follows the connection ids.
fn has_token(datagram: &[u8]) -> bool {
    let (Some(0xc0..=0xcf), Some(&ids)) = (datagram.first(), datagram.get(5)) else { return false };
    let source = 6 + usize::from(ids);
    let Some(&more) = datagram.get(source) else { return false };
    datagram.get(source + 1 + usize::from(more)).is_some_and(|length| *length != 0)
}

/// A proxy that records the client's datagrams.
struct Recorder {
    addr: SocketAddr,
    sent: mpsc::Receiver<Vec<u8>>,
}

impl Recorder {
    async fn start(server: SocketAddr) -> Self {
        let ends = [Arc::new(bind().await), Arc::new(bind().await)];
        ends[1].connect(server).await.expect("connected");
        let addr = ends[0].local_addr().expect("bound");
        let (tell, sent) = mpsc::channel(1_024);
        tokio::spawn(async move {
            let (mut up, mut down) = ([0; 2048], [0; 2048]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((size, from)) = ends[0].recv_from(&mut up) => {
                        client = Some(from);
                        let _ = ends[1].send(&up[..size]).await;
                        let _ = tell.try_send(up[..size].to_vec());
                    }
                    Ok(size) = ends[1].recv(&mut down) => {
                        if let Some(client) = client {
                            let _ = ends[0].send_to(&down[..size], client).await;
                        }
                    }
                }
            }
        });
        Self { addr, sent }
    }

    /// Returns the datagrams recorded so far.
    fn recorded(mut self) -> Vec<Vec<u8>> {
        let mut recorded = Vec::new();
        while let Ok(datagram) = self.sent.try_recv() {
            recorded.push(datagram);
        }
        recorded
    }
}

async fn bind() -> UdpSocket {
    UdpSocket::bind(localhost()).await.expect("bound")
}

/// Each mistrust is a typed error at the client, and a failed handshake at the server.
/// `transport/tls/identity.rs` tests the dates.
pub(crate) async fn clients_that_do_not_trust_us(world: &World) {
    let stranger = Identity::generate(&["localhost".into()]).expect("identity");
    let options = world.client_options();
    let attempt = async |name: &'static str, trust: Trust| {
        world.kind.connect(world.addr, name, Some(&trust), &options).await.expect_err("not trusted")
    };
    let wrong_pin = attempt("localhost", Trust::pin(stranger.fingerprint())).await;
    assert!(matches!(wrong_pin, ConnectError::PinMismatch { .. }), "{wrong_pin}");
    let unknown = attempt("localhost", stranger.trust()).await;
    assert!(matches!(unknown, ConnectError::Untrusted(_)), "{unknown}");
    let wrong_name = attempt("example.org", world.identity.trust()).await;
    assert!(matches!(wrong_name, ConnectError::Untrusted(_)), "{wrong_name}");
    world.counted("failed handshakes", 3, |it| it.handshakes_failed).await;
}
