//! Tests that need the inside of a connection.

use std::time::{Duration, Instant};

use super::streams::{control_stream, write};
use super::*;
use crate::CloseReason;

/// No further bytes arrive that would make the receiver look again.
#[tokio::test]
async fn unfinished_frame_ends_the_connection() {
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    let trust = identity.trust();
    let deadline = Duration::from_millis(50);
    let (patient, impatient) =
        (Options::default(), Options { read_deadline: deadline, ..Options::default() });
    for quic in [STREAM, UNI, DATAGRAM] {
        let listener =
            quic.bind(quic.lane.kind(), ([127, 0, 0, 1], 0).into(), &identity, &impatient).expect("bound");
        let served = async {
            let Arrival::Claimed(_, client) = listener.accept().await.expect("a client") else {
                panic!("nobody asked for a proof")
            };
            client.finish().await.expect("connected")
        };
        let kind = quic.lane.kind();
        let to = Target { kind, addr: listener.local_addr(), name: "localhost", trust: Some(&trust) };
        let (mut server, client) = tokio::join!(served, quic.open(&to, &patient));
        let (owner, _endpoint) = client.expect("connected");
        {
            let mut client = owner.shared().lock();
            let written = write(&mut client.proto, control_stream(), &[0]).expect("room");
            assert_eq!(written, 1);
            client.transmit(Instant::now());
        }
        assert_eq!(server.receiver.recv().await, Err(CloseReason::ReadDeadline(deadline)), "{kind}");
    }
}
