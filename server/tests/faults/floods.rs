//! Faults 14 and 19: more than the server may hold or has to look at.

use std::time::Duration;

use netduel_protocol::ClientMessage;
use netduel_transport::{Connection, Goodbye};
use tokio::time::timeout;

use super::{
    path::{Path, Weather},
    raw::{CONTROL, Quic, Raw, frame},
    streams,
    world::{PATIENCE, World, bytes, hello, join, told},
};

/// It asks and never listens: its answers are bounded, and then it is cut.
pub(crate) async fn a_reader_that_stops(world: &World) {
    /// As many answers as would be 50 MB.
    const PINGS_MAX: usize = 2_000_000;
    /// Fewer than the server deals with in a turn, or they would all find room in its socket.
    const BATCH: usize = 10;
    let ping = bytes(&ClientMessage::Ping { sent_us: u64::MAX });
    let mut bad = Deaf::open(world).await;
    for message in [hello(), join("deaf")] {
        bad.say(&message, 1).await;
    }
    let flood = async {
        for _ in 0..PINGS_MAX / BATCH {
            if world.observer.snapshot().expelled_stalled > 0 {
                return;
            }
            bad.say(&ping, BATCH).await;
            tokio::task::yield_now().await;
        }
        panic!("all of them were answered");
    };
    timeout(PATIENCE, flood).await.expect("cut in time");
    world.counted("stalled", 1, |it| it.expelled_stalled).await;
    match bad {
        // A stream that is full of answers has no room for a goodbye, either.
        Deaf::Raw(Raw::Stream(_)) => {}
        Deaf::Raw(raw) => assert_eq!(raw.goodbye().await.code, Goodbye::CONTROL_LANE_FULL),
        Deaf::Ours(mut ours) => assert_eq!(told(&mut ours).await.code, Goodbye::CONTROL_LANE_FULL),
    }
}

/// Speaks without taking anything in.
enum Deaf {
    Raw(Raw),
    Ours(Connection),
}

impl Deaf {
    async fn open(world: &World) -> Self {
        if streams(world.kind) {
            Self::Raw(Raw::open(world).await)
        } else {
            Self::Ours(world.connect().await)
        }
    }

    /// Fails once the server has hung up.
    async fn say(&mut self, message: &[u8], times: usize) {
        match self {
            Self::Raw(raw) => drop(raw.write(&frame(CONTROL, message).repeat(times)).await),
            // Its own lane is full where the server is slower; nobody misses what does not leave.
            Self::Ours(ours) => (0..times).for_each(|_| drop(ours.sender.send_control(message))),
        }
    }
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
                let _ = stream.write(&[7; 8]).await;
                let _ = stream.reset(0u8.into());
            }
            Err(_) => refused += 1,
        }
    }
    match world.kind.name() {
        "quic-uni" => {
            // Streams that were taken back made room, until there were too many of them.
            assert!(opened > world.options.empty_streams_per_s_max as usize, "{opened} were granted");
            world.counted("flooding", 1, |it| it.expelled_flooding).await;
            assert_eq!(Raw::Quic(raw).goodbye().await.code, Goodbye::BAD_FRAME);
        }
        "quic-stream" => assert!(opened <= 2, "{opened} state streams were granted"),
        _ => assert_eq!(opened, 0, "updates need no stream"),
    }
    connection.close(0u8.into(), b"enough");
    world.only_witnesses().await;
}

/// Every second packet is missing for good: what waits for it is bounded by the windows, and the connection times out.
pub(crate) async fn frames_with_gaps(world: &World) {
    let path = Path::to(world.addr).await;
    let mut raw = Quic::open(world, path.addr()).await;
    for message in [hello(), join("gaps")] {
        raw.control.write_all(&frame(CONTROL, &message)).await.expect("open");
    }
    path.set(Weather::Holes);
    let ping = frame(CONTROL, &bytes(&ClientMessage::Ping { sent_us: 1 }));
    let flood = async { while raw.control.write_all(&ping.repeat(100)).await.is_ok() {} };
    let _ = timeout(Duration::from_secs(1), flood).await;
    path.set(Weather::Dark);
    drop(raw);
    world.only_witnesses().await;
    // It was cut for the rate of what got through, or fell silent.
    let counters = world.observer.snapshot();
    assert_eq!(counters.idle_timeouts + counters.expelled, 1, "{counters:?}");
}
