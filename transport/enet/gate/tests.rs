//! Tests of the gate: what our two ends send passes, and nothing else does.

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;

use super::{
    super::{
        crafted::{acknowledge, connect, ping, reliable, sealed, timed, untimed, update, verify_connect},
        fuzzing::{Bench, receive},
    },
    *,
};

const ID: ConnectId = *b"test";

/// Returns a server's gate and its host, connected.
fn server() -> Bench {
    let mut bench = Bench::new(Role::Server);
    bench.complete(Role::Server);
    bench
}

/// Returns the judgement on these commands of a fresh connection.
fn judged(commands: &[u8]) -> Result<Verdict, FrameError> {
    Gate::new(Role::Server, ID).judge(&timed(commands, ID))
}

/// Returns the connected pair of a client and a server.
fn pair() -> [Bench; 2] {
    let client = Bench::connect();
    let connect = client.sent.0.borrow_mut().remove(0);
    let server = Bench::accept(&connect[crate::io::cookie::HEADER_BYTES..]);
    let mut pair = [client, server];
    pair[1].sent.0.borrow_mut().clear(); // A lost answer is sent again.
    while pair.iter_mut().any(|bench| bench.host.peer().state() != rusty_enet::PeerState::Connected) {
        exchange(&mut pair, |_| true, &mut |_, _, _| {});
    }
    pair
}

/// Carries everything that both sides sent, if `arrives` says so, and lets a millisecond pass.
fn exchange(
    pair: &mut [Bench; 2],
    mut arrives: impl FnMut(usize) -> bool,
    on_message: &mut dyn FnMut(usize, u8, &[u8]),
) {
    for side in 0..2 {
        let sent = std::mem::take(&mut *pair[side].sent.0.borrow_mut());
        for datagram in sent {
            if arrives(side) {
                let sound = pair[1 - side].feed(datagram.clone().into(), &mut |channel, message| {
                    on_message(1 - side, channel, message);
                });
                assert!(sound, "our own end sends {datagram:02x?}");
            }
        }
        pair[side].pass(Duration::from_millis(1));
        pair[side].settle(&mut |channel, message| on_message(side, channel, message));
    }
}

#[test]
fn own_ends_pass_despite_losses() {
    const MESSAGES: u32 = 2_000;
    let mut pair = pair();
    let (mut noise, mut next) = (1u32, [0u32; 2]);
    for number in 0..MESSAGES {
        for bench in &mut pair {
            bench.send_control(&number.to_be_bytes());
            bench.send_state(b"update");
        }
        let mut check = |side: usize, channel: u8, message: &[u8]| {
            if channel == CONTROL_CHANNEL {
                assert_eq!(message, next[side].to_be_bytes());
                next[side] += 1;
            }
        };
        let mut arrives = |_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise >> 24 > 50
        };
        exchange(&mut pair, &mut arrives, &mut check);
    }
    while next != [MESSAGES; 2] {
        let mut check =
            |side: usize, channel: u8, _: &[u8]| next[side] += u32::from(channel == CONTROL_CHANNEL);
        exchange(&mut pair, |_| true, &mut check);
    }
}

#[test]
fn updates_pass_as_their_numbers_restart() {
    const UPDATES: u32 = 140_000; // Two restarts.
    const LOST: std::ops::Range<u32> = 65_500..65_600;
    let mut pair = pair();
    let mut arrived = 0;
    for number in 0..UPDATES {
        pair[0].send_state(&number.to_be_bytes());
        let mut newest = |_: usize, channel: u8, message: &[u8]| {
            assert_eq!(channel, STATE_CHANNEL);
            arrived += u32::from(message == number.to_be_bytes());
        };
        // The reliable one in between is lost at first, as all around it are.
        exchange(&mut pair, |side| side == 1 || !LOST.contains(&number), &mut newest);
    }
    // Updates behind the lost one wait for it to be sent again, which takes some ms.
    let missing = UPDATES - arrived;
    assert!(missing < 2 * LOST.len() as u32, "{missing} are missing");
}

#[test]
fn connects_of_our_clients_pass() {
    assert_eq!(connect_id(&connect(ID, 3)), Some(ID));
    assert_eq!(connect_id(&connect(ID, 2)), Some(ID), "the C library's, with the two lanes");
    for channels in [0, 4, 255] {
        assert_eq!(connect_id(&connect(ID, channels)), None);
    }
    let sound = connect(ID, 3);
    let (header, command) = sound.split_at(8);
    for place in 0..command.len() {
        let mut changed = command.to_vec();
        changed[place] ^= 0x80;
        let read = connect_id(&sealed(&header[..4], &changed, ConnectId::default()));
        // The random number is free.
        assert_eq!(read.is_some(), (40..44).contains(&place), "byte {place}");
        assert_eq!(connect_id(&sound[..8 + place]), None, "cut at {place}");
        let mut corrupt = sound.clone();
        corrupt[8 + place] ^= 1;
        assert_eq!(connect_id(&corrupt), None, "the checksum is wrong");
    }
}

