//! Who is measured: our relay over a transport, or the bare relay that is its floor.

use std::{fmt, str::FromStr};

use netduel_peers::Peer;
use netduel_transport::{TransportKind, UnknownTransport};

/// A relay to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Our server, listening for one kind.
    Ours(TransportKind),
    /// A relay without a game, over the same sockets.
    Bare(Peer),
}

impl Contender {
    /// What our relay over `kind` is held against; `None` where nothing bare speaks the same.
    pub fn floor_of(kind: TransportKind) -> Option<Self> {
        let peer = match kind {
            TransportKind::Tcp => Peer::BareTcp,
            TransportKind::Tls => Peer::BareTls,
            TransportKind::QuicStream => Peer::QuinnStream,
            TransportKind::QuicDatagram => Peer::QuinnDatagram,
            TransportKind::Enet => Peer::BareEnet,
            TransportKind::Udp => Peer::BareUdp,
            _ => return None,
        };
        Some(Self::Bare(peer))
    }

    /// The kind that a bare relay carries as it is, since it is a pipe: the same players then play over both.
    pub(crate) fn piped(peer: Peer) -> Option<TransportKind> {
        match peer {
            Peer::BareTcp => Some(TransportKind::Tcp),
            Peer::BareTls => Some(TransportKind::Tls),
            _ => None,
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(kind) => kind.fmt(f),
            Self::Bare(peer) => peer.fmt(f),
        }
    }
}

impl FromStr for Contender {
    type Err = UnknownTransport;

    fn from_str(name: &str) -> Result<Self, UnknownTransport> {
        name.parse().map(Self::Bare).or_else(|_| name.parse().map(Self::Ours))
    }
}
