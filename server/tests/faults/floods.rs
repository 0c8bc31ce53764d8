//! Faults 14 and 19: more than the server may hold or has to look at.

use std::time::Duration;

use netduel_protocol::{ClientMessage, Move, MoveWithPayload, ServerMessage, decode, game::Position};
use netduel_testkit::{DatagramProxy, Impairment};
use netduel_transport::{Close, TransportKind};
use tokio::time::timeout;

use super::{
    quic,
    raw::{CONTROL, Quic, Raw, frame},
    streams,
    world::{PATIENCE, World, bytes, hello, join, told},
};

/// It asks and never listens: its answers are bounded, and then it is cut.
pub(crate) async fn a_reader_that_stops(world: &World) {
    if !streams(world.kind) {
        return a_mover_that_stops(world).await;
    }
    /// As many answers as would be 50 MB.
    const PINGS_MAX: usize = 2_000_000;
    /// Fewer than the server deals with at once, or they would all find room in its socket.
    const BATCH: usize = 5;
    let ping = bytes(&ClientMessage::Ping { sent_us: u64::MAX });
    let mut bad = Raw::open(world).await;
    for message in [hello(), join("deaf")] {
        bad.write(&frame(CONTROL, &message)).await.expect("open");
    }
    let flood = async {
        for _ in 0..PINGS_MAX / BATCH {
            if bad.write(&frame(CONTROL, &ping).repeat(BATCH)).await.is_err() {
                return; // The server has closed the connection.
            }
            tokio::task::yield_now().await;
        }
    };
    let stalled = |world: &World| world.observer.snapshot().expelled_stalled > 0;
    world.attack_until("the deaf client is expelled", stalled, flood).await;
    world.counted("stalled", 1, |it| it.expelled_stalled).await;
    // A stream that is full of answers has no room for a goodbye, either.
    if !matches!(bad, Raw::Stream(_)) {
        assert_eq!(bad.goodbye().await.code, Close::CONTROL_LANE_FULL);
    }
}

/// The same of a client of ours, whose own control lane ends with what nobody acknowledges: it asks to be corrected.
async fn a_mover_that_stops(world: &World) {
    let mut players = [world.connect().await, world.connect().await];
    let mut game = 0;
    for player in &players {
        for message in [hello(), join("deaf")] {
            player.sender.send_control(&message).expect("open");
        }
    }
    while game == 0 {
        let (_, message) =
            timeout(PATIENCE, players[0].receiver.recv()).await.expect("in time").expect("open");
        if let Ok(ServerMessage::Started(started)) = decode(&message) {
            game = started.game;
        }
    }
    let [mut bad, _other] = players;
    let stalled = |world: &World| world.observer.snapshot().expelled_stalled > 0;
    let nowhere = Position { x: -1.0, y: -1.0 };
    for said in 0.. {
        if stalled(world) {
            break;
        }
        let (seq, corrections) = (u32::from(said) + 1, said);
        let update = Move { game, seq, corrections, position: nowhere, ..Move::default() };
        let told = ClientMessage::Move(MoveWithPayload { update, payload: &[] });
        let _ = bad.sender.send_state(&bytes(&told)); // Refused once the server has hung up.
        let corrected = |world: &World| world.observer.snapshot().moves_illegal > said.into();
        world.until("it is corrected", |world| corrected(world) || stalled(world)).await;
    }
    world.counted("stalled", 1, |it| it.expelled_stalled).await;
    assert_eq!(told(&mut bad).await.code, Close::CONTROL_LANE_FULL);
}

