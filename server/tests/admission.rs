//! The server's admission limits: each is answered with a typed close, counted by cause, and does
//! not disturb a witness match.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use netduel_client::{Event, PlayError, Player};
use netduel_protocol::{ClientMessage, CloseCode, MAX_MESSAGE_BYTES, VERSION, clock, encode, game::Heading};
use netduel_server::{Config, MemoryReading, Snapshot};
use netduel_transport::{Options, TransportKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::rustls::{
    Side,
    crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{Keys, Version},
};

use running::{PATIENCE, Running, event, every_kind};

mod running;

impl Running {
    fn of(kind: TransportKind, config: Config) -> Self {
        Self::start([kind], config, &Options::default())
    }

    async fn connect(&self, kind: TransportKind) -> Result<Player, PlayError> {
        let config = self.player_config(kind, "tester", &Options::default());
        Player::connect(&config).await
    }

    async fn matched(&self, kind: TransportKind) -> [Player; 2] {
        let mut players =
            [self.connect(kind).await.expect("connected"), self.connect(kind).await.expect("connected")];
        for player in &mut players {
            player.join(None).expect("open");
        }
        for player in &mut players {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        players
    }
}

async fn plays_on([ada, grace]: &mut [Player; 2]) {
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(grace).await, Event::OpponentMoved { .. }));
}

/// Waits until the server has seen the effect of a client's action. The server's tasks run on this
/// thread, so yielding lets them run.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn limits_connections_per_address() {
    for kind in every_kind() {
        let config = Config {
            connections_per_address_max: 2,
            connections_per_address_per_s: u32::MAX,
            ..Config::default()
        };
        let server = Running::of(kind, config);
        let mut witness = server.matched(kind).await;
        let Err(refusal) = server.connect(kind).await else { panic!("one too many over {kind}") };
        assert!(
            matches!(refusal, PlayError::Refused { code: CloseCode::TooManyFromAddress, .. }),
            "{kind}: {refusal}"
        );
        plays_on(&mut witness).await;
        // A player that leaves makes room.
        let [ada, mut grace] = witness;
        ada.close().await;
        assert!(matches!(event(&mut grace).await, Event::OpponentLeft { .. }));
        let next = loop {
            match server.connect(kind).await {
                Ok(player) => break player,
                Err(PlayError::Refused { code: CloseCode::TooManyFromAddress, .. }) => {}
                Err(error) => panic!("{kind}: {error}"),
            }
        };
        tokio::join!(next.close(), grace.close());
        let counters = server.stop().await;
        assert!(counters.refused_address >= 1, "{kind}: {counters:?}");
        assert_eq!((counters.expelled, counters.refused_full), (0, 0), "{kind}");
    }
}

#[tokio::test]
async fn limits_matches() {
    for kind in every_kind() {
        let server = Running::of(kind, Config { matches_max: 1, ..Config::default() });
        let mut witness = server.matched(kind).await;
        let mut late = server.connect(kind).await.expect("connected");
        late.join(None).expect("open");
        let error = timeout(PATIENCE, late.next_event()).await.expect("in time").expect_err("no room");
        assert!(
            matches!(error, PlayError::Refused { code: CloseCode::TooManyMatches, .. }),
            "{kind}: {error}"
        );
        plays_on(&mut witness).await;
        let [ada, mut grace] = witness;
        ada.close().await;
        assert!(matches!(event(&mut grace).await, Event::OpponentLeft { .. }));
        grace.join(None).expect("open");
        assert_eq!(event(&mut grace).await, Event::Waiting, "there is room again");
        grace.close().await;
        let counters = server.stop().await;
        assert_eq!((counters.refused_matches, counters.expelled), (1, 0), "{kind}");
    }
}

#[tokio::test]
async fn limits_silent_handshakes() {
    let tls = TransportKind::Tls;
    let server = Running::of(tls, Config { handshakes_max: 3, ..Config::default() });
    let mut witness = server.matched(tls).await;
    let mut silent = Vec::new();
    for count in 1..=3 {
        silent.push(TcpStream::connect(server.addresses[&tls]).await.expect("connected"));
        until("a handshake under way", || server.observer.census().handshakes == count).await;
    }
    let mut dropped = TcpStream::connect(server.addresses[&tls]).await.expect("the kernel accepts");
    let heard = timeout(PATIENCE, dropped.read(&mut [0; 8])).await.expect("an end in time");
    assert!(matches!(heard, Ok(0) | Err(_)), "the server closed the connection without an answer: {heard:?}");
    plays_on(&mut witness).await;
    silent.clear();
    until("they are gone", || server.observer.census().handshakes == 0).await;
    let again = server.connect(tls).await.expect("there is room again");
    again.close().await;
    let counters = server.stop().await;
    assert_eq!((counters.refused_handshakes, counters.handshakes_failed), (1, 3));
}

