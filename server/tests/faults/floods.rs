//! Faults 14 and 19: more than the server may store or has to process.

use std::time::Duration;

use netduel_protocol::{ClientMessage, Move, MoveWithPayload, ServerMessage, decode, game::Position};
use netduel_testkit::{DatagramProxy, Impairment};
use netduel_transport::{Close, Options, TransportKind};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    quic,
    raw::{CONTROL, Quic, Raw, frame, tls_stream},
    streams,
    world::{PATIENCE, World, bytes, hello, join, told},
};

/// The client asks and never reads. The server bounds its answers, and then expels the client.
pub(crate) async fn a_reader_that_stops(world: &World) {
    if !streams(world.kind) {
        return a_mover_that_stops(world).await;
    }
    /// Enough pings for 50 MB of answers.
    const PINGS_MAX: usize = 2_000_000;
    /// Fewer pings than the server handles at once, or all answers would fit its socket.
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
    // A stream that is full of answers has no room for a close frame.
    if !matches!(bad, Raw::Stream(_)) {
        assert_eq!(bad.close_frame().await.code, Close::CONTROL_LANE_FULL);
    }
}

/// Tests a client of ours, whose own control lane would fill with unacknowledged pings: it provokes
/// corrections instead.
async fn a_mover_that_stops(world: &World) {
    let mut players = [world.connect().await, world.connect().await];
    let mut match_id = 0;
    for player in &players {
        for message in [hello(), join("deaf")] {
            player.sender.send_control(&message).expect("open");
        }
    }
    while match_id == 0 {
        let (_, message) =
            timeout(PATIENCE, players[0].receiver.recv()).await.expect("in time").expect("open");
        if let Ok(ServerMessage::Started(started)) = decode(&message) {
            match_id = started.match_id;
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
        let update = Move { match_id, seq, corrections, position: nowhere, ..Move::default() };
        let told = ClientMessage::Move(MoveWithPayload { update, payload: &[] });
        let _ = bad.sender.send_state(&bytes(&told)); // Fails once the server has closed the connection.
        let corrected = |world: &World| world.observer.snapshot().moves_illegal > said.into();
        world.until("the move is corrected", |world| corrected(world) || stalled(world)).await;
    }
    world.counted("stalled", 1, |it| it.expelled_stalled).await;
    assert_eq!(told(&mut bad).await.code, Close::CONTROL_LANE_FULL);
}

/// The stream limits hold, and a client that resets its streams at line rate is expelled.
pub(crate) async fn streams_opened_and_reset(world: &World) {
    /// Enough streams on any machine.
    const STREAMS: usize = 100_000;
    /// The time after which a stream counts as refused.
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
            // A reset of the state lane's only stream ends the connection.
            Ok(Err(_)) => break,
            Ok(Ok(mut stream)) => {
                opened += 1;
                // The flow-control window of the connection may be used up.
                let _ = timeout(NOT_GRANTED, stream.write(&[7; 8])).await;
                let _ = stream.reset(0u8.into());
            }
            Err(_) => refused += 1,
        }
    }
    match world.kind {
        TransportKind::QuicUni => {
            // Reset streams made room for new ones, until there were too many.
            assert!(opened > 100, "{opened} were granted");
            world.counted("flooding", 1, |it| it.expelled_flooding).await;
            assert_eq!(Raw::Quic(raw).close_frame().await.code, Close::BAD_FRAME);
        }
        TransportKind::QuicStream => assert!(opened <= 2, "{opened} state streams were granted"),
        _ => assert_eq!(opened, 0, "updates need no stream"),
    }
    connection.close(0u8.into(), b"enough");
    world.only_witnesses().await;
}

/// The client sends protocol packets without messages at line rate.
pub(crate) async fn packets_without_a_message(world: &World) {
    let expelled = || world.observer.snapshot().expelled_flooding > 0;
    let flood = async {
        if quic(world.kind) {
            let mut raw = Quic::open(world, world.addr).await;
            let connection = raw.connection.clone();
            for message in [hello(), join("windows")] {
                raw.control.write_all(&frame(CONTROL, &message)).await.expect("open");
            }
            // Each new window is sent to the server.
            for window in 1u32.. {
                if expelled() {
                    return Raw::Quic(raw).close_frame().await;
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
            // The server handles a ping once, however often it arrives.
            let _ = bad.sender.send_control(&bytes(&ClientMessage::Ping { sent_us: 1 }));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        told(&mut bad).await
    };
    let close = timeout(PATIENCE, flood).await.expect("cut in time");
    assert_eq!(close.code, Close::BAD_FRAME, "{close}");
    world.counted("flooding", 1, |it| it.expelled_flooding).await;
    world.only_witnesses().await;
}

/// Over TLS, the client updates its keys again and again, and sends one byte of a ping in a record
/// of its own in between. Each record costs the server work, and few bring a message.
pub(crate) async fn records_without_a_message(world: &World) {
    /// The key updates between two bytes: fewer than rustls refuses.
    const UPDATES: usize = 16;
    let ping = frame(CONTROL, &bytes(&ClientMessage::Ping { sent_us: 1 }));
    let alpn = Options::default().alpn(world.kind);
    let mut tls = tls_stream(&world.identity.trust(), &alpn, world.addr).await;
    for message in [hello(), join("keys")] {
        tls.write_all(&frame(CONTROL, &message)).await.expect("open");
    }
    let flood = async {
        for byte in ping.iter().cycle() {
            for _ in 0..UPDATES {
                tls.get_mut().1.refresh_traffic_keys().expect("a session");
            }
            if tls.write_all(&[*byte]).await.is_err() || tls.flush().await.is_err() {
                return;
            }
        }
    };
    let flooding = |world: &World| world.observer.snapshot().expelled_flooding > 0;
    world.attack_until("the client is expelled", flooding, flood).await;
    let close = Raw::Stream(Box::new(tls)).close_frame().await;
    assert_eq!(close.code, Close::BAD_FRAME, "{close}");
    assert!(close.reason.contains("TLS records"), "{close}");
    world.counted("flooding", 1, |it| it.expelled_flooding).await;
    world.only_witnesses().await;
}

/// Every second packet is lost for good. The windows bound the data that waits for it, and the
/// connection times out.
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
    // The client was expelled for its rate, or timed out.
    let counters = world.observer.snapshot();
    assert_eq!(counters.idle_timeouts + counters.expelled, 1, "{counters:?}");
}