#[test]
fn client_takes_only_the_exact_verify() {
    let judge = |datagram: &[u8]| Gate::new(Role::Client, ID).judge(datagram);
    let sound = verify_connect(ID);
    assert_eq!(judge(&sound), Ok(Verdict::Good(1)));
    for place in 8..sound.len() {
        let mut command = sound[8..].to_vec();
        command[place - 8] ^= 1;
        let changed = judge(&timed(&command, ID));
        assert!(matches!(changed, Err(FrameError::Misplaced(_))), "byte {place}: {changed:?}");
    }
    assert!(Gate::new(Role::Server, ID).judge(&sound).is_err(), "a server verifies itself");
    assert!(judged(&connect(ID, 3)[8..]).is_err(), "a second connect");
}

#[test]
fn forged_datagrams_change_nothing() {
    let mut gate = Gate::new(Role::Server, ID);
    let sound = timed(&reliable(0, 1, b"message"), ID);
    for place in 0..sound.len() {
        let mut forged = sound.clone();
        forged[place] ^= 1;
        assert_eq!(gate.judge(&forged), Ok(Verdict::Forged), "byte {place}");
        assert_eq!(gate.judge(&sound[..place]), Ok(Verdict::Forged), "cut at {place}");
    }
    let other = timed(&[0xff; 40], *b"none");
    assert_eq!(gate.judge(&other), Ok(Verdict::Forged), "an offence of nobody");
    assert_eq!(gate.judge(&sound), Ok(Verdict::Good(1)));
}

#[test]
fn offences_end_the_connection() {
    let fragment = |kind: u8| {
        let numbers: Vec<u8> = [2u32, 0, 1_068, 0].into_iter().flat_map(u32::to_be_bytes).collect();
        [&[kind, 1, 0, 1, 0, 1, 0, 4], &numbers[..], b"head"].concat()
    };
    let offences: [(&str, Vec<u8>); 17] = [
        ("no command", vec![]),
        ("a fragment", fragment(0x88)),
        ("an unreliable fragment", fragment(12)),
        ("an unsequenced message", vec![0x49, 1, 0, 0, 0, 1, 0, 0]),
        ("a throttle", [&[0x8b, 0xff, 0, 1][..], &[0; 12]].concat()),
        ("a bandwidth", [&[0x8a, 0xff, 0, 1][..], &[0, 0, 0, 1], &[0; 4]].concat()),
        ("no such command", vec![0x8d, 0xff, 0, 1]),
        ("an acknowledgement that asks for one", [&[0x81][..], &acknowledge(0, 1)[1..]].concat()),
        ("a ping that asks for nothing", [&[5][..], &ping(1)[1..]].concat()),
        ("a ping on a channel", [&[0x85, 0][..], &ping(1)[2..]].concat()),
        ("an unreliable control message", [&[7, 0][..], &update(0, 1, b"")[2..]].concat()),
        ("a fourth channel", reliable(3, 1, b"")),
        ("a message that is cut", reliable(0, 1, b"message")[..10].to_vec()),
        ("a byte behind the commands", [&ping(1)[..], &[0]].concat()),
        ("a disconnect among others", [&ping(1)[..], &[0x84, 0xff, 0, 2, 0, 0, 0, 1]].concat()),
        ("a control message over the limit", reliable(0, 1, &[0; MAX_CONTROL_BYTES + 1])),
        ("an update over the limit", update(0, 1, &[0; MAX_STATE_BYTES + 1])),
    ];
    for (what, commands) in offences {
        let judgement = judged(&commands);
        assert!(judgement.is_err(), "{what}: {judgement:?}");
    }
    let untimed = Gate::new(Role::Server, ID).judge(&untimed(&ping(1), ID));
    assert!(untimed.is_err(), "ENet cannot acknowledge it");
}

#[test]
fn commands_of_a_datagram_are_bounded() {
    let pings = |count: usize| judged(&ping(1).repeat(count));
    assert_eq!(pings(32), Ok(Verdict::Good(32)));
    assert!(pings(33).is_err());
}

#[test]
fn messages_far_ahead_count_as_lost() {
    let ahead = CONTROL_AHEAD_MAX;
    assert_eq!(judged(&reliable(0, ahead, b"")), Ok(Verdict::Good(1)));
    assert_eq!(judged(&reliable(0, ahead + 1, b"")), Ok(Verdict::Early(1)));
    assert_eq!(judged(&reliable(0, 0, b"")), Ok(Verdict::Good(1)), "an old one is acknowledged again");
    assert_eq!(judged(&reliable(0, 0x8001, b"")), Ok(Verdict::Good(1)), "an old one");
    assert_eq!(judged(&reliable(1, STATE_AHEAD_MAX, b"")), Ok(Verdict::Good(1)));
    assert_eq!(judged(&reliable(1, STATE_AHEAD_MAX + 1, b"")), Ok(Verdict::Early(1)));
    assert_eq!(judged(&reliable(2, 2, b"")), Ok(Verdict::Early(1)));
    assert_eq!(judged(&update(0, 9, b"")), Ok(Verdict::Good(1)));
    assert_eq!(judged(&update(1, 1, b"")), Ok(Verdict::Early(1)), "ENet would keep it");
    let both = [reliable(1, 1, b""), update(1, 1, b"")].concat();
    assert_eq!(judged(&both), Ok(Verdict::Early(2)), "ENet sends them apart");
}

