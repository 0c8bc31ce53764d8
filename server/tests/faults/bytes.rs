//! Faults 1 to 7: bytes that are no frame, no message, or a message that makes no sense.

use netduel_protocol::{
    ClientMessage, CloseCode, MAX_CODE_BYTES, MAX_NAME_BYTES, Move, MoveWithPayload, PAYLOAD_MAX_BYTES,
    VERSION, decode, game::Position,
};
use netduel_transport::{Close, MAX_CONTROL_BYTES, Options, TransportKind};
use tokio::net::UdpSocket;

use super::{
    cookies,
    raw::{CONTROL, KEEP_ALIVE, Raw, frame, udp_hello},
    streams,
    world::{World, bytes, hello, join, localhost, resume},
};

/// Returns each message that a client may send, once.
fn messages() -> Vec<Vec<u8>> {
    let position = Position { x: 1.5, y: -2.0 };
    let update =
        Move { match_id: 7, seq: 300, at_us: 5_000_000, clock_error_us: 250, corrections: 1, position };
    vec![
        hello(),
        join("code"),
        bytes(&ClientMessage::Leave),
        bytes(&ClientMessage::Move(MoveWithPayload { update, payload: &[0, 255] })),
        bytes(&ClientMessage::Ping { sent_us: 70_000 }),
        resume(),
    ]
}

pub(crate) async fn a_length_over_the_limit(world: &World) {
    // The length of a text within a message: the largest number that exists.
    let name = vec![1, 253, 255, 255, 255, 255, 255, 255, 255, 255];
    world.expelled("a length that lies", &[name], CloseCode::Malformed).await;
    let mut count = 1;
    if streams(world.kind) {
        let over = (MAX_CONTROL_BYTES as u16 + 1).to_be_bytes();
        for header in [[over[0], over[1], CONTROL], [0xff, 0xff, CONTROL], [0, 1, KEEP_ALIVE], [0xff; 3]] {
            let mut raw = Raw::open(world).await;
            raw.write(&header).await.expect("open");
            assert_eq!(raw.close_frame().await.code, Close::BAD_FRAME, "{header:?}");
            count += 1;
        }
    }
    world.counted("malformed", count, |it| it.expelled_malformed).await;
}

pub(crate) async fn a_prefix_and_then_silence(world: &World) {
    let beginnings = [&[0][..], &[0, 9, CONTROL], &[0, 9, CONTROL, 1]];
    for beginning in beginnings {
        let mut raw = Raw::open(world).await;
        raw.write(beginning).await.expect("open");
        assert_eq!(raw.close_frame().await.code, Close::READ_DEADLINE, "{beginning:?}");
    }
    world.counted("stalled", beginnings.len() as u64, |it| it.expelled_stalled).await;
}

