//! The server's command line: its flags, and a server that runs as they say. `main.rs` runs it, and
//! so do programs that run themselves again as the server.

mod certificate;
pub(crate) mod logging;
mod signals;

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser};
use netduel_protocol::PAYLOAD_MAX_BYTES;
use netduel_transport::{Congestion, Options, PortSharing, Supervised, TransportKind};
use tokio_util::sync::CancellationToken;

use self::certificate::{Certificate, Source};
use crate::{
    Config, Plaintext, RelayPolicy, Server, ServerOptions, THREADS_MAX, Threads, metrics::MetricsListener,
};
use logging::LogFormat;
use signals::{Signals, drain_at_end_of_input};

/// The longest timeout in seconds. A timeout that never ends bounds nothing.
const TIMEOUT_MAX_S: u64 = 600;

/// Matches players and relays their moves, over every transport at once.
#[derive(Debug, Parser)]
#[command(
    name = "netduel-server",
    version,
    after_help = "Examples:
  netduel-server                                  serve every transport, for this machine only
  netduel-server --host 0.0.0.0 --name my.host    serve the network, encrypted; clients pin the key
  netduel-server --host 0.0.0.0 --plaintext       serve the network over every transport, to compare them
  netduel-server --cert-out cert.pem              clients trust it with --ca cert.pem
  netduel-server --listen tcp=127.0.0.1:7000 --listen quic-datagram=127.0.0.1:7000
  netduel-server --relay both                     send both positions to both players, to compare

Exit code 0 after a clean drain, 1 if it cannot start or a second signal cut the drain short, 2 for a bad flag."
)]
pub struct Cli {
    /// The flags of the server
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Address to listen on. The default serves this machine only; 0.0.0.0 serves the network, over
    /// the encrypted transports
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,

    /// Listen for one transport at one address, as KIND=ADDRESS; repeat the flag for more. Without
    /// it the server listens for every transport, each on its default port of --host
    #[arg(long, value_name = "KIND=ADDRESS", value_parser = parse_listen)]
    listen: Vec<(TransportKind, SocketAddr)>,

    /// Also serve the unencrypted transports (tcp, enet, udp) at addresses that others reach.
    /// Whoever is on the path can then read and change everything, and take a player's seat
    #[arg(long)]
    plaintext: bool,

    /// Players that receive a move: other (the opponent gets the move) or both (both players
    /// get both positions)
    #[arg(long, default_value_t, value_name = "other|both")]
    relay: RelayPolicy,

    /// Relay only the newest of the moves that one read brought and that are handled together
    #[arg(long)]
    newest_of_burst: bool,

    /// Folder with cert.pem and key.pem; both are made if neither is there, and the server renews a
    /// certificate that it made. Without this flag the certificate lives in memory only
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,

    /// Write the certificate to this file, for clients to load with --ca; renewed with the
    /// certificate
    #[arg(long, value_name = "FILE")]
    cert_out: Option<PathBuf>,

