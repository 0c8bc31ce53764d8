//! A reader of the server's TLS 1.3 messages that tells whether the handshake resumed an earlier
//! session.
//!
//! A server that does not resume proves its identity with a certificate. A server that resumes
//! sends none, since knowing the session's key is its proof (RFC 8446, 2.2). rustls reports which
//! it was, but its session cannot be asked below QUIC.

/// The header of a handshake message in bytes: type (1) and length (3) (RFC 8446, 4).
const HEADER_BYTES: usize = 4;
const CERTIFICATE: u8 = 11;
const FINISHED: u8 = 20;
const COMPRESSED_CERTIFICATE: u8 = 25;

/// A reader of the server's handshake messages, in whatever pieces they come.
#[derive(Debug, Default)]
pub(crate) struct ServerMessages {
    header: [u8; HEADER_BYTES],
    header_read: usize,
    body_left: usize,
    certificate: bool,
    finished: bool,
}

impl ServerMessages {
    /// Reads the next bytes of the messages.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !self.finished && !bytes.is_empty() {
            let skipped = self.body_left.min(bytes.len());
            self.body_left -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { return };
            self.header[self.header_read] = *first;
            self.header_read += 1;
            bytes = rest;
            if self.header_read == HEADER_BYTES {
                self.header_read = 0;
                let [kind, length @ ..] = self.header;
                self.body_left = length.into_iter().fold(0, |sum, byte| sum << 8 | usize::from(byte));
                self.certificate |= kind == CERTIFICATE || kind == COMPRESSED_CERTIFICATE;
                self.finished |= kind == FINISHED;
            }
        }
    }

    /// Whether the handshake resumed a session; `None` until the server's last message.
    pub(crate) fn resumed(&self) -> Option<bool> {
        self.finished.then_some(!self.certificate)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{HandshakeKind, quic};

    use super::*;
    use crate::Identity;

    const SERVER_HELLO: u8 = 2;
    const ENCRYPTED_EXTENSIONS: u8 = 8;
    const CERTIFICATE_VERIFY: u8 = 15;
    const NEW_SESSION_TICKET: u8 = 4;

    fn flight(kinds: &[u8]) -> Vec<u8> {
        // Bodies that look like headers of certificates, to see that they are skipped.
        kinds.iter().flat_map(|kind| [&[*kind, 0, 1, 4][..], &[CERTIFICATE; 260]].concat()).collect()
    }

    #[test]
    fn certificate_tells_a_full_handshake() {
        let full = flight(&[SERVER_HELLO, ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_VERIFY, FINISHED]);
        let resumed = flight(&[SERVER_HELLO, ENCRYPTED_EXTENSIONS, FINISHED, NEW_SESSION_TICKET]);
        for (bytes, expected) in [(full, false), (resumed, true)] {
            for cut in [1, 3, 4, 5, 100, 264, 1_000, 2_000] {
                let mut messages = ServerMessages::default();
                bytes.chunks(cut).for_each(|piece| messages.pass(piece));
                assert_eq!(messages.resumed(), Some(expected), "cut every {cut} bytes");
            }
            let mut messages = ServerMessages::default();
            messages.pass(&bytes[..2 * 264]);
            assert_eq!(messages.resumed(), None, "not over yet");
        }
    }

    /// Carries the handshake bytes from `write` to `read`, piece by piece. No piece crosses a
    /// change of keys.
    fn carry(
        mut write: impl FnMut(&mut Vec<u8>) -> Option<quic::KeyChange>,
        mut read: impl FnMut(&[u8]) -> Result<(), rustls::Error>,
    ) {
        loop {
            let mut bytes = Vec::new();
            let keys = write(&mut bytes);
            read(&bytes).expect("a good handshake");
            if bytes.is_empty() && keys.is_none() {
                return;
            }
        }
    }

    /// Compares with rustls's own answer.
    #[test]
    fn agrees_with_rustls() {
        const ALPN: &str = "test";
        let identity = Identity::generate(&["localhost".into()]).expect("identity");
        let trust = identity.trust();
        let server_config = Arc::new(identity.server_config(ALPN, true).expect("a configuration"));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let (config, _) = trust.client_config(ALPN, true).expect("a configuration");
            let name = "localhost".try_into().expect("a name");
            let version = quic::Version::V1;
            let mut client =
                quic::ClientConnection::new(Arc::new(config), version, name, vec![]).expect("a client");
            let mut server =
                quic::ServerConnection::new(server_config.clone(), version, vec![]).expect("a server");
            let mut messages = ServerMessages::default();
            while client.is_handshaking() || server.is_handshaking() {
                carry(|bytes| client.write_hs(bytes), |bytes| server.read_hs(bytes));
                carry(
                    |bytes| server.write_hs(bytes),
                    |bytes| {
                        messages.pass(bytes);
                        client.read_hs(bytes)
                    },
                );
            }
            assert_eq!((client.handshake_kind(), server.handshake_kind()), (Some(expected), Some(expected)));
            assert_eq!(messages.resumed(), Some(expected == HandshakeKind::Resumed));
        }
    }
}
