//! The kinds of transport as values: [`TransportKind`], and the table of what each kind is.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};

use super::lane::MAX_STATE_BYTES;

/// A transport's abilities and limits, declared so that nothing is degraded silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether the messages are encrypted and authenticated on the path.
    pub encrypted: bool,
    /// Whether the wire may lose or reorder state messages. Otherwise loss shows as delay.
    pub state_may_drop: bool,
    /// The largest state message, in bytes.
    pub max_state_bytes: usize,
    /// The congestion control that limits the bytes in flight.
    pub congestion: CongestionControl,
}

/// The congestion control of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CongestionControl {
    /// The algorithm that [`Options::congestion`](crate::Options::congestion) asks for.
    AsAsked,
    /// An algorithm of the transport's own protocol, which no option changes.
    Own,
    /// No congestion control: the transport sends what it is given.
    None,
}

/// The socket that a transport uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Socket {
    /// A TCP socket for each connection.
    Tcp,
    /// A UDP socket, which all connections of a listener share.
    Udp,
    /// No socket: both ends live in one process.
    None,
}

/// The static description of a kind: everything that a program needs to know before it connects.
///
/// ```
/// use netduel_transport::TransportKind;
///
/// for kind in TransportKind::ALL {
///     println!("{kind}, port {}: {}", kind.info().default_port, kind.info().summary);
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// The name in flags, logs and reports.
    pub name: &'static str,
    /// One line that says how the two lanes are carried.
    pub summary: &'static str,
    /// The port on which a server listens for this kind by default.
    pub default_port: u16,
    /// The socket that the kind uses.
    pub socket: Socket,
    /// The kind's abilities and limits.
    pub capabilities: Capabilities,
}

/// One way to move messages. A small copyable value; printed, parsed and serialized by its name.
///
/// ```
/// use netduel_transport::{Socket, TransportKind};
///
/// let kind: TransportKind = "quic-datagram".parse()?;
/// assert_eq!(kind, TransportKind::QuicDatagram);
/// assert_eq!(kind.socket(), Socket::Udp);
/// assert!(kind.capabilities().encrypted);
/// # Ok::<(), netduel_transport::UnknownTransport>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// Plain TCP.
    #[cfg(feature = "tcp")]
    Tcp,
    /// TLS 1.3 over TCP.
    #[cfg(feature = "tls")]
    Tls,
    /// QUIC, the state lane in one long stream.
    #[cfg(feature = "quic")]
    QuicStream,
    /// QUIC, a stream for each state message.
    #[cfg(feature = "quic")]
    QuicUni,
    /// QUIC, the state lane in unreliable datagrams.
    #[cfg(feature = "quic")]
    QuicDatagram,
    /// ENet over UDP.
    #[cfg(feature = "enet")]
    Enet,
    /// Plain UDP with the least that two lanes need.
    #[cfg(feature = "udp")]
    Udp,
    /// In-process, for tests: no socket, no loss, no encryption. Its addresses are ports of this
    /// process only.
    Memory,
    /// A transport from outside this crate, made known by [`TransportKind::register`].
    Outside(OutsideKind),
}

/// A registered transport from outside this crate.
#[derive(Clone, Copy)]
pub struct OutsideKind {
    info: &'static KindInfo,
    number: usize,
}

impl OutsideKind {
    pub(crate) const fn new(info: &'static KindInfo, number: usize) -> Self {
        Self { info, number }
    }

    /// Returns the place of the transport in the order of registration, from 0.
    pub const fn number(self) -> usize {
        self.number
    }
}

