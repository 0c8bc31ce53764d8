//! Raw bytes over plain TCP: unfinished and malformed frames end the connection, with a close frame
//! in answer.

use std::time::Duration;

use netduel_transport::{CloseReason, FrameError, Identity, MAX_CONTROL_BYTES, Options, TransportKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The limit on a single wait.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn half_close_ends_the_connection() {
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    let bound = TransportKind::Tcp.bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default());
    let listener = bound.expect("bind");
    let mut raw = TcpStream::connect(listener.local_addr()).await.expect("connected");
    let mut connection = listener.accept().await.expect("accept").finish().await.expect("connected");
    raw.shutdown().await.expect("half closed");
    let ended = timeout(PATIENCE, connection.receiver.recv()).await.expect("an end in time");
    assert_eq!(ended, Err(CloseReason::Vanished));
}

#[tokio::test]
async fn bad_frames_end_the_connection() {
    let deadline = Duration::from_millis(200);
    let options = Options { read_deadline: deadline, ..Options::default() };
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    let listener = TransportKind::Tcp.bind(([127, 0, 0, 1], 0).into(), &identity, &options).expect("bind");
    for (bytes, expected) in [
        (&[0, 9, 0, 1][..], CloseReason::ReadDeadline(deadline)),
        (&[0][..], CloseReason::ReadDeadline(deadline)),
        (&[0xff, 0xff, 0][..], FrameError::TooLong { size: 65535, max: MAX_CONTROL_BYTES }.into()),
        (&[0, 1, 77][..], FrameError::UnknownKind(77).into()),
    ] {
        let mut raw = TcpStream::connect(listener.local_addr()).await.expect("connected");
        let mut connection = listener.accept().await.expect("accept").finish().await.expect("connected");
        raw.write_all(bytes).await.expect("written");
        let ended = timeout(PATIENCE, connection.receiver.recv()).await.expect("an end in time");
        assert_eq!(ended, Err(expected));
        drop(connection);
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, raw.read_to_end(&mut answer)).await.expect("an end in time");
        read.expect("a close frame, not a reset");
        assert_eq!(answer[2], 3, "a close frame");
    }
}
