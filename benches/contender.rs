//! The relays that are measured: Netduel over a transport, and the bare relay of its wire.

use std::{fmt, str::FromStr};

use netduel_baselines::Baseline;
use netduel_transport::{TransportKind, UnknownTransport};

/// A relay to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Netduel's server, listening for one kind.
    Ours(TransportKind),
    /// A relay without a game, over the same sockets.
    Bare(Baseline),
}

impl Contender {
    /// Returns the bare relay of `kind`; `None` where no bare relay speaks the same wire.
    pub fn bare_relay_of(kind: TransportKind) -> Option<Self> {
        Baseline::for_kind(kind).map(Self::Bare)
    }

    /// Returns the kind whose bytes a bare relay passes on unchanged: the same players then play
    /// over both.
    pub(crate) fn piped(baseline: Baseline) -> Option<TransportKind> {
        match baseline {
            Baseline::BareTcp => Some(TransportKind::Tcp),
            Baseline::BareTls => Some(TransportKind::Tls),
            _ => None,
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(kind) => kind.fmt(f),
            Self::Bare(baseline) => baseline.fmt(f),
        }
    }
}

impl FromStr for Contender {
    type Err = UnknownTransport;

    fn from_str(name: &str) -> Result<Self, UnknownTransport> {
        name.parse().map(Self::Bare).or_else(|_| name.parse().map(Self::Ours))
    }
}
