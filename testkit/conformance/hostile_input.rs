//! Cases about input that no correct client sends: other kinds, unfinished input, forged and lost
//! datagrams.

use std::time::Duration;

use netduel_transport::{
    CloseReason, ConnectError, Connection, Lane, MAX_CONTROL_BYTES, Options, TransportKind,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::fixture::{PATIENCE, base_options, echo_works, over_tcp, pair_over_proxy, recv, serve};
use crate::Impairment;

/// A client of another kind does not connect, and does not disturb the listener.
pub(super) async fn rejects_other_kinds(kind: TransportKind) {
    let options = Options { handshake_timeout: Duration::from_millis(500), ..base_options() };
    let server = serve(kind, &options);
    for other in TransportKind::ALL.into_iter().filter(|other| *other != kind) {
        let client = async {
            let trust = server.identity.trust();
            let connected =
                other.connect(server.listener.local_addr(), "localhost", Some(&trust), &options).await;
            // A kind without a handshake detects the other kind by its first frame.
            if let Ok(mut connection) = connected {
                connection.sender.send_control(b"hello?").expect("open");
                recv(&mut connection.receiver).await.expect_err("the server speaks another transport");
            }
        };
        let accepting = async {
            if let Ok(mut connection) = server.listener.accept().await.expect("accept").finish().await {
                recv(&mut connection.receiver).await.expect_err("the client speaks another transport");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = client => {}
            () = accepting => {}
        }
    }
    let (mut client, mut accepted) = server.pair(&options).await;
    echo_works(&mut client, &mut accepted).await;
}

/// Over TCP, a client that closes its half or stays silent inside a handshake or a frame ends its
/// connection in time.
pub(super) async fn unfinished_input_ends_the_connection(kind: TransportKind) {
    if !over_tcp(kind) {
        return; // Datagrams have neither halves nor prefixes.
    }
    let short = Duration::from_millis(200);
    let options = Options { handshake_timeout: short, read_deadline: short, ..base_options() };
    let server = serve(kind, &options);
    let connect = async || {
        let raw = TcpStream::connect(server.listener.local_addr()).await.expect("connected");
        (raw, server.listener.accept().await.expect("accept").finish().await)
    };
    let (mut raw, accepted) = connect().await;
    let mut connection = match accepted {
        // The kind has a handshake, and the silent client did not do it.
        Err(ConnectError::Timeout { .. }) => return,
        accepted => accepted.expect("connected or timed out"),
    };
    assert!(!kind.capabilities().encrypted, "silence is no handshake");
    raw.shutdown().await.expect("half closed");
    assert_eq!(recv(&mut connection.receiver).await, Err(CloseReason::Vanished));

    let (mut raw, accepted) = connect().await;
    raw.write_all(&[0]).await.expect("written");
    let mut connection = accepted.expect("connected");
    assert_eq!(recv(&mut connection.receiver).await, Err(CloseReason::ReadDeadline(short)));
}

/// Forged datagrams of any size and first byte do not disturb a connection.
pub(super) async fn ignores_forged_datagrams(kind: TransportKind) {
    let Some((path, mut client, mut accepted)) = pair_over_proxy(kind, &base_options()).await else {
        return; // The kernel rejects forged TCP segments.
    };
    let mut noise = 1u32;
    for size in [0, 1, 2, 4, 5, 8, 9, 13, 45, 56, 300, 1200, 1473, 2000] {
        for first in (0..=u8::MAX).step_by(3) {
            let mut forged = vec![0; size];
            forged.fill_with(|| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            });
            if let Some(byte) = forged.first_mut() {
                *byte = first;
            }
            path.forge(&forged).await;
        }
        echo_works(&mut client, &mut accepted).await;
    }
}

/// Control messages arrive once and in order over a path that drops, repeats and reorders
/// datagrams.
pub(super) async fn control_survives_a_lossy_path(kind: TransportKind) {
    const MESSAGES: usize = 60;
    let options = Options { handshake_timeout: PATIENCE, ..base_options() };
    let Some((path, client, accepted)) = pair_over_proxy(kind, &options).await else {
        return; // The kernel's TCP recovers losses.
    };
    path.set(Impairment::Lossy);
    let message = |number: usize| vec![number as u8; number * 37 % MAX_CONTROL_BYTES];
    let finished = std::cell::Cell::new(0);
    let talk = async |mut side: Connection| {
        for number in 0..MESSAGES {
            side.sender.send_control(&message(number)).expect("open");
            side.sender.send_state(&[number as u8]).expect("open");
            loop {
                match recv(&mut side.receiver).await.expect("open") {
                    (Lane::Control, bytes) => break assert_eq!(bytes, message(number), "message {number}"),
                    (Lane::State, bytes) => assert_eq!(bytes.len(), 1),
                }
            }
        }
        // The first side to finish keeps driving, since its last messages may need a
        // retransmission.
        finished.update(|finished| finished + 1);
        while finished.get() < 2 {
            let _ = timeout(Duration::from_millis(10), side.receiver.recv()).await;
        }
    };
    tokio::join!(talk(client), talk(accepted));
}
