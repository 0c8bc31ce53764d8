//! Tests of the codec: golden bytes for every message, a second codec as the oracle, and hostile
//! input.

use proptest::prelude::*;

use super::*;
use crate::{Correction, LeaveReason, Move, Pong, ResumeTicket, SeatToken, game::Position};

fn a_move() -> Move {
    Move {
        match_id: 7,
        seq: 300,
        at_us: 5_000_000,
        clock_error_us: 250,
        corrections: 1,
        position: Position { x: 1.5, y: 2.0 },
    }
}

/// Returns the longest move, with this payload.
fn longest(payload: &[u8]) -> MoveWithPayload<'_> {
    let position = Position { x: 1.5, y: 2.0 };
    let (match_id, seq, at_us) = (u64::MAX, u32::MAX, u64::MAX);
    let update = Move { match_id, seq, at_us, clock_error_us: u32::MAX, corrections: u16::MAX, position };
    MoveWithPayload { update, payload }
}

fn started() -> Started {
    Started {
        match_id: 7,
        player: 1,
        velocity: 5.0,
        tick_rate_hz: 60,
        positions: game::START,
        started_us: 1 << 40,
        opponent_name: "Ada".into(),
        opponent_transport: "quic-datagram".into(),
        resume_ticket: Some(resume_ticket()),
    }
}

fn token() -> SeatToken {
    SeatToken::new(*b"0123456789abcdef")
}

fn resume_ticket() -> ResumeTicket {
    ResumeTicket { token: token(), grace_ms: 15_000 }
}

fn resumed() -> Resumed {
    Resumed {
        match_id: 7,
        player: 1,
        positions: game::START,
        seq: 300,
        corrections: 2,
        opponent_transport: "tls".into(),
        resume_ticket: resume_ticket(),
    }
}

fn client_messages() -> Vec<(ClientMessage<'static>, &'static str)> {
    vec![
        (ClientMessage::Hello { version: 1 }, "0001"),
        (ClientMessage::Join { name: "Ada".into(), code: None }, "010341646100"),
        (ClientMessage::Join { name: "é".into(), code: Some("x1".into()) }, "0102c3a901027831"),
        (ClientMessage::Leave, "02"),
        (ClientMessage::Move(a_move().into()), "0307fb2c01fc404b4c00fa010000c03f0000004000"),
        (
            ClientMessage::Move(MoveWithPayload { update: a_move(), payload: b"hi!" }),
            "0307fb2c01fc404b4c00fa010000c03f0000004003686921",
        ),
        (ClientMessage::Ping { sent_us: 251 }, "04fbfb00"),
        (
            ClientMessage::Resume { match_id: 7, token: token(), attempt: 300 },
            "050730313233343536373839616263646566fb2c01",
        ),
    ]
}