impl PartialEq for OutsideKind {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for OutsideKind {}

impl Hash for OutsideKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

const fn capabilities(encrypted: bool, state_may_drop: bool, congestion: CongestionControl) -> Capabilities {
    Capabilities { encrypted, state_may_drop, max_state_bytes: MAX_STATE_BYTES, congestion }
}

#[cfg(feature = "tcp")]
static TCP: KindInfo = KindInfo {
    name: "tcp",
    summary: "plain TCP, both lanes in one stream",
    default_port: 4433,
    socket: Socket::Tcp,
    capabilities: capabilities(false, false, CongestionControl::AsAsked),
};
#[cfg(feature = "tls")]
static TLS: KindInfo = KindInfo {
    name: "tls",
    summary: "TLS 1.3 over TCP, both lanes in one stream",
    default_port: 4434,
    socket: Socket::Tcp,
    capabilities: capabilities(true, false, CongestionControl::AsAsked),
};
#[cfg(feature = "quic")]
static QUIC_STREAM: KindInfo = KindInfo {
    name: "quic-stream",
    summary: "QUIC, control and state each one long stream",
    default_port: 4435,
    socket: Socket::Udp,
    capabilities: capabilities(true, false, CongestionControl::AsAsked),
};
#[cfg(feature = "quic")]
static QUIC_UNI: KindInfo = KindInfo {
    name: "quic-uni",
    summary: "QUIC, a stream for each update, reset once superseded",
    default_port: 4436,
    socket: Socket::Udp,
    capabilities: capabilities(true, true, CongestionControl::AsAsked),
};
#[cfg(feature = "quic")]
static QUIC_DATAGRAM: KindInfo = KindInfo {
    name: "quic-datagram",
    summary: "QUIC, control in a stream, state in unreliable datagrams",
    default_port: 4437,
    socket: Socket::Udp,
    capabilities: capabilities(true, true, CongestionControl::AsAsked),
};
#[cfg(feature = "enet")]
static ENET: KindInfo = KindInfo {
    name: "enet",
    summary: "ENet over UDP, control on a reliable channel, state on an unreliable sequenced one",
    default_port: 4438,
    socket: Socket::Udp,
    capabilities: capabilities(false, true, CongestionControl::Own),
};
#[cfg(feature = "udp")]
static UDP: KindInfo = KindInfo {
    name: "udp",
    summary: "plain UDP with the least that two lanes need: the lower bound, not a recommendation",
    default_port: 4439,
    socket: Socket::Udp,
    capabilities: capabilities(false, true, CongestionControl::None),
};
static MEMORY: KindInfo = KindInfo {
    name: "memory",
    summary: "in-process, for tests",
    default_port: 1,
    socket: Socket::None,
    capabilities: capabilities(false, false, CongestionControl::None),
};

impl TransportKind {
    /// Returns the kind's static description.
    pub const fn info(self) -> &'static KindInfo {
        match self {
            #[cfg(feature = "tcp")]
            Self::Tcp => &TCP,
            #[cfg(feature = "tls")]
            Self::Tls => &TLS,
            #[cfg(feature = "quic")]
            Self::QuicStream => &QUIC_STREAM,
            #[cfg(feature = "quic")]
            Self::QuicUni => &QUIC_UNI,
            #[cfg(feature = "quic")]
            Self::QuicDatagram => &QUIC_DATAGRAM,
            #[cfg(feature = "enet")]
            Self::Enet => &ENET,
            #[cfg(feature = "udp")]
            Self::Udp => &UDP,
            Self::Memory => &MEMORY,
            Self::Outside(outside) => outside.info,
        }
    }

    /// Returns the name in flags, logs and reports.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Returns one line that says how the two lanes are carried.
    pub const fn summary(self) -> &'static str {
        self.info().summary
    }

    /// Returns the port on which a server listens for this kind by default.
    pub const fn default_port(self) -> u16 {
        self.info().default_port
    }

    /// Returns the socket that the kind uses.
    pub const fn socket(self) -> Socket {
        self.info().socket
    }

    /// Returns the kind's abilities and limits.
    pub const fn capabilities(self) -> Capabilities {
        self.info().capabilities
    }

    /// Whether the kind is one of the three over QUIC.
    pub const fn is_quic(self) -> bool {
        #[cfg(feature = "quic")]
        return matches!(self, Self::QuicStream | Self::QuicUni | Self::QuicDatagram);
        #[cfg(not(feature = "quic"))]
        false
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for OutsideKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name)
    }
}

impl Serialize for TransportKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
