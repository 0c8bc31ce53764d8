//! The place of a run: this host's loopback, an emulated link, or a server elsewhere.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::{Child, Command},
};

use netduel_link::{Link, LinkReport, Side};

use crate::{
    plan::scenario::Remote,
    run::{cross_traffic::CrossTraffic, kernel_memory::Sockets},
};

/// Drops listed for each run: more than a chart can tell apart, and with about 90 bytes each they would outgrow all else
/// in the file. The counters count them all.
const DROPS_LISTED_MAX: usize = 1_000;
/// Where the processes of a run live, and what lies between them.
pub(crate) enum Place {
    /// This host, over its loopback.
    Loopback,
    /// Either side of an emulated link, and perhaps a bulk transfer over it.
    Link(Box<Link>, Option<CrossTraffic>),
    /// Only the players are ours.
    Elsewhere(Remote),
}

impl Place {
    /// On a link, to be shared with a bulk transfer or not.
    pub(crate) fn on_link(link: Link, shared: bool) -> anyhow::Result<Self> {
        let bulk = shared.then(|| CrossTraffic::start(&link)).transpose()?;
        Ok(Self::Link(Box::new(link), bulk))
    }

    pub(crate) fn spawn(&self, side: Side, mut command: Command) -> anyhow::Result<Child> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ok(command.spawn()?),
            Self::Link(link, _) => Ok(link.spawn(side, command)?),
        }
    }

    /// The server's view of the kernel's sockets; none where it cannot be had, which the report says why.
    pub(crate) fn sockets(&self) -> Option<Sockets> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Sockets::open().ok(),
            Self::Link(link, _) => link.inside(Side::Server, Sockets::open).ok()?.ok(),
        }
    }

    pub(crate) fn server_ip(&self) -> IpAddr {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ipv4Addr::LOCALHOST.into(),
            Self::Link(..) => Side::Server.ip().into(),
        }
    }

    /// The window opens: the link's schedule begins, so that every run's window meets the same bad periods.
    pub(crate) fn open_window(&mut self) -> anyhow::Result<()> {
        if let Self::Link(link, _) = self {
            link.rewind()?;
        }
        Ok(())
    }

    /// The window closes: what the link did in it.
    pub(crate) fn close_window(&mut self) -> anyhow::Result<Option<LinkReport>> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ok(None),
            Self::Link(link, _) => Ok(Some(link.snapshot()?)),
        }
    }

    /// Ends the link and adds the single drops of the window to what it did there: only its last report has them.
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
