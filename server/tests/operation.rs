//! `netduel-server` as its operator sees it: metrics, health, a lack of file descriptors, and a log
//! that nobody takes.

#![cfg(unix)]

use std::{
    fs::File,
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
    /// The log, where the test has not sent it elsewhere.
    stderr: Option<BufReader<ChildStderr>>,
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
        Self::run(Command::new(env!("CARGO_BIN_EXE_netduel-server")), Stdio::piped())
    }

    /// Starts a server of TCP whose log goes to `log`. Players may leave at once.
    fn logging_to(log: impl Into<Stdio>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netduel-server"));
        command.args(["--early-leave=0", "--max-messages=1000000", "--drain=2"]);
        Self::run(command, log.into())
    }

    /// Starts a server with a low hard and soft limit of descriptors.
    fn with_descriptors(count: usize) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_netduel-server")]);
        Self::run(command, Stdio::piped())
    }

    fn run(mut command: Command, log: Stdio) -> Self {
        let mut child = command
            .args(["--listen", "tcp=127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("started");
        let stderr = child.stderr.take().map(BufReader::new);
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
        self.request_at("localhost", request)
    }

    fn request_at(&self, host: &str, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.metrics).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(stream, "{request} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("sent");
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
            let stderr = self.stderr.as_mut().expect("piped");
            assert!(stderr.read_line(&mut line).expect("read") > 0, "ended before it said '{words}'");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends SIGTERM, and returns the exit code.
    fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        self.child.wait().expect("ended").code()
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
        "# HELP netduel_panics_total Panics of the server. Each ended one session, or one task that started again.",
        "netduel_tasks_down 0",
        "netduel_log_lines_lost_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no '{line}' in\n{metrics}");
    }
    let expires = metrics.lines().find_map(|it| it.strip_prefix("netduel_certificate_expires_seconds "));
    let expires_s: f64 = expires.expect("a gauge").parse().expect("a number");
    let days_90_s = 90.0 * 86_400.0;
    assert!((days_90_s - 3_600.0..days_90_s).contains(&expires_s), "{expires_s}");
    assert_eq!(server.request("POST /metrics").0, "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(server.request("GET /elsewhere").0, "HTTP/1.1 404 Not Found");

    let sent = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    assert!(matches!(event(&mut ada).await, Event::Draining { .. }));
    assert_eq!(server.request("GET /health").0, "HTTP/1.1 503 Service Unavailable");
}

#[tokio::test]
async fn silent_requests_delay_nothing() {
    let server = Program::start();
    // More than have a place at once.
    let mut silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(server.metrics).expect("the kernel accepts")).collect();
    assert_eq!(server.request("GET /health").0, "HTTP/1.1 200 OK");
    let [mut ada, mut grace] = server.matched().await;
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
    // Each is closed: the oldest for the newer ones, and the others when their time is over.
    for stream in &mut silent {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let heard = stream.read(&mut [0; 8]);
        assert!(heard.as_ref().is_ok_and(|size| *size == 0) || heard.is_err(), "{heard:?}");
        let waited = heard.err().map(|error| error.kind());
        assert_ne!(waited, Some(std::io::ErrorKind::WouldBlock), "it is still open");
    }
    assert_eq!(server.request("GET /health").0, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn foreign_names_are_misdirected() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netduel-server"));
    command.args(["--metrics-host", "metrics.example"]);
    let server = Program::run(command, Stdio::piped());
    let addr = server.metrics.to_string();
    for host in ["localhost", "[::1]:1", "metrics.example", &addr] {
        assert_eq!(server.request_at(host, "GET /health").0, "HTTP/1.1 200 OK", "{host}");
    }
    for path in ["/health", "/metrics"] {
        let (status, body) = server.request_at("stranger.example", &format!("GET {path}"));
        assert_eq!(status, "HTTP/1.1 421 Misdirected Request");
        assert!(!body.contains("netduel_"), "{body}");
    }
}

/// Plays matches that end at once, and checks that a match beside them continues.
async fn play_many(server: &Program, matches: u32) {
    let [mut ada, mut grace] = server.matched().await;
    let mut pair = [server.player().await, server.player().await];
    for number in 0..matches {
        for player in &mut pair {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        let [first, second] = &mut pair;
        first.leave().expect("open");
        assert!(matches!(event(second).await, Event::OpponentLeft { .. }));
        first.join(None).expect("open");
        second.join(None).expect("open");
        if number % 10 == 0 {
            ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
            assert!(matches!(event(&mut grace).await, Event::OpponentMoved { .. }));
        }
    }
    assert_eq!(server.request("GET /health").0, "HTTP/1.1 200 OK");
    let [first, second] = pair;
    tokio::join!(ada.close(), grace.close(), first.close(), second.close());
}

/// Fills a pipe and keeps it full, until its reader is dropped.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("cloned");
    std::thread::spawn(move || while filler.write_all(&[b'.'; 4_096]).is_ok() {});
    (reader, writer)
}

#[tokio::test]
async fn unread_log_stops_no_match() {
    let (mut reader, writer) = full_pipe();
    let server = Program::logging_to(writer);
    play_many(&server, 1_000).await;
    // The pipe was full all the time: what is read first is what filled it.
    let mut first = [0; 4_096];
    reader.read_exact(&mut first).expect("full");
    assert_eq!(first, [b'.'; 4_096]);
    // The server can neither write its last words nor be kept from ending.
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test]
async fn log_without_a_reader_stops_nothing() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let server = Program::logging_to(writer);
    play_many(&server, 100).await;
    let (_, metrics) = server.request("GET /metrics");
    let lost = metrics.lines().find_map(|line| line.strip_prefix("netduel_log_lines_lost_total "));
    assert!(lost.expect("a counter").parse::<u64>().expect("a number") > 0, "{metrics}");
    assert!(metrics.contains("\nnetduel_panics_total 0\n"), "{metrics}");
    assert_eq!(server.terminate(), Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn full_disk_stops_nothing() {
    let server = Program::logging_to(File::options().write(true).open("/dev/full").expect("there is one"));
    play_many(&server, 100).await;
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test]
async fn many_matches_are_summed_up() {
    let mut server = Program::logging_to(Stdio::piped());
    play_many(&server, 100).await;
    let said = server.wait_for("more matches started");
    assert!(said.contains("INFO") && said.contains("ended"), "{said}");
    assert_eq!(server.terminate(), Some(0));
}

/// A failing start tells the reason by its exit code, too, where nobody reads the words.
#[test]
fn failing_start_needs_no_reader() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let listen = format!("--listen=tcp={}", taken.local_addr().expect("bound"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_netduel-server"));
    let status = command.arg(listen).stdout(Stdio::null()).stderr(writer).status().expect("started");
    assert_eq!(status.code(), Some(1));
}
