//! Faults 17 and 19 over ENet: commands by hand, which no client of ours sends.

use std::net::SocketAddr;

use netduel_client::Event;
use netduel_protocol::{ClientMessage, Move, MoveWithPayload, PAYLOAD_MAX_BYTES, ServerMessage, decode};
use netduel_transport::{Close, Options, TransportKind};
use tokio::{net::UdpSocket, time::timeout};

use super::{
    raw::{parse_close, prove_address, udp_hello},
    world::{PATIENCE, World, bytes, event, hello, join, localhost},
};

/// The channels, as `transport/enet/host.rs` numbers them, and the number of commands without one.
const CONTROL: u8 = 0;
const STATE: u8 = 1;
const CLOSE: u8 = 2;
const NO_CHANNEL: u8 = 0xff;
/// The most commands that ENet itself puts into a datagram.
const COMMANDS_MAX: usize = 32;
const CONNECT_ID: [u8; 4] = *b"test";

/// A raw ENet connection.
struct Enet {
    socket: UdpSocket,
    /// The number of the control message sent last.
    number: u16,
    /// The control messages received so far.
    heard: Vec<Vec<u8>>,
    close: Option<Close>,
}

impl Enet {
    /// Connects, says hello and joins by this code.
    async fn join(world: &World, code: &str) -> Self {
        let socket = UdpSocket::bind(localhost()).await.expect("bound");
        socket.connect(world.addr).await.expect("connected");
        let proof = prove_address(&socket, &Options::default().alpn(TransportKind::Enet)).await;
        socket.send(&[proof, connect()].concat()).await.expect("sent");
        let mut enet = Self { socket, number: 0, heard: Vec::new(), close: None };
        enet.hear().await; // The server verifies.
        enet.send(&acknowledge(NO_CHANNEL, [0, 1], [0, 0])).await;
        for message in [hello(), join(code)] {
            enet.number += 1;
            enet.send(&reliable(CONTROL, enet.number, &message)).await;
        }
        enet
    }

    async fn send(&self, commands: &[u8]) {
        // A full send buffer is loss, as on any path.
        let _ = self.socket.send(&sealed(&[0x80, 0, 0, 1], commands, CONNECT_ID)).await;
    }

    /// Receives one datagram, and acknowledges its messages.
    async fn hear(&mut self) {
        let mut datagram = [0; 2048];
        let size = timeout(PATIENCE, self.socket.recv(&mut datagram)).await.expect("an answer in time");
        let datagram = &datagram[..size.expect("received")];
        let timed = datagram[0] & 0x80 != 0;
        let mut commands = &datagram[if timed { 8 } else { 6 }..];
        let mut answers = Vec::new();
        while let [kind, channel, high, low, ..] = *commands {
            let fixed = match kind & 15 {
                1 | 4 => 8,
                3 => 44,
                5 => 4,
                6 => 6,
                7 => 8,
                10 => 12,
                other => panic!("command {other}"),
            };
            let (command, rest) = commands.split_at(fixed);
            let size = match kind & 15 {
                6 | 7 => usize::from(u16::from_be_bytes([command[fixed - 2], command[fixed - 1]])),
                _ => 0,
            };
            let (payload, rest) = rest.split_at(size);
            match (kind & 15, channel) {
                (6, CONTROL) => self.heard.push(payload.to_vec()),
                (6, CLOSE) => self.close = Some(parse_close(payload)),
                _ => {}
            }
            // The first command is the answer to the connect, which `join` acknowledges.
            if kind & 0x80 != 0 && kind & 15 != 3 {
                answers.extend(acknowledge(channel, [high, low], [datagram[2], datagram[3]]));
            }
            commands = rest;
        }
        if !answers.is_empty() {
            self.send(&answers).await;
        }
    }

    /// Receives until the server closes.
    async fn close(mut self) -> Close {
        loop {
            if let Some(close) = self.close {
                return close;
            }
            self.hear().await;
        }
    }

