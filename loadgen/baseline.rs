//! The baselines: relays other than Netduel's, by name, each with the bare relay of its
//! wire. Their code is in `baselines/`, a separate program.

use std::{fmt, str::FromStr};

use netduel_transport::TransportKind;
use serde::{Deserialize, Serialize};

/// A relay other than Netduel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Baseline {
    /// TCP by tokio.
    BareTcp,
    /// TLS 1.3 by rustls on tokio's TCP, with our certificates and our suite.
    BareTls,
    /// UDP by tokio.
    BareUdp,
    /// ENet by `rusty_enet`.
    BareEnet,
    /// quinn with its default settings, in datagrams.
    QuinnDatagram,
    /// quinn with its default settings, in one long stream each way.
    QuinnStream,
    /// renet over netcode, at its usual tick.
    Renet,
    /// PodSixNet, at its usual pump.
    PodSixNet,
}

impl Baseline {
    /// All baselines.
    pub const ALL: [Self; 8] = [
        Self::BareTcp,
        Self::BareTls,
        Self::BareUdp,
        Self::BareEnet,
        Self::QuinnDatagram,
        Self::QuinnStream,
        Self::Renet,
        Self::PodSixNet,
    ];

    /// Returns the name in flags and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareTcp => "bare-tcp",
            Self::BareTls => "bare-tls",
            Self::BareUdp => "bare-udp",
            Self::BareEnet => "bare-enet",
            Self::QuinnDatagram => "quinn-datagram",
            Self::QuinnStream => "quinn-stream",
            Self::Renet => "renet",
            Self::PodSixNet => "podsixnet",
        }
    }

    /// Returns a description of one line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::BareTcp => "a relay on tokio's TCP: what is read from one is written to the other",
            Self::BareTls => "the same under TLS 1.3 by rustls, with our suite",
            Self::BareUdp => "a relay on tokio's UDP: a datagram in, a datagram out",
            Self::BareEnet => "one host of rusty_enet: unreliable sequenced, no checksum, as ENet has it",
            Self::QuinnDatagram => "quinn with its default settings, in QUIC datagrams",
            Self::QuinnStream => "quinn with its default settings, in one long QUIC stream each way",
            Self::Renet => {
                "renet over netcode, unreliable, encrypted with keys that come in the clear; 16 ms tick"
            }
            Self::PodSixNet => "PodSixNet 0.11 on Python, over TCP; 10 ms pump",
        }
    }

    /// Whether the baseline proves its identity by a certificate and encrypts. renet's `Unsecure`
    /// default encrypts and proves nothing.
    pub const fn encrypted(self) -> bool {
        matches!(self, Self::BareTls | Self::QuinnDatagram | Self::QuinnStream)
    }

    /// Returns the bare relay of a transport's wire: the cost of the wire without a game, checks or
    /// messages. `None` for a transport that crosses no wire.
    pub const fn for_kind(kind: TransportKind) -> Option<Self> {
        match kind {
            TransportKind::Tcp => Some(Self::BareTcp),
            TransportKind::Tls => Some(Self::BareTls),
            TransportKind::Udp => Some(Self::BareUdp),
            TransportKind::Enet => Some(Self::BareEnet),
            TransportKind::QuicDatagram => Some(Self::QuinnDatagram),
            TransportKind::QuicStream | TransportKind::QuicUni => Some(Self::QuinnStream),
            _ => None,
        }
    }

    /// Returns the bare relay of the baseline's own wire. `None` for a bare relay.
    pub const fn bare_relay(self) -> Option<Self> {
        match self {
            Self::Renet => Some(Self::BareUdp),
            Self::PodSixNet => Some(Self::BareTcp),
            _ => None,
        }
    }

    /// Whether the wire may drop a move.
    pub const fn may_drop(self) -> bool {
        matches!(self, Self::BareUdp | Self::BareEnet | Self::QuinnDatagram | Self::Renet)
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|baseline| baseline.name() == name)
            .ok_or_else(|| format!("unknown baseline '{name}': expected one of {}", all()))
    }
}

impl Serialize for Baseline {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Baseline {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