fn server_messages() -> Vec<(ServerMessage<'static>, &'static str)> {
    let pong = Pong { ping_sent_us: 1, received_us: 70_000, sent_us: 70_002 };
    let correction =
        Correction { match_id: 7, corrections: 2, seq: 9, position: Position { x: 0.5, y: 550.0 } };
    vec![
        (ServerMessage::Welcome { version: 1, clock: 2, payload_max_bytes: 1_024 }, "000102fb0004"),
        (ServerMessage::Waiting, "01"),
        (
            ServerMessage::Started(started()),
            "0207010000a0403c00000000000000000000000000800944fd000000000001000003416461\
             0d717569632d646174616772616d0130313233343536373839616263646566fb983a",
        ),
        (
            ServerMessage::Started(Started { resume_ticket: None, ..started() }),
            "0207010000a0403c00000000000000000000000000800944fd000000000001000003416461\
             0d717569632d646174616772616d00",
        ),
        (
            ServerMessage::Moved(MoveWithPayload { update: a_move(), payload: &[0, 255] }),
            "0307fb2c01fc404b4c00fa010000c03f000000400200ff",
        ),
        (
            ServerMessage::MovedBoth([
                MoveWithPayload { update: a_move(), payload: b"ok" },
                MoveWithPayload::default(),
            ]),
            "0407fb2c01fc404b4c00fa010000c03f00000040026f6b0000000000000000000000000000",
        ),
        (ServerMessage::Corrected(correction), "050702090000003f00800944"),
        (
            ServerMessage::OpponentLeft {
                match_id: 7,
                reason: LeaveReason::TimedOut,
                positions: game::START,
            },
            "06070200000000000000000000000000800944",
        ),
        (ServerMessage::Pong(pong), "0701fc70110100fc72110100"),
        (ServerMessage::Draining { seconds: 10 }, "080a"),
        (
            ServerMessage::Resumed(resumed()),
            "09070100000000000000000000000000800944fb2c010203746c7330313233343536373839616263646566fb983a",
        ),
        (ServerMessage::OpponentReconnecting { match_id: 7, grace_ms: 15_000 }, "0a07fb983a"),
        (ServerMessage::OpponentBack { match_id: 7, opponent_transport: "udp".into() }, "0b0703756470"),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check<M>(messages: Vec<(M, &'static str)>)
where
    M: Message
        + PartialEq
        + std::fmt::Debug
        + BorrowDecode<'static, ()>
        + wincode::SchemaWrite<Oracle, Src = M>
        + wincode::SchemaRead<'static, Oracle, Dst = M>,
{
    for (message, golden) in messages {
        // The buffer is leaked, so that the decoded message has the type of the message it is
        // compared with.
        let bytes = encode(&message, Box::leak(Box::new([0; MAX_MESSAGE_BYTES]))).expect("encodes");
        assert_eq!(
            hex(bytes),
            golden,
            "{message:?}: the bytes on the wire changed; raise VERSION if that is meant"
        );
        assert_eq!(decode::<M>(bytes).as_ref(), Ok(&message));
        assert_eq!(wincode::config::serialize(&message, ORACLE).expect("serialises"), bytes, "{message:?}");
        assert_eq!(wincode::config::deserialize::<M, _>(bytes, ORACLE).expect("deserialises"), message);

        for cut in 0..bytes.len() {
            assert!(decode::<M>(&bytes[..cut]).is_err(), "{message:?} cut to {cut} bytes");
        }
        let longer = [bytes, &[0]].concat().leak();
        assert_eq!(decode::<M>(longer), Err(CodecError::TrailingBytes(1)));
    }
}

type Oracle = wincode::config::Configuration<
    true,
    { wincode::config::DEFAULT_PREALLOCATION_SIZE_LIMIT },
    wincode::len::BincodeLen,
    wincode::int_encoding::LittleEndian,
    wincode::int_encoding::VarInt,
>;
const ORACLE: Oracle = wincode::config::Configuration::default().with_varint_encoding();

#[test]
fn client_messages_have_golden_bytes() {
    check(client_messages());
}

#[test]
fn server_messages_have_golden_bytes() {
    check(server_messages());
}

/// Encodes `message`, whatever it holds, and returns the outcome of decoding it.
fn client_decodes(message: &ClientMessage<'_>) -> Result<(), CodecError> {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    decode::<ClientMessage>(encode(message, &mut buffer).expect("encodes")).map(drop)
}

/// Encodes `message`, whatever it holds, and returns the outcome of decoding it.
fn server_decodes(message: &ServerMessage<'_>) -> Result<(), CodecError> {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    decode::<ServerMessage>(encode(message, &mut buffer).expect("encodes")).map(drop)
}

/// Texts that decode, and texts that are refused, each with the end of the error.
fn texts(longest: usize) -> (Vec<String>, Vec<(String, &'static str)>) {
    let unseen = "cannot be shown";
    let good = ["Ada", " a b ", "Zoë", "张伟", "<b>|`@", "no \\u{202e}"].map(str::to_owned);
    let bad = [
        ("\u{1b}[2J", unseen),
        ("a\nb", unseen),
        ("\u{9b}x", unseen),
        ("a\u{202e}b", unseen),
        ("a\u{2028}b", unseen),
        ("a\u{200b}b", unseen),
        ("e\u{301}\u{301}\u{301}\u{301}\u{301}", unseen),
    ];
    let mut bad: Vec<_> = bad.map(|(text, why)| (text.to_owned(), why)).into();
    bad.push(("x".repeat(longest + 1), "exceeds 32 bytes"));
    (good.into_iter().chain(["x".repeat(longest)]).collect(), bad)
}

fn is_bad(outcome: Result<(), CodecError>, why: &str) -> bool {
    matches!(&outcome, Err(CodecError::BadValue(said)) if said.ends_with(why))
}

#[test]
fn texts_of_clients_are_checked() {
    let join = |name: &str, code: Option<&str>| {
        client_decodes(&ClientMessage::Join { name: name.into(), code: code.map(str::to_owned) })
    };
    let (good, bad) = texts(MAX_NAME_BYTES);
    for text in good {
        assert_eq!(join(&text, None), Ok(()), "{text:?}");
        assert_eq!(join("Ada", Some(&text)), Ok(()), "{text:?}");
    }
    for (text, why) in bad {
        assert!(is_bad(join(&text, None), why), "{text:?}");
        assert!(is_bad(join("Ada", Some(&text)), why), "{text:?}");
    }
    for empty in ["", " ", "   "] {
        assert!(is_bad(join(empty, None), "the name is empty"), "{empty:?}");
    }
    assert_eq!(join("Ada", Some("")), Ok(()));
}

#[test]
fn texts_of_servers_are_checked() {
    let starts = |opponent_name: &str, opponent_transport: &str| {
        let (opponent_name, opponent_transport) = (opponent_name.into(), opponent_transport.into());
        server_decodes(&ServerMessage::Started(Started { opponent_name, opponent_transport, ..started() }))
    };
    let resumes = |transport: &str| {
        let opponent_transport = transport.into();
        server_decodes(&ServerMessage::Resumed(Resumed { opponent_transport, ..resumed() }))
    };
    let back = |transport: &str| {
        server_decodes(&ServerMessage::OpponentBack { match_id: 7, opponent_transport: transport.into() })
    };
    let (good, bad) = texts(MAX_TRANSPORT_BYTES);
    for text in good {
        let outcomes = [starts(&text, "tcp"), starts("Ada", &text), resumes(&text), back(&text)];
        assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Ok(())], "{text:?}");
    }
    for (text, why) in bad {
        for outcome in [starts(&text, "tcp"), starts("Ada", &text), resumes(&text), back(&text)] {
            assert!(is_bad(outcome.clone(), why), "{text:?}: {outcome:?}");
        }
    }
    assert!(is_bad(starts(" ", "tcp"), "the name is empty"));
}

#[test]
fn positions_lie_within_the_arena() {
    let good = Position { x: 0.0, y: 550.0 };
    let moved = |position| MoveWithPayload::from(Move { position, ..a_move() });
    let messages = |position: Position, other: Position| {
        let positions = [position, other];
        let (match_id, corrections, seq, reason) = (7, 1, 9, LeaveReason::Left);
        [
            ServerMessage::Started(Started { positions, ..started() }),
            ServerMessage::Moved(moved(position)),
            ServerMessage::MovedBoth([moved(position), moved(other)]),
            ServerMessage::Corrected(Correction { match_id, corrections, seq, position }),
            ServerMessage::OpponentLeft { match_id, reason, positions },
            ServerMessage::Resumed(Resumed { positions, ..resumed() }),
        ]
    };
    for message in messages(good, good) {
        assert_eq!(server_decodes(&message), Ok(()), "{message:?}");
    }
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.01, 550.1, 1e30] {
        for bad in [Position { x: number, y: 0.0 }, Position { x: 0.0, y: number }] {
            for message in messages(bad, good) {
                assert!(is_bad(server_decodes(&message), "outside the arena"), "{message:?}");
            }
            for message in messages(good, bad)
                .into_iter()
                .filter(|message| !matches!(message, ServerMessage::Moved(_) | ServerMessage::Corrected(_)))
            {
                assert!(is_bad(server_decodes(&message), "outside the arena"), "{message:?}");
            }
            // The server itself corrects a client that goes too far.
            let outcome = client_decodes(&ClientMessage::Move(moved(bad)));
            assert_eq!(outcome.is_ok(), number.is_finite(), "{number}");
            assert!(number.is_finite() || is_bad(outcome, "not a number"));
        }
    }
}

#[test]
fn numbers_of_servers_are_checked() {
    for velocity in [f32::NAN, f32::INFINITY] {
        let message = ServerMessage::Started(Started { velocity, ..started() });
        assert!(is_bad(server_decodes(&message), "not a number"));
    }
    for (player, is_good) in [(0, true), (1, true), (2, false), (u8::MAX, false)] {
        let starts = server_decodes(&ServerMessage::Started(Started { player, ..started() }));
        let resumes = server_decodes(&ServerMessage::Resumed(Resumed { player, ..resumed() }));
        for outcome in [starts, resumes] {
            assert!(if is_good { outcome.is_ok() } else { is_bad(outcome, "neither 0 nor 1") }, "{player}");
        }
    }
    let resumes = |seq| server_decodes(&ServerMessage::Resumed(Resumed { seq, ..resumed() }));
    assert_eq!(resumes(u32::MAX - 1), Ok(()));
    assert!(is_bad(resumes(u32::MAX), "no move numbers left"));
}

#[test]
fn lengths_are_checked_before_memory() {
    let endless = ClientMessage::Join { name: "x".repeat(MAX_MESSAGE_BYTES), code: None };
    let outcome = encode(&endless, &mut [0; MAX_MESSAGE_BYTES]).map(drop);
    assert!(is_bad(outcome, "longer than 1,120 bytes"));
    let false_length = [1, 253, 255, 255, 255, 255, 255, 255, 255, 127];
    assert!(matches!(decode::<ClientMessage>(&false_length), Err(CodecError::Malformed(_))));
    assert!(matches!(decode::<ClientMessage>(&[]), Err(CodecError::Malformed(_))));
    assert!(matches!(decode::<ClientMessage>(&[99]), Err(CodecError::Malformed(_))));
}

#[test]
fn bounds_payloads() {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let payload = [7; PAYLOAD_MAX_BYTES + 1];
    let one = |size: usize| ServerMessage::Moved(longest(&payload[..size]));
    let both = |size: usize| ServerMessage::MovedBoth([longest(&payload[..size]); 2]);
    let of_both = PAYLOAD_MAX_BYTES_OF_BOTH;
    for (message, size) in [(one(PAYLOAD_MAX_BYTES), 1_067), (both(of_both), 1_109)] {
        let bytes = encode(&message, &mut buffer).expect("encodes");
        assert_eq!(bytes.len(), size);
        assert_eq!(decode::<ServerMessage>(bytes), Ok(message));
    }
    let over = MoveWithPayload { update: a_move(), payload: &payload };
    let over_both = MoveWithPayload { update: a_move(), payload: &payload[..of_both + 1] };
    for message in [
        ServerMessage::Moved(over),
        ServerMessage::MovedBoth([over_both, MoveWithPayload::default()]),
        ServerMessage::MovedBoth([MoveWithPayload::default(), over_both]),
    ] {
        let outcome = server_decodes(&message);
        assert!(
            matches!(outcome, Err(CodecError::BadValue(said)) if said.contains("payload")),
            "{message:?}"
        );
    }
    let outcome = client_decodes(&ClientMessage::Move(over));
    assert!(matches!(outcome, Err(CodecError::BadValue(said)) if said.contains("payload")));
}

/// Flips each bit of each message: the result fails to decode, or decodes to another message.
#[test]
fn bit_flips_change_the_message() {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    for (message, _) in client_messages() {
        let bytes = encode(&message, &mut buffer).expect("encodes").to_vec();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = decode::<ClientMessage>(&flipped) {
                assert_ne!(other, message);
            }
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1_300)) {
        let _ = decode::<ClientMessage>(&bytes);
        if let Ok(message) = decode::<ServerMessage>(&bytes) {
            prop_assert!(message.validate().is_ok());
        }
    }

    /// Tries claimed and real payload lengths: decoding succeeds only where both are the same.
    #[test]
    fn payload_length_must_be_true(
        claimed in prop_oneof![0u64..2_000, any::<u64>()],
        follows in prop_oneof![0usize..2_000, Just(PAYLOAD_MAX_BYTES), Just(PAYLOAD_MAX_BYTES + 1)],
        honest: bool,
    ) {
        let claimed = if honest { follows as u64 } else { claimed };
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let mut bytes = encode(&ClientMessage::Move(a_move().into()), &mut buffer).expect("encodes").to_vec();
        prop_assert_eq!(bytes.pop(), Some(0), "the length of no payload");
        bytes.extend(bincode::encode_to_vec(claimed, CONFIG).expect("encodes"));
        bytes.resize(bytes.len() + follows, 7);
        match decode::<ClientMessage>(&bytes) {
            Ok(ClientMessage::Move(MoveWithPayload { update, payload })) => {
                prop_assert_eq!((update, payload), (a_move(), &vec![7; follows][..]));
                prop_assert!(claimed == follows as u64 && follows <= PAYLOAD_MAX_BYTES);
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(error) => prop_assert!(claimed != follows as u64 || follows > PAYLOAD_MAX_BYTES, "{error}"),
        }
    }

    #[test]
    fn moves_agree_with_wincode(
        match_id: u64, seq: u32, at_us: u64, clock_error_us: u32, corrections: u16,
        x in 0f32..=550.0, y in 0f32..=550.0,
        payload in prop::collection::vec(any::<u8>(), 0..PAYLOAD_MAX_BYTES),
    ) {
        let position = Position { x, y };
        let update = Move { match_id, seq, at_us, clock_error_us, corrections, position };
        let sent = MoveWithPayload { update, payload: &payload };
        let message = ServerMessage::Moved(sent);
        let (mut buffer, mut client_buffer) = ([0; MAX_MESSAGE_BYTES], [0; MAX_MESSAGE_BYTES]);
        let bytes = encode(&message, &mut buffer).expect("encodes");
        // The equality that lets a server pass on the bytes it received.
        prop_assert_eq!(encode(&ClientMessage::Move(sent), &mut client_buffer).expect("encodes"), bytes);
        prop_assert_eq!(decode::<ServerMessage>(bytes), Ok(message.clone()));
        prop_assert_eq!(wincode::config::serialize(&message, ORACLE).expect("serialises"), bytes);
    }
}