    /// Receives until the match has started, and returns a legal move of it that announces a full
    /// payload.
    async fn head_of_a_move(&mut self) -> Vec<u8> {
        loop {
            for message in self.heard.drain(..) {
                if let Ok(ServerMessage::Started(started)) = decode(&message) {
                    let position = started.positions[usize::from(started.player)];
                    let update = Move { match_id: started.match_id, seq: 1, position, ..Move::default() };
                    let payload = &[0; PAYLOAD_MAX_BYTES];
                    let mut whole = bytes(&ClientMessage::Move(MoveWithPayload { update, payload }));
                    whole.truncate(whole.len() - PAYLOAD_MAX_BYTES);
                    return whole;
                }
            }
            self.hear().await;
        }
    }
}

/// Two fragments with different numbers and the same place. ENet would hand up memory that neither
/// of them filled, and the server relay it.
pub(crate) async fn fragments_that_overlap(world: &World) {
    let mut opponent = world.joined(world.addr, "fragments").await;
    assert_eq!(event(&mut opponent).await, Event::Waiting);
    let mut bad = Enet::join(world, "fragments").await;
    assert!(matches!(event(&mut opponent).await, Event::Started(_)));
    let head = bad.head_of_a_move().await;
    let total = (head.len() + PAYLOAD_MAX_BYTES) as u32;
    let fragment = |number: u8| {
        let numbers: Vec<u8> = [2, number.into(), total, 0].into_iter().flat_map(u32::to_be_bytes).collect();
        let size = (head.len() as u16).to_be_bytes();
        [&[0x88, STATE, 0, 1 + number, 0, 1], &size[..], &numbers, &head].concat()
    };
    bad.send(&[fragment(0), fragment(1)].concat()).await;
    let told = event(&mut opponent).await;
    assert!(matches!(told, Event::OpponentLeft { .. }), "{told:?}");
    assert_eq!(bad.close().await.code, Close::BAD_FRAME);
    world.counted("malformed", 1, |it| it.expelled_malformed).await;
    opponent.close().await;
    world.only_witnesses().await;
}

