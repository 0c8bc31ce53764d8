//! A bare relay over unmodified quinn: default settings, one runtime, and a task for each
//! direction.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use netduel_transport::{Identity, PathStats, Trust};
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use tokio::task::JoinSet;

use crate::wire::{ALPN, MOVE_BYTES, SERVER_NAME, UDP_HEADER_BYTES, Update, any_address_for};

/// The largest read from a stream, in bytes: hundreds of moves.
const READ_BYTES: usize = 16 * 1024;

/// The means of QUIC that carry the moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Datagram,
    /// One stream from each player to the relay, and one from the relay to the opponent.
    Stream,
}

pub(crate) struct Relay {
    endpoint: Endpoint,
    lane: Lane,
}

impl Relay {
    pub(crate) fn bind(addr: SocketAddr, identity: &Identity, lane: Lane) -> io::Result<Self> {
        let tls = QuicServerConfig::try_from(identity.server_config(ALPN, false)?);
        let config = ServerConfig::with_crypto(Arc::new(tls.map_err(io::Error::other)?));
        Ok(Self { endpoint: Endpoint::server(config, addr)?, lane })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    pub(crate) async fn run(self) -> io::Result<()> {
        let (mut handshakes, mut directions, mut waiting) = (JoinSet::new(), JoinSet::new(), None);
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => {
                    handshakes.spawn(incoming.ok_or(io::ErrorKind::NotConnected)?.into_future());
                }
                // A failed connection ends alone.
                Some(Ok(Ok(connection))) = handshakes.join_next() => match waiting.take() {
                    None => waiting = Some(connection),
                    Some(first) => {
                        directions.spawn(pump(first.clone(), connection.clone(), self.lane));
                        directions.spawn(pump(connection, first, self.lane));
                    }
                },
                Some(_) = directions.join_next() => {}
            }
        }
    }
}

async fn pump(from: Connection, to: Connection, lane: Lane) -> anyhow::Result<()> {
    match lane {
        Lane::Datagram => loop {
            to.send_datagram(from.read_datagram().await?)?;
        },
        Lane::Stream => {
            let (mut from, mut to) = (from.accept_uni().await?, to.open_uni().await?);
            let mut buffer = vec![0; READ_BYTES];
            while let Some(count) = from.read(&mut buffer).await? {
                to.write_all(&buffer[..count]).await?;
            }
            Ok(())
        }
    }
}

pub(crate) struct Player {
    endpoint: Endpoint,
    connection: Connection,
    lane: PlayerLane,
}

enum PlayerLane {
    Datagram,
    Stream {
        send: SendStream,
        /// The incoming stream. It opens with the first move that arrives.
        receive: Option<RecvStream>,
        /// The bytes so far of a move that arrives in parts.
        partial: Vec<u8>,
    },
}

impl Player {
    pub(crate) async fn connect(addr: SocketAddr, trust: Option<&Trust>, lane: Lane) -> anyhow::Result<Self> {
        let tls = trust.context("QUIC needs a certificate to trust")?.client_config_for(ALPN)?;
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        let endpoint = Endpoint::client(any_address_for(addr))?;
        let connection = endpoint.connect_with(config, addr, SERVER_NAME)?.await?;
        let lane = match lane {
            Lane::Datagram => PlayerLane::Datagram,
            Lane::Stream => {
                let partial = Vec::with_capacity(MOVE_BYTES);
                PlayerLane::Stream { send: connection.open_uni().await?, receive: None, partial }
            }
        };
        Ok(Self { endpoint, connection, lane })
    }

    pub(crate) async fn send(&mut self, update: &Update) -> io::Result<()> {
        match &mut self.lane {
            PlayerLane::Datagram => {
                let update = Bytes::copy_from_slice(update);
                self.connection.send_datagram(update).map_err(io::Error::other)
            }
            PlayerLane::Stream { send, .. } => Ok(send.write_all(update).await?),
        }
    }

    pub(crate) async fn next(&mut self) -> io::Result<Update> {
        match &mut self.lane {
            PlayerLane::Datagram => {
                let datagram = self.connection.read_datagram().await?;
                datagram[..].try_into().map_err(|_| io::ErrorKind::InvalidData.into())
            }
            PlayerLane::Stream { receive, partial, .. } => loop {
                if let Ok(update) = partial[..].try_into() {
                    partial.clear();
                    return Ok(update);
                }
                let stream = match receive {
                    Some(stream) => stream,
                    None => receive.insert(self.connection.accept_uni().await?),
                };
                let missing = MOVE_BYTES - partial.len();
                let chunk = stream.read_chunk(missing, true).await?;
                partial.extend_from_slice(&chunk.ok_or(io::ErrorKind::UnexpectedEof)?.bytes);
            },
        }
    }

    pub(crate) fn path_stats(&self) -> PathStats {
        let stats = self.connection.stats();
        let counts = PathStats {
            sent_packets: Some(stats.udp_tx.datagrams),
            sent_bytes: Some(stats.udp_tx.bytes),
            received_packets: Some(stats.udp_rx.datagrams),
            received_bytes: Some(stats.udp_rx.bytes),
            ..PathStats::default()
        };
        counts.with_headers(self.connection.remote_address(), UDP_HEADER_BYTES)
    }

    pub(crate) async fn close(self) {
        self.connection.close(VarInt::from_u32(0), b"");
        self.endpoint.wait_idle().await;
    }
}
