//! QUIC, with three carriers of the state lane: one long stream, a stream for each update, or
//! datagrams.
//!
//! The control lane is one bidirectional stream, opened by the client. Only this file and those of
//! its folder name quinn-proto, which is the protocol without any I/O, and quinn-udp, which is the
//! socket.
//!
//! Each carrier is set up for latest-wins as well as it can be. A stream that cannot take an update
//! leaves it in our [`Outbox`](crate::io::outbox::Outbox), where the next one replaces it. A stream
//! for each update is reset once it is superseded. The datagram buffer, which drops its oldest when
//! full, holds no more than fits one packet.
//!
//! - `config.rs`: windows, buffers and acknowledgements.
//! - `endpoint.rs`: the socket and the one task that reads it. `timer.rs`, `timer_grid.rs`: its
//!   deadlines.
//! - `connection.rs`: the state that both halves of a connection share, and the sending half.
//! - `receiver.rs`: the receiving half. `state_lane.rs`: the three carriers. `streams.rs`: streams.
//! - `injection.rs`, `fuzzing.rs`: frames of an attacker's, for tests and fuzzers.
//! - `work_limit.rs`: the limits on packets and frames. `tls_session.rs`: the TLS session.
//! - `qlog.rs`: the log of a client's connection, on request.

mod buffer_pool;
mod config;
mod connection;
mod endpoint;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
#[cfg(any(test, feature = "fuzzing"))]
mod injection;
#[cfg(test)]
mod planned_panics;
#[cfg(feature = "qlog")]
mod qlog;
mod receiver;
mod socket;
mod state_lane;
mod streams;
mod timer;
mod timer_grid;
mod tls_session;
mod work_limit;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use quinn_proto::{
    ClientConfig, ConnectionError, ServerConfig,
    crypto::{
        self,
        rustls::{QuicClientConfig, QuicServerConfig},
    },
};

use self::{
    config::{ConnectionConfig, StateLane},
    connection::{ConnectionGuard, Shared},
    endpoint::{Endpoint, EndpointHandle, IncomingHandshake},
    tls_session::{ObservedClient, ObservedServer},
};
use crate::{
    Arrival, BoxFuture, ConnectError, Connection, Handshake, Identity, KindInfo, Listen, Options, Proof,
    Proved, Target, TaskHealth, Transport, TransportKind, Unproved, tls::trust::Verifier,
};

/// The number of handshakes under way on a socket from which a new client must prove its address
/// first (Retry, RFC 9000, 8.1.2). That costs the client a round trip and the server no memory.
/// Players come a few at a time; dozens at once are a rush or an attacker who forges addresses.
const RETRY_FROM_HANDSHAKES: usize = 32;
/// The number of Retries in one piece of the listener's work. Each costs two encryptions and a
/// system call, some 8 µs, so a piece takes no longer than a handshake.
const RETRIES_AT_ONCE: u32 = 16;
/// The largest number of first packets that wait for the server's next accept, as many as wait in
/// TCP's backlog. The wait is never long.
const INCOMING_MAX: usize = 1024;
/// The largest number of bytes that a waiting client may send behind its first packet: a
/// ClientHello in three or four packets.
const INCOMING_BUFFER_BYTES: u64 = 4 * 1200;
/// The largest number of such bytes of all waiting clients. quinn-proto's default is 100 MiB.
const INCOMING_BUFFERS_BYTES: u64 = 1024 * 1024;

pub(crate) const STREAM: Quic = Quic { lane: StateLane::Stream };
pub(crate) const UNI: Quic = Quic { lane: StateLane::Uni };
pub(crate) const DATAGRAM: Quic = Quic { lane: StateLane::Datagram };

/// One of the three kinds over QUIC.
#[derive(Clone, Copy)]
pub(crate) struct Quic {
    lane: StateLane,
}

impl Quic {
    fn config(self, options: &Options) -> ConnectionConfig {
        ConnectionConfig { lane: self.lane, options: options.clone() }
    }
}

impl Transport for Quic {
    fn info(&self) -> &'static KindInfo {
        self.lane.kind().info()
    }

    fn bind(
        &self,
        kind: TransportKind,
        addr: SocketAddr,
        identity: &Identity,
        options: &Options,
    ) -> io::Result<Box<dyn Listen>> {
        let tls = identity.server_config(&options.alpn(kind), options.resumption)?;
        let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(ObservedServer(Arc::new(tls))));
        config
            .transport_config(Arc::new(self.config(options).transport()))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BUFFER_BYTES)
            .incoming_buffer_size_total(INCOMING_BUFFERS_BYTES)
            // A client whose address changes (Wi-Fi to mobile, a NAT that forgot) keeps its
            // connection. The new path is validated before more than a little is sent to it.
            .migration(true);
        let (endpoint, addr) = Endpoint::bind(addr, Some(config), options)?;
        Ok(Box::new(QuicListen {
            kind,
            endpoint,
            addr,
            config: self.config(options),
            handshakes: Arc::default(),
            retries: Arc::default(),
        }))
    }

    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        options: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        Box::pin(async move {
            let (owner, endpoint) = self.open(to, options).await?;
            Ok(receiver::split(owner, to.kind, to.addr, Some(endpoint)))
        })
    }
}

