//! Fault 25: clocks that jump, and a host that stops for a while. `server/session/tests.rs` tests a
//! panic in a match.

use std::time::Duration;

use netduel_client::{Event, Player};
use netduel_protocol::{clock, game::Heading};

use super::{
    program::Program,
    world::{World, event},
};

/// The client's clock jumps a year ahead, an hour back, and to before the match. The opponent sees
/// legal moves only, and no player is expelled.
pub(crate) async fn a_players_clock_that_jumps(world: &World) {
    const YEAR_US: u64 = 365 * 86_400 * 1_000_000;
    const HOUR_US: u64 = 3_600 * 1_000_000;
    let [mut ada, mut grace] = world.matched("jumps").await;
    let now_us = clock::now_us();
    let jumps = [now_us, now_us + YEAR_US, now_us + YEAR_US - HOUR_US, 0, u64::MAX / 2, now_us];
    for (number, at_us) in jumps.into_iter().enumerate() {
        let heading = Heading { x: if number % 2 == 0 { 1.0 } else { -1.0 }, y: 0.0 };
        ada.steer(heading, at_us).expect("open");
    }
    // In the end both players hold the same position.
    let goal = settled(&mut ada, &mut grace, now_us).await;
    assert!(world.observer.snapshot().expelled == 0, "{goal:?}");
    tokio::join!(ada.close(), grace.close());
}

pub(crate) async fn settled(ada: &mut Player, grace: &mut Player, now_us: u64) -> (f32, f32) {
    for _ in 0..2_000 {
        ada.steer(Heading::default(), now_us).expect("open");
        for player in [&mut *ada, &mut *grace] {
            while let Ok(heard) = tokio::time::timeout(Duration::from_millis(5), player.next_event()).await {
                assert!(matches!(heard.expect("open"), Event::OpponentMoved { .. } | Event::Corrected(_)));
            }
        }
        let position = ada.current().expect("a match").position;
        if grace.current().expect("a match").opponent_position == position {
            return (position.x, position.y);
        }
    }
    panic!("the players never agree");
}

/// All of the server's deadlines expire at once when it wakes up; the match continues.
pub(crate) async fn a_host_that_slept(world: &World) {
    let asleep = Program::start(world.kind, &[]);
    let [mut ada, mut grace] = asleep.matched(None).await;
    asleep.signal("-STOP");
    // The fault itself lasts longer than any of the server's timers, except for those that end a
    // session.
    tokio::time::sleep(Duration::from_secs(3)).await;
    ada.ping().expect("open");
    asleep.signal("-CONT");
    loop {
        if let Event::Pong { rtt_us, .. } = event(&mut ada).await {
            assert!(rtt_us > 0);
            break;
        }
    }
    settled(&mut ada, &mut grace, clock::now_us()).await;
    tokio::join!(ada.close(), grace.close());
}
