//! Faults 8, 9 and 11: good messages at the wrong time, and connections that end at any time.

use netduel_client::{Event, PlayError};
use netduel_protocol::{ClientMessage, CloseCode, LeaveReason, Move, clock, game::Heading};
use netduel_testkit::{DatagramProxy, Impairment};
use netduel_transport::{Sender, TransportKind};
use socket2::SockRef;
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};

use super::{
    datagrams,
    raw::{CONTROL, frame},
    world::{PATIENCE, World, bytes, event, hello, join, resume, told},
};

fn a_move(match_id: u64) -> Vec<u8> {
    bytes(&ClientMessage::Move(Move { match_id, seq: 1, ..Move::default() }.into()))
}

pub(crate) async fn a_move_where_none_may_be(world: &World) {
    world.expelled("before the hello", &[a_move(1)], CloseCode::Unexpected).await;
    world.expelled("before the join", &[hello(), a_move(1)], CloseCode::Unexpected).await;
    let on_control = [hello(), join("alone"), a_move(1)];
    world.expelled("on the control lane", &on_control, CloseCode::Unexpected).await;

    // A waiting client moves in the witnesses' match; a playing one moves in a match that never
    // existed.
    for (mut bad, match_id) in [(world.connect().await, 1), (world.connect().await, 1_000_000)] {
        for message in [hello(), join("alone")] {
            bad.sender.send_control(&message).expect("open");
        }
        // The state lane may overtake the control lane, so the client waits for the answer to the
        // join.
        for _ in ["welcome", "waiting"] {
            timeout(PATIENCE, bad.receiver.recv()).await.expect("in time").expect("open");
        }
        keep_sending(&bad.sender, &a_move(match_id));
        let close = told(&mut bad).await;
        assert_eq!(CloseCode::from_code(close.code), Some(CloseCode::Unexpected), "{close}");
    }
    world.counted("unexpected", 5, |it| it.expelled_unexpected).await;

    // A move after the end of the match was under way, and is no fault of the client.
    let [mut ada, grace] = world.matched("over").await;
    let match_id = ada.current().expect("a match").started.match_id;
    grace.close().await;
    assert!(matches!(event(&mut ada).await, Event::OpponentLeft { .. }));
    let stale = world.observer.snapshot().moves_stale;
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    world.until("the late move is counted", |it| it.observer.snapshot().moves_stale > stale).await;
    ada.join(Some("again")).expect("still connected");
    assert_eq!(event(&mut ada).await, Event::Waiting, "after match {match_id}");
    ada.close().await;
}

/// Sends a message several times, since the lane may drop it.
fn keep_sending(sender: &Sender, message: &[u8]) {
    for _ in 0..3 {
        let _ = sender.send_state(message);
    }
}

pub(crate) async fn a_second_hello_or_join(world: &World) {
    world.expelled("a join first", &[join("alone")], CloseCode::Unexpected).await;
    world.expelled("two hellos", &[hello(), hello()], CloseCode::Unexpected).await;
    world.expelled("a late hello", &[hello(), join("alone"), hello()], CloseCode::Unexpected).await;
    world.expelled("a seat after a join", &[hello(), join("alone"), resume()], CloseCode::Unexpected).await;
    world.expelled("two joins", &[hello(), join("alone"), join("other")], CloseCode::Unexpected).await;
    // A second join while playing: the opponent is told that the player was expelled.
    let mut waiting = world.joined(world.addr, "twice").await;
    assert_eq!(event(&mut waiting).await, Event::Waiting);
    let mut bad = world.joined(world.addr, "twice").await;
    for player in [&mut waiting, &mut bad] {
        assert!(matches!(event(player).await, Event::Started(_)));
    }
    bad.join(Some("twice")).expect("open");
    let error = timeout(PATIENCE, bad.next_event()).await.expect("in time").expect_err("expelled");
    assert!(matches!(error, PlayError::Refused { code: CloseCode::Unexpected, .. }), "{error}");
    assert!(matches!(event(&mut waiting).await, Event::OpponentLeft { reason: LeaveReason::Expelled, .. }));
    waiting.close().await;
    world.counted("unexpected", 6, |it| it.expelled_unexpected).await;
}

/// Cuts a connection after each step of a session, with a close and without one. Nothing of the
/// session is left, and the opponent is told.
pub(crate) async fn a_cut_at_every_step(world: &World) {
    const STEPS: usize = 5;
    for step in 0..STEPS {
        close_at(world, step).await;
        world.only_witnesses().await;
    }
    if datagrams(world.kind) {
        // Both run at once, since each waits for the idle timeout.
        tokio::join!(die_on_the_path(world, "waits"), die_on_the_path(world, "plays"));
        world.only_witnesses().await;
        world.counted("idle timeouts", 2, |it| it.idle_timeouts).await;
    } else if world.kind == TransportKind::Tcp {
        for step in 0..STEPS {
            reset(world, step).await;
            world.only_witnesses().await;
        }
    }
}

async fn close_at(world: &World, step: usize) {
    let bad = world.connect().await;
    let script = [hello(), join("cut"), bytes(&ClientMessage::Ping { sent_us: 1 })];
    for message in script.iter().take(step) {
        bad.sender.send_control(message).expect("open");
    }
    if step < 4 {
        return; // The messages may not even have left.
    }
    let mut bad = bad;
    while world.observer.census().waiting == 0 {
        timeout(PATIENCE, bad.receiver.recv()).await.expect("in time").expect("open");
    }
    let mut survivor = world.joined(world.addr, "cut").await;
    assert!(matches!(event(&mut survivor).await, Event::Started(_)));
    drop(bad);
    let left = event(&mut survivor).await;
    assert!(matches!(left, Event::OpponentLeft { reason: LeaveReason::Disconnected, .. }), "{left:?}");
    survivor.join(Some("cut")).expect("open");
    assert_eq!(event(&mut survivor).await, Event::Waiting, "it may play again");
    survivor.close().await;
}

/// Makes the network drop every packet of a client.
async fn die_on_the_path(world: &World, at: &str) {
    let path = DatagramProxy::to(world.addr).await;
    if at == "waits" {
        let mut gone = world.joined(path.addr(), at).await;
        assert_eq!(event(&mut gone).await, Event::Waiting);
        path.set(Impairment::Blackhole);
        world.until("the silent one is let go", |it| it.observer.snapshot().idle_timeouts >= 1).await;
    } else {
        let [_gone, mut survivor] = world.matched_at(path.addr(), at).await;
        path.set(Impairment::Blackhole);
        let left = event(&mut survivor).await;
        assert!(matches!(left, Event::OpponentLeft { reason: LeaveReason::TimedOut, .. }), "{left:?}");
        survivor.close().await;
        world.until("both are counted", |it| it.observer.snapshot().idle_timeouts >= 2).await;
    }
}

/// Resets a stream, as a firewall or the kernel of a killed process does.
async fn reset(world: &World, step: usize) {
    use tokio::io::AsyncWriteExt;
    let accepted = world.observer.snapshot().accepted;
    let mut raw = TcpStream::connect(world.addr).await.expect("connected");
    let script = [hello(), join("reset"), bytes(&ClientMessage::Ping { sent_us: 1 })];
    for message in script.iter().take(step) {
        raw.write_all(&frame(CONTROL, message)).await.expect("open");
    }
    world.until("it was accepted", |it| it.observer.snapshot().accepted > accepted).await;
    SockRef::from(&raw).set_linger(Some(Duration::ZERO)).expect("set");
}
