//! Cases about the end of a connection: closes, time limits, and servers that are not there.

use std::time::Duration;

use netduel_transport::{
    Close, CloseReason, ConnectError, MAX_CONTROL_BYTES, Options, SendError, TransportKind,
};
use tokio::time::timeout;

use super::fixture::{
    PATIENCE, base_options, drive, echo_works, in_process, pair, pair_over_proxy, recv, serve,
};
use crate::Impairment;

/// Either side closes with a code and a reason, which both sides get from every further call.
pub(super) async fn close_carries_its_reason(kind: TransportKind) {
    let server = serve(kind, &base_options());
    for client_closes in [true, false] {
        let (client, accepted) = server.pair(&base_options()).await;
        let (closing, mut other) = if client_closes { (client, accepted) } else { (accepted, client) };
        let close = Close::new(Close::FIRST_APPLICATION_CODE + 3, "the server is full: try later");
        closing.sender.close(close.clone());
        closing.sender.close(Close::new(1, "the first close counts"));
        let closed = CloseReason::Local(close.clone());
        assert_eq!(closing.sender.send_control(b"late"), Err(SendError::Closed(closed.clone())));
        assert_eq!(closing.sender.send_state(b"late"), Err(SendError::Closed(closed.clone())));
        let mut receiver = closing.receiver;
        assert_eq!(recv(&mut receiver).await, Err(closed.clone()));
        assert_eq!(recv(&mut receiver).await, Err(closed), "the same again");
        let flushed = tokio::spawn(receiver.close(close.clone()));
        assert_eq!(recv(&mut other.receiver).await, Err(CloseReason::Remote(close.clone())));
        assert_eq!(
            recv(&mut other.receiver).await,
            Err(CloseReason::Remote(close.clone())),
            "the same again"
        );
        assert_eq!(other.sender.send_state(b"late"), Err(SendError::Closed(CloseReason::Remote(close))));
        drop(other);
        flushed.await.expect("closed");
    }
}

/// A dropped connection sends a close with [`Close::GONE`].
pub(super) async fn drop_sends_a_close(kind: TransportKind) {
    let (client, mut server) = pair(kind).await;
    let sender = client.sender.clone();
    drop(client.receiver);
    assert!(matches!(sender.send_state(b"?"), Err(SendError::Closed(CloseReason::Local(_)))));
    match recv(&mut server.receiver).await {
        Err(CloseReason::Remote(close)) => assert_eq!(close.code, Close::GONE),
        other => panic!("{other:?}"),
    }
}

/// A remote that does not read fills the bounded control queue, which ends the connection.
pub(super) async fn full_control_lane_closes(kind: TransportKind) {
    let (client, server) = pair(kind).await;
    let (sender, ending) = (client.sender, drive(client.receiver));
    let message = vec![1; MAX_CONTROL_BYTES];
    let mut sent = 0;
    let error = loop {
        match sender.send_control(&message) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 100_000, "100 MB were queued for a remote that does not read");
        tokio::task::yield_now().await;
    };
    assert!(matches!(error, SendError::Closed(CloseReason::ControlLaneFull(_))), "{error}");
    assert!(matches!(ending.await, Ok(CloseReason::ControlLaneFull(_))));
    // The remote learns of the end once it reads again.
    let mut receiver = server.receiver;
    while recv(&mut receiver).await.is_ok() {}
}

/// Keep-alives hold an idle connection.
pub(super) async fn keep_alives_hold_the_connection(kind: TransportKind) {
    let options = Options {
        keep_alive: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(400),
        ..base_options()
    };
    let (mut client, mut server) = serve(kind, &options).pair(&options).await;
    let quiet = async { tokio::join!(client.receiver.recv(), server.receiver.recv()) };
    assert!(
        timeout(options.idle_timeout * 3, quiet).await.is_err(),
        "both sides stay silent, and neither closes"
    );
    echo_works(&mut client, &mut server).await;
}

/// A connection to a silent remote ends with the idle timeout, and not before.
pub(super) async fn idle_timeout_ends_the_connection(kind: TransportKind) {
    if in_process(kind) {
        return; // The remote is in this process and cannot fall silent.
    }
    let idle_timeout = Duration::from_millis(400);
    let impatient = Options { keep_alive: idle_timeout / 2, idle_timeout, ..base_options() };
    let start = std::time::Instant::now();
    let given_up = Err(CloseReason::IdleTimeout(idle_timeout));
    if let Some((path, mut client, mut accepted)) = pair_over_proxy(kind, &impatient).await {
        echo_works(&mut client, &mut accepted).await;
        path.set(Impairment::Blackhole);
        let (ours, theirs) = tokio::join!(recv(&mut client.receiver), recv(&mut accepted.receiver));
        assert_eq!((ours, theirs), (given_up.clone(), given_up));
    } else {
        // The kernel acknowledges a stream, so the test silences the remote: no task polls it,
        // and it sends no keep-alive.
        let seldom = Options { keep_alive: PATIENCE * 2, idle_timeout: PATIENCE * 4, ..base_options() };
        let server = serve(kind, &seldom);
        let (mut client, _accepted) = tokio::join!(server.connect(&impatient), server.accept());
        assert_eq!(recv(&mut client.receiver).await, given_up);
    }
    assert!(start.elapsed() >= idle_timeout, "not before its time");
}

/// Connecting to an address without a listener fails with a typed error.
pub(super) async fn connect_reports_unreachable(kind: TransportKind) {
    let options = Options { handshake_timeout: Duration::from_millis(300), ..base_options() };
    let server = serve(kind, &options);
    let (addr, trust) = (server.listener.local_addr(), server.identity.trust());
    drop(server);
    match kind.connect(addr, "localhost", Some(&trust), &options).await {
        Err(ConnectError::Unreachable { .. } | ConnectError::Timeout { .. }) => {}
        other => panic!("{other:?}"),
    }
}
