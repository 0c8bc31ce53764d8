//! Faults 15 and 16: paths that end, lose, repeat, reorder and change.

use std::time::Duration;

use netduel_client::Event;
use netduel_protocol::{LeaveReason, clock, game::Heading};
use netduel_testkit::{DatagramProxy, Impairment};
use netduel_transport::Options;

use super::{
    datagrams, quic,
    witness::Witness,
    world::{PATIENCE, World, event, hello, join},
};

/// One side vanishes without a close: the other is told in time.
pub(crate) async fn a_half_open_client(world: &World) {
    if datagrams(world.kind) {
        let path = DatagramProxy::to(world.addr).await;
        let [_gone, mut survivor] = world.matched_at(path.addr(), "half").await;
        path.set(Impairment::Blackhole);
        survives(world, &mut survivor).await;
    } else {
        // The kernel carries a TCP stream, so the client is silenced instead: no task polls it, and
        // it sends no keep-alives.
        let silent = Options { keep_alive: PATIENCE * 2, ..world.client_options() };
        let trust = world.identity.trust();
        let gone = world.kind.connect(world.addr, "localhost", Some(&trust), &silent).await;
        let gone = gone.expect("connected");
        for message in [hello(), join("half")] {
            gone.sender.send_control(&message).expect("open");
        }
        world.until("it waits", |it| it.observer.census().waiting == 1).await;
        let mut survivor = world.joined(world.addr, "half").await;
        assert!(matches!(event(&mut survivor).await, Event::Started(_)));
        survives(world, &mut survivor).await;
        drop(gone);
    }
}

async fn survives(world: &World, survivor: &mut netduel_client::Player) {
    let left = event(survivor).await;
    assert!(matches!(left, Event::OpponentLeft { reason: LeaveReason::TimedOut, .. }), "{left:?}");
    survivor.join(Some("half")).expect("open");
    assert_eq!(event(survivor).await, Event::Waiting, "it may play again");
    world.counted("idle timeouts", 1, |it| it.idle_timeouts).await;
}

/// Plays a second pair of witnesses, one of them behind a bad path: the lanes keep their promises
/// there, too.
pub(crate) async fn loss_duplicates_reordering_and_darkness(world: &World) {
    const ROUGH: Duration = Duration::from_millis(1_500);
    /// Shorter than the idle timeout.
    const DARK: Duration = Duration::from_millis(500);
    let path = DatagramProxy::to(world.addr).await;
    let behind = Witness::start_at(world, path.addr(), "behind").await;
    for (weather, lasts) in
        [(Impairment::Lossy, ROUGH), (Impairment::Blackhole, DARK), (Impairment::Lossy, ROUGH)]
    {
        path.set(weather);
        tokio::time::sleep(lasts).await;
    }
    path.set(Impairment::None);
    assert!(behind.finish().await > 1);
    assert_eq!(world.observer.snapshot().idle_timeouts, 0);
}

/// A NAT assigns another port. A QUIC match continues; over the other kinds, which identify a
/// client by its address, the client times out.
pub(crate) async fn a_new_address(world: &World) {
    let path = DatagramProxy::to(world.addr).await;
    if quic(world.kind) {
        let behind = Witness::start_at(world, path.addr(), "behind").await;
        path.set(Impairment::Rebind);
        // The address changes again while the first change is being validated, as for a phone on
        // its way through a house.
        tokio::time::sleep(Duration::from_millis(300)).await;
        path.set(Impairment::Rebind);
        assert!(behind.finish().await > 1);
        return assert_eq!(world.observer.snapshot().idle_timeouts, 0);
    }
    let [mut moved, mut survivor] = world.matched_at(path.addr(), "half").await;
    path.set(Impairment::Rebind);
    for _ in 0..10 {
        let _ = moved.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let accepted = world.observer.snapshot().accepted;
    survives(world, &mut survivor).await;
    assert_eq!(world.observer.snapshot().accepted, accepted, "it admitted a new connection");
}
