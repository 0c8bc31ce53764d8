//! Baselines: other relays, which Netduel is measured against. Each carries a 24-byte move between
//! two players. A baseline has no game, no checks and no messages.
//!
//! [`Baseline`] names the baselines. A [`Relay`] serves one, and a [`Player`] plays over it. Within
//! a process, a relay has a thread and a runtime of its own, and dropping [`Relay::run`] ends the
//! relay. `netduel-baselines serve NAME` runs a relay as a process.
//!
//! A bare relay shows the cost of the sockets and the library alone. The cost of our relay beyond a
//! bare relay is our own.

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

/// Checks that a baseline can run here. PodSixNet needs Python; every other baseline runs
/// everywhere.
///
/// # Errors
/// The missing part, and how to install it.
pub fn check(baseline: Baseline) -> anyhow::Result<()> {
    if baseline == Baseline::PodSixNet { podsixnet::check() } else { Ok(()) }
}

/// Returns the command that serves a baseline in a program that is not ours.
pub fn other_program(baseline: Baseline, listen: SocketAddr) -> Option<Command> {
    (baseline == Baseline::PodSixNet).then(|| podsixnet::serve(listen))
}

/// A relay with a bound socket. It pairs players in the order of their arrival.
pub struct Relay(Serving);

enum Serving {
    Tcp(stream::Listener),
    Udp(Box<udp::Relay>),
    Enet(Box<enet::Relay>),
    Renet(Box<renet::Relay>),
    Quic(quic::Relay),
}

impl Relay {
    /// Binds `addr`, within a tokio runtime. Only encrypted baselines use `identity`.
    ///
    /// # Errors
    /// The system's error; and every call for PodSixNet, which is a program of its own
    /// ([`other_program`]).
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

    /// Returns the address that players connect to.
    ///
    /// # Errors
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Serving::Tcp(listener) => listener.local_addr(),
            Serving::Udp(relay) => relay.local_addr(),
            Serving::Enet(relay) => relay.local_addr(),
            Serving::Renet(relay) => Ok(relay.local_addr()),
            Serving::Quic(relay) => relay.local_addr(),
        }
    }

    /// Relays until the future is dropped, which ends every connection.
    ///
    /// # Errors
    /// The error of the socket. A connection that fails ends alone.
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

/// A player over a baseline: sends moves, and receives the opponent's moves.
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
    /// Connects. The relay pairs each player with the next one. Moves arrive once both are
    /// connected. An encrypted baseline needs `trust`.
    ///
    /// # Errors
    /// The reason for which no connection was made.
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
    /// The connection has ended.
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

    /// Receives the opponent's next move. Cancel safe.
    ///
    /// # Errors
    /// The connection has ended.
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

    /// Returns the traffic in whole packets, as far as the baseline knows it.
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

    /// Closes the connection with a close frame if the baseline has one, and drops it otherwise.
    pub async fn close(self) {
        match self.0 {
            Playing::Tcp(_) | Playing::Tls(_) | Playing::Udp(_) => {}
            Playing::Enet(mut player) => player.close(),
            Playing::Renet(mut player) => player.close(),
            Playing::Quic(player) => player.close().await,
        }
    }
}
