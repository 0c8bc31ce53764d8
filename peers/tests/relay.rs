//! Every peer relays moves between two players, over real sockets.

use netduel_peers::{MOVE_BYTES, Peer, Player, Relay, Update};
use netduel_transport::Identity;

const MOVES: u32 = 200;

fn update(number: u32) -> Update {
    let mut update = [0xA5; MOVE_BYTES];
    update[..4].copy_from_slice(&number.to_le_bytes());
    update
}

/// A relay in a thread of its own, as a bench has it, and two pairs after each other, of players who tell each other
/// everything.
#[test]
fn every_peer_relays_moves_in_order_both_ways() {
    for peer in Peer::ALL {
        let identity = Identity::generate(&["localhost".into()]).expect("an identity");
        let trust = identity.trust();
        let (tell, addr) = std::sync::mpsc::sync_channel(1);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let relay = Relay::bind(peer, ([127, 0, 0, 1], 0).into(), &identity).expect("bound");
                tell.send(relay.local_addr().expect("bound")).expect("somebody waits");
                tokio::select! {
                    failed = relay.run() => panic!("{peer} ended by itself: {failed:?}"),
                    _ = ended => {}
                }
            });
        });
        let addr = addr.recv().expect("an address");
        runtime().block_on(async {
            let connect = || Player::connect(peer, addr, Some(&trust));
            for _pair in 0..2 {
                let mut first = connect().await.expect("connected");
                let mut second = connect().await.expect("connected");
                for number in 0..MOVES {
                    first.send(&update(number)).await.expect("open");
                    assert_eq!(second.next().await.expect("open"), update(number), "{peer}");
                    second.send(&update(!number)).await.expect("open");
                    assert_eq!(first.next().await.expect("open"), update(!number), "{peer}");
                }
                tokio::join!(first.close(), second.close());
            }
        });
        end.send(()).expect("it runs");
        thread.join().expect("no panic");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
