//! Interoperability with ENet's library in C: `enet_peer.c`, compiled here, talks to a listener on
//! both channels. A proxy proves the program's address, which the library cannot.
//!
//! The tests need a C compiler and the library (`apt-get install libenet-dev`). Without them they
//! print the reason and pass; `NETDUEL_ENET_REQUIRED=1` makes that a failure.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output},
    sync::OnceLock,
    time::Duration,
};

use netduel_transport::{
    Close, CloseReason, Connection, Identity, Lane, Listener, MAX_CONTROL_BYTES, Options, TransportKind,
};
use tokio::{net::UdpSocket, time::timeout};

/// The limit on a single wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the compiled program; `None`, after printing the reason, where it cannot be had.
fn peer() -> Option<&'static PathBuf> {
    static PEER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let peer = PEER.get_or_init(|| {
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("enet_peer");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/enet_peer.c");
        let compiled = Command::new("cc")
            .args(["-std=c11", "-Wall", "-Wextra", "-o"])
            .arg(&program)
            .args([source, "-lenet"])
            .output()
            .map_err(|error| format!("no C compiler `cc` ({error})"))?;
        if compiled.status.success() {
            return Ok(program);
        }
        let said = String::from_utf8_lossy(&compiled.stderr).into_owned();
        assert!(!said.contains("enet_peer.c") || said.contains("enet/enet.h"), "it must compile: {said}");
        Err(format!("ENet's library is missing (apt-get install libenet-dev): {said}"))
    });
    match peer {
        Ok(program) => Some(program),
        Err(reason) => {
            let required = std::env::var_os("NETDUEL_ENET_REQUIRED").is_some_and(|value| value == "1");
            assert!(!required, "NETDUEL_ENET_REQUIRED is set, and {reason}");
            eprintln!("skipped: {reason}");
            None
        }
    }
}

fn listen() -> Listener {
    let kind: TransportKind = "enet".parse().expect("a kind");
    let identity = Identity::generate(&["localhost".into()]).expect("identity");
    kind.bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default()).expect("bind")
}

/// The handshake before ENet's own, as `transport/io/cookie.rs` defines it.
const HELLO: u8 = 0xd0;
const CHALLENGE: u8 = 0xd1;
const JOIN: u8 = 0xd2;
const HEADER_BYTES: usize = 5;
const CHALLENGE_BYTES: usize = 40;

/// Forwards datagrams to `listener` and back. Each *connect* leaves behind a proof of the proxy's
/// address, and everything else as it came. Returns the proxy's address.
async fn proving_proxy(listener: SocketAddr) -> SocketAddr {
    let bind = async || UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let (inside, outside) = (bind().await, bind().await);
    outside.connect(listener).await.expect("connected");
    let addr = inside.local_addr().expect("bound");
    let protocol = Options::default().alpn("enet".parse().expect("a kind"));
    let mut hello = [&[HELLO], &b"test"[..], protocol.as_bytes()].concat();
    hello.resize(HEADER_BYTES + CHALLENGE_BYTES, 0);
    outside.send(&hello).await.expect("sent");
    let mut join = vec![0; 2048];
    let size = outside.recv(&mut join).await.expect("a challenge");
    assert_eq!((join[0], size), (CHALLENGE, hello.len()));
    join.truncate(size);
    join[0] = JOIN;
    tokio::spawn(async move {
        let (mut up, mut down) = ([0; 2048], [0; 2048]);
        let mut client = None;
        loop {
            tokio::select! {
                Ok((size, from)) = inside.recv_from(&mut up) => {
                    client = Some(from);
                    let connect = up.starts_with(&[0x8f, 0xff]);
                    let prefix = if connect { &join[..] } else { &[] };
                    let _ = outside.send(&[prefix, &up[..size]].concat()).await;
                }
                Ok(size) = outside.recv(&mut down) => {
                    let Some(client) = client else { continue };
                    let _ = inside.send_to(&down[..size], client).await;
                }
            }
        }
    });
    addr
}

/// Runs the program against `listener`. The arguments are its channels, its checksum and the code
/// that it leaves with.
async fn run(peer: &PathBuf, listener: &Listener, arguments: [&str; 3]) -> (String, Output) {
    let mut command = Command::new(peer);
    let proxy = proving_proxy(listener.local_addr()).await;
    command.arg(proxy.port().to_string()).args(arguments);
    let output =
        tokio::task::spawn_blocking(move || command.output().expect("runs")).await.expect("no panic");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output)
}

