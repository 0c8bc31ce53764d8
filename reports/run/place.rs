//! The place of a run: the loopback of this host, an emulated link, or a remote server.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::{Child, Command},
};

use netduel_link::{Link, LinkReport, Player, Side, Testbed};
use netduel_loadgen::Lane;

use crate::{
    plan::scenario::{Network, Remote, RunKey, Scenario},
    run::{cross_traffic::CrossTraffic, kernel_memory::Sockets},
};

/// The largest number of drops listed for each run. It is more than a chart can tell apart, and at
/// about 90 bytes each more drops would dominate the file. The counters count every drop.
const DROPS_LISTED_MAX: usize = 1_000;

/// The place of the processes of a run, and the network between them.
pub(crate) enum Place {
    /// The loopback of this host.
    Loopback,
    /// The two sides of an emulated link, and an optional bulk transfer over it.
    Link(Box<Link>, Option<CrossTraffic>),
    /// A remote server; this host runs only the players.
    Elsewhere(Remote),
}

/// Returns the place of a run: the link that its group names, or loopback.
pub(crate) fn place_of(
    scenario: &Scenario,
    key: &RunKey,
    testbed: Option<&Testbed>,
    lane: Lane,
) -> anyhow::Result<Place> {
    match (scenario.network(&key.group.link), testbed) {
        (Some(network @ (Network::Emulated(spec) | Network::Shared(spec))), Some(testbed)) => {
            let mut testbed = testbed.clone();
            testbed.bind_emulators(lane.emulator);
            let link = testbed.link(spec, scenario.seed_of(key.repeat))?;
            Place::on_link(link, matches!(network, Network::Shared(_)))
        }
        (Some(Network::Remote(remote)), _) => Ok(Place::Elsewhere(remote.clone())),
        _ => Ok(Place::Loopback),
    }
}

impl Place {
    /// Returns a place on a link, with a bulk transfer if the link is `shared`.
    pub(crate) fn on_link(link: Link, shared: bool) -> anyhow::Result<Self> {
        let bulk = shared.then(|| CrossTraffic::start(&link)).transpose()?;
        Ok(Self::Link(Box::new(link), bulk))
    }

    /// Starts a process on one side of the place.
    pub(crate) fn spawn(&self, side: Side, mut command: Command) -> anyhow::Result<Child> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ok(command.spawn()?),
            Self::Link(link, _) => Ok(link.spawn(side, command)?),
        }
    }

    /// Starts a program of somebody else's on one side of the place, without privileges.
    pub(crate) fn spawn_unprivileged(&self, side: Side, mut command: Command) -> anyhow::Result<Child> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => {
                netduel_link::without_privileges(&mut command);
                Ok(command.spawn()?)
            }
            Self::Link(link, _) => Ok(link.spawn_unprivileged(side, command)?),
        }
    }

    /// Starts a capture of packets on one side of the place, with no more privileges than that
    /// takes.
    pub(crate) fn spawn_capture(&self, side: Side, mut command: Command) -> anyhow::Result<Child> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => {
                netduel_link::capture_privileges(&mut command);
                Ok(command.spawn()?)
            }
            Self::Link(link, _) => Ok(link.spawn_capture(side, command)?),
        }
    }

    /// Returns the reader of kernel memory at the side of the server; `None` where it is not
    /// available, for which the report gives the reason.
    pub(crate) fn sockets(&self) -> Option<Sockets> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Sockets::open().ok(),
            Self::Link(link, _) => link.inside(Side::Server, Sockets::open).ok()?.ok(),
        }
    }

    /// Returns the address that the server listens on: all addresses if each player of a match has
    /// a link.
    pub(crate) fn server_ip(&self) -> IpAddr {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ipv4Addr::LOCALHOST.into(),
            Self::Link(link, _) => match link.ip(Side::Server, Player::First) {
                IpAddr::V4(_) if link.spec().second.is_some() => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) if link.spec().second.is_some() => Ipv6Addr::UNSPECIFIED.into(),
                ip => ip,
            },
        }
    }

    /// Returns the address at which the first player of each match reaches a listener.
    pub(crate) fn reachable(&self, mut listens: SocketAddr) -> SocketAddr {
        if let (Self::Link(link, _), true) = (self, listens.ip().is_unspecified()) {
            listens.set_ip(link.ip(Side::Server, Player::First));
        }
        listens
    }

    /// Returns the address of the server for the second player of each match, if that player has
    /// another link.
    pub(crate) fn second_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Link(link, _) if link.spec().second.is_some() => {
                Some(link.ip(Side::Server, Player::Second))
            }
            _ => None,
        }
    }

    /// Opens the window, which was planned for `open_us` by this host's clock: rewinds the schedule
    /// of the link, so that every run loses the same moments of its window.
    pub(crate) fn open_window(&mut self, open_us: u64) -> anyhow::Result<()> {
        if let Self::Link(link, _) = self {
            link.rewind_at(open_us * 1_000)?;
        }
        Ok(())
    }

    /// Closes the window, and returns the counts of the link in it.
    pub(crate) fn close_window(&mut self) -> anyhow::Result<Option<LinkReport>> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ok(None),
            Self::Link(link, _) => Ok(Some(link.snapshot()?)),
        }
    }

    /// Ends the link, and adds the individual drops of the window to its report: only the last
    /// report of the link lists them.
    pub(crate) fn end(self, window: Option<LinkReport>) -> anyhow::Result<Option<LinkReport>> {
        let (Self::Link(link, _), Some(mut window)) = (self, window) else { return Ok(None) };
        let end_ns = (window.elapsed_ms * 1e6) as u64;
        let whole = link.finish()?;
        window.drops = whole.drops.into_iter().take_while(|drop| drop.at_ns < end_ns).collect();
        window.drops_unlisted += window.drops.len().saturating_sub(DROPS_LISTED_MAX) as u64;
        window.drops.truncate(DROPS_LISTED_MAX);
        Ok(Some(window))
    }
}