#[tokio::test]
async fn counts_expulsions_by_cause() {
    let kind = TransportKind::Memory;
    let config =
        Config { join_timeout: Duration::from_millis(50), messages_per_s_max: 5, ..Config::default() };
    let server = Running::of(kind, config);
    let options = Options::default();
    let connect = || kind.connect(server.addresses[&kind], "localhost", None, &options);
    let mut garbage = connect().await.expect("connected");
    garbage.sender.send_control(&[0xff; 9]).expect("open");
    timeout(PATIENCE, garbage.receiver.recv()).await.expect("in time").expect_err("expelled");
    let mut silent = connect().await.expect("connected");
    timeout(PATIENCE, silent.receiver.recv()).await.expect("in time").expect_err("expelled");
    let mut flooder = server.connect(kind).await.expect("connected");
    flooder.join(None).expect("open");
    while flooder.ping().is_ok() && timeout(PATIENCE, flooder.next_event()).await.expect("in time").is_ok() {}
    let counters = server.stop().await;
    let Snapshot { expelled, expelled_malformed, expelled_join_timeout, expelled_flooding, .. } = counters;
    assert_eq!([expelled_malformed, expelled_join_timeout, expelled_flooding, expelled], [1, 1, 1, 3]);
}

#[tokio::test]
async fn limits_connection_rate_per_address() {
    for kind in every_kind() {
        // Eight connections at once, and then one a second.
        let config =
            Config { connections_per_address_max: 4, connections_per_address_per_s: 1, ..Config::default() };
        let server = Running::of(kind, config);
        let mut witness = server.matched(kind).await;
        let options = Options { handshake_timeout: Duration::from_millis(300), ..Options::default() };
        let hasty = server.player_config(kind, "hasty", &options);
        let dropped = async {
            while server.observer.snapshot().refused_rate == 0 {
                drop(Player::connect(&hasty).await);
            }
        };
        timeout(PATIENCE, dropped).await.unwrap_or_else(|_| panic!("admitted for ever over {kind}"));
        plays_on(&mut witness).await;
        let admitted = async { while Player::connect(&hasty).await.is_err() {} };
        timeout(PATIENCE, admitted).await.unwrap_or_else(|_| panic!("never admitted again over {kind}"));
        plays_on(&mut witness).await;
        let [ada, grace] = witness;
        tokio::join!(ada.close(), grace.close());
        let counters = server.stop().await;
        assert_eq!((counters.expelled, counters.refused_full), (0, 0), "{kind}: {counters:?}");
    }
}