    /// Name or address that a new certificate carries; repeat the flag for more
    #[arg(
        long = "name",
        value_name = "NAME",
        default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]
    )]
    names: Vec<String>,

    /// Congestion control of TCP and QUIC: cubic, bbr or reno
    #[arg(long, default_value_t)]
    congestion: Congestion,

    /// Leave Nagle's algorithm on (TCP only), to see its effect on small updates
    #[arg(long)]
    nagle: bool,

    /// Tune TCP's timers for small updates (TCP and TLS on Linux): retransmission after 20 ms
    /// beside the round trip instead of 200 ms, and linear back-off. Clients should do so, too
    #[arg(long)]
    tuned: bool,

    /// Packets after which QUIC clients are asked to acknowledge; 2 asks for nothing
    #[arg(
        long,
        default_value_t = Options::default().ack_packets,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(2..=100)
    )]
    ack_packets: u32,

    /// Milliseconds without an acknowledgement after which ENet pings. Its throttle learns of round
    /// trips from the answers
    #[arg(
        long,
        default_value_t = Options::default().enet_ping.as_millis() as u64,
        value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1..=2_500)
    )]
    enet_ping: u64,

    /// Use a certificate that an intermediate one signed, and send both: 4 kB, as a chain of a
    /// public authority with RSA keys
    #[arg(long, conflicts_with = "identity")]
    long_chain: bool,

    /// Let returning clients resume their TLS session (encrypted transports only). Each ticket is
    /// good once
    #[arg(long)]
    resumption: bool,

    /// Threads that serve, each with its own sockets at the same addresses (Linux only). One thread
    /// is enough for thousands of players. A QUIC player whose address changes keeps its match only
    /// with one thread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(THREADS_MAX)))]
    threads: u16,

    /// Maximum number of connected players
    #[arg(long, default_value_t = Config::default().connections_max)]
    max_connections: usize,

    /// Maximum number of connections of one address (of IPv6: of one /64, twice as many of a /56
    /// and eight times as many of a /48), so that no address fills the server alone
    #[arg(long, default_value_t = Config::default().connections_per_address_max)]
    max_connections_per_address: usize,

    /// Connections a second that one address may open, after a burst of twice
    /// --max-connections-per-address; the server drops more
    #[arg(
        long,
        default_value_t = Config::default().connections_per_address_per_s,
        value_name = "PER_SECOND",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_connection_rate: u32,

    /// Maximum number of handshakes in progress; the server drops more
    #[arg(long, default_value_t = Config::default().handshakes_max)]
    max_handshakes: usize,

    /// Seconds that a handshake may take
    #[arg(
        long,
        default_value_t = Options::default().handshake_timeout.as_secs(),
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MAX_S)
    )]
    handshake_timeout: u64,

    /// Seconds from the handshake to a player's first join
    #[arg(
        long,
        default_value_t = Config::default().join_timeout.as_secs(),
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MAX_S)
    )]
    join_timeout: u64,

    /// Seconds of silence after which a connection is lost. Clients send a keep-alive every 2.5 s,
    /// and one may be lost
    #[arg(
        long,
        default_value_t = Options::default().idle_timeout.as_secs(),
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(6..=TIMEOUT_MAX_S)
    )]
    idle_timeout: u64,

    /// Maximum number of matches
    #[arg(long, default_value_t = Config::default().matches_max)]
    max_matches: usize,

    /// Messages a second that a player may send, of all kinds together; a player may send four
    /// times as many UDP datagrams, QUIC frames or TLS records
    #[arg(long, default_value_t = Config::default().messages_per_s_max)]
    max_messages: u32,

    /// Bytes a second that a player may send in messages, all of which go to the opponent
    #[arg(
        long,
        default_value_t = Config::default().bytes_per_s_max,
        value_name = "PER_SECOND",
        value_parser = clap::value_parser!(u32).range(i64::from(PAYLOAD_MAX_BYTES as u32 * 2)..)
    )]
    max_bytes: u32,

    /// Messages a second that this machine relays. One address may send a fifth before it waits for
    /// the others, and two fifths before it is cut. The default is 130000 for each thread
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,

    /// Seconds after the start of a match within which a leave counts as early. After a few early
    /// leaves the joins of a player or an address are held back for 1, 2, 4… s; 0 holds none back
    #[arg(long, default_value_t = Config::default().early_leave.as_secs(), value_name = "SECONDS")]
    early_leave: u64,

    /// Match codes a second that one address may try without finding an opponent, after a burst of
    /// half of --max-connections-per-address
    #[arg(
        long,
        default_value_t = Config::default().code_guesses_per_address_per_s,
        value_name = "PER_SECOND",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_code_guesses: u32,

    /// Maximum size in bytes of the payload that a player sends with a move
    #[arg(
        long,
        default_value_t = Config::default().payload_max_bytes as u16,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u16).range(..=PAYLOAD_MAX_BYTES as i64)
    )]
    max_payload: u16,

    /// Seconds that a player has to come back after its connection was lost; 0 ends the match at
    /// once
    #[arg(long, default_value_t = Config::default().resume_grace.as_secs(), value_name = "SECONDS")]
    resume_grace: u64,

    /// Seconds that matches may continue after SIGTERM or Ctrl-C
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    drain: u64,

    /// Serve /metrics (Prometheus) and /health on this address, over plain HTTP. Choose an address
    /// that only the operator reaches
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,

    /// Name of this host that requests to --metrics may carry, beside its addresses and localhost;
    /// repeat the flag for more
    #[arg(long, value_name = "NAME", requires = "metrics")]
    metrics_host: Vec<String>,

    /// Format of the log lines on standard error. RUST_LOG selects them (RUST_LOG=debug shows every
    /// connection)
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,

    /// Print the counters at the end, as one line of JSON on standard output
    #[arg(long)]
    counters: bool,

    /// Also drain and end when standard input closes: for programs that start a server and may die
    #[arg(long)]
    supervised: bool,
}

fn parse_listen(text: &str) -> Result<(TransportKind, SocketAddr), String> {
    let (kind, addr) = text.split_once('=').ok_or("expected KIND=ADDRESS, such as tcp=127.0.0.1:4433")?;
    let kind = kind.parse::<TransportKind>().map_err(|error| error.to_string())?;
    let addr = addr.parse().map_err(|_| {
        format!("'{addr}' is not an address with a port; expected one such as 127.0.0.1:4433")
    })?;
    Ok((kind, addr))
}

