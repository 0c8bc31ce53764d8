//! The server's command line: flags, logging, signals. `main.rs` calls it, and so does the report generator, which
//! runs itself again as the server.

use std::{
    convert::Infallible,
    io::{IsTerminal, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use netduel_protocol::PAYLOAD_MAX_BYTES;
use netduel_transport::{Congestion, Identity, Listener, Options, TransportKind};
use tokio_util::sync::CancellationToken;

use crate::{Config, RelayPolicy, Server, THREADS_MAX, Threads, metrics::MetricsListener};

/// Nobody waits for a peer longer than this, and a deadline that never comes bounds nothing.
const TIMEOUT_MAX_S: u64 = 600;
/// UDP datagrams, or QUIC frames, for each message that a player may send. A move takes two of QUIC's at most (a stream, and
/// its reset), and what comes from us is acknowledged at most once each; the rest is room for a protocol's own.
const PACKETS_PER_MESSAGE: u32 = 4;

/// Flags of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Address to listen on. The default serves this machine only; 0.0.0.0 serves the network
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,

    /// Listen for one transport at one address, as KIND=ADDRESS; repeat it. Without it: every transport, each on its
    /// default port of --host
    #[arg(long, value_name = "KIND=ADDRESS", value_parser = parse_listen)]
    listen: Vec<(TransportKind, SocketAddr)>,

    /// Who is told of a move: the player that did not move, or both
    #[arg(long, default_value_t, value_name = "other|both")]
    relay: RelayPolicy,

    /// Folder with cert.pem and key.pem; made if it is not there. Without it the certificate lives in memory only
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,

    /// Write the certificate to this file, for clients to load with --ca
    #[arg(long, value_name = "FILE")]
    cert_out: Option<PathBuf>,

    /// Name or address that the certificate carries; repeat it
    #[arg(long = "name", value_name = "NAME", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])]
    names: Vec<String>,

    /// Congestion control, on TCP and QUIC alike: cubic, bbr or reno
    #[arg(long, default_value_t)]
    congestion: Congestion,

    /// Leave Nagle's algorithm on (TCP only), to see what it does to small updates
    #[arg(long)]
    nagle: bool,

    /// Let clients that come again resume their TLS session (encrypted transports only): tickets, each good once
    #[arg(long)]
    resumption: bool,

    /// Threads that serve, each with sockets of its own at the same addresses (Linux only). One is enough for thousands
    /// of players; a QUIC player whose address changes keeps its match only on one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(THREADS_MAX)))]
    threads: u16,

    /// Connected players at most
    #[arg(long, default_value_t = Config::default().connections_max)]
    max_connections: usize,

    /// Connections of one address at most (of IPv6: of one /64), so that nobody fills the server alone
    #[arg(long, default_value_t = Config::default().connections_per_address_max)]
    max_connections_per_address: usize,

    /// Connections a second that one address may open, once it has opened twice as many as it may have; more are dropped
    #[arg(long, default_value_t = Config::default().connections_per_address_per_s, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    max_connection_rate: u32,

    /// Handshakes under way at most; more are dropped
    #[arg(long, default_value_t = Config::default().handshakes_max)]
    max_handshakes: usize,

    /// Seconds that a handshake may take
    #[arg(long, default_value_t = Options::default().handshake_timeout.as_secs(), value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MAX_S))]
    handshake_timeout: u64,

    /// Seconds from there to a player's first join
    #[arg(long, default_value_t = Config::default().join_timeout.as_secs(), value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MAX_S))]
    join_timeout: u64,

    /// Seconds of silence after which a connection is lost; clients say every 2.5 that they live, and one may be missed
    #[arg(long, default_value_t = Options::default().idle_timeout.as_secs(), value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(6..=TIMEOUT_MAX_S))]
    idle_timeout: u64,

    /// Matches at most
    #[arg(long, default_value_t = Config::default().matches_max)]
    max_matches: usize,

    /// Messages a second that a player may send, all kinds together; and four times as many UDP datagrams or QUIC frames
    #[arg(long, default_value_t = Config::default().messages_per_s_max)]
    max_messages: u32,

    /// Bytes that a player may send along with a move
    #[arg(long, default_value_t = Config::default().payload_max_bytes as u16, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(..=PAYLOAD_MAX_BYTES as i64))]
    max_payload: u16,

    /// Seconds that a player whose connection was lost has to come back to its match; 0 ends the match at once
    #[arg(long, default_value_t = Config::default().resume_grace.as_secs(), value_name = "SECONDS")]
    resume_grace: u64,

    /// Seconds that matches may go on after SIGTERM or Ctrl-C
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    drain: u64,

    /// Serve /metrics (Prometheus) and /health there, over plain HTTP: an address that only the operator reaches
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,

    /// How log lines on standard error look; RUST_LOG chooses which (RUST_LOG=debug shows every connection)
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,

    /// At the end, print the counters as one line of JSON on standard output
    #[arg(long)]
    counters: bool,

    /// Also end, after a drain, when standard input closes: for programs that start a server and may die
    #[arg(long)]
    supervised: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn parse_listen(text: &str) -> Result<(TransportKind, SocketAddr), String> {
    let (kind, addr) = text.split_once('=').ok_or("give it as KIND=ADDRESS, such as tcp=127.0.0.1:4433")?;
    let kind = kind.parse::<TransportKind>().map_err(|error| error.to_string())?;
    let addr = addr
        .parse()
        .map_err(|_| format!("'{addr}' is not an address with a port, such as 127.0.0.1:4433"))?;
    Ok((kind, addr))
}

/// Serves until it is told to end. Returns an error if it cannot start, or if a second signal cuts the drain short.
///
/// # Errors
/// What is wrong and what to do about it.
pub fn run(args: &ServerArgs) -> anyhow::Result<()> {
    init_logging(args.log_format);
    prepare_descriptors(config(args).sessions_max());
    // One thread, or as many of the same kind (`threads.rs`): never a pool that steals work.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

fn init_logging(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Set already if the caller logs, too; then that one is right.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Descriptors that are nobody's connection: sockets that listen, timers, files.
#[cfg(unix)]
const OTHER_DESCRIPTORS: usize = 64;

/// Makes room for as many connections, each of which takes a descriptor: the usual soft limit is 1,024. And has the kernel
/// grow its table of them now: else it does that whenever the table is full, in an accept, and on Linux a program with
/// threads waits 5 to 10 ms for it (`expand_files`), in which no move is relayed. Best effort: accept errors tell.
pub fn prepare_descriptors(connections: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let allowed = maximum.and_then(|maximum| maximum.try_into().ok()).unwrap_or(i32::MAX) - 1;
        let needed = connections.saturating_add(OTHER_DESCRIPTORS).try_into().unwrap_or(i32::MAX);
        // One with the highest number, for a moment: the table never shrinks.
        drop(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), allowed.min(needed)));
    }
    #[cfg(not(unix))]
    let _ = connections;
}

async fn serve(args: &ServerArgs) -> anyhow::Result<()> {
    let identity = identity(args)?;
    let options = options(args);
    let addresses = if args.listen.is_empty() {
        TransportKind::ALL.map(|kind| (kind, (args.host, kind.default_port()).into())).to_vec()
    } else {
        args.listen.clone()
    };
    let bind = |addresses: &[(TransportKind, SocketAddr)]| {
        let bind = |&(kind, addr): &(TransportKind, SocketAddr)| kind.bind(addr, &identity, &options);
        addresses.iter().map(bind).collect::<Result<Vec<Listener>, _>>()
    };
    let listeners = bind(&addresses)?;
    // Once more for each further thread, at the ports that the first got.
    let bound: Vec<_> = listeners.iter().map(|it| (it.kind(), it.local_addr())).collect();
    let threads = Threads::start(args.threads - 1)?;
    let mut further = Vec::new();
    for runtime in threads.runtimes() {
        let _within = runtime.enter();
        further.push((runtime, bind(&bound)?));
    }

    let metrics = match args.metrics {
        None => None,
        Some(addr) => Some(
            MetricsListener::bind(addr)
                .await
                .with_context(|| format!("cannot serve metrics on {addr}: choose another --metrics"))?,
        ),
    };

    let mut stdout = std::io::stdout().lock();
    for (kind, addr) in &bound {
        writeln!(stdout, "listening {kind} {addr}")?;
    }
    if let Some(metrics) = &metrics {
        writeln!(stdout, "metrics http://{}/metrics", metrics.local_addr()?)?;
    }
    writeln!(stdout, "certificate sha256 {}", identity.fingerprint())?;
    writeln!(stdout, "ready: players may connect; end with Ctrl-C")?;
    stdout.flush()?;

    let shutdown = CancellationToken::new();
    let mut server = Server::new(listeners, config(args));
    for (runtime, listeners) in further {
        server.serve_on(runtime, listeners);
    }
    if let Some(metrics) = metrics {
        tokio::spawn(metrics.serve(server.observer()));
    }
    let serving = server.run(shutdown.clone());
    let counters = tokio::select! {
        counters = serving => counters,
        outcome = two_signals(&shutdown) => return outcome,
        never = end_of_input(args.supervised, &shutdown) => match never {},
    };
    tracing::info!(?counters, "the end");
    if args.counters {
        writeln!(stdout, "{}", serde_json::to_string(&counters)?)?;
    }
    Ok(())
}

fn options(args: &ServerArgs) -> Options {
    Options {
        congestion: args.congestion,
        nodelay: !args.nagle,
        resumption: args.resumption,
        share_port: args.threads > 1,
        handshake_timeout: Duration::from_secs(args.handshake_timeout),
        idle_timeout: Duration::from_secs(args.idle_timeout),
        packets_per_s_max: args.max_messages.saturating_mul(PACKETS_PER_MESSAGE),
        ..Options::default()
    }
}

fn config(args: &ServerArgs) -> Config {
    Config {
        relay: args.relay,
        connections_max: args.max_connections,
        connections_per_address_max: args.max_connections_per_address,
        connections_per_address_per_s: args.max_connection_rate,
        handshakes_max: args.max_handshakes,
        matches_max: args.max_matches,
        join_timeout: Duration::from_secs(args.join_timeout),
        messages_per_s_max: args.max_messages,
        payload_max_bytes: args.max_payload.into(),
        resume_grace: Duration::from_secs(args.resume_grace),
        drain_timeout: Duration::from_secs(args.drain),
    }
}

fn identity(args: &ServerArgs) -> anyhow::Result<Identity> {
    let identity = match &args.identity {
        None => Identity::generate(&args.names)?,
        Some(folder) => {
            let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
            if !key.exists() {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                Identity::generate(&args.names)?.save(&certificate, &key)?;
            }
            Identity::load(&certificate, &key)?
        }
    };
    if let Some(path) = &args.cert_out {
        identity.save_certificate(path)?;
    }
    Ok(identity)
}

/// The first signal drains; the second gives up on that.
async fn two_signals(shutdown: &CancellationToken) -> anyhow::Result<()> {
    signal().await?;
    tracing::info!("draining: matches may finish; a second signal ends at once");
    shutdown.cancel();
    signal().await?;
    anyhow::bail!("ended by a second signal, with matches still going on")
}

async fn end_of_input(supervised: bool, shutdown: &CancellationToken) -> Infallible {
    if supervised {
        // An error is an end, too.
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
        shutdown.cancel();
    }
    std::future::pending().await
}

#[cfg(unix)]
async fn signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

#[cfg(not(unix))]
async fn signal() -> anyhow::Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}