/// ENet's own bound is on payload bytes, and refuses a message that the gate let pass.
#[test]
fn gate_never_runs_ahead_of_enet() {
    let mut bench = server();
    let mut messages = 0;
    // Messages behind a missing one fill what ENet keeps.
    for number in 2..=CONTROL_AHEAD_MAX {
        let datagram = timed(&reliable(0, number, &[7; MAX_CONTROL_BYTES]), ID);
        assert!(bench.feed(datagram.into(), &mut |_, _| messages += 1));
    }
    assert_eq!(messages, 0);
    // The state channel's message finds no room, so the next one is not due.
    let update = timed(&reliable(1, 1, b"update"), ID);
    assert!(bench.feed(update.into(), &mut |_, _| messages += 1));
    assert_eq!(messages, 0);
    // So the numbers ahead of it stay as few as they were.
    let ahead = timed(&reliable(1, STATE_AHEAD_MAX + 1, b"ahead"), ID);
    assert_eq!(bench.host.feed(ahead.into()), Ok(1));
    assert!(!bench.host.is_fed(), "it would wait in ENet");
}

/// A sender whose remote stalls sends several updates with a reliable number again, and together.
#[test]
fn reliable_updates_are_counted_exactly() {
    let mut bench = server();
    let mut came = Vec::new();
    for commands in [
        reliable(1, 3, b"third"),
        [reliable(1, 1, b"first"), reliable(1, 2, b"second")].concat(),
        [reliable(1, 3, b"third"), update(3, 1, b"update")].concat(),
        reliable(1, 4, b"fourth"),
    ] {
        assert!(bench.feed(timed(&commands, ID).into(), &mut |_, message| came.push(message.to_vec())));
    }
    assert_eq!(came, [&b"first"[..], b"second", b"third", b"update", b"fourth"]);
    let due = timed(&reliable(1, 4 + STATE_AHEAD_MAX, b""), ID);
    assert_eq!(bench.host.feed(due.into()), Ok(1));
    assert!(bench.host.is_fed(), "four were delivered");
}

#[test]
fn overlapping_fragments_bring_nothing() {
    let mut bench = server();
    let head = b"the head of a move";
    let fragment = |number: u32| {
        let numbers: Vec<u8> = [2, number, 1_068, 0].into_iter().flat_map(u32::to_be_bytes).collect();
        [&[0x88, 1, 0, 1 + number as u8, 0, 1, 0, head.len() as u8], &numbers[..], head].concat()
    };
    let datagram = timed(&[fragment(0), fragment(1)].concat(), bench.connect_id);
    let sound = bench.feed(datagram.into(), &mut |_, message| panic!("{message:02x?} was delivered"));
    assert!(!sound);
}

#[test]
fn control_in_flight_is_bounded() {
    let [mut client, _server] = pair();
    client.sent.0.borrow_mut().clear();
    for _ in 0..1_000 {
        client.send_control(b"");
    }
    let in_flight: usize = client.sent.0.borrow().iter().map(|datagram| datagram.len() / 6).sum();
    assert!(in_flight <= usize::from(CONTROL_AHEAD_MAX), "{in_flight}");
}

/// Returns commands with numbers near those that are due.
fn any_command() -> impl Strategy<Value = Vec<u8>> {
    let payload = || proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        (0..3u8, 0..400u16).prop_map(|(channel, number)| acknowledge(channel, number)),
        any::<u16>().prop_map(ping),
        (0..3u8, 0..400u16, payload()).prop_map(|(channel, number, body)| reliable(channel, number, &body)),
        (0..4u16, any::<u16>(), payload()).prop_map(|(due, number, body)| update(due, number, &body)),
        payload(),
    ]
}

proptest! {
    /// Control messages come out in order and each once, and all that comes out went in.
    #[test]
    fn delivers_what_went_in(
        datagrams in proptest::collection::vec(proptest::collection::vec(any_command(), 0..8), 0..60)
    ) {
        let mut bench = server();
        let mut fed = VecDeque::new();
        for commands in datagrams {
            let datagram = timed(&commands.concat(), ID);
            fed.push_front(datagram.clone());
            bench.feed(datagram.into(), &mut |_, message| {
                let sent = fed.iter().any(|it| it.windows(message.len().max(1)).any(|it| it == message));
                assert!(sent || message.is_empty(), "{message:02x?}");
            });
        }
    }

    #[test]
    fn any_steps_hold(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        receive(&input);
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200), timed in any::<bool>()) {
        let header: &[u8] = if timed { &[0x80, 0, 0, 0] } else { &[0, 0] };
        let mut gate = Gate::new(Role::Client, ID);
        prop_assert_eq!(gate.judge(&bytes), Ok(Verdict::Forged));
        let _ = gate.judge(&sealed(header, &bytes, ID));
        let _ = connect_id(&bytes);
    }
}
