//! A server on all addresses answers from the one that it was asked at.

use std::{net::SocketAddr, time::Duration};

use netduel_transport::{Identity, Lane, Options, TransportKind};
use tokio::time::timeout;

/// The limit on a single wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Linux has all of 127.0.0.0/8 on its loopback, and sends from 127.0.0.1 unless it is told
/// otherwise.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn answers_from_the_address_asked() {
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    for kind in TransportKind::ALL {
        let options = Options::default();
        let listener = kind.bind(([0, 0, 0, 0], 0).into(), &identity, &options).expect("bound");
        let second: SocketAddr = ([127, 0, 0, 2], listener.local_addr().port()).into();
        let trust = identity.trust();
        let connecting = kind.connect(second, "localhost", Some(&trust), &options);
        let accepting = async { listener.accept().await.expect("accepted").finish().await };
        let (client, server) = tokio::join!(connecting, accepting);
        let (mut client, mut server) = (client.expect("connected"), server.expect("connected"));
        client.sender.send_control(b"asked").expect("open");
        let asked = timeout(PATIENCE, server.receiver.recv()).await.expect("in time");
        assert_eq!(asked, Ok((Lane::Control, "asked".into())), "{kind}");
        server.sender.send_control(b"answered").expect("open");
        let answered = timeout(PATIENCE, client.receiver.recv()).await.expect("in time");
        assert_eq!(answered, Ok((Lane::Control, "answered".into())), "{kind}");
    }
}
