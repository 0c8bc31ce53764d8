//! The listeners of a server: made from its limits, and without encryption only where that was
//! asked for.

use std::net::SocketAddr;

use netduel_transport::{BindError, Identity, Listener, Options, PortSharing, TransportKind};

use crate::config::Config;

/// The UDP datagrams, QUIC frames or TLS records that a player may send per message. A move takes
/// at most two QUIC frames (a stream, and its reset), and each of our packets is acknowledged at
/// most once; the rest is room for a protocol's own needs.
const PACKETS_PER_MESSAGE: u32 = 4;

/// The options of a server's listeners. They come from the server's limits, so that no program
/// serves without them.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    options: Options,
    plaintext: Plaintext,
}

/// The addresses at which unencrypted transports may be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plaintext {
    /// This machine's own addresses only. Whoever is on the path elsewhere reads and changes
    /// everything, seats included.
    #[default]
    LoopbackOnly,
    /// Every address.
    Everywhere,
}

/// The reason why a server could not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An unencrypted transport at an address that others reach.
    #[error(
        "{kind} at {addr} is not encrypted, and others reach this address: serve an encrypted transport there \
         ({}), or allow it with --plaintext",
        encrypted()
    )]
    Plaintext {
        /// The kind of transport.
        kind: TransportKind,
        /// The address.
        addr: SocketAddr,
    },
    /// The system refused.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl ServerOptions {
    /// Makes the options of a server with the limits of `config`. The rest is as in `tuning`.
    pub fn new(config: &Config, tuning: Options, plaintext: Plaintext) -> Self {
        let options = Options {
            protocol: netduel_protocol::NAME.into(),
            packets_per_s_max: config.messages_per_s_max.saturating_mul(PACKETS_PER_MESSAGE),
            ..tuning
        };
        Self { options, plaintext }
    }

    /// Returns the kinds that may be served at the address, of all that there are.
    pub fn kinds_at(&self, addr: SocketAddr) -> Vec<TransportKind> {
        TransportKind::ALL.into_iter().filter(|kind| self.allows(*kind, addr)).collect()
    }

    /// Binds one listener to each address. Called inside the runtime that serves them.
    ///
    /// # Errors
    /// An unencrypted transport where it is not allowed, or the system's refusal.
    pub fn bind(
        &self,
        addresses: &[(TransportKind, SocketAddr)],
        identity: &Identity,
        sharing: PortSharing,
    ) -> Result<Vec<Listener>, ListenError> {
        if let Some(&(kind, addr)) = addresses.iter().find(|(kind, addr)| !self.allows(*kind, *addr)) {
            return Err(ListenError::Plaintext { kind, addr });
        }
        let options = Options { port_sharing: sharing, ..self.options.clone() };
        let bind = |&(kind, addr): &(TransportKind, SocketAddr)| kind.bind(addr, identity, &options);
        Ok(addresses.iter().map(bind).collect::<Result<_, _>>()?)
    }

    fn allows(&self, kind: TransportKind, addr: SocketAddr) -> bool {
        self.plaintext == Plaintext::Everywhere
            || kind.capabilities().encrypted
            || addr.ip().to_canonical().is_loopback()
    }
}

/// Returns the names of the encrypted transports.
fn encrypted() -> String {
    let kinds = TransportKind::ALL.into_iter().filter(|kind| kind.capabilities().encrypted);
    kinds.map(TransportKind::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(plaintext: Plaintext) -> ServerOptions {
        ServerOptions::new(&Config::default(), Options::default(), plaintext)
    }

    #[test]
    fn plaintext_stays_on_this_machine() {
        let kinds = |addr: &str, plaintext| options(plaintext).kinds_at(addr.parse().expect("an address"));
        for here in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(kinds(here, Plaintext::LoopbackOnly), TransportKind::ALL, "{here}");
        }
        for outside in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "198.18.0.1:1", "[2001:db8::1]:1"] {
            let allowed = kinds(outside, Plaintext::LoopbackOnly);
            assert!(allowed.iter().all(|kind| kind.capabilities().encrypted), "{outside}");
            assert_eq!(allowed.len(), 4, "{outside}");
            assert_eq!(kinds(outside, Plaintext::Everywhere), TransportKind::ALL, "{outside}");
        }
    }

    #[tokio::test]
    async fn binds_nothing_beside_plaintext() {
        let identity = Identity::generate(&["localhost".into()]).expect("identity");
        let addresses = [TransportKind::Tls, TransportKind::Udp].map(|kind| (kind, ([0, 0, 0, 0], 0).into()));
        let error = options(Plaintext::LoopbackOnly).bind(&addresses, &identity, PortSharing::Alone);
        let error = error.expect_err("not allowed").to_string();
        assert!(error.contains("udp at 0.0.0.0:0") && error.contains("--plaintext"), "{error}");
        let bound = options(Plaintext::Everywhere).bind(&addresses, &identity, PortSharing::Alone);
        assert_eq!(bound.expect("allowed").len(), 2);
    }

    #[test]
    fn limits_follow_the_config() {
        let config = Config { messages_per_s_max: 10, ..Config::default() };
        let limited = ServerOptions::new(&config, Options::default(), Plaintext::default());
        assert_eq!(limited.options.packets_per_s_max, 40);
        assert_eq!(options(Plaintext::default()).options.packets_per_s_max, 4_800);
    }
}
