//! QUIC under a rush of handshakes that go nowhere: a newcomer must prove its address, and still gets in.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use netduel_transport::{Connection, Identity, Lane, Listener, Options, TransportKind};
use tokio::{net::UdpSocket, task::JoinSet, time::timeout};

/// No single wait here needs nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// What `quic.rs` lets be under way before it asks.
const UNASKED: usize = 32;

/// Passes on what clients send and nothing that the server answers: to the server they are forgers.
async fn one_way(server: SocketAddr) -> SocketAddr {
    let inside = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let outside = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let addr = inside.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok(size) = inside.recv(&mut datagram).await {
            // A full send buffer is loss, as on any path.
            let _ = outside.send_to(&datagram[..size], server).await;
        }
    });
    addr
}

async fn exchange(listener: &Listener, kind: TransportKind, identity: &Identity) -> [Connection; 2] {
    let (options, trust) = (Options::default(), identity.trust());
    let served = async { listener.accept().await.expect("a peer").finish().await.expect("connected") };
    let connected = async {
        kind.connect(listener.local_addr(), "localhost", Some(&trust), &options).await.expect("connected")
    };
    let (server, client) =
        timeout(PATIENCE, async { tokio::join!(served, connected) }).await.expect("in time");
    [server, client]
}

#[tokio::test]
async fn many_handshakes_under_way_make_a_newcomer_prove_its_address_and_it_gets_in() {
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    let quic = TransportKind::ALL.into_iter().filter(|kind| kind.name().starts_with("quic-"));
    for kind in quic {
        let options = Options::default();
        let listener = Arc::new(kind.bind(([127, 0, 0, 1], 0).into(), &identity, &options).expect("bound"));
        let _first = exchange(&listener, kind, &identity).await;
        assert_eq!(listener.address_checks(), 0, "{kind}: nobody is asked in quiet times");

        let nowhere = one_way(listener.local_addr()).await;
        let mut forgers = JoinSet::new();
        for _ in 0..2 * UNASKED {
            let (trust, options) =
                (identity.trust(), Options { handshake_timeout: PATIENCE, ..options.clone() });
            forgers.spawn(async move {
                kind.connect(nowhere, "localhost", Some(&trust), &options).await.map(drop)
            });
        }
        // Accepted and left there, as a server's tasks leave handshakes that wait for the peer.
        let mut under_way = JoinSet::new();
        for _ in 0..UNASKED {
            let accepting = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a peer");
            under_way.spawn(accepting.finish());
        }

        let [server, mut client] = exchange(&listener, kind, &identity).await;
        assert!(listener.address_checks() >= 1, "{kind}");
        server.sender.send_control(b"welcome").expect("open");
        let (lane, message) =
            timeout(PATIENCE, client.receiver.recv()).await.expect("in time").expect("open");
        assert_eq!((lane, &message[..]), (Lane::Control, &b"welcome"[..]));
        forgers.abort_all();
        under_way.abort_all();
    }
}