/// Empty updates ahead of a missing reliable one. ENet would keep every one, and search all of them
/// for each.
pub(crate) async fn updates_that_wait(world: &World) {
    const DATAGRAMS: u16 = 500;
    let updates = |datagram: u16, count: usize| {
        let numbers = (1..=count as u16).map(move |place| datagram * count as u16 + place);
        numbers.flat_map(|number| {
            let [high, low] = number.to_be_bytes();
            [7, STATE, 0, 2, high, low, 0, 0]
        })
    };
    // As many as fit a datagram.
    let bad = Enet::join(world, "crowded").await;
    bad.send(&updates(0, 146).collect::<Vec<_>>()).await;
    assert_eq!(bad.close().await.code, Close::BAD_FRAME);
    world.counted("malformed", 1, |it| it.expelled_malformed).await;
    // As many as ENet itself puts into one. They count one by one.
    let bad = Enet::join(world, "busy").await;
    for datagram in 0..DATAGRAMS {
        bad.send(&updates(datagram, COMMANDS_MAX).collect::<Vec<_>>()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(bad.close().await.code, Close::BAD_FRAME);
    world.counted("flooding", 1, |it| it.expelled_flooding).await;
    world.only_witnesses().await;
}

/// Datagrams full of pings, each of which asks for an acknowledgement. They count one by one.
pub(crate) async fn pings_by_the_dozen(world: &World) {
    const DATAGRAMS: usize = 500;
    let pings = |count: usize| [0x85, NO_CHANNEL, 0, 1].repeat(count);
    let bad = Enet::join(world, "crowded").await;
    bad.send(&pings(360)).await;
    assert_eq!(bad.close().await.code, Close::BAD_FRAME);
    world.counted("malformed", 1, |it| it.expelled_malformed).await;
    let bad = Enet::join(world, "busy").await;
    for _ in 0..DATAGRAMS {
        bad.send(&pings(COMMANDS_MAX)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(bad.close().await.code, Close::BAD_FRAME);
    world.counted("flooding", 1, |it| it.expelled_flooding).await;
    world.only_witnesses().await;
}

/// A whole handshake from an address where nobody reads. Every number of it can be foreseen but the
/// proof of the address.
pub(crate) async fn a_blind_handshake(world: &World) {
    let accepted = world.observer.snapshot().accepted;
    let mut forgers = Vec::new();
    for _ in 0..100 {
        let forger = UdpSocket::bind(localhost()).await.expect("bound");
        blind(&forger, world.addr, &[]).await;
        // A proof that is made up, and one that another address has got.
        blind(&forger, world.addr, &[&[0xd2], &b"test"[..], &[7; 40]].concat()).await;
        forgers.push(forger);
    }
    let reader = UdpSocket::bind(localhost()).await.expect("bound");
    reader.connect(world.addr).await.expect("connected");
    let protocol = Options::default().alpn(TransportKind::Enet);
    let proof = prove_address(&reader, &protocol).await;
    for forger in &forgers {
        blind(forger, world.addr, &proof).await;
    }
    // The server reads one datagram after the other, so all of those were read before this one.
    reader.send(&udp_hello(protocol.as_bytes())).await.expect("sent");
    let mut answer = [0; 2048];
    timeout(PATIENCE, reader.recv(&mut answer)).await.expect("in time").expect("answered");
    for forger in &forgers {
        let unheard = std::io::ErrorKind::WouldBlock;
        let answered = forger.try_recv(&mut answer);
        assert_eq!(answered.expect_err("an answer where nobody asked").kind(), unheard);
    }
    assert_eq!(world.observer.snapshot().accepted, accepted);
    assert_eq!(world.observer.census().handshakes, 0);
    world.only_witnesses().await;
}

/// Sends what a client sends from its connect to its join. `proof` stands before the connect.
async fn blind(forger: &UdpSocket, to: SocketAddr, proof: &[u8]) {
    let commands = [acknowledge(NO_CHANNEL, [0, 1], [3, 232]), reliable(CONTROL, 1, &hello())].concat();
    for datagram in [
        [proof, &connect()].concat(),
        sealed(&[0x80, 0, 0, 1], &commands, CONNECT_ID),
        sealed(&[0x90, 0, 0, 1], &commands, CONNECT_ID),
        sealed(&[0x80, 0, 0, 1], &reliable(CONTROL, 2, &join("blind")), CONNECT_ID),
    ] {
        forger.send_to(&datagram, to).await.expect("sent");
    }
}

fn connect() -> Vec<u8> {
    let numbers = [1_200u32, 65_536, 3, 0, 0, 5_000, 2, 2].into_iter().flat_map(u32::to_be_bytes);
    let command = [&[0x82, NO_CHANNEL, 0, 1, 0, 0, 0xff, 0xff], &numbers.collect::<Vec<_>>()[..]].concat();
    sealed(&[0x8f, 0xff, 0, 1], &[&command, &CONNECT_ID[..], &[0; 4]].concat(), [0; 4])
}

fn acknowledge(channel: u8, [high, low]: [u8; 2], sent_time: [u8; 2]) -> Vec<u8> {
    vec![1, channel, high, low, high, low, sent_time[0], sent_time[1]]
}

fn reliable(channel: u8, number: u16, message: &[u8]) -> Vec<u8> {
    let size = (message.len() as u16).to_be_bytes();
    [&[0x86, channel], &number.to_be_bytes()[..], &size, message].concat()
}

/// Returns a datagram with its checksum behind the header, which begins with `seed`.
fn sealed(header: &[u8], commands: &[u8], seed: [u8; 4]) -> Vec<u8> {
    let covered = [header, &seed, commands].concat();
    let mut sum = u32::MAX;
    for byte in covered {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    [header, &(!sum).to_be_bytes(), commands].concat()
}
