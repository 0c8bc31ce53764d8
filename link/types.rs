//! Plain types that every part of the crate shares: ends, directions, protocols, privileges.

use std::{fmt, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The name of the interface to the link, the same at both ends.
pub const INTERFACE: &str = "link0";

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
