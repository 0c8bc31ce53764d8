//! Plain types that every part of the crate shares: ends, directions, protocols, privileges.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// The name of the interface to the link, the same at both ends. That of a second player's link is
/// [`INTERFACE_SECOND`].
pub const INTERFACE: &str = "link0";

/// The name of the interface to the link of the second player of each match.
pub const INTERFACE_SECOND: &str = "link1";

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end of the server.
    Server,
    /// The end of the clients.
    Client,
}

impl Side {
    /// Returns the address of this end, which is the same on every link: namespaces keep links
    /// apart.
    ///
    /// The addresses are from 198.18.0.0/15, which RFC 2544 reserves for benchmarks.
    pub const fn ip(self) -> Ipv4Addr {
        match self {
            Self::Server => Ipv4Addr::new(198, 18, 0, 1),
            Self::Client => Ipv4Addr::new(198, 18, 0, 2),
        }
    }

    /// Returns the address of this end on the link of a player.
    ///
    /// IPv6 addresses are from 2001:2::/48, which RFC 5180 reserves for benchmarks.
    pub(crate) const fn address(self, player: Player, ipv6: bool) -> IpAddr {
        let (link, end) = (player as u8, self as u8 + 1);
        if ipv6 {
            IpAddr::V6(Ipv6Addr::new(0x2001, 2, 0, link as u16, 0, 0, 0, end as u16))
        } else {
            IpAddr::V4(Ipv4Addr::new(198, 18, link, end))
        }
    }
}

/// A player of a match. Both share the link, unless the spec has a link for the second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Player {
    /// The first player of each match.
    First,
    /// The second player of each match.
    Second,
}

impl Player {
    /// Returns the name of the interface to the link of this player.
    pub(crate) const fn interface(self) -> &'static str {
        match self {
            Self::First => INTERFACE,
            Self::Second => INTERFACE_SECOND,
        }
    }
}

/// The privilege to make network namespaces with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Root if this process may, otherwise a user namespace.
    Auto,
    /// Root, or CAP_SYS_ADMIN and CAP_NET_ADMIN.
    Root,
    /// A user namespace of this process, for an ordinary user.
    UserNamespace,
}

/// A direction in which packets cross a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Direction {
    /// Returns the sending end and the receiving end.
    pub const fn sides(self) -> (Side, Side) {
        match self {
            Self::Up => (Side::Client, Side::Server),
            Self::Down => (Side::Server, Side::Client),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// The protocol of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17 (QUIC is UDP).
    Udp,
    /// Any other protocol, such as ICMP.
    Other,
}

/// The reason why the emulator dropped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropCause {
    /// The spec's `loss`.
    Loss,
    /// A full queue before the bottleneck.
    Queue,
}