/// Spoilt bytes that decode after all mean what they say, which the codec's own tests check.
pub(crate) async fn every_truncation_and_bit_flip(world: &World) {
    let mut spoilt = Vec::new();
    for message in messages() {
        spoilt.extend((0..message.len()).map(|cut| message[..cut].to_vec()));
        spoilt.extend((0..message.len() * 8).map(|bit| {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        }));
    }
    spoilt.retain(|bytes| decode::<ClientMessage<'_>>(bytes).is_err());
    assert!(spoilt.len() > 100, "{} are refused", spoilt.len());
    for bytes in &spoilt {
        world.expelled(&format!("{bytes:?}"), std::slice::from_ref(bytes), CloseCode::Malformed).await;
    }
    world.until("all are counted", |it| it.observer.snapshot().expelled >= spoilt.len() as u64).await;
    let counters = world.observer.snapshot();
    assert_eq!([counters.expelled_malformed, counters.expelled], [spoilt.len() as u64; 2]);
}

pub(crate) async fn trailing_bytes(world: &World) {
    for message in messages() {
        let longer = [&message[..], &[0]].concat();
        world.expelled(&format!("{longer:?}"), &[longer], CloseCode::Malformed).await;
    }
    world.counted("malformed", messages().len() as u64, |it| it.expelled_malformed).await;
}

pub(crate) async fn another_version_or_protocol(world: &World) {
    for version in [VERSION - 1, VERSION + 1] {
        let hello = bytes(&ClientMessage::Hello { version });
        world.expelled("another version", &[hello], CloseCode::VersionMismatch).await;
    }
    world.counted("another version", 2, |it| it.expelled_version).await;
    if cookies(world.kind) {
        // The server neither answers nor remembers a client that names another protocol.
        let accepted = world.observer.snapshot().accepted;
        let stranger = UdpSocket::bind(localhost()).await.expect("bound");
        let ours = Options::default().alpn(world.kind);
        for protocol in [&ours.replace("/1", "/9"), &ours] {
            stranger.send_to(&udp_hello(protocol.as_bytes()), world.addr).await.expect("sent");
        }
        let mut answer = [0; 2048];
        stranger.recv(&mut answer).await.expect("the second is answered");
        let unheard = std::io::ErrorKind::WouldBlock;
        assert_eq!(stranger.try_recv(&mut answer).expect_err("the first is not").kind(), unheard);
        assert_eq!(world.observer.snapshot().accepted, accepted);
    } else if streams(world.kind) {
        let mut raw = Raw::open(world).await;
        raw.write(b"GET / HTTP/1.1\r\n\r\n").await.expect("open");
        assert_eq!(raw.close_frame().await.code, Close::BAD_FRAME);
        world.counted("malformed", 1, |it| it.expelled_malformed).await;
    }
}

pub(crate) async fn values_without_sense(world: &World) {
    let a_join =
        |name: &str, code: &str| bytes(&ClientMessage::Join { name: name.into(), code: Some(code.into()) });
    let a_move = |x, y| {
        bytes(&ClientMessage::Move(Move { seq: 1, position: Position { x, y }, ..Move::default() }.into()))
    };
    let too_much = MoveWithPayload { payload: &[7; PAYLOAD_MAX_BYTES + 1], ..MoveWithPayload::default() };
    let mut not_utf8 = a_join("name", "code");
    not_utf8[3] = 0xff;
    let bad = [
        ("an unknown variant", vec![42]),
        ("noise", vec![0xff; 50]),
        ("a long name", a_join(&"x".repeat(MAX_NAME_BYTES + 1), "code")),
        ("a long code", a_join("name", &"x".repeat(MAX_CODE_BYTES + 1))),
        ("a name that moves the cursor", a_join("\u{1b}[2J", "code")),
        ("a name that reverses what follows", a_join("a\u{202e}b", "code")),
        ("a name of nothing", a_join("  ", "code")),
        ("a name that is not UTF-8", not_utf8),
        ("not a number", a_move(f32::NAN, 0.0)),
        ("endless", a_move(0.0, f32::INFINITY)),
        ("a payload that is too long", bytes(&ClientMessage::Move(too_much))),
    ];
    // Each is tried as the first message, and in the middle of a session.
    for (what, message) in &bad {
        world.expelled(what, std::slice::from_ref(message), CloseCode::Malformed).await;
        world.expelled(what, &[hello(), join("alone"), message.clone()], CloseCode::Malformed).await;
    }
    world.counted("malformed", 2 * bad.len() as u64, |it| it.expelled_malformed).await;
}

pub(crate) async fn a_million_empty_frames(world: &World) {
    const FRAMES: usize = 1_000_000;
    const BATCH: usize = 200;
    world.expelled("an empty message", &[vec![]], CloseCode::Malformed).await;
    world.counted("malformed", 1, |it| it.expelled_malformed).await;
    if !streams(world.kind) {
        return;
    }
    let mut raw = Raw::open(world).await;
    let batch = frame(KEEP_ALIVE, &[]).repeat(BATCH);
    let flood = async {
        for _ in 0..FRAMES / BATCH {
            if raw.write(&batch).await.is_err() {
                return; // The server has closed the connection.
            }
        }
    };
    let expelled = |world: &World| world.observer.snapshot().expelled > 1;
    world.attack_until("the flooder is expelled", expelled, flood).await;
    let close = raw.close_frame().await;
    assert_eq!(close.code, Close::BAD_FRAME, "{close}");
    if world.kind == TransportKind::Udp {
        // Keep-alives of `udp` are datagrams, so one within the stream is malformed at once.
        world.counted("malformed", 2, |it| it.expelled_malformed).await;
    } else {
        world.counted("flooding", 1, |it| it.expelled_flooding).await;
    }
}
