//! The flags that every client program shares: the server, the transport, and the certificates to
//! trust.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::{Args, Parser};
use netduel_transport::{Congestion, Fingerprint, Options, TransportKind, Trust};

use crate::config::PlayerConfig;

/// Joins a match and walks a scripted path. Start two bots to play a match.
#[derive(Debug, Parser)]
#[command(
    name = "netduel-bot",
    version,
    after_help = "Examples (the server runs with: netduel-server --cert-out cert.pem):
  netduel-bot                                            over plain TCP, to this machine
  netduel-bot --transport quic-datagram --ca cert.pem    over QUIC datagrams
  netduel-bot --server play.example --transport tls --pin 5f0c…
  netduel-bot --rate 120 --duration 30 --code friends    120 moves a second for 30 s, against an opponent with this code

Exit code 0 after the match, 1 if no match was played to its end, 2 for a bad flag."
)]
pub struct BotCli {
    /// The server to connect to
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Name that the opponent sees
    #[arg(long, default_value = "bot")]
    pub name: String,

    /// Play only an opponent that gives the same code. The code 'new' makes and prints one that
    /// nobody guesses
    #[arg(long)]
    pub code: Option<String>,

    /// Moves per second
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,

    /// Seconds to play; without this flag the bot plays until the opponent leaves
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,

    /// Seed of the path to walk
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Flags of the connection.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// Server, as HOST or HOST:PORT; each transport has its own default port
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST[:PORT]")]
    pub server: String,

    /// The transport of the messages
    #[arg(
        long,
        default_value = "tcp",
        help = format!("Transport: {}", TransportKind::ALL.map(TransportKind::name).join(", "))
    )]
    pub transport: TransportKind,

    /// Trust the certificates in this PEM file (the server writes its own with --cert-out)
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    pub ca: Option<PathBuf>,

    /// Trust only a server with this key: the SHA-256 of its public key, which the server prints at
    /// its start. A renewed certificate of the same key keeps it
    #[arg(long, value_name = "SHA256", value_parser = parse_pin)]
    pub pin: Option<Fingerprint>,

    /// Congestion control of TCP and QUIC: cubic, bbr or reno
    #[arg(long, default_value_t)]
    pub congestion: Congestion,

    /// Leave Nagle's algorithm on (TCP only), to see its effect on small updates
    #[arg(long)]
    pub nagle: bool,

    /// Tune TCP's timers for small updates (TCP and TLS on Linux); the server should do so, too
    #[arg(long)]
    pub tuned: bool,
}

fn parse_pin(text: &str) -> Result<Fingerprint, String> {
    text.parse().map_err(|error: netduel_transport::IdentityError| error.to_string())
}

impl ConnectArgs {
    /// Resolves the host and returns the configuration that the flags describe.
    ///
    /// # Errors
    /// The host is unknown, the file has no certificates, or an encrypted transport has no trust.
    pub async fn config(&self, name: &str, period_us: u64) -> anyhow::Result<PlayerConfig> {
        let (host, addr) = self.resolve().await?;
        let trust = match (&self.ca, self.pin) {
            (Some(path), _) => Some(Trust::from_file(path)?),
            (None, Some(pin)) => Some(Trust::pin(pin)),
            (None, None) => None,
        };
        if trust.is_none() && self.transport.capabilities().encrypted {
            let kind = self.transport;
            anyhow::bail!(
                "{kind} checks the server's certificate: give its file with --ca, or its key's fingerprint with --pin"
            );
        }
        Ok(PlayerConfig {
            addr,
            server_name: host,
            kind: self.transport,
            trust,
            options: Options {
                protocol: netduel_protocol::NAME.into(),
                congestion: self.congestion,
                nodelay: !self.nagle,
                tcp_tuned: self.tuned,
                ..Options::default()
            },
            name: name.to_owned(),
            period_us,
        })
    }

    async fn resolve(&self) -> anyhow::Result<(String, SocketAddr)> {
        if let Ok(addr) = self.server.parse::<SocketAddr>() {
            return Ok((addr.ip().to_string(), addr));
        }
        let (host, port) = match self.server.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => {
                let port = port.parse().with_context(|| format!("'{port}' in --server is not a port"))?;
                (host, port)
            }
            _ => (self.server.as_str(), self.transport.default_port()),
        };
        let addr = tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("cannot find the host '{host}' of --server"))?
            .next()
            .with_context(|| format!("the host '{host}' of --server has no address"))?;
        Ok((host.to_owned(), addr))
    }
}
