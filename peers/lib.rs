//! Other relays than ours, to measure Netduel against: each carries a 24-byte move between two players, and knows nothing
//! else. No game, no checks, no messages.
//!
//! [`Peer`] names them. [`Relay`] is one that serves, [`Player`] is who plays over it. In one process, a relay has a thread
//! and a runtime of its own and [`Relay::run`] is dropped to end it; `netduel-peers serve NAME` is one in a process.
//!
//! A floor is what the sockets and the library below cost alone: what a relay of ours takes beyond it is ours.

mod quic;
mod stream;
mod udp;

use std::{fmt, io, net::SocketAddr, str::FromStr};

use netduel_transport::{Identity, Trust};

/// Bytes of a move: about what one of ours takes.
pub const MOVE_BYTES: usize = 24;
/// Datagrams that may be waiting to be read are the system's; this is the largest that is.
const DATAGRAM_MAX_BYTES: usize = 2048;
/// The protocol's name in TLS handshakes.
const ALPN: &str = "netduel-peers/1";
/// In the relay's certificate.
const SERVER_NAME: &str = "localhost";

/// A move, as the peers know it.
pub type Update = [u8; MOVE_BYTES];

/// A relay that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// TCP by tokio.
    BareTcp,
    /// TLS 1.3 by rustls on tokio's TCP, with our certificates and our suite.
    BareTls,
    /// UDP by tokio.
    BareUdp,
    /// quinn as it comes, in datagrams.
    QuinnDatagram,
    /// quinn as it comes, in one long stream each way.
    QuinnStream,
}

impl Peer {
    /// Every one of them.
    pub const ALL: [Self; 5] =
        [Self::BareTcp, Self::BareTls, Self::BareUdp, Self::QuinnDatagram, Self::QuinnStream];

    /// The name in flags and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareTcp => "bare-tcp",
            Self::BareTls => "bare-tls",
            Self::BareUdp => "bare-udp",
            Self::QuinnDatagram => "quinn-datagram",
            Self::QuinnStream => "quinn-stream",
        }
    }

    /// What it is, in a line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::BareTcp => "a TCP relay on tokio: what is read from one is written to the other",
            Self::BareTls => "the same under TLS 1.3 by rustls, with our suite",
            Self::BareUdp => "a UDP relay on tokio: a datagram in, a datagram out",
            Self::QuinnDatagram => "quinn with its default settings, in QUIC datagrams",
            Self::QuinnStream => "quinn with its default settings, in one long QUIC stream each way",
        }
    }

    /// Whether it has a certificate that players must trust.
    pub const fn encrypted(self) -> bool {
        matches!(self, Self::BareTls | Self::QuinnDatagram | Self::QuinnStream)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|peer| peer.name() == name).ok_or_else(|| format!("there are {}", all()))
    }
}

/// A relay that has its socket. Players are paired in the order in which they come.
pub struct Relay(Serving);

enum Serving {
    Tcp(stream::Listener),
    Udp(udp::Relay),
    Quic(quic::Relay),
}

impl Relay {
    /// Takes an address, within a tokio runtime. `identity` is for those that encrypt.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(peer: Peer, addr: SocketAddr, identity: &Identity) -> io::Result<Self> {
        Ok(Self(match peer {
            Peer::BareTcp => Serving::Tcp(stream::Listener::tcp(addr)?),
            Peer::BareTls => Serving::Tcp(stream::Listener::tls(addr, identity)?),
            Peer::BareUdp => Serving::Udp(udp::Relay::bind(addr)?),
            Peer::QuinnDatagram => Serving::Quic(quic::Relay::bind(addr, identity, quic::Lane::Datagram)?),
            Peer::QuinnStream => Serving::Quic(quic::Relay::bind(addr, identity, quic::Lane::Stream)?),
        }))
    }

    /// Where players connect.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Serving::Tcp(listener) => listener.local_addr(),
            Serving::Udp(relay) => relay.local_addr(),
            Serving::Quic(relay) => relay.local_addr(),
        }
    }

    /// Relays until it is dropped, which ends every connection.
    ///
    /// # Errors
    /// The socket's. A connection that fails ends alone.
    pub async fn run(self) -> io::Result<()> {
        match self.0 {
            Serving::Tcp(listener) => listener.run().await,
            Serving::Udp(relay) => relay.run().await,
            Serving::Quic(relay) => relay.run().await,
        }
    }
}

/// Who plays over a peer: sends moves, and receives the other player's.
pub struct Player(Playing);

enum Playing {
    Tcp(stream::Player<tokio::net::TcpStream>),
    Tls(Box<stream::Player<stream::ClientTls>>),
    Udp(udp::Player),
    Quic(quic::Player),
}

impl Player {
    /// Connects. Who connects first is paired with who connects next, and so on; once both are connected, moves arrive.
    ///
    /// # Errors
    /// No connection was made, and why. `trust` is needed where the peer encrypts.
    pub async fn connect(peer: Peer, addr: SocketAddr, trust: Option<&Trust>) -> anyhow::Result<Self> {
        Ok(Self(match peer {
            Peer::BareTcp => Playing::Tcp(stream::Player::tcp(addr).await?),
            Peer::BareTls => Playing::Tls(Box::new(stream::Player::tls(addr, trust).await?)),
            Peer::BareUdp => Playing::Udp(udp::Player::connect(addr).await?),
            Peer::QuinnDatagram => {
                Playing::Quic(quic::Player::connect(addr, trust, quic::Lane::Datagram).await?)
            }
            Peer::QuinnStream => Playing::Quic(quic::Player::connect(addr, trust, quic::Lane::Stream).await?),
        }))
    }

    /// Sends a move.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn send(&mut self, update: &Update) -> io::Result<()> {
        match &mut self.0 {
            Playing::Tcp(player) => player.send(update).await,
            Playing::Tls(player) => player.send(update).await,
            Playing::Udp(player) => player.send(update).await,
            Playing::Quic(player) => player.send(update).await,
        }
    }

    /// The other player's next move. Cancel safe.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn next(&mut self) -> io::Result<Update> {
        match &mut self.0 {
            Playing::Tcp(player) => player.next().await,
            Playing::Tls(player) => player.next().await,
            Playing::Udp(player) => player.next().await,
            Playing::Quic(player) => player.next().await,
        }
    }

    /// Leaves, where there is a goodbye to say; the others are dropped.
    pub async fn close(self) {
        if let Playing::Quic(player) = self.0 {
            player.close().await;
        }
    }
}
