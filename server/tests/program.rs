//! `netduel-server` as a program: its flags, its output, its signals.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

use netduel_client::{Event, PlayError, Player, PlayerConfig};
use netduel_protocol::{CloseCode, clock, game::Heading};
use netduel_transport::{Identity, Options, TransportKind, Trust};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netduel-server"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG");
    command
}

fn refused(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(args).output().expect("started");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// A running server and its announced addresses. Dropping it kills the server.
struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addresses: Vec<(TransportKind, SocketAddr)>,
    trust: Trust,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().expect("started");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (mut addresses, mut pin) = (Vec::new(), None);
        loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).expect("read") > 0, "the server ended before it was ready");
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", kind, addr] => {
                    addresses.push((kind.parse().expect("a kind"), addr.parse().expect("an address")));
                }
                ["pin", text] => pin = Some(text.parse().expect("a fingerprint")),
                ["ready:", ..] => break,
                _ => panic!("{line}"),
            }
        }
        Self { child, stdout, addresses, trust: Trust::pin(pin.expect("a fingerprint")) }
    }

    async fn player(&self, number: usize) -> Player {
        let mut player = Player::connect(&self.player_config(number)).await.expect("connected");
        player.join(None).expect("open");
        player
    }

    fn player_config(&self, number: usize) -> PlayerConfig {
        let (kind, addr) = self.addresses[number];
        PlayerConfig {
            addr,
            server_name: "localhost".into(),
            kind,
            trust: Some(self.trust.clone()),
            // The client always asks for resumption, which takes both sides.
            options: Options {
                protocol: netduel_protocol::NAME.into(),
                resumption: true,
                ..Options::default()
            },
            name: "tester".into(),
            period_us: 16_667,
        }
    }

    async fn matched(&self) -> [Player; 2] {
        let mut players = [self.player(0).await, self.player(1).await];
        for player in &mut players {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        players
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end. Returns the exit code and the rest of the standard output.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("read");
        (self.child.wait().expect("ended").code(), rest)
    }
}

async fn event(player: &mut Player) -> Event {
    timeout(PATIENCE, player.next_event()).await.expect("an event in time").expect("open")
}

const TWO: [&str; 4] = ["--listen", "tcp=127.0.0.1:0", "--listen", "quic-datagram=127.0.0.1:0"];

