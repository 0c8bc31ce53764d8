//! Other relays than ours, to measure Netduel against: each carries a 24-byte move between two players, and knows nothing
//! else. No game, no checks, no messages.
//!
//! [`Baseline`] names them. [`Relay`] is one that serves, [`Player`] is who plays over it. In one process, a relay has a thread
//! and a runtime of its own and [`Relay::run`] is dropped to end it; `netduel-baselines serve NAME` is one in a process.
//!
//! A floor is what the sockets and the library below cost alone: what a relay of ours takes beyond it is ours.

mod enet;
mod load;
mod podsixnet;
mod quic;
mod renet;
mod stream;
mod udp;
mod wire;

use std::{io, net::SocketAddr, process::Command};

pub use load::play;
pub use netduel_loadgen::Baseline;
use netduel_transport::{Identity, PathStats, Trust};
pub use wire::{MOVE_BYTES, Update};

/// Whether a baseline can run here; all but PodSixNet, which needs Python, can.
///
/// # Errors
/// What it lacks, and how to install it.
pub fn check(baseline: Baseline) -> anyhow::Result<()> {
    if baseline == Baseline::PodSixNet { podsixnet::check() } else { Ok(()) }
}

/// The program that serves a baseline, where that is none of ours.
pub fn other_program(baseline: Baseline, listen: SocketAddr) -> Option<Command> {
    (baseline == Baseline::PodSixNet).then(|| podsixnet::serve(listen))
}

/// A relay that has its socket. Players are paired in the order in which they come.
pub struct Relay(Serving);

enum Serving {
    Tcp(stream::Listener),
    Udp(Box<udp::Relay>),
    Enet(Box<enet::Relay>),
    Renet(Box<renet::Relay>),
    Quic(quic::Relay),
}

impl Relay {
    /// Takes an address, within a tokio runtime. `identity` is for those that encrypt.
    ///
    /// # Errors
    /// The system's; and for PodSixNet, which is a program of its own ([`other_program`]).
    pub fn bind(baseline: Baseline, addr: SocketAddr, identity: &Identity) -> io::Result<Self> {
        Ok(Self(match baseline {
            Baseline::BareTcp => Serving::Tcp(stream::Listener::tcp(addr)?),
            Baseline::BareTls => Serving::Tcp(stream::Listener::tls(addr, identity)?),
            Baseline::BareUdp => Serving::Udp(Box::new(udp::Relay::bind(addr)?)),
            Baseline::BareEnet => Serving::Enet(Box::new(enet::Relay::bind(addr)?)),
            Baseline::Renet => Serving::Renet(Box::new(renet::Relay::bind(addr)?)),
            Baseline::PodSixNet => return Err(io::ErrorKind::Unsupported.into()),
            Baseline::QuinnDatagram => {
                Serving::Quic(quic::Relay::bind(addr, identity, quic::Lane::Datagram)?)
            }
            Baseline::QuinnStream => Serving::Quic(quic::Relay::bind(addr, identity, quic::Lane::Stream)?),
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
            Serving::Enet(relay) => relay.local_addr(),
            Serving::Renet(relay) => Ok(relay.local_addr()),
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
            Serving::Enet(relay) => relay.run().await,
            Serving::Renet(relay) => relay.run().await,
            Serving::Quic(relay) => relay.run().await,
        }
    }
}

/// Who plays over a baseline: sends moves, and receives the other player's.
pub struct Player(Playing);

enum Playing {
    Tcp(stream::Player<tokio::net::TcpStream>),
    Tls(Box<stream::Player<stream::ClientTls>>),
    Udp(Box<udp::Player>),
    Enet(Box<enet::Player>),
    Renet(Box<renet::Player>),
    Quic(quic::Player),
}

impl Player {
    /// Connects. Who connects first is paired with who connects next, and so on; once both are connected, moves arrive.
    ///
    /// # Errors
    /// No connection was made, and why. `trust` is needed where the baseline encrypts.
    pub async fn connect(
        baseline: Baseline,
        addr: SocketAddr,
        trust: Option<&Trust>,
    ) -> anyhow::Result<Self> {
        Ok(Self(match baseline {
            Baseline::BareTcp => Playing::Tcp(stream::Player::tcp(addr).await?),
            Baseline::BareTls => Playing::Tls(Box::new(stream::Player::tls(addr, trust).await?)),
            Baseline::PodSixNet => Playing::Tcp(podsixnet::connect(addr).await?),
            Baseline::BareUdp => Playing::Udp(Box::new(udp::Player::connect(addr).await?)),
            Baseline::BareEnet => Playing::Enet(Box::new(enet::Player::connect(addr).await?)),
            Baseline::Renet => Playing::Renet(Box::new(renet::Player::connect(addr).await?)),
            Baseline::QuinnDatagram => {
                Playing::Quic(quic::Player::connect(addr, trust, quic::Lane::Datagram).await?)
            }
            Baseline::QuinnStream => {
                Playing::Quic(quic::Player::connect(addr, trust, quic::Lane::Stream).await?)
            }
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
            Playing::Udp(player) => player.send(update),
            Playing::Enet(player) => player.send(update),
            Playing::Renet(player) => player.send(update),
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
            Playing::Enet(player) => player.next().await,
            Playing::Renet(player) => player.next().await,
            Playing::Quic(player) => player.next().await,
        }
    }

    /// What passed, in whole packets, where that is known.
    pub fn path_stats(&self) -> PathStats {
        match &self.0 {
            Playing::Tcp(player) => player.path_stats(),
            Playing::Tls(player) => player.path_stats(),
            Playing::Udp(player) => player.path_stats(),
            Playing::Enet(player) => player.path_stats(),
            Playing::Renet(player) => player.path_stats(),
            Playing::Quic(player) => player.path_stats(),
        }
    }

    /// Leaves, where there is a goodbye to say; the others are dropped.
    pub async fn close(self) {
        match self.0 {
            Playing::Tcp(_) | Playing::Tls(_) | Playing::Udp(_) => {}
            Playing::Enet(mut player) => player.close(),
            Playing::Renet(mut player) => player.close(),
            Playing::Quic(player) => player.close().await,
        }
    }
}
