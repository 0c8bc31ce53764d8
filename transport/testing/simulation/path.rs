//! The path of a simulated connection: its two sides, the fate of each packet, and its counters.

use std::time::Duration;

use crate::Lane;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that connected.
    Client,
    /// The end that accepted.
    Server,
}

/// The path's treatment of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// The packet's one-way delay.
    pub delay: Duration,
    /// Whether the packet is lost. Only updates can be lost: control messages are resent, which is
    /// delay.
    pub lost: bool,
}

/// The function that decides the fate of each packet of one direction.
pub type Fates = Box<dyn FnMut(Lane) -> Fate + Send>;

/// Both directions of a path.
pub struct Path {
    /// Whether all updates arrive, in the order in which they left, as over a byte stream.
    /// Otherwise they travel as datagrams.
    pub in_order: bool,
    /// The fates from the client to the server.
    pub up: Fates,
    /// The fates from the server to the client.
    pub down: Fates,
}

/// The counters of one lane's messages in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The messages taken from the sender.
    pub sent: u64,
    /// The messages handed to the receiver.
    pub delivered: u64,
    /// The updates replaced by a newer one before they left.
    pub superseded: u64,
    /// The updates lost by the path.
    pub lost: u64,
    /// The messages still in flight, or not yet read.
    pub waiting: u64,
}
