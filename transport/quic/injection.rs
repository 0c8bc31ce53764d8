//! A client whose packets carry frames of the caller's: for tests and fuzzers, since no library
//! sends what an attacker would.
//!
//! The client is one of ours. Its packets are made as ever, and their plaintext is replaced just
//! before it is encrypted.

use std::{any::Any, collections::VecDeque, sync::Arc};

use bytes::BytesMut;
use parking_lot::Mutex;
use quinn_proto::{
    ConnectError, ConnectionId, Side, TransportError,
    crypto::{self, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey},
    transport_parameters::TransportParameters,
};

use super::connection::Shared;
use crate::{CloseReason, SendHalf};

/// The largest plaintext that a packet has room for, in bytes.
pub(super) const FRAMES_BYTES_MAX: usize = 1_000;

/// The plaintexts that wait for a packet.
#[derive(Clone, Default)]
pub(super) struct Injector(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Injector {
    /// Returns a configuration whose sessions inject.
    pub(super) fn around(&self, tls: Arc<dyn crypto::ClientConfig>) -> Arc<dyn crypto::ClientConfig> {
        Arc::new(Client { tls, plaintexts: self.clone() })
    }

    /// Sends a packet of `frames`, and of padding behind them, over a connection of datagrams.
    pub(super) fn send(&self, over: &Shared, frames: &[u8]) -> Result<(), CloseReason> {
        assert!(frames.len() <= FRAMES_BYTES_MAX, "{} bytes", frames.len());
        self.0.lock().push_back(frames.to_vec());
        over.send_state(&[0; FRAMES_BYTES_MAX]).map(drop)
    }

    /// Replaces a plaintext by the next one that waits, unless it has no room for it.
    fn replace(&self, plaintext: &mut [u8]) {
        let mut waiting = self.0.lock();
        if waiting.front().is_some_and(|_| plaintext.len() >= FRAMES_BYTES_MAX)
            && let Some(frames) = waiting.pop_front()
        {
            plaintext.fill(0);
            plaintext[..frames.len()].copy_from_slice(&frames);
        }
    }
}

struct Client {
    tls: Arc<dyn crypto::ClientConfig>,
    plaintexts: Injector,
}

impl crypto::ClientConfig for Client {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        let tls = self.tls.clone().start_session(version, server_name, params)?;
        Ok(Box::new(Session { tls, plaintexts: self.plaintexts.clone() }))
    }
}

struct Session {
    tls: Box<dyn crypto::Session>,
    plaintexts: Injector,
}

impl crypto::Session for Session {
    fn write_handshake(&mut self, bytes: &mut Vec<u8>) -> Option<Keys> {
        let mut keys = self.tls.write_handshake(bytes)?;
        let plaintexts = self.plaintexts.clone();
        keys.packet.local = Box::new(Key { key: keys.packet.local, plaintexts });
        Some(keys)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.tls.handshake_data()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.tls.read_handshake(bytes)
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.tls.initial_keys(dst_cid, side)
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.tls.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
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

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
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
    ) -> Result<(), ExportKeyingMaterialError> {
        self.tls.export_keying_material(output, label, context)
    }
}

struct Key {
    key: Box<dyn PacketKey>,
    plaintexts: Injector,
}

impl PacketKey for Key {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let end = buf.len() - self.key.tag_len();
        self.plaintexts.replace(&mut buf[header_len..end]);
        self.key.encrypt(packet, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.key.decrypt(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.key.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.key.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.key.integrity_limit()
    }
}
