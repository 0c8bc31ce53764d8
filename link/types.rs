//! Plain types that every part of the crate shares: [`Side`], [`Direction`], [`Protocol`], [`DropCause`].

use std::{fmt, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

/// Name of the interface to the link, the same on both sides.
pub const INTERFACE: &str = "link0";

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where the server runs.
    Server,
    /// Where the clients run.
    Client,
}

impl Side {
    /// The address of this end. It is the same on every link; links are apart by their namespaces. The
    /// addresses are from 198.18.0.0/15, kept for benchmarks (RFC 2544).
    pub const fn ip(self) -> Ipv4Addr {
        match self {
            Self::Server => Ipv4Addr::new(198, 18, 0, 1),
            Self::Client => Ipv4Addr::new(198, 18, 0, 2),
        }
    }
}

/// By which right network namespaces are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// As root if possible, else in a user namespace.
    Auto,
    /// As root (or with CAP_SYS_ADMIN and CAP_NET_ADMIN).
    Root,
    /// As an ordinary user, in a user namespace of this process's own.
    UserNamespace,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Direction {
    /// From where, and to where.
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

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17 (QUIC is UDP).
    Udp,
    /// Anything else, as ICMP.
    Other,
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropCause {
    /// Lost on the way, as the spec's `loss` asks.
    Loss,
    /// The queue before the bottleneck was full.
    Queue,
}