impl Quic {
    /// Opens a connection to a server, and the socket under it.
    async fn open(
        self,
        to: &Target<'_>,
        options: &Options,
    ) -> Result<(ConnectionGuard, EndpointHandle), ConnectError> {
        self.open_with(to, options, |tls| tls).await
    }

    /// Opens a connection as [`Self::open`] does, with something around its TLS.
    async fn open_with(
        self,
        to: &Target<'_>,
        options: &Options,
        around: impl FnOnce(Arc<dyn crypto::ClientConfig>) -> Arc<dyn crypto::ClientConfig>,
    ) -> Result<(ConnectionGuard, EndpointHandle), ConnectError> {
        let trust = to.trust.ok_or(ConnectError::NoTrust(to.kind))?;
        let (tls, verifier) = trust.client_config(&options.alpn(to.kind), options.resumption)?;
        let failed = |reason: String| ConnectError::Handshake { kind: to.kind, reason: reason.into() };
        let tls = QuicClientConfig::try_from(tls).map_err(|error| failed(error.to_string()))?;
        let mut config = ClientConfig::new(around(Arc::new(ObservedClient(Arc::new(tls)))));
        let transport = self.config(options).transport();
        #[cfg(feature = "qlog")]
        let transport = qlog::logged(transport);
        config.transport_config(Arc::new(transport));

        let any: SocketAddr = if to.addr.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let (endpoint, _) = Endpoint::bind(any, None, options)
            .map_err(|error| ConnectError::Unreachable { addr: to.addr, kind: to.kind, error })?;
        let owner = endpoint
            .connect(config, to.addr, to.name, |new| Shared::new(new, self.config(options)))
            .map(ConnectionGuard::new)
            .map_err(|error| failed(error.to_string()))?;
        owner.connected().await.map_err(|error| connect_error(to, &verifier, error))?;
        Ok((owner, endpoint))
    }
}

/// Converts quinn-proto's error of a failed handshake.
fn connect_error(to: &Target<'_>, verifier: &Verifier, error: ConnectionError) -> ConnectError {
    let reason = error.to_string();
    match verifier.take_refusal(&reason) {
        Some(refusal) => refusal,
        None => ConnectError::Handshake { kind: to.kind, reason: reason.into() },
    }
}

struct QuicListen {
    kind: TransportKind,
    endpoint: EndpointHandle,
    addr: SocketAddr,
    config: ConnectionConfig,
    handshakes: Arc<AtomicUsize>,
    retries: Arc<AtomicU64>,
}

/// A guard that counts a handshake under way for as long as it lives.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The first packet of a client.
struct FirstPacket {
    incoming: IncomingHandshake,
    kind: TransportKind,
    config: ConnectionConfig,
    retries: Arc<AtomicU64>,
    under_way: UnderWay,
}

impl Unproved for FirstPacket {
    fn finish(self: Box<Self>) -> Handshake {
        Box::pin(async move {
            let Self { incoming, kind, config, under_way: _under_way, .. } = *self;
            let failed =
                |error: ConnectionError| ConnectError::Handshake { kind, reason: error.to_string().into() };
            let remote = incoming.remote_addr();
            let owner =
                incoming.accept(|new| Shared::new(new, config)).map(ConnectionGuard::new).map_err(failed)?;
            owner.connected().await.map_err(failed)?;
            Ok(receiver::split(owner, kind, remote, None))
        })
    }

    fn demand_proof(self: Box<Self>) {
        if self.incoming.retry() {
            self.retries.fetch_add(1, Relaxed);
        }
    }
}

impl QuicListen {
    /// Waits for the next client. While many handshakes are under way, it is the next client that
    /// has proved its address.
    async fn next(&self) -> IncomingHandshake {
        let mut retried = 0;
        loop {
            let incoming = self.endpoint.next_incoming().await;
            let many = self.handshakes.load(Relaxed) >= RETRY_FROM_HANDSHAKES;
            if !many || incoming.address_proved() {
                return incoming;
            }
            // A retry is refused only to a client that has proved its address, and such a client
            // has been returned above.
            if incoming.retry() {
                self.retries.fetch_add(1, Relaxed);
            }
            retried += 1;
            if retried == RETRIES_AT_ONCE {
                retried = 0;
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Listen for QuicListen {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            let incoming = self.next().await;
            let (proved, remote) = (incoming.address_proved(), incoming.remote_addr());
            self.handshakes.fetch_add(1, Relaxed);
            let client = Box::new(FirstPacket {
                incoming,
                kind: self.kind,
                config: self.config.clone(),
                retries: self.retries.clone(),
                under_way: UnderWay(self.handshakes.clone()),
            });
            Ok(if proved {
                Arrival::Proved(Proved::by(Proof::RetryToken, remote), client.finish())
            } else {
                Arrival::Claimed(remote, client)
            })
        })
    }

    fn address_checks(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    fn strays(&self) -> u64 {
        self.endpoint.strays()
    }

    fn health(&self) -> Vec<TaskHealth> {
        self.endpoint.health().into()
    }

    fn flush_closes(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.endpoint.idle())
    }
}

#[cfg(test)]
mod tests;
