//! The place of a group: an emulated link, loopback, or the network to a server elsewhere. It
//! decides what is judged there.

use crate::plan::scenario::{Group, Network, Scenario};

/// The place where a group ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An emulated link. Freshness is judged there.
    Link,
    /// The loopback of this host. Cost is judged there.
    Loopback,
    /// The network to a server elsewhere, whose CPU time is not known from here.
    Remote,
}

impl Place {
    /// Returns the place of a group.
    pub fn of(scenario: &Scenario, group: &Group) -> Self {
        match scenario.links.iter().find(|link| link.name() == group.link) {
            Some(Network::Emulated(_) | Network::Shared(_)) => Self::Link,
            Some(Network::Remote(_)) => Self::Remote,
            Some(Network::Loopback) | None => Self::Loopback,
        }
    }
}
