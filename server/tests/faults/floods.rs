//! Faults 14 and 19: more than the server may hold or has to look at.

use std::time::Duration;

use netduel_protocol::ClientMessage;
use netduel_transport::Goodbye;
use tokio::time::timeout;

use super::{
    path::{Path, Weather},
    raw::{CONTROL, Raw, frame},
    world::{PATIENCE, World, bytes, hello, join, told},
};

/// It asks and never listens: its answers are bounded, and then it is cut.
pub(crate) async fn a_reader_that_stops(world: &World) {
    // As many answers as would be 50 MB.
    const PINGS_MAX: usize = 2_000_000;
    let mut bad = world.connect().await;
    let ping = bytes(&ClientMessage::Ping { sent_us: u64::MAX });
    for message in [hello(), join("deaf")] {
        bad.sender.send_control(&message).expect("open");
    }
    let flood = async {
        let mut sent = 0;
        while world.observer.snapshot().expelled_stalled == 0 {
            for _ in 0..50 {
                // Its own lane fills where the server is slower, and is driven by nobody: it is sent again.
                let _ = bad.sender.send_control(&ping);
                sent += 1;
            }
            assert!(sent < PINGS_MAX, "all of them were answered");
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, flood).await.expect("cut in time");
    let goodbye = told(&mut bad).await;
    assert_eq!(goodbye.code, Goodbye::CONTROL_LANE_FULL, "{goodbye}");
    world.counted("stalled", 1, |it| it.expelled_stalled).await;
}

/// The stream limits hold, and what is taken back costs the match beside it nothing.
pub(crate) async fn streams_opened_and_reset(world: &World) {
    const STREAMS: usize = 5_000;
    /// Until a stream that is not granted is given up.
    const NOT_GRANTED: Duration = Duration::from_millis(50);
    let raw = Raw::quic(world, world.addr).await;
    let Raw::Quic { connection, mut control, .. } = raw else { unreachable!("it is QUIC") };
    for message in [hello(), join("streams")] {
        control.write_all(&frame(CONTROL, &message)).await.expect("open");
    }
    assert!(timeout(NOT_GRANTED, connection.open_bi()).await.is_err(), "one control stream, and no more");
    let (mut opened, mut refused) = (0, 0);
    while opened < STREAMS && refused < 3 {
        match timeout(NOT_GRANTED, connection.open_uni()).await {
            Ok(stream) => {
                let mut stream = stream.expect("open");
                opened += 1;
                let _ = stream.write(&[7; 8]).await;
                stream.reset(0u8.into()).expect("open");
            }
            Err(_) => refused += 1,
        }
    }
    match world.kind.name() {
        "quic-uni" => assert_eq!(opened, STREAMS, "streams that were taken back make room"),
        "quic-stream" => assert!(opened <= 2, "{opened} state streams were granted"),
        _ => assert_eq!(opened, 0, "updates need no stream"),
    }
    connection.close(0u8.into(), b"enough");
    world.only_witnesses().await;
}

/// Every second packet is missing for good: what waits for it is bounded by the windows, and the connection times out.
pub(crate) async fn frames_with_gaps(world: &World) {
    let path = Path::to(world.addr).await;
    let raw = Raw::quic(world, path.addr()).await;
    let Raw::Quic { connection, mut control, .. } = raw else { unreachable!("it is QUIC") };
    for message in [hello(), join("gaps")] {
        control.write_all(&frame(CONTROL, &message)).await.expect("open");
    }
    path.set(Weather::Holes);
    let ping = frame(CONTROL, &bytes(&ClientMessage::Ping { sent_us: 1 }));
    let flood = async { while control.write_all(&ping.repeat(100)).await.is_ok() {} };
    let _ = timeout(Duration::from_secs(1), flood).await;
    path.set(Weather::Dark);
    drop(connection);
    world.only_witnesses().await;
    // It was cut for the rate of what got through, or fell silent.
    let counters = world.observer.snapshot();
    assert_eq!(counters.idle_timeouts + counters.expelled, 1, "{counters:?}");
}
