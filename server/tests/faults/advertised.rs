//! Fault 30: a player that advertises the most of everything and acknowledges nothing
//! (`docs/advertised-numbers.md`).

use std::time::Duration;

use netduel_client::{Event, Player};
use netduel_protocol::{clock, game::Heading};
use netduel_testkit::{DatagramProxy, Impairment};
use netduel_transport::{Connection, Options, TransportKind};
use quinn::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use tokio::{io::AsyncWriteExt, task::AbortHandle};

use super::{
    host::settled,
    program::Program,
    quic,
    raw::{CONTROL, Quic, ReadWrite, frame, tcp_stream, tls_stream},
    world::{PATIENCE, World, event, hello, join},
};

/// The matches with such a player.
const MATCHES: usize = 2;
/// The moves that each of them is told. At 245 bytes a move, as one of the kinds once kept, they
/// would be 2.4 MB.
const MOVES: usize = 5_000;
/// The moves before the memory is measured, after which everything has its size.
const FIRST_MOVES: usize = 500;
/// The largest growth of the server's memory. It is for the allocator, which keeps some.
const GROWTH_MAX_BYTES: u64 = 1024 * 1024;

/// A player that advertises a lot. It stays connected, and takes nothing more in.
enum Greedy {
    /// It never reads, so its window closes.
    Stream {
        _open: Box<dyn ReadWrite>,
    },
    Quic(Quic),
    /// One of ours, behind a path that lets nothing through to it.
    Deaf(AbortHandle),
}

impl Drop for Greedy {
    fn drop(&mut self) {
        match self {
            Self::Deaf(driver) => driver.abort(),
            Self::Quic(quic) => quic.connection.close(0_u8.into(), b"enough"),
            Self::Stream { .. } => {}
        }
    }
}

/// A match with a greedy player.
struct Attack {
    _greedy: Greedy,
    _path: Option<DatagramProxy>,
    partner: Player,
}

impl Attack {
    async fn start(server: &Program, code: &str) -> Self {
        let path = match server.kind {
            TransportKind::Tcp | TransportKind::Tls => None,
            _ => Some(DatagramProxy::to(server.addr).await),
        };
        let addr = path.as_ref().map_or(server.addr, DatagramProxy::addr);
        let alpn = Program::options().alpn(server.kind);
        let trust = server.trust.as_ref();
        let say = [frame(CONTROL, &hello()), frame(CONTROL, &join(code))].concat();
        let greedy = match server.kind {
            TransportKind::Tcp => {
                let mut stream = tcp_stream(addr).await;
                stream.write_all(&say).await.expect("open");
                Greedy::Stream { _open: Box::new(stream) }
            }
            TransportKind::Tls => {
                let mut stream = tls_stream(trust.expect("a pin"), &alpn, addr).await;
                stream.write_all(&say).await.expect("open");
                stream.flush().await.expect("open");
                Greedy::Stream { _open: Box::new(stream) }
            }
            kind if quic(kind) => {
                let mut quic = Quic::open_with(trust.expect("a pin"), &alpn, addr, everything()).await;
                quic.control.write_all(&say).await.expect("open");
                Greedy::Quic(quic)
            }
            kind => {
                let options = Options { idle_timeout: PATIENCE * 2, ..Program::options() };
                let ours = kind.connect(addr, "localhost", trust, &options).await.expect("connected");
                let Connection { sender, mut receiver } = ours;
                for message in [hello(), join(code)] {
                    sender.send_control(&message).expect("open");
                }
                let driver = tokio::spawn(async move { while receiver.recv().await.is_ok() {} });
                Greedy::Deaf(driver.abort_handle())
            }
        };
        let mut partner = server.connect().await;
        partner.join(Some(code)).expect("open");
        while !matches!(event(&mut partner).await, Event::Started(_)) {}
        if let Some(path) = &path {
            path.set(Impairment::Deafen);
        }
        Self { _greedy: greedy, _path: path, partner }
    }

    /// Makes the partner send moves that the greedy player is told. A ping paces each, since of
    /// several in one read the server may pass on the newest.
    async fn tell(&mut self, moves: usize) {
        for _ in 0..moves {
            self.partner.steer(Heading::default(), clock::now_us()).expect("open");
            self.partner.ping().expect("open");
            while !matches!(event(&mut self.partner).await, Event::Pong { .. }) {}
        }
    }
}

/// Returns transport parameters that bound the server in nothing.
fn everything() -> (EndpointConfig, TransportConfig) {
    /// quinn allocates a table of this size. It is more than the moves of the test.
    const STREAMS: u32 = 50_000;
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::MAX)
        .receive_window(VarInt::MAX)
        .datagram_receive_buffer_size(Some(usize::from(u16::MAX)))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::MAX)))
        .keep_alive_interval(Some(Duration::from_millis(500)));
    let mut endpoint = EndpointConfig::default();
    endpoint.max_udp_payload_size(u16::MAX - 8).expect("the largest");
    (endpoint, config)
}

/// The server's memory does not follow the moves, and a match beside it goes on.
pub(crate) async fn the_most_of_everything(world: &World) {
    let server = Program::start(world.kind, &["--max-messages", "1000000", "--idle-timeout", "60"]);
    let [mut ada, mut grace] = server.matched(Some("witness")).await;
    let mut attacks = Vec::new();
    for number in 0..MATCHES {
        let mut attack = Attack::start(&server, &format!("greedy {number}")).await;
        attack.tell(FIRST_MOVES).await;
        attacks.push(attack);
    }
    let before = server.memory_bytes();
    for attack in &mut attacks {
        attack.tell(MOVES).await;
    }
    if let (Some(before), Some(after)) = (before, server.memory_bytes()) {
        let grown = after.saturating_sub(before);
        assert!(grown < GROWTH_MAX_BYTES, "the server keeps {grown} bytes of {} moves", MATCHES * MOVES);
    }
    settled(&mut ada, &mut grace, clock::now_us()).await;
    tokio::join!(ada.close(), grace.close());
}
