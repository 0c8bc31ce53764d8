//! `netduel-bot` as a program: two bots play, one dies, the other is told.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use netduel_server::{Config, Snapshot};
use netduel_transport::{Fingerprint, Identity, Options, TransportKind};
use tokio_util::sync::CancellationToken;

/// A server in this process, on a thread of its own.
struct Server {
    addresses: Vec<(TransportKind, SocketAddr)>,
    pin: Fingerprint,
    shutdown: CancellationToken,
    thread: JoinHandle<Snapshot>,
}

impl Server {
    fn start() -> Self {
        let identity = Identity::generate(&["localhost".into()]).expect("identity");
        let (pin, shutdown) = (identity.fingerprint(), CancellationToken::new());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let bind = |kind: TransportKind| {
                    kind.bind(
                        ([127, 0, 0, 1], 0).into(),
                        &identity,
                        &Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
                    )
                    .expect("bind")
                };
                let listeners: Vec<_> = TransportKind::ALL.into_iter().map(bind).collect();
                let addresses = listeners.iter().map(|it| (it.kind(), it.local_addr())).collect();
                tell.send(addresses).expect("the test waits");
                let config = Config { resume_grace: Duration::from_millis(500), ..Config::default() };
                netduel_server::run(listeners, config, stop).await
            })
        });
        Self { addresses: told.recv().expect("addresses"), pin, shutdown, thread }
    }

    fn bot(&self, number: usize, more: &[&str]) -> Child {
        let (kind, addr) = self.addresses[number];
        Command::new(env!("CARGO_BIN_EXE_netduel-bot"))
            .args(["--server", &addr.to_string(), "--transport", kind.name(), "--pin", &self.pin.to_string()])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    }
}

#[test]
fn bots_play_over_every_transport() {
    let server = Server::start();
    let kinds = server.addresses.len();
    // The pairs run side by side, since a silent opponent times out slowly.
    std::thread::scope(|scope| {
        for number in 0..kinds {
            let server = &server;
            scope.spawn(move || one_dies(server, number, (number + 1) % kinds));
        }
    });
    server.shutdown.cancel();
    let counters = server.thread.join().expect("no panic");
    assert_eq!(counters.matches_ended, kinds as u64);
}

fn one_dies(server: &Server, survivor: usize, victim: usize) {
    let code = format!("match {survivor}");
    let kind = server.addresses[survivor].0;
    let mut survivor = server.bot(survivor, &["--code", &code]);
    let mut victim = server.bot(victim, &["--code", &code, "--rate", "120"]);
    // Each bot prints a line once the match has begun.
    for child in [&mut survivor, &mut victim] {
        let stdout = BufReader::new(child.stdout.as_mut().expect("piped"));
        assert!(
            stdout.lines().map_while(Result::ok).any(|line| line.starts_with("match ")),
            "{kind}: no match"
        );
    }
    victim.kill().expect("killed with -9");
    victim.wait().expect("ended");
    let mut output = String::new();
    survivor.stdout.take().expect("piped").read_to_string(&mut output).expect("read");
    assert!(survivor.wait().expect("ended").success(), "{output}");
    assert!(output.contains("the opponent's connection is lost"), "{output}");
    // A dead TCP client is reset at once; a dead QUIC client is silent until the idle timeout.
    assert!(output.contains("the opponent left (Disconnected)") || output.contains("(TimedOut)"), "{output}");
    assert!(output.contains("final positions"), "{output}");
}

#[test]
fn errors_say_what_to_do() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_netduel-bot")).args(args).output().expect("started");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let unreachable =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let unreachable = unreachable.to_string();
    let wrong_pin = "ab".repeat(32);
    for (args, code, words) in [
        (&["--server", &unreachable][..], 1, "Is the server running there"),
        (&["--transport", "tls"], 1, "give its file with --ca"),
        (&["--transport", "quic-stream", "--ca", "no-such-file.pem"], 1, "no-such-file.pem"),
        (&["--transport", "pigeon"], 2, "expected one of tcp, tls,"),
        (&["--pin", "abc"], 2, "64 hexadecimal digits"),
        (&["--pin", &wrong_pin, "--ca", "x"], 2, "cannot be used with"),
        (&["--server", "127.0.0.1:port"], 1, "is not a port"),
        (&["--rate", "0"], 2, "1..=1000"),
    ] {
        let (status, stderr) = run(args);
        assert_eq!(status, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
    let server = Server::start();
    let tls = server.addresses[1].1.to_string();
    let (status, stderr) = run(&["--server", &tls, "--transport", "tls", "--pin", &wrong_pin]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains(&format!("not the pinned {wrong_pin}")), "{stderr}");
    let (status, stderr) = run(&["--server", &tls, "--transport", "tcp"]);
    assert_eq!(status, Some(1), "plain TCP to the TLS port: {stderr}");
    server.shutdown.cancel();
    server.thread.join().expect("no panic");
}
