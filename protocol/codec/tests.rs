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
        position: Position { x: 1.5, y: -2.0 },
    }
}

/// Returns the longest move, with this payload.
fn longest(payload: &[u8]) -> MoveWithPayload<'_> {
    let position = Position { x: 1.5, y: -2.0 };
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
        positions: crate::game::START,
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
        positions: crate::game::START,
        seq: 300,
        at_us: 5_000_000,
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
        (ClientMessage::Move(a_move().into()), "0307fb2c01fc404b4c00fa010000c03f000000c000"),
        (
            ClientMessage::Move(MoveWithPayload { update: a_move(), payload: b"hi!" }),
            "0307fb2c01fc404b4c00fa010000c03f000000c003686921",
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
            "0307fb2c01fc404b4c00fa010000c03f000000c00200ff",
        ),
        (
            ServerMessage::MovedBoth([
                MoveWithPayload { update: a_move(), payload: b"ok" },
                MoveWithPayload::default(),
            ]),
            "0407fb2c01fc404b4c00fa010000c03f000000c0026f6b0000000000000000000000000000",
        ),
        (ServerMessage::Corrected(correction), "050702090000003f00800944"),
        (
            ServerMessage::OpponentLeft {
                match_id: 7,
                reason: LeaveReason::TimedOut,
                positions: crate::game::START,
            },
            "06070200000000000000000000000000800944",
        ),
        (ServerMessage::Pong(pong), "0701fc70110100fc72110100"),
        (ServerMessage::Draining { seconds: 10 }, "080a"),
        (
            ServerMessage::Resumed(resumed()),
            "09070100000000000000000000000000800944fb2c01fc404b4c000203746c7330313233343536373839616263646566fb983a",
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

#[test]
fn refuses_bad_values() {
    let bad = |message: &ClientMessage<'_>| {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        decode::<ClientMessage>(encode(message, &mut buffer).expect("encodes")).map(drop)
    };
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let position = Position { x: 0.0, y: number };
        let message = ClientMessage::Move(Move { position, ..a_move() }.into());
        assert!(matches!(bad(&message), Err(CodecError::BadValue(_))));
    }
    let name = ClientMessage::Join { name: "x".repeat(MAX_NAME_BYTES + 1), code: None };
    assert!(matches!(bad(&name), Err(CodecError::BadValue(_))));
    let code = ClientMessage::Join { name: String::new(), code: Some("x".repeat(MAX_CODE_BYTES + 1)) };
    assert!(matches!(bad(&code), Err(CodecError::BadValue(_))));
    for name in ["\u{1b}[2J", "a\nb", "\u{9b}x"] {
        assert!(matches!(
            bad(&ClientMessage::Join { name: name.into(), code: None }),
            Err(CodecError::BadValue(_))
        ));
    }
    let beyond = Resumed { player: 2, ..resumed() };
    let nowhere = Resumed { positions: [Position { x: f32::NAN, y: 0.0 }; 2], ..resumed() };
    let long = "x".repeat(MAX_TRANSPORT_BYTES + 1);
    let unknown = Resumed { opponent_transport: long.clone(), ..resumed() };
    for message in [
        ServerMessage::Resumed(beyond),
        ServerMessage::Resumed(nowhere),
        ServerMessage::Resumed(unknown),
        ServerMessage::OpponentBack { match_id: 7, opponent_transport: long },
    ] {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = encode(&message, &mut buffer).expect("encodes");
        assert!(matches!(decode::<ServerMessage>(bytes), Err(CodecError::BadValue(_))), "{message:?}");
    }
    let endless = ClientMessage::Join { name: "x".repeat(MAX_MESSAGE_BYTES), code: None };
    assert!(encode(&endless, &mut [0; MAX_MESSAGE_BYTES]).is_err());
    // A false length is refused before memory is allocated.
    assert!(decode::<ClientMessage>(&[1, 253, 255, 255, 255, 255, 255, 255, 255, 127]).is_err());
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
    for message in [one(PAYLOAD_MAX_BYTES + 1), both(of_both + 1)] {
        let bytes = encode(&message, &mut buffer).expect("encodes");
        assert!(decode::<ServerMessage>(bytes).is_err());
    }
    let message = ClientMessage::Move(longest(&payload));
    let bytes = encode(&message, &mut buffer).expect("encodes");
    assert!(matches!(decode::<ClientMessage>(bytes), Err(CodecError::BadValue(_))));
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
        x in -1e6f32..1e6, y in -1e6f32..1e6,
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
