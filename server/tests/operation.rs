//! `netduel-server` as its operator sees it: metrics, health, and a lack of file descriptors.

#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use netduel_client::{Event, Player, PlayerConfig};
use netduel_protocol::{clock, game::Heading};
use netduel_transport::{Options, TransportKind};
use tokio::time::timeout;

/// The timeout of every wait; none needs nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// The server's limit of descriptors; a dozen are its own.
const DESCRIPTORS: usize = 32;

/// A running server. Dropping it kills the server.
struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
    tcp: SocketAddr,
    metrics: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts a server of TCP.
    fn start() -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_netduel-server")))
    }

    /// Starts a server with a low hard and soft limit of descriptors.
    fn with_descriptors(count: usize) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_netduel-server")]);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command
            .args(["--listen", "tcp=127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("ready before it ends").expect("read");
        let tcp = line().strip_prefix("listening tcp ").expect("an address").parse().expect("an address");
        let metrics = line();
        let metrics = metrics.strip_prefix("metrics http://").and_then(|rest| rest.strip_suffix("/metrics"));
        let metrics = metrics.expect("an address").parse().expect("an address");
        while !line().starts_with("ready:") {}
        Self { child, stderr, tcp, metrics }
    }

    /// Sends a request. Returns the status line and the body of the answer.
    fn request(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.metrics).expect("connected");
        write!(stream, "{request} HTTP/1.1\r\nHost: here\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("one answer and the end");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.lines().next().expect("a status").to_owned(), body.to_owned())
    }

    async fn matched(&self) -> [Player; 2] {
        let mut players = [self.player().await, self.player().await];
        for player in &mut players {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        players
    }

    /// Waits for the next log line with these words.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).expect("read") > 0, "ended before it said '{words}'");
            if line.contains(words) {
                return line;
            }
        }
    }

    async fn player(&self) -> Player {
        let config = PlayerConfig {
            addr: self.tcp,
            server_name: "localhost".into(),
            kind: TransportKind::ALL[0],
            trust: None,
            options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
            name: "tester".into(),
            period_us: 16_667,
        };
        let mut player = Player::connect(&config).await.expect("connected");
        player.join(None).expect("open");
        player
    }
}

async fn event(player: &mut Player) -> Event {
    timeout(PATIENCE, player.next_event()).await.expect("an event in time").expect("open")
}

#[tokio::test]
async fn survives_a_lack_of_descriptors() {
    let mut server = Program::with_descriptors(DESCRIPTORS);
    let mut witness = server.matched().await;
    // The kernel accepts the connections into the backlog, whether or not the server can.
    let flood: Vec<TcpStream> =
        (0..DESCRIPTORS).map(|_| TcpStream::connect(server.tcp).expect("the kernel accepts")).collect();
    let said = server.wait_for("cannot accept over tcp");
    assert!(said.contains("WARN") && said.contains("will try again"), "{said}");

    let [ada, grace] = &mut witness;
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(grace).await, Event::OpponentMoved { .. }));

    drop(flood);
    server.wait_for("accepts over tcp again");
    let mut next = server.player().await;
    assert_eq!(event(&mut next).await, Event::Waiting);
}

#[tokio::test]
async fn metrics_and_health_report_the_state() {
    let server = Program::start();
    assert_eq!(server.request("GET /health"), ("HTTP/1.1 200 OK".into(), "ok\n".into()));
    let [mut ada, mut grace] = server.matched().await;
    let mut waiting = server.player().await;
    assert_eq!(event(&mut waiting).await, Event::Waiting);
    // One of 64 moves is timed.
    for _ in 0..64 {
        ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
        assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
    }

    let (status, metrics) = server.request("GET /metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "netduel_connections{transport=\"tcp\"} 3",
        "netduel_waiting 1",
        "netduel_matches 1",
        "netduel_away 0",
        "netduel_handshakes 0",
        "netduel_draining 0",
        "netduel_accepted_total 3",
        "netduel_updates_relayed_total{transport=\"tcp\"} 64",
        "netduel_updates_superseded_total{transport=\"tcp\"} 0",
        "netduel_updates_away_total{transport=\"tcp\"} 0",
        "# TYPE netduel_relay_latency_seconds histogram",
        "netduel_relay_latency_seconds_count{transport=\"tcp\"} 1",
        "netduel_relay_latency_seconds_bucket{transport=\"tcp\",le=\"+Inf\"} 1",
        "netduel_refused_total{cause=\"rate\"} 0",
        "netduel_refused_total{cause=\"address\"} 0",
        "netduel_refused_total{cause=\"resume\"} 0",
        "netduel_seats_resumed_total 0",
        "netduel_expelled_total{cause=\"flooding\"} 0",
        "netduel_panics_total 0",
        "# TYPE netduel_expelled_total counter",
        "# TYPE netduel_matches gauge",
        "# HELP netduel_panics_total Sessions that ended by a panic of the server.",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no '{line}' in\n{metrics}");
    }
    assert_eq!(server.request("POST /metrics").0, "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(server.request("GET /elsewhere").0, "HTTP/1.1 404 Not Found");

    let sent = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    assert!(matches!(event(&mut ada).await, Event::Draining { .. }));
    assert_eq!(server.request("GET /health").0, "HTTP/1.1 503 Service Unavailable");
}

#[tokio::test]
async fn silent_requests_delay_no_match() {
    let server = Program::start();
    let _silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(server.metrics).expect("the kernel accepts")).collect();
    let [mut ada, mut grace] = server.matched().await;
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
}
