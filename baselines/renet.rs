//! A relay over renet and netcode, built like renet's own example: a loop that polls every 16 ms,
//! with moves on the unreliable channel and without authentication. netcode encrypts nevertheless,
//! with keys that its "unsecure" handshake sends in the clear.
//!
//! The players send and read at once, so that a measurement includes the relay's tick alone.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use netduel_transport::PathStats;
use renet::{ClientId, ConnectionConfig, DefaultChannel, RenetClient, RenetServer, ServerEvent};
use renet_netcode::{ClientAuthentication, NetcodeServerTransport, ServerAuthentication, ServerConfig};
use renetcode::NetcodeClient;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::{
    udp,
    wire::{DATAGRAM_MAX_BYTES, Update},
};

/// The period of the relay's tick: "Running at 60hz" (renet's README).
const TICK: Duration = Duration::from_millis(16);
/// The largest number of clients, which is netcode's own limit.
const PLAYERS_MAX: usize = 1024;
const PROTOCOL: u64 = 0;
const CHANNEL: DefaultChannel = DefaultChannel::Unreliable;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the time since 1970. netcode's tokens expire by it.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(crate) struct Relay {
    server: RenetServer,
    transport: NetcodeServerTransport,
    addr: SocketAddr,
    /// The opponent of each player that has one.
    others: HashMap<ClientId, ClientId>,
    waiting: Option<ClientId>,
}

impl Relay {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(addr)?;
        let addr = socket.local_addr()?;
        let config = ServerConfig {
            current_time: now(),
            max_clients: PLAYERS_MAX,
            protocol_id: PROTOCOL,
            public_addresses: vec![addr],
            authentication: ServerAuthentication::Unsecure,
        };
        Ok(Self {
            server: RenetServer::new(ConnectionConfig::default()),
            transport: NetcodeServerTransport::new(config, socket)?,
            addr,
            others: HashMap::new(),
            waiting: None,
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) async fn run(mut self) -> io::Result<()> {
        loop {
            self.server.update(TICK);
            self.transport.update(TICK, &mut self.server).map_err(io::Error::other)?;
            while let Some(event) = self.server.get_event() {
                self.on_event(&event);
            }
            for player in self.server.clients_id() {
                while let Some(message) = self.server.receive_message(player, CHANNEL) {
                    if let Some(other) = self.others.get(&player) {
                        self.server.send_message(*other, CHANNEL, message);
                    }
                }
            }
            self.transport.send_packets(&mut self.server);
            tokio::time::sleep(TICK).await;
        }
    }

    fn on_event(&mut self, event: &ServerEvent) {
        match *event {
            ServerEvent::ClientConnected { client_id } => match self.waiting.take() {
                None => self.waiting = Some(client_id),
                Some(first) => self.others.extend([(first, client_id), (client_id, first)]),
            },
            ServerEvent::ClientDisconnected { client_id, .. } => {
                self.waiting = self.waiting.filter(|it| *it != client_id);
                if let Some(other) = self.others.remove(&client_id) {
                    self.others.remove(&other);
                }
            }
        }
    }
}

pub(crate) struct Player {
    socket: udp::Socket,
    client: RenetClient,
    netcode: NetcodeClient,
    /// The time up to which client and transport were advanced.
    updated: Instant,
    tick: Interval,
    buffer: Vec<u8>,
}

impl Player {
    pub(crate) async fn connect(server_addr: SocketAddr) -> anyhow::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let client_id = u64::from(std::process::id()) << 32 | NUMBER.fetch_add(1, Relaxed);
        let authentication =
            ClientAuthentication::Unsecure { protocol_id: PROTOCOL, client_id, server_addr, user_data: None };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut player = Self {
            socket: udp::Socket::for_player(server_addr).await?,
            client: RenetClient::new(ConnectionConfig::default()),
            netcode: NetcodeClient::new(now(), authentication)?,
            updated: Instant::now(),
            tick,
            buffer: vec![0; DATAGRAM_MAX_BYTES],
        };
        let connecting = async {
            while !player.netcode.is_connected() {
                player.step().await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await??;
        player.client.set_connected();
        Ok(player)
    }

    /// Processes a datagram, or does the work of a tick. Cancel safe.
    async fn step(&mut self) -> io::Result<()> {
        tokio::select! {
            received = self.socket.recv_from(&mut self.buffer) => {
                let (count, _) = received?;
                if let Some(payload) = self.netcode.process_packet(&mut self.buffer[..count]) {
                    self.client.process_packet(payload);
                }
            }
            _ = self.tick.tick() => {
                let elapsed = self.updated.elapsed();
                self.updated += elapsed;
                self.client.update(elapsed);
                if let Some((packet, to)) = self.netcode.update(elapsed) {
                    self.socket.send_to(packet, to)?;
                }
                self.flush()?;
            }
        }
        if self.netcode.is_disconnected() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.netcode.is_connected() {
            return Ok(());
        }
        for packet in self.client.get_packets_to_send() {
            let (to, packet) = self.netcode.generate_payload_packet(&packet).map_err(io::Error::other)?;
            self.socket.send_to(packet, to)?;
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, update: &Update) -> io::Result<()> {
        self.client.send_message(CHANNEL, Bytes::copy_from_slice(update));
        self.flush()
    }

    pub(crate) async fn next(&mut self) -> io::Result<Update> {
        loop {
            if let Some(message) = self.client.receive_message(CHANNEL) {
                return message[..].try_into().map_err(|_| io::ErrorKind::InvalidData.into());
            }
            self.step().await?;
        }
    }

    pub(crate) fn path_stats(&self) -> PathStats {
        self.socket.path_stats()
    }

    pub(crate) fn close(&mut self) {
        if let Ok((to, packet)) = self.netcode.disconnect() {
            let _ = self.socket.send_to(packet, to);
        }
    }
}
