//! A relay over ENet (`rusty_enet`) with ENet's usual settings: one host for all players, no
//! checksum, and moves on an unreliable sequenced channel.

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use netduel_transport::PathStats;
use rusty_enet::{Event, Host, HostSettings, MTU_MAX, Packet, PacketKind, PacketReceived, PeerID};

use crate::{udp, wire::Update};

const CHANNEL: u8 = 0;
/// The largest number of players: as many as a preset has at once. ENet walks all slots for each
/// packet, so more would cost time.
const PLAYERS_MAX: usize = 128;
/// The period of ENet's upkeep without traffic. ENet pings twice a second.
const TICK: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A socket of tokio in the form that ENet uses.
struct Socket(udp::Socket);

impl rusty_enet::Socket for Socket {
    type Address = SocketAddr;
    type Error = io::Error;

    fn send(&mut self, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        match self.0.try_send_to(datagram, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }

    fn receive(&mut self, buffer: &mut [u8; MTU_MAX]) -> io::Result<Option<(SocketAddr, PacketReceived)>> {
        match self.0.try_recv_from(buffer) {
            Ok((count, from)) => Ok(Some((from, PacketReceived::Complete(count)))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn host(socket: udp::Socket, peer_limit: usize) -> io::Result<Host<Socket>> {
    let settings = HostSettings { peer_limit, channel_limit: 1, ..HostSettings::default() };
    Host::new(Socket(socket), settings).map_err(|error| io::Error::other(error.to_string()))
}

/// Waits for a datagram or for the time of ENet's upkeep.
async fn wait(host: &Host<Socket>) -> io::Result<()> {
    match tokio::time::timeout(TICK, host.socket().0.readable()).await {
        Ok(readable) => readable,
        Err(_) => Ok(()),
    }
}

pub(crate) struct Relay {
    host: Host<Socket>,
    /// The opponent of each player that has one.
    others: HashMap<PeerID, PeerID>,
    waiting: Option<PeerID>,
}

impl Relay {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let host = host(udp::Socket::bind(addr)?, PLAYERS_MAX)?;
        Ok(Self { host, others: HashMap::new(), waiting: None })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.host.socket().0.local_addr()
    }

    pub(crate) async fn run(mut self) -> io::Result<()> {
        loop {
            while let Some(event) = self.host.service()? {
                match event {
                    Event::Connect { peer, .. } => {
                        let player = peer.id();
                        match self.waiting.take() {
                            None => self.waiting = Some(player),
                            Some(first) => self.others.extend([(first, player), (player, first)]),
                        }
                    }
                    Event::Receive { peer, packet, .. } => {
                        if let Some(other) = self.others.get(&peer.id()) {
                            // ENet refuses the packet only for a player that is gone.
                            let _ = self.host.peer_mut(*other).send(CHANNEL, &packet);
                        }
                    }
                    Event::Disconnect { peer, .. } => {
                        let player = peer.id();
                        self.waiting = self.waiting.filter(|it| *it != player);
                        if let Some(other) = self.others.remove(&player) {
                            self.others.remove(&other);
                        }
                    }
                }
            }
            self.host.flush();
            wait(&self.host).await?;
        }
    }
}

pub(crate) struct Player {
    host: Host<Socket>,
    relay: PeerID,
}

impl Player {
    pub(crate) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let mut host = host(udp::Socket::for_player(addr).await?, 1)?;
        let relay = host.connect(addr, 1, 0).map_err(|error| io::Error::other(error.to_string()))?.id();
        let mut player = Self { host, relay };
        match tokio::time::timeout(CONNECT_TIMEOUT, player.connected()).await {
            Ok(connected) => connected.map(|()| player),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer: is the relay there, with {PLAYERS_MAX} players at most?"),
            )),
        }
    }

    async fn connected(&mut self) -> io::Result<()> {
        loop {
            match self.host.service()? {
                Some(Event::Connect { .. }) => {
                    // The relay knows the player from the acknowledgement on.
                    self.host.flush();
                    return Ok(());
                }
                Some(_) => {}
                None => wait(&self.host).await?,
            }
        }
    }

    pub(crate) fn send(&mut self, update: &Update) -> io::Result<()> {
        let packet = Packet::new(&update[..], PacketKind::Unreliable { sequenced: true });
        let sent = self.host.peer_mut(self.relay).send(CHANNEL, &packet);
        sent.map_err(|error| io::Error::other(error.to_string()))?;
        self.host.flush();
        Ok(())
    }

    pub(crate) async fn next(&mut self) -> io::Result<Update> {
        loop {
            match self.host.service()? {
                Some(Event::Receive { packet, .. }) => {
                    return packet.data().try_into().map_err(|_| io::ErrorKind::InvalidData.into());
                }
                Some(Event::Disconnect { .. }) => return Err(io::ErrorKind::ConnectionReset.into()),
                Some(Event::Connect { .. }) => {}
                None => wait(&self.host).await?,
            }
        }
    }

    pub(crate) fn path_stats(&self) -> PathStats {
        self.host.socket().0.path_stats()
    }

    pub(crate) fn close(&mut self) {
        self.host.peer_mut(self.relay).disconnect_now(0);
    }
}
