//! The bare relay over UDP. A player is known from its first datagram on.

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use tokio::net::UdpSocket;

use crate::{DATAGRAM_MAX_BYTES, Update};

/// What a player says until it is answered with the same. Anything else is relayed.
const HELLO: &[u8] = b"hello";
/// A hello or its answer was lost if none comes within this.
const HELLO_TIMEOUT: Duration = Duration::from_millis(500);
const HELLOS_MAX: usize = 10;
/// Addresses that a relay remembers. It forgets none, since it lives for one measurement.
const PLAYERS_MAX: usize = 20_000;

pub(crate) struct Relay {
    socket: UdpSocket,
    /// The other player of each one who has one.
    others: HashMap<SocketAddr, SocketAddr>,
    waiting: Option<SocketAddr>,
}

impl Relay {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: socket(addr)?, others: HashMap::new(), waiting: None })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
        loop {
            let (count, from) = self.socket.recv_from(&mut buffer).await?;
            let datagram = &buffer[..count];
            let to = if datagram == HELLO {
                self.welcome(from);
                from
            } else if let Some(other) = self.others.get(&from) {
                *other
            } else {
                continue; // There is nobody to tell it yet.
            };
            // UDP drops what the system has no room for.
            let _ = self.socket.try_send_to(datagram, to);
        }
    }

    fn welcome(&mut self, player: SocketAddr) {
        if self.others.contains_key(&player) || self.others.len() >= PLAYERS_MAX {
            return;
        }
        match self.waiting.take() {
            Some(first) if first != player => {
                self.others.extend([(first, player), (player, first)]);
            }
            _ => self.waiting = Some(player),
        }
    }
}

fn socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

pub(crate) struct Player {
    socket: UdpSocket,
}

impl Player {
    pub(crate) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let any = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(addr).await?;
        let mut buffer = [0; HELLO.len()];
        for _ in 0..HELLOS_MAX {
            socket.send(HELLO).await?;
            if let Ok(answer) = tokio::time::timeout(HELLO_TIMEOUT, socket.recv(&mut buffer)).await {
                answer?;
                return Ok(Self { socket });
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    pub(crate) async fn send(&self, update: &Update) -> io::Result<()> {
        self.socket.send(update).await.map(drop)
    }

    pub(crate) async fn next(&self) -> io::Result<Update> {
        let mut buffer = [0; DATAGRAM_MAX_BYTES];
        loop {
            let count = self.socket.recv(&mut buffer).await?;
            // A second answer to a hello is none.
            if let Ok(update) = buffer[..count].try_into() {
                return Ok(update);
            }
        }
    }
}