/// Serves until a signal ends it.
///
/// # Errors
/// The server cannot start, or a second signal cut the drain short. The error says what to do.
pub fn run(args: &ServerArgs) -> anyhow::Result<()> {
    let _last_lines = logging::init(args.log_format);
    netduel_transport::reserve_descriptors(config(args).sessions_max());
    // The server runs on one thread, or on several of the same kind (`threads.rs`), and never on a
    // work-stealing pool.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

/// Tells a person that the program failed. Neither waits for a reader of standard error that pauses
/// nor fails without one.
pub fn complain(error: &anyhow::Error) {
    logging::say(&format!("error: {error:#}"));
}

async fn serve(args: &ServerArgs) -> anyhow::Result<()> {
    let certificate = Certificate::open(source(args))?;
    let plaintext = if args.plaintext { Plaintext::Everywhere } else { Plaintext::LoopbackOnly };
    let options = ServerOptions::new(&config(args), tuning(args), plaintext);
    let addresses = if args.listen.is_empty() {
        let kinds = options.kinds_at((args.host, 0).into());
        if kinds.len() < TransportKind::ALL.len() {
            tracing::info!("only encrypted transports are served at {}: see --plaintext", args.host);
        }
        kinds.into_iter().map(|kind| (kind, (args.host, kind.default_port()).into())).collect()
    } else {
        args.listen.clone()
    };
    let first = if args.threads > 1 { PortSharing::First } else { PortSharing::Alone };
    let listeners = options.bind(&addresses, certificate.identity(), first)?;
    // Each further thread binds the ports that the first one got.
    let bound: Vec<_> = listeners.iter().map(|it| (it.kind(), it.local_addr())).collect();
    let threads = Threads::start(args.threads - 1)?;
    let mut further = Vec::new();
    for runtime in threads.runtimes() {
        let _within = runtime.enter();
        further.push((runtime, options.bind(&bound, certificate.identity(), PortSharing::Further)?));
    }

    let metrics = match args.metrics {
        None => None,
        Some(addr) => Some(
            MetricsListener::bind(addr, args.metrics_host.clone())
                .await
                .with_context(|| format!("cannot serve metrics on {addr}: choose another --metrics"))?,
        ),
    };

    let signals = Signals::install()?;
    let shutdown = CancellationToken::new();
    if args.supervised {
        drain_at_end_of_input(shutdown.clone())?;
    }

    let mut stdout = std::io::stdout().lock();
    for (kind, addr) in &bound {
        writeln!(stdout, "listening {kind} {addr}")?;
    }
    if let Some(metrics) = &metrics {
        writeln!(stdout, "metrics http://{}/metrics", metrics.local_addr()?)?;
    }
    writeln!(stdout, "pin {}", certificate.identity().fingerprint())?;
    writeln!(stdout, "ready: players may connect; end with Ctrl-C")?;
    stdout.flush()?;

    let mut server = Server::new(listeners, config(args));
    for (runtime, listeners) in further {
        server.serve_on(runtime, listeners);
    }
    server.observer().watch_certificate(certificate.identity());
    let watched = certificate.clone();
    server.observer().supervise(Supervised::spawn("certificate", move || {
        let watched = watched.clone();
        async move { match watched.watch().await {} }
    }));
    if let Some(metrics) = metrics {
        metrics.serve(&server.observer());
    }
    let serving = server.run(shutdown.clone());
    let reload = async || certificate.reload_beside().await;
    let counters = tokio::select! {
        counters = serving => counters,
        outcome = signals.obey(&shutdown, reload) => return outcome,
    };
    tracing::info!(?counters, "the server has ended");
    if args.counters {
        writeln!(stdout, "{}", serde_json::to_string(&counters)?)?;
    }
    Ok(())
}

/// Returns the options of the listeners that no limit decides.
fn tuning(args: &ServerArgs) -> Options {
    Options {
        congestion: args.congestion,
        nodelay: !args.nagle,
        tcp_tuned: args.tuned,
        ack_packets: args.ack_packets,
        enet_ping: Duration::from_millis(args.enet_ping),
        resumption: args.resumption,
        handshake_timeout: Duration::from_secs(args.handshake_timeout),
        idle_timeout: Duration::from_secs(args.idle_timeout),
        ..Options::default()
    }
}

fn config(args: &ServerArgs) -> Config {
    Config {
        relay: args.relay,
        newest_of_burst: args.newest_of_burst,
        connections_max: args.max_connections,
        connections_per_address_max: args.max_connections_per_address,
        connections_per_address_per_s: args.max_connection_rate,
        handshakes_max: args.max_handshakes,
        matches_max: args.max_matches,
        join_timeout: Duration::from_secs(args.join_timeout),
        messages_per_s_max: args.max_messages,
        capacity_messages_per_s: args
            .capacity
            .unwrap_or_else(|| Config::default().capacity_messages_per_s.saturating_mul(args.threads.into())),
        bytes_per_s_max: args.max_bytes,
        early_leave: Duration::from_secs(args.early_leave),
        code_guesses_per_address_per_s: args.max_code_guesses,
        payload_max_bytes: args.max_payload.into(),
        resume_grace: Duration::from_secs(args.resume_grace),
        drain_timeout: Duration::from_secs(args.drain),
        ..Config::default()
    }
}

fn source(args: &ServerArgs) -> Source {
    Source {
        folder: args.identity.clone(),
        copy: args.cert_out.clone(),
        names: args.names.clone(),
        long_chain: args.long_chain,
    }
}
