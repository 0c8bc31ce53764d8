//! What carries the moves of a run: one of our transports, or a baseline, which is another relay than ours.
//!
//! Of the baselines this knows their names and what they are compared as. Their code is in `baselines/`, a program of its own.

use std::{fmt, str::FromStr};

use netduel_transport::TransportKind;
use serde::{Deserialize, Serialize};

/// A relay that is not ours.
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
    /// quinn as it comes, in datagrams.
    QuinnDatagram,
    /// quinn as it comes, in one long stream each way.
    QuinnStream,
    /// renet over netcode, on its usual tick.
    Renet,
    /// PodSixNet, on its usual pump.
    PodSixNet,
}

impl Baseline {
    /// Every one of them.
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

    /// The name in flags and reports.
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

    /// What it is, in a line.
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

    /// Whether it says who it is, by a certificate, and encrypts. renet's `Unsecure` default encrypts and says nothing.
    pub const fn encrypted(self) -> bool {
        matches!(self, Self::BareTls | Self::QuinnDatagram | Self::QuinnStream)
    }

    /// The bare relay of the wire that it goes over, if it is none itself.
    pub const fn floor(self) -> Option<Self> {
        match self {
            Self::Renet => Some(Self::BareUdp),
            Self::PodSixNet => Some(Self::BareTcp),
            _ => None,
        }
    }

    fn may_drop(self) -> bool {
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
        Self::ALL.into_iter().find(|baseline| baseline.name() == name).ok_or_else(|| format!("there are {}", all()))
    }
}

/// What carries the moves between two players: in files and flags, its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Carrier {
    /// Netduel, over this transport.
    Netduel(TransportKind),
    /// Another relay.
    Baseline(Baseline),
}

impl Carrier {
    /// The transport, where it is Netduel's.
    pub fn kind(self) -> Option<TransportKind> {
        match self {
            Self::Netduel(kind) => Some(kind),
            Self::Baseline(_) => None,
        }
    }

    /// The baseline, where it is one.
    pub fn baseline(self) -> Option<Baseline> {
        match self {
            Self::Netduel(_) => None,
            Self::Baseline(baseline) => Some(baseline),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Netduel(kind) => kind.name(),
            Self::Baseline(baseline) => baseline.name(),
        }
    }

    /// What it is, in a line.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Netduel(kind) => kind.summary(),
            Self::Baseline(baseline) => baseline.summary(),
        }
    }

    /// Whether nobody under way can read or change what it carries.
    pub fn encrypted(self) -> bool {
        match self {
            Self::Netduel(kind) => kind.capabilities().encrypted,
            Self::Baseline(baseline) => baseline.encrypted(),
        }
    }

    /// Whether the wire may drop a move.
    pub fn may_drop(self) -> bool {
        match self {
            Self::Netduel(kind) => kind.capabilities().state_may_drop,
            Self::Baseline(baseline) => baseline.may_drop(),
        }
    }

    /// The bare relay of the same wire: what it would cost without a game, checks or messages. `None` for such a relay, and
    /// for a wire that has none.
    pub fn floor(self) -> Option<Baseline> {
        match self {
            Self::Baseline(baseline) => baseline.floor(),
            Self::Netduel(kind) => match kind {
                TransportKind::Tcp => Some(Baseline::BareTcp),
                TransportKind::Tls => Some(Baseline::BareTls),
                TransportKind::Udp => Some(Baseline::BareUdp),
                TransportKind::Enet => Some(Baseline::BareEnet),
                TransportKind::QuicDatagram => Some(Baseline::QuinnDatagram),
                TransportKind::QuicStream | TransportKind::QuicUni => Some(Baseline::QuinnStream),
                _ => None,
            },
        }
    }
}

impl From<TransportKind> for Carrier {
    fn from(kind: TransportKind) -> Self {
        Self::Netduel(kind)
    }
}

impl From<Baseline> for Carrier {
    fn from(baseline: Baseline) -> Self {
        Self::Baseline(baseline)
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Carrier {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.parse() {
            Ok(kind) => Ok(Self::Netduel(kind)),
            Err(_) => name.parse().map(Self::Baseline),
        }
    }
}

impl TryFrom<String> for Carrier {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Carrier> for String {
    fn from(carrier: Carrier) -> Self {
        carrier.name().into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_carrier_has_a_name_of_its_own_and_every_wire_a_floor() {
        let kinds = TransportKind::ALL.map(Carrier::Netduel);
        let all: Vec<Carrier> = kinds.into_iter().chain(Baseline::ALL.map(Carrier::Baseline)).collect();
        for carrier in &all {
            assert_eq!(carrier.name().parse(), Ok(*carrier), "no other is called so");
        }
        assert!(kinds.iter().all(|it| it.floor().is_some_and(|floor| floor.floor().is_none())));
    }
}
