//! What comes from strangers, half from a peer, or over a rough path: promises about input that nobody meant to send.

use std::time::Duration;

use netduel_transport::{
    CloseReason, ConnectError, Connection, FrameError, Lane, MAX_CONTROL_BYTES, Options, TransportKind,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{PATIENCE, echo_works, pair_over_a_path, raw_tcp, recv, serve};
use crate::Impairment;

pub(crate) async fn two_kinds_never_connect(kind: TransportKind) {
    let options = Options { handshake_timeout: Duration::from_millis(500), ..Options::default() };
    let server = serve(kind, &options);
    for other in TransportKind::ALL.into_iter().filter(|other| *other != kind) {
        let client = async {
            let trust = server.identity.trust();
            let connected =
                other.connect(server.listener.local_addr(), "localhost", Some(&trust), &options).await;
            // Plain TCP has no handshake; there the first frame tells.
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

pub(crate) async fn half_closed_and_unfinished_input_ends_the_connection(kind: TransportKind) {
    if kind == TransportKind::MEMORY {
        return;
    }
    let short = Duration::from_millis(200);
    let options = Options { handshake_timeout: short, read_deadline: short, ..Options::default() };
    let server = serve(kind, &options);
    let addr = server.listener.local_addr();
    let Some(mut raw) = raw_tcp(addr).await else {
        return; // Datagrams have neither halves nor prefixes.
    };
    let accepted = server.listener.accept().await.expect("accept").finish();
    if kind.capabilities().encrypted {
        assert!(matches!(accepted.await, Err(ConnectError::Timeout { .. })), "silence is no handshake");
        return;
    }
    let mut connection = accepted.await.expect("connected");
    raw.shutdown().await.expect("half closed");
    assert_eq!(recv(&mut connection.receiver).await, Err(CloseReason::Vanished));

    for (prefix, wanted) in [
        (&[0, 9, 0, 1][..], CloseReason::ReadDeadline(short)),
        (&[0][..], CloseReason::ReadDeadline(short)),
        (&[0xff, 0xff, 0][..], FrameError::TooLong { size: 65535, max: MAX_CONTROL_BYTES }.into()),
        (&[0, 1, 77][..], FrameError::UnknownKind(77).into()),
    ] {
        let mut raw = raw_tcp(addr).await.expect("connected");
        let mut connection =
            server.listener.accept().await.expect("accept").finish().await.expect("connected");
        raw.write_all(prefix).await.expect("written");
        assert_eq!(recv(&mut connection.receiver).await, Err(wanted));
        drop(connection);
        let mut told = Vec::new();
        raw.read_to_end(&mut told).await.expect("a goodbye, not a reset");
        assert_eq!(told[2], 3, "a close frame");
    }
}

pub(crate) async fn forged_datagrams_change_nothing(kind: TransportKind) {
    let Some((path, mut client, mut accepted)) = pair_over_a_path(kind, &Options::default()).await else {
        return; // Forging a segment of a stream is the kernel's to prevent.
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

pub(crate) async fn a_rough_path_costs_no_control_message(kind: TransportKind) {
    const MESSAGES: usize = 60;
    let options = Options { handshake_timeout: PATIENCE, ..Options::default() };
    let Some((path, client, accepted)) = pair_over_a_path(kind, &options).await else {
        return; // The kernel's TCP is tested elsewhere.
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
        // Who has all of it goes on driving, since what it sent may have to be sent again.
        finished.update(|finished| finished + 1);
        while finished.get() < 2 {
            let _ = timeout(Duration::from_millis(10), side.receiver.recv()).await;
        }
    };
    tokio::join!(talk(client), talk(accepted));
}