/// The stream limits hold, and who takes back what it opened at line rate is expelled.
pub(crate) async fn streams_opened_and_reset(world: &World) {
    /// Enough on any machine.
    const STREAMS: usize = 100_000;
    /// Until a stream that is not granted is given up.
    const NOT_GRANTED: Duration = Duration::from_millis(50);
    let mut raw = Quic::open(world, world.addr).await;
    let connection = raw.connection.clone();
    for message in [hello(), join("streams")] {
        raw.control.write_all(&frame(CONTROL, &message)).await.expect("open");
    }
    assert!(timeout(NOT_GRANTED, connection.open_bi()).await.is_err(), "one control stream, and no more");
    let (mut opened, mut refused) = (0, 0);
    while opened < STREAMS && refused < 3 {
        match timeout(NOT_GRANTED, connection.open_uni()).await {
            // Who takes back the one stream of the state lane has ended the connection.
            Ok(Err(_)) => break,
            Ok(Ok(mut stream)) => {
                opened += 1;
                // The window of the whole connection may be used up.
                let _ = timeout(NOT_GRANTED, stream.write(&[7; 8])).await;
                let _ = stream.reset(0u8.into());
            }
            Err(_) => refused += 1,
        }
    }
    match world.kind {
        TransportKind::QuicUni => {
            // Streams that were taken back made room, until there were too many of them.
            assert!(opened > 100, "{opened} were granted");
            world.counted("flooding", 1, |it| it.expelled_flooding).await;
            assert_eq!(Raw::Quic(raw).goodbye().await.code, Close::BAD_FRAME);
        }
        TransportKind::QuicStream => assert!(opened <= 2, "{opened} state streams were granted"),
        _ => assert_eq!(opened, 0, "updates need no stream"),
    }
    connection.close(0u8.into(), b"enough");
    world.only_witnesses().await;
}

/// What is the protocol's own business, and no message, at line rate.
pub(crate) async fn packets_without_a_message(world: &World) {
    let expelled = || world.observer.snapshot().expelled_flooding > 0;
    let flood = async {
        if quic(world.kind) {
            let mut raw = Quic::open(world, world.addr).await;
            let connection = raw.connection.clone();
            for message in [hello(), join("windows")] {
                raw.control.write_all(&frame(CONTROL, &message)).await.expect("open");
            }
            // Each is told to the server.
            for window in 1u32.. {
                if expelled() {
                    return Raw::Quic(raw).goodbye().await;
                }
                connection.set_receive_window(window.into());
                tokio::task::yield_now().await;
            }
        }
        let path = DatagramProxy::to(world.addr).await;
        let mut bad = world.connect_at(path.addr()).await;
        for message in [hello(), join("echoes")] {
            bad.sender.send_control(&message).expect("open");
        }
        path.set(Impairment::Flood);
        while !expelled() {
            // Dealt with once, however often it arrives.
            let _ = bad.sender.send_control(&bytes(&ClientMessage::Ping { sent_us: 1 }));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        told(&mut bad).await
    };
    let goodbye = timeout(PATIENCE, flood).await.expect("cut in time");
    assert_eq!(goodbye.code, Close::BAD_FRAME, "{goodbye}");
    world.counted("flooding", 1, |it| it.expelled_flooding).await;
    world.only_witnesses().await;
}

/// Every second packet is missing for good: what waits for it is bounded by the windows, and the connection times out.
pub(crate) async fn frames_with_gaps(world: &World) {
    let path = DatagramProxy::to(world.addr).await;
    let mut raw = Quic::open(world, path.addr()).await;
    for message in [hello(), join("gaps")] {
        raw.control.write_all(&frame(CONTROL, &message)).await.expect("open");
    }
    path.set(Impairment::DropAlternate);
    let ping = frame(CONTROL, &bytes(&ClientMessage::Ping { sent_us: 1 }));
    let flood = async { while raw.control.write_all(&ping.repeat(100)).await.is_ok() {} };
    let _ = timeout(Duration::from_secs(1), flood).await;
    path.set(Impairment::Blackhole);
    drop(raw);
    world.only_witnesses().await;
    // It was cut for the rate of what got through, or fell silent.
    let counters = world.observer.snapshot();
    assert_eq!(counters.idle_timeouts + counters.expelled, 1, "{counters:?}");
}
