//! The TLS session below QUIC, observed during its handshake: whether it resumed an earlier
//! session.
//!
//! quinn-proto keeps its rustls session private. A session of ours therefore stands around it,
//! passes everything on, and reads the server's messages on their way. `tls/resumption.rs`
//! interprets them.

use std::{any::Any, sync::Arc};

use quinn_proto::{
    ConnectionId, Side, TransportError,
    crypto::{
        self,
        rustls::{QuicClientConfig, QuicServerConfig},
    },
    transport_parameters::TransportParameters,
};

use crate::tls::resumption::ServerMessages;

/// The rustls configuration of a client, whose sessions are observed ([`ObservedSession`]).
pub(super) struct ObservedClient(pub(super) Arc<QuicClientConfig>);

impl crypto::ClientConfig for ObservedClient {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, quinn_proto::ConnectError> {
        let tls = self.0.clone().start_session(version, server_name, params)?;
        Ok(Box::new(ObservedSession { tls, side: Side::Client, server: ServerMessages::default() }))
    }
}

/// The rustls configuration of a server, whose sessions are observed ([`ObservedSession`]).
pub(super) struct ObservedServer(pub(super) Arc<QuicServerConfig>);

impl crypto::ServerConfig for ObservedServer {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<crypto::Keys, crypto::UnsupportedVersion> {
        self.0.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let tls = self.0.clone().start_session(version, params);
        Box::new(ObservedSession { tls, side: Side::Server, server: ServerMessages::default() })
    }
}

/// A session, and the server's messages in it. Only the handshake goes through it: packets are
/// encrypted with the keys that it hands out.
struct ObservedSession {
    tls: Box<dyn crypto::Session>,
    side: Side,
    server: ServerMessages,
}

/// The handshake data of an observed session: whether it resumed a session, once the handshake is
/// over.
struct Resumed(Option<bool>);

/// Whether the handshake of an observed `session` resumed an earlier one; `None` until it is over.
pub(super) fn resumed(session: &dyn crypto::Session) -> Option<bool> {
    session.handshake_data()?.downcast::<Resumed>().ok()?.0
}

impl crypto::Session for ObservedSession {
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(Resumed(self.server.resumed())))
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        if self.side == Side::Client {
            self.server.pass(bytes);
        }
        self.tls.read_handshake(bytes)
    }

    fn write_handshake(&mut self, bytes: &mut Vec<u8>) -> Option<crypto::Keys> {
        let start = bytes.len();
        let keys = self.tls.write_handshake(bytes);
        if self.side == Side::Server {
            self.server.pass(&bytes[start..]);
        }
        keys
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> crypto::Keys {
        self.tls.initial_keys(dst_cid, side)
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.tls.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn crypto::HeaderKey>, Box<dyn crypto::PacketKey>)> {
        self.tls.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.tls.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.tls.transport_parameters()
    }

    fn next_1rtt_keys(&mut self) -> Option<crypto::KeyPair<Box<dyn crypto::PacketKey>>> {
        self.tls.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.tls.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), crypto::ExportKeyingMaterialError> {
        self.tls.export_keying_material(output, label, context)
    }
}