async fn recv(connection: &mut Connection) -> Result<(Lane, Vec<u8>), CloseReason> {
    let message = timeout(PATIENCE, connection.receiver.recv()).await.expect("a message or an end, in time");
    message.map(|(lane, bytes)| (lane, bytes.to_vec()))
}

/// Reads the program's messages in any order of lanes, and answers with as many.
async fn exchange(listener: &Listener) -> Connection {
    let mut connection = listener.accept().await.expect("accept").finish().await.expect("connected");
    let mut control = Vec::new();
    let mut state = Vec::new();
    while control.len() < 2 || state.is_empty() {
        match recv(&mut connection).await.expect("open") {
            (Lane::Control, message) => control.push(message),
            (Lane::State, message) => state.push(message),
        }
    }
    let large: Vec<u8> = (0..MAX_CONTROL_BYTES).map(|place| (place * 7) as u8).collect();
    assert_eq!(control, [b"control from C".to_vec(), large.clone()]);
    assert_eq!(state, [b"state from C"]);
    connection.sender.send_control(b"control from Rust").expect("open");
    connection.sender.send_control(&large).expect("open");
    // Sent three times, since ENet's throttle drops some updates when round trips grow on a busy
    // machine.
    for _ in 0..3 {
        connection.sender.send_state(b"state from Rust").expect("open");
    }
    connection
}

fn line(channel: u8, message: &[u8]) -> String {
    let sum: u64 = message.iter().copied().map(u64::from).sum();
    format!("channel {channel}: {} bytes, sum {sum}", message.len())
}

#[tokio::test]
async fn exchanges_messages_with_the_c_library() {
    let Some(peer) = peer() else { return };
    let listener = listen();
    let large: Vec<u8> = (0..MAX_CONTROL_BYTES).map(|place| (place * 7) as u8).collect();
    let expected =
        [line(0, b"control from Rust"), line(0, &large), line(1, b"state from Rust"), "connected".into()];
    for leaves in [0u32, 777] {
        let code = leaves.to_string();
        let arguments = ["2", "1", code.as_str()];
        let talk = async {
            let mut connection = exchange(&listener).await;
            if leaves == 0 {
                // ENet sends the disconnect once all earlier messages have arrived.
                connection.receiver.close(Close::new(1234, "a reason that ENet has no room for")).await;
                return;
            }
            match recv(&mut connection).await {
                Err(CloseReason::Remote(close)) => assert_eq!(close.code, leaves),
                other => panic!("{other:?}"),
            }
            // The program gets its own code back with the acknowledgement alone.
        };
        let ((said, output), ()) = tokio::join!(run(peer, &listener, arguments), talk);
        assert!(output.status.success(), "{said}");
        for expected in &expected {
            assert!(said.lines().any(|line| line == expected), "no '{expected}' in:\n{said}");
        }
        let last = if leaves == 0 { "disconnected: 1234" } else { "disconnected: 0" };
        assert_eq!(said.lines().last(), Some(last), "{said}");
    }
}

#[tokio::test]
async fn refuses_a_single_channel() {
    let Some(peer) = peer() else { return };
    let listener = listen();
    let refuse = async { listener.accept().await.expect("accept").finish().await };
    let ((said, _), refused) = tokio::join!(run(peer, &listener, ["1", "1", "0"]), refuse);
    let refused = refused.expect_err("one channel cannot carry two lanes").to_string();
    assert!(refused.contains("asks for 1 channel"), "{refused}");
    assert!(said.contains("disconnected: "), "{said}");
}

#[tokio::test]
async fn ignores_peers_without_proof() {
    let Some(peer) = peer() else { return };
    let listener = listen();
    let mut command = Command::new(peer);
    command.arg(listener.local_addr().port().to_string()).args(["2", "1", "0"]);
    let said = tokio::task::spawn_blocking(move || command.output().expect("runs"));
    tokio::select! {
        output = said => assert_eq!(output.expect("no panic").stdout, b"no answer\n"),
        _ = listener.accept() => panic!("the listener accepted it"),
    }
}

#[tokio::test]
async fn ignores_peers_without_checksum() {
    let Some(peer) = peer() else { return };
    let listener = listen();
    tokio::select! {
        (said, _) = run(peer, &listener, ["2", "0", "0"]) => assert_eq!(said, "no answer\n"),
        _ = listener.accept() => panic!("the listener accepted it"),
    }
}
