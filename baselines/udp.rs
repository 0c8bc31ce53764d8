//! A bare relay over UDP, and the socket of all baselines over UDP. The relay knows a player from
//! its hello on.

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use netduel_transport::PathStats;
use tokio::net::UdpSocket;

use crate::wire::{DATAGRAM_MAX_BYTES, UDP_HEADER_BYTES, Update, any_address_for};

/// The datagram that a player repeats until the relay answers with the same bytes. The relay
/// forwards every other datagram.
const HELLO: &[u8] = b"hello";
/// The time after which a hello or its answer counts as lost.
const HELLO_TIMEOUT: Duration = Duration::from_millis(500);
const HELLOS_MAX: usize = 10;
/// The largest number of addresses that a relay remembers. It forgets none, because it lives for
/// one measurement.
const PLAYERS_MAX: usize = 20_000;

/// A socket of tokio that counts its traffic.
pub(crate) struct Socket {
    socket: UdpSocket,
    counts: PathStats,
}

impl Socket {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let zero = Some(0);
        let counts = PathStats {
            sent_packets: zero,
            received_packets: zero,
            sent_bytes: zero,
            received_bytes: zero,
            ..PathStats::default()
        };
        Ok(Self { socket: UdpSocket::from_std(socket)?, counts })
    }

    /// Binds the socket of a player whose relay is at `relay`.
    pub(crate) async fn for_player(relay: SocketAddr) -> io::Result<Self> {
        let socket = Self::bind(any_address_for(relay))?;
        // tokio does not know yet that the socket is writable, and would refuse to try.
        socket.socket.writable().await?;
        Ok(socket)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    pub(crate) fn try_send_to(&mut self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        let count = self.socket.try_send_to(datagram, to)?;
        add(&mut self.counts.sent_packets, &mut self.counts.sent_bytes, count);
        Ok(count)
    }

    pub(crate) fn try_recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.socket.try_recv_from(buffer)?;
        add(&mut self.counts.received_packets, &mut self.counts.received_bytes, count);
        Ok((count, from))
    }

    /// Receives a datagram. Cancel safe.
    pub(crate) async fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.socket.recv_from(buffer).await?;
        add(&mut self.counts.received_packets, &mut self.counts.received_bytes, count);
        Ok((count, from))
    }

    /// Sends a datagram, or drops it if the system's buffer is full, as UDP does.
    pub(crate) fn send_to(&mut self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        match self.try_send_to(datagram, to) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the traffic in whole IP packets.
    pub(crate) fn path_stats(&self) -> PathStats {
        match self.local_addr() {
            Ok(addr) => self.counts.clone().with_headers(addr, UDP_HEADER_BYTES),
            Err(_) => PathStats::default(),
        }
    }
}

fn add(packets: &mut Option<u64>, bytes: &mut Option<u64>, count: usize) {
    *packets = packets.map(|packets| packets + 1);
    *bytes = bytes.map(|bytes| bytes + count as u64);
}

pub(crate) struct Relay {
    socket: Socket,
    /// The opponent of each player that has one.
    others: HashMap<SocketAddr, SocketAddr>,
    waiting: Option<SocketAddr>,
}

impl Relay {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: Socket::bind(addr)?, others: HashMap::new(), waiting: None })
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
                continue; // There is no receiver yet.
            };
            self.socket.send_to(datagram, to)?;
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

pub(crate) struct Player {
    socket: Socket,
    relay: SocketAddr,
}

impl Player {
    pub(crate) async fn connect(relay: SocketAddr) -> io::Result<Self> {
        let mut player = Self { socket: Socket::for_player(relay).await?, relay };
        let mut buffer = [0; HELLO.len()];
        for _ in 0..HELLOS_MAX {
            player.socket.send_to(HELLO, relay)?;
            let answer = player.socket.recv_from(&mut buffer);
            if let Ok(answer) = tokio::time::timeout(HELLO_TIMEOUT, answer).await {
                answer?;
                return Ok(player);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    pub(crate) fn send(&mut self, update: &Update) -> io::Result<()> {
        self.socket.send_to(update, self.relay)
    }

    pub(crate) async fn next(&mut self) -> io::Result<Update> {
        let mut buffer = [0; DATAGRAM_MAX_BYTES];
        loop {
            let (count, _) = self.socket.recv_from(&mut buffer).await?;
            // A second answer to a hello is no move.
            if let Ok(update) = buffer[..count].try_into() {
                return Ok(update);
            }
        }
    }

    pub(crate) fn path_stats(&self) -> PathStats {
        self.socket.path_stats()
    }
}