/// Builds a client's first QUIC packet that is well-formed and useless (RFC 9001, 5.2).
fn useless_initial(number: u64) -> Vec<u8> {
    const PACKET_BYTES: usize = 1_200;
    const TAG_BYTES: usize = 16;
    let id = number.to_be_bytes();
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("of TLS 1.3");
    let keys = Keys::initial(Version::V1, suite, suite.quic.expect("for QUIC"), &id, Side::Client);
    // Type and length of the number, version, both connection ids, no token, length, number.
    let mut packet = [&[0xc3, 0, 0, 0, 1, 8][..], &id, &[0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let (length_at, number_at) = (packet.len() - 6, packet.len() - 4);
    let length = (PACKET_BYTES - number_at) as u16 | 0x4000;
    packet[length_at..number_at].copy_from_slice(&length.to_be_bytes());
    // A CRYPTO frame with a ClientHello that is none, and padding.
    let mut payload = [&[6, 0, 8, 1, 0, 0, 4][..], b"bad!"].concat();
    payload.resize(PACKET_BYTES - packet.len() - TAG_BYTES, 0);
    let tag = keys.local.packet.encrypt_in_place(0, &packet, &mut payload).expect("encrypts");
    payload.extend_from_slice(tag.as_ref());
    let sample = payload[..keys.local.header.sample_len()].to_vec();
    let (first, rest) = packet.split_first_mut().expect("a header");
    let number = &mut rest[number_at - 1..];
    keys.local.header.encrypt_in_place(&sample, first, number).expect("protects");
    [packet, payload].concat()
}

/// First packets that claim the victim's address cost the victim nothing. Here the forger has that
/// address, which the server cannot know.
#[tokio::test]
async fn forged_initials_lock_nobody_out() {
    const FORGED: u64 = 300; // More than the burst of an address.
    const AT_ONCE: u64 = 20; // Fits the socket's buffer.
    let kinds = [TransportKind::Tls, TransportKind::QuicDatagram];
    let server = Running::start(kinds, Config::default(), &Options::default());
    let mut witness = server.matched(TransportKind::Tls).await;
    let forger = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let handled = || {
        let it = server.observer.snapshot();
        it.handshakes_failed + it.address_checks + it.refused_rate
    };
    for number in 1..=FORGED {
        let packet = useless_initial(number);
        forger.send_to(&packet, server.addresses[&TransportKind::QuicDatagram]).await.expect("sent");
        if number % AT_ONCE == 0 {
            until("the forged packets are handled", || handled() == number).await;
        }
    }
    let counters = server.observer.snapshot();
    assert!(counters.address_checks > FORGED / 2, "most must prove their address: {counters:?}");
    for kind in kinds {
        for _ in 0..10 {
            server.connect(kind).await.unwrap_or_else(|error| panic!("{kind}: {error}")).close().await;
        }
    }
    plays_on(&mut witness).await;
    let [ada, grace] = witness;
    tokio::join!(ada.close(), grace.close());
    let counters = server.stop().await;
    assert_eq!((counters.refused_rate, counters.refused_address), (0, 0), "{counters:?}");
}

/// Encodes control messages as frames of a byte stream.
fn frames(messages: &[ClientMessage<'_>]) -> Vec<u8> {
    let frame = |message| {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = encode(message, &mut buffer).expect("encodes");
        [&(bytes.len() as u16).to_be_bytes()[..], &[0], bytes].concat()
    };
    messages.iter().flat_map(frame).collect()
}

/// Each connection of the other address stays below its own limit.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn limits_messages_of_an_address_together() {
    let kind = TransportKind::Tcp;
    let server = Running::of(kind, Config { capacity_messages_per_s: 5_000, ..Config::default() });
    let mut witness = server.matched(kind).await;
    let flood = async |number: usize| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 2], 0).into()).expect("an address of this machine");
        let mut stream = socket.connect(server.addresses[&kind]).await.expect("connected");
        let code = Some(format!("flood {number}"));
        let mut flood = frames(&[
            ClientMessage::Hello { version: VERSION },
            ClientMessage::Join { name: "flood".into(), code },
        ]);
        flood.extend(frames(&[ClientMessage::Ping { sent_us: 1 }]).repeat(1_100));
        stream.write_all(&flood).await.expect("room in the socket");
        stream
    };
    let mut streams = Vec::new();
    for number in 0..6 {
        streams.push(flood(number).await);
    }
    until("a part of them is expelled", || server.observer.snapshot().expelled_flooding > 0).await;
    plays_on(&mut witness).await;
    let told = async {
        loop {
            for stream in &mut streams {
                let mut said = vec![0; 64 * 1024];
                let size = stream.try_read(&mut said).unwrap_or(0);
                if said[..size].windows(15).any(|words| words == b"of this address") {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, told).await.expect("a typed close");
    drop(streams);
    let [ada, grace] = witness;
    tokio::join!(ada.close(), grace.close());
    let counters = server.stop().await;
    assert!(counters.expelled_flooding < 6, "some may stay: {counters:?}");
}

/// The fake reading of memory: percent of the limit. Above 90 it is read once.
static MEMORY_PERCENT: AtomicU64 = AtomicU64::new(0);

fn fake_memory() -> Option<MemoryReading> {
    let used_bytes = MEMORY_PERCENT.load(Relaxed);
    if used_bytes > 90 {
        MEMORY_PERCENT.store(70, Relaxed);
    }
    Some(MemoryReading { used_bytes, limit_bytes: 100 })
}

#[tokio::test]
async fn expels_largest_queues_without_memory() {
    const DEAF: usize = 16; // As many as one reading expels.
    let kind = TransportKind::Memory;
    let server = Running::of(kind, Config { memory_reading: fake_memory, ..Config::default() });
    let mut witness = server.matched(kind).await;
    let options = Options::default();
    let mut deaf = Vec::new();
    for number in 0..DEAF {
        let connecting = kind.connect(server.addresses[&kind], "localhost", None, &options);
        let connection = connecting.await.expect("connected");
        let code = Some(format!("deaf {number}"));
        let mut messages = vec![
            ClientMessage::Hello { version: VERSION },
            ClientMessage::Join { name: "deaf".into(), code },
        ];
        messages.extend((0..20).map(|_| ClientMessage::Ping { sent_us: 1 }));
        for message in &messages {
            let mut buffer = [0; MAX_MESSAGE_BYTES];
            connection.sender.send_control(encode(message, &mut buffer).expect("encodes")).expect("open");
        }
        deaf.push(connection);
    }
    until("they wait", || server.observer.census().waiting == DEAF).await;

    MEMORY_PERCENT.store(85, Relaxed);
    while server.observer.snapshot().refused_memory == 0 {
        if let Ok(player) = server.connect(kind).await {
            player.close().await;
        }
    }
    plays_on(&mut witness).await;
    MEMORY_PERCENT.store(95, Relaxed);
    until("some are expelled", || server.observer.snapshot().expelled_memory > 0).await;
    plays_on(&mut witness).await;
    for mut connection in deaf {
        let end = async {
            loop {
                if let Err(end) = connection.receiver.recv().await {
                    return end;
                }
            }
        };
        let end = timeout(PATIENCE, end).await.expect("in time").to_string();
        assert!(end.contains("short of memory"), "{end}");
    }
    let admitted = async { while server.connect(kind).await.is_err() {} };
    timeout(PATIENCE, admitted).await.expect("admitted again");
    let [ada, grace] = witness;
    tokio::join!(ada.close(), grace.close());
    let counters = server.stop().await;
    assert_eq!((counters.expelled_memory, counters.expelled), (DEAF as u64, DEAF as u64));
}