#[tokio::test]
async fn sigterm_lets_a_match_finish() {
    let server = Program::start(&[&TWO[..], &["--counters"]].concat());
    let [mut ada, mut grace] = server.matched().await;
    server.signal("-TERM");
    for player in [&mut ada, &mut grace] {
        assert_eq!(event(player).await, Event::Draining { seconds: 10 });
    }
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
    ada.close().await;
    let error = loop {
        match timeout(PATIENCE, grace.next_event()).await.expect("an end in time") {
            Ok(event) => assert!(matches!(event, Event::OpponentLeft { .. }), "{event:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PlayError::Refused { code: CloseCode::ShuttingDown, .. }), "{error}");
    let (code, rest) = server.end();
    assert_eq!(code, Some(0));
    let counters: netduel_server::Snapshot = serde_json::from_str(&rest).expect("counters");
    assert_eq!((counters.matches_started, counters.matches_ended, counters.updates_relayed), (1, 1, 1));
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    let server = Program::start(&TWO);
    let mut players = server.matched().await;
    server.signal("-TERM");
    for player in &mut players {
        assert!(matches!(event(player).await, Event::Draining { .. }));
    }
    server.signal("-INT");
    assert_eq!(server.end().0, Some(1));
}

/// A server that drains tells each newcomer so, over every transport.
#[tokio::test]
async fn newcomers_of_a_drain_are_told() {
    let listen = TransportKind::ALL.map(|kind| format!("--listen={kind}=127.0.0.1:0"));
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let server = Program::start(&listen);
    let [mut ada, mut grace] = server.matched().await;
    server.signal("-TERM");
    for player in [&mut ada, &mut grace] {
        assert!(matches!(event(player).await, Event::Draining { .. }));
    }
    for (number, flag) in listen.iter().enumerate() {
        let refused = Player::connect(&server.player_config(number)).await.map(drop).expect_err("it drains");
        assert!(
            matches!(refused, PlayError::Refused { code: CloseCode::ShuttingDown, .. }),
            "{flag}: {refused}"
        );
    }
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
    ada.close().await;
    assert_eq!(server.end().0, Some(0));
}

#[cfg(unix)]
#[tokio::test]
async fn sighup_ends_nothing() {
    let server = Program::start(&[&TWO[..], &["--counters"]].concat());
    let [mut ada, mut grace] = server.matched().await;
    for _ in 0..3 {
        server.signal("-HUP");
        ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
        assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
    }
    server.signal("-TERM");
    for player in [&mut ada, &mut grace] {
        assert!(matches!(event(player).await, Event::Draining { .. }));
    }
    server.signal("-HUP");
    ada.close().await;
    let (code, rest) = server.end();
    assert_eq!(code, Some(0), "a SIGHUP is no second signal to end");
    let counters: netduel_server::Snapshot = serde_json::from_str(&rest).expect("counters");
    assert_eq!(counters.updates_relayed, 3);
}

/// A supervised server ends after SIGTERM, although its standard input stays open.
#[tokio::test]
async fn supervised_server_ends_by_signal() {
    let mut child = command(&["--listen=tcp=127.0.0.1:0", "--supervised", "--drain=1"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    let _input = child.stdin.take().expect("piped");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    while !lines.next().expect("ready before it ends").expect("read").starts_with("ready:") {}
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let ended = tokio::task::spawn_blocking(move || child.wait().expect("ended").code());
    assert_eq!(timeout(PATIENCE, ended).await.expect("it hangs").expect("no panic"), Some(0));
}

/// Players of one match may be served by different threads; of ten matches on each transport some
/// are.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_share_matches() {
    const MATCHES_OF_A_KIND: usize = 10;
    let listen = TransportKind::ALL.map(|kind| format!("--listen={kind}=127.0.0.1:0"));
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let server = Program::start(&[&listen[..], &["--threads=3", "--counters", "--early-leave=0"]].concat());
    for number in 0..listen.len() {
        for _ in 0..MATCHES_OF_A_KIND {
            let (mut ada, mut grace) = tokio::join!(server.player(number), server.player(number));
            for player in [&mut ada, &mut grace] {
                while !matches!(event(player).await, Event::Started(_)) {}
            }
            ada.steer(Heading { x: 0.0, y: 1.0 }, clock::now_us()).expect("open");
            assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
            grace.leave().expect("open");
            assert!(matches!(event(&mut ada).await, Event::OpponentLeft { .. }));
            tokio::join!(ada.close(), grace.close());
        }
    }
    server.signal("-TERM");
    let (code, rest) = server.end();
    assert_eq!(code, Some(0));
    let counters: netduel_server::Snapshot = serde_json::from_str(&rest).expect("counters");
    let matches = (listen.len() * MATCHES_OF_A_KIND) as u64;
    assert_eq!((counters.matches_started, counters.updates_relayed), (matches, matches));
}

#[tokio::test]
async fn issues_tickets_only_on_request() {
    let listen = TransportKind::ALL.map(|kind| format!("--listen={kind}=127.0.0.1:0"));
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    for (flags, resumption) in [(&[][..], false), (&["--resumption"][..], true)] {
        let server = Program::start(&[&listen[..], flags].concat());
        for number in 0..listen.len() {
            let kind = server.addresses[number].0;
            for expected in [false, resumption, resumption] {
                let mut player = server.player(number).await;
                // Either event comes after the ticket; the server may not have noticed yet that the
                // player before is gone.
                assert!(matches!(event(&mut player).await, Event::Waiting | Event::Started(_)));
                let expected = kind.capabilities().encrypted.then_some(expected);
                assert_eq!(player.resumed(), expected, "{kind} {flags:?}");
                player.close().await;
            }
        }
    }
}

#[test]
fn start_errors_say_what_to_do() {
    let running = Program::start(&["--listen", "tcp=127.0.0.1:0"]);
    let taken = format!("tcp={}", running.addresses[0].1);
    let folder = tempfile::tempdir().expect("folder");
    let identity = folder.path().join("identity");
    let (identity_text, key) = (identity.to_str().expect("utf-8"), identity.join("key.pem"));
    assert_eq!(refused(&["--listen", &taken, "--identity", identity_text]).0, Some(1));
    loosen(&key);

    for (args, code, words) in [
        (&["--listen", &taken][..], 1, "The port is taken"),
        (&["--listen", "tcp=127.0.0.1:0", "--metrics", &taken[4..]], 1, "choose another --metrics"),
        (&["--listen", "tcp"], 2, "KIND=ADDRESS"),
        (&["--listen", "pigeon=127.0.0.1:1"], 2, "expected one of tcp, tls,"),
        (&["--listen", "tcp=nowhere"], 2, "is not an address with a port"),
        (&["--relay", "nobody"], 2, "expected `other` or `both`"),
        (&["--idle-timeout", "5"], 2, "5 is not in 6..=600"),
        (&["--join-timeout", "0"], 2, "0 is not in 1..=600"),
        (&["--max-payload", "1025"], 2, "1025 is not in 0..=1024"),
        (&["--identity", identity_text], 1, "chmod 600"),
    ] {
        if words == "chmod 600" && !cfg!(unix) {
            continue;
        }
        let (status, stderr) = refused(args);
        assert_eq!(status, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
}

/// A second server gets no part of the first one's ports, however many threads either has.
#[cfg(target_os = "linux")]
#[test]
fn shared_ports_refuse_another_server() {
    let listen = TransportKind::ALL.map(|kind| format!("--listen={kind}=127.0.0.1:0"));
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let first = Program::start(&[&listen[..], &["--threads", "2"]].concat());
    for (kind, addr) in &first.addresses {
        for threads in ["1", "2"] {
            let listen = format!("--listen={kind}={addr}");
            // A server that starts all the same ends by its input, and fails the test.
            let (code, stderr) = refused(&[&listen, "--threads", threads, "--supervised"]);
            assert_eq!(code, Some(1), "{kind}, {threads} threads: {stderr}");
            assert!(stderr.contains("The port is taken"), "{kind}, {threads} threads: {stderr}");
        }
    }
}

#[test]
fn plaintext_leaves_the_machine_on_request() {
    for kind in TransportKind::ALL {
        let listen = format!("--listen={kind}=0.0.0.0:0");
        if kind.capabilities().encrypted {
            drop(Program::start(&[&listen]));
            continue;
        }
        let (code, stderr) = refused(&[&listen, "--supervised"]);
        assert_eq!(code, Some(1), "{kind}: {stderr}");
        assert!(stderr.contains("is not encrypted") && stderr.contains("--plaintext"), "{kind}: {stderr}");
        drop(Program::start(&[&listen, "--plaintext"]));
    }
}

/// Standard output may be where the certificate goes, too.
#[cfg(unix)]
#[test]
fn certificate_goes_through_standard_output() {
    use std::os::unix::fs::FileTypeExt;
    let mut child =
        command(&["--listen", "tcp=127.0.0.1:0", "--cert-out", "/dev/stdout"]).spawn().expect("started");
    let mut lines =
        BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("read"));
    assert_eq!(lines.next().as_deref(), Some("-----BEGIN CERTIFICATE-----"));
    assert!(lines.any(|line| line == "-----END CERTIFICATE-----"));
    assert!(lines.any(|line| line.starts_with("ready:")), "printed behind the certificate");
    child.kill().expect("killed");
    child.wait().expect("ended");

    let folder = tempfile::tempdir().expect("folder");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("started").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).expect("readable")
    });
    drop(Program::start(&["--listen", "tcp=127.0.0.1:0", "--cert-out", pipe.to_str().expect("utf-8")]));
    assert!(reader.join().expect("read").starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(std::fs::symlink_metadata(&pipe).expect("there").file_type().is_fifo());
}

/// Clients that come after SIGHUP meet the new certificate, over TCP and over QUIC. A match goes
/// on, and a certificate that nobody can use changes nothing.
#[cfg(unix)]
#[tokio::test]
async fn hangup_reloads_the_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let put = |identity: &Identity| {
        for path in [&certificate, &key] {
            let _ = std::fs::remove_file(path);
        }
        identity.save(&certificate, &key).expect("saved");
    };
    let by_an_authority =
        || Identity::generate_with_chain("an operator", &["localhost".into()]).expect("generated");
    let (first, second) = (by_an_authority(), by_an_authority());
    put(&first);
    let kinds = ["--listen", "tls=127.0.0.1:0", "--listen", "quic-datagram=127.0.0.1:0"];
    let folder = ["--identity", folder.path().to_str().expect("utf-8")];
    let mut server = Program::start(&[&kinds[..], &folder].concat());
    let mut log = BufReader::new(server.child.stderr.take().expect("piped")).lines();
    let mut wait_for = |words: &str| log.any(|line| line.expect("read").contains(words));
    let [mut ada, mut grace] = server.matched().await;

    put(&second);
    server.signal("-HUP");
    assert!(wait_for(&second.fingerprint().to_string()), "says the new pin");
    server.trust = Trust::pin(second.fingerprint());
    for number in [0, 1] {
        server.player(number).await.close().await;
    }
    std::fs::write(&certificate, "half a file").expect("written");
    server.signal("-HUP");
    assert!(wait_for("the certificate stays as it was"));
    server.player(1).await.close().await;
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
}

/// The operator's half of a pair is neither replaced nor completed.
#[test]
fn operators_certificate_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("cert.pem"), "my ACME certificate").expect("written");
    std::fs::write(at("privkey.pem"), "its key").expect("written");
    let (code, said) = refused(&["--identity", folder.path().to_str().expect("utf-8")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds cert.pem but no key.pem") && said.contains("privkey.pem"), "{said}");
    assert_eq!(std::fs::read(at("cert.pem")).expect("readable"), b"my ACME certificate");
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 2);
}

#[cfg(unix)]
fn loosen(key: &Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(key).expect("made").permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).expect("set");
}

#[cfg(not(unix))]
fn loosen(key: &Path) {
    assert!(key.exists());
}
