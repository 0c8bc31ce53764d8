//! Carries out one run: a server in one process, its players in another, and a look at the server while the window is
//! open.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, bail};
use netduel_link::{Limits, Link, LinkReport, Side};
use netduel_server::Snapshot;
use netduel_transport::TransportKind;
use serde::{Deserialize, Serialize};

use crate::{
    bulk::Bulk,
    carrier::{Carrier, Baseline},
    cpus,
    load::{LoadEvent, LoadPlan, LoadResult, Trusted},
    baselines,
    process::{Process, Usage, ourselves},
    scenario::{Contender, Remote, RunKey, Scenario},
    sockets::Sockets,
};

/// Until a server that was started listens.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Drops listed for each run: more than a chart can tell apart, and with about 90 bytes each they would outgrow all else
/// in the file. The counters count them all.
const DROPS_LISTED_MAX: usize = 1_000;
/// Pings per second and player to a server elsewhere: its clock is known from them.
const CLOCK_PINGS_HZ: u32 = 10;
/// On top of the time that a load has planned for: pairing, settling, closing.
const LOAD_SLACK: Duration = Duration::from_secs(40);

/// What came out of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// Which run.
    pub key: RunKey,
    /// What the players saw.
    pub load: LoadResult,
    /// What the server used within the window.
    pub server: Usage,
    /// What the players' process used within the window.
    pub players: Usage,
    /// What the server counted over the whole run, warm-up included.
    pub counters: Snapshot,
    /// What the emulated link did within the window; none on loopback.
    pub link: Option<LinkReport>,
    /// Whether the link carried a bulk transfer, too.
    pub shared: bool,
}

/// Where the processes of a run live, and what lies between them.
pub(crate) enum Place {
    /// This host, over its loopback.
    Loopback,
    /// Either side of an emulated link, and perhaps a bulk transfer over it.
    Link(Box<Link>, Option<Bulk>),
    /// Only the players are ours.
    Elsewhere(Remote),
}

impl Place {
    /// On a link, to be shared with a bulk transfer or not.
    pub(crate) fn on_link(link: Link, shared: bool) -> anyhow::Result<Self> {
        let bulk = shared.then(|| Bulk::start(&link)).transpose()?;
        Ok(Self::Link(Box::new(link), bulk))
    }

    fn spawn(&self, side: Side, mut command: Command) -> anyhow::Result<Child> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ok(command.spawn()?),
            Self::Link(link, _) => Ok(link.spawn(side, command)?),
        }
    }

    /// The server's view of the kernel's sockets; none where it cannot be had, which the report says why.
    fn sockets(&self) -> Option<Sockets> {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Sockets::open().ok(),
            Self::Link(link, _) => link.inside(Side::Server, Sockets::open).ok()?.ok(),
        }
    }

    fn server_ip(&self) -> IpAddr {
        match self {
            Self::Loopback | Self::Elsewhere(_) => Ipv4Addr::LOCALHOST.into(),
            Self::Link(..) => Side::Server.ip().into(),
        }
    }

    /// The window opens: the link's schedule begins, so that every run's window meets the same bad periods.
    fn open_window(&mut self) -> anyhow::Result<()> {
        if let Self::Link(link, _) = self {
            link.rewind()?;
        }
        Ok(())
    }

    /// The window closes: what the link did in it.
    fn close_window(&mut self) -> anyhow::Result<Option<LinkReport>> {
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

/// One run of a scenario.
pub(crate) fn run(scenario: &Scenario, key: &RunKey, mut place: Place) -> anyhow::Result<RunResult> {
    let (contender, group) = (key.contender, &key.group);
    let cpu = cpus::of_run().filter(|_| scenario.search.is_none());
    let server = match (&place, contender.transport) {
        (Place::Elsewhere(_), _) => None,
        (_, Carrier::Netduel(kind)) => {
            Some(Server::start(&place, &[kind], &contender, scenario.server_burn_us_per_s, cpu)?)
        }
        (_, Carrier::Baseline(baseline)) => Some(Server::start_baseline(&place, baseline, cpu)?),
    };
    let (addresses, trusted) = match (&server, &place) {
        (Some(server), _) => (server.addresses.clone(), server.trusted()),
        (None, Place::Elsewhere(remote)) => {
            let carrier = contender.transport;
            let kind = carrier.kind().with_context(|| format!("there is no {carrier} elsewhere"))?;
            (HashMap::from([(carrier, address_of(remote, kind)?)]), remote.into())
        }
        (None, _) => bail!("there is no server"),
    };
    let plan = LoadPlan {
        workload: scenario.workload,
        cpu,
        addresses,
        trusted,
        pairs: vec![[contender.transport; 2]; group.pairs as usize],
        rate_hz: group.rate_hz,
        in_flight: group.in_flight,
        payload_bytes: group.payload_bytes,
        warmup_ms: scenario.warmup_ms,
        duration_ms: scenario.duration_ms,
        pings_hz: if matches!(place, Place::Elsewhere(_)) { CLOCK_PINGS_HZ } else { 0 },
        // The same paths for every transport; others in every repeat.
        seed: scenario.seed_of(key.repeat),
        options: contender.options(),
    };
    let shared = matches!(place, Place::Link(_, Some(_)));
    let Outcome { load, server: server_usage, players, link } =
        play(&mut place, &plan, server.as_ref(), |_| {})?;
    let counters = server.map(Server::stop).transpose()?.unwrap_or_default();
    let link = place.end(link)?;
    if let Some(report) = &link {
        report.valid(&Limits::default())?;
    }
    Ok(RunResult { key: key.clone(), load, server: server_usage, players, counters, link, shared })
}

/// Where a server elsewhere listens for a transport.
pub(crate) fn address_of(remote: &Remote, kind: TransportKind) -> anyhow::Result<SocketAddr> {
    let found = match remote.server.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => remote.server.to_socket_addrs(),
        _ => (remote.server.as_str(), kind.default_port()).to_socket_addrs(),
    };
    let mut found = found.with_context(|| format!("cannot find the host of --server {}", remote.server))?;
    found.next().with_context(|| format!("--server {} has no address", remote.server))
}

/// A server in a process of its own.
pub(crate) struct Server {
    process: Process,
    addresses: HashMap<Carrier, SocketAddr>,
    pin: String,
    /// Whether it says at the end what it counted, as ours does.
    counts: bool,
    /// Where the kernel is asked for what it holds for the server, if it says.
    sockets: Option<Sockets>,
}

impl Server {
    /// Starts one that listens for `kinds`, with the settings of a run, and waits until it does.
    pub(crate) fn start(
        place: &Place,
        kinds: &[TransportKind],
        contender: &Contender,
        burn_us_per_s: u32,
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        Self::start_with(place, kinds, contender, burn_us_per_s, cpu, &[])
    }

    /// The same, with these flags on top.
    pub(crate) fn start_with(
        place: &Place,
        kinds: &[TransportKind],
        contender: &Contender,
        burn_us_per_s: u32,
        cpu: Option<usize>,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = ourselves("serve")?;
        command.args([
            "--supervised",
            "--counters",
            "--drain",
            "5",
            "--max-connections",
            "10000",
            // All players share one address, and some runs are about many connections at once.
            "--max-connections-per-address",
            "10000",
            "--max-connection-rate",
            "1000000",
            "--max-handshakes",
            "10000",
            "--max-matches",
            "10000",
            "--max-messages",
            "1000000",
        ]);
        command.args(flags);
        command.args(["--relay", &contender.relay.to_string()]);
        command.args(["--congestion", contender.congestion.name()]);
        if contender.nagle {
            command.arg("--nagle");
        }
        if contender.resumption {
            command.arg("--resumption");
        }
        if let Some(cpu) = cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        if burn_us_per_s > 0 {
            command.args(["--burn-us-per-s", &burn_us_per_s.to_string()]);
        }
        for kind in kinds {
            command.args(["--listen", &format!("{kind}={}", SocketAddr::new(place.server_ip(), 0))]);
        }
        // Its log would tear the progress bar; warnings are worth that.
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        Self::when_ready(place, command, true)
    }

    /// Starts one with the limits that a server has of its own, and waits until it listens.
    pub(crate) fn start_guarded(
        place: &Place,
        kinds: &[TransportKind],
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        let mut command = ourselves("serve")?;
        command.args(["--supervised", "--counters", "--drain", "5"]).env("RUST_LOG", "error");
        if let Some(cpu) = cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        for kind in kinds {
            command.args(["--listen", &format!("{kind}={}", SocketAddr::new(place.server_ip(), 0))]);
        }
        // A look at all of its sockets takes the kernel some ms where it is flooded, and who is watched would wait for it.
        Ok(Self { sockets: None, ..Self::when_ready(place, command, true)? })
    }

    /// Starts a baseline's relay, and waits until it listens.
    pub(crate) fn start_baseline(place: &Place, baseline: Baseline, cpu: Option<usize>) -> anyhow::Result<Self> {
        let mut command = baselines::program("serve")?;
        command.args([baseline.name(), "--listen", &SocketAddr::new(place.server_ip(), 0).to_string()]);
        if let Some(cpu) = cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        Self::when_ready(place, command, false)
    }

    fn when_ready(place: &Place, command: Command, counts: bool) -> anyhow::Result<Self> {
        let process = Process::start("server", command, |command| place.spawn(Side::Server, command))?;
        let sockets = place.sockets();
        let mut server = Self { process, addresses: HashMap::new(), pin: String::new(), counts, sockets };
        loop {
            let line = server.process.line(READY_TIMEOUT)?.context("the server ended before it was ready")?;
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", name, addr] => {
                    let carrier = name.parse().map_err(anyhow::Error::msg)?;
                    server.addresses.insert(carrier, addr.parse()?);
                }
                ["certificate", "sha256", pin] => server.pin = pin.to_owned(),
                ["ready:", ..] => return Ok(server),
                _ => bail!("the server said '{line}' before it was ready"),
            }
        }
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &HashMap<Carrier, SocketAddr> {
        &self.addresses
    }

    /// By its certificate, if it has one.
    fn trusted(&self) -> Trusted {
        if self.pin.is_empty() { Trusted::Nobody } else { Trusted::Pin(self.pin.clone()) }
    }

    /// Fingerprint of its certificate.
    pub(crate) fn pin(&self) -> &str {
        &self.pin
    }

    /// What the kernel has accounted to it so far, and holds for its sockets now.
    pub(crate) fn usage(&self) -> Usage {
        let kernel_bytes = self.sockets.as_ref().and_then(|it| it.kernel_bytes(self.process.id()));
        Usage { kernel_bytes, ..self.process.usage() }
    }

    /// See [`Process::descriptors`].
    pub(crate) fn descriptors(&self) -> Option<usize> {
        self.process.descriptors()
    }

    /// Ends it and returns what it counted; nothing of a baseline, which does not count.
    pub(crate) fn stop(mut self) -> anyhow::Result<Snapshot> {
        self.process.close_stdin();
        if !self.counts {
            self.process.end()?;
            return Ok(Snapshot::default());
        }
        let line = self.process.line(READY_TIMEOUT)?.context("the server ended without its counters")?;
        self.process.end()?;
        serde_json::from_str(&line)
            .with_context(|| format!("the server said '{line}' where its counters should be"))
    }
}

impl Server {
    /// Kills it and returns its CPU time as we read it and as the kernel accounts for it, in µs.
    pub(crate) fn kill_accounted(self) -> anyhow::Result<(u64, u64)> {
        self.process.kill_accounted()
    }
}

/// What came out of a load, with what both sides used for it.
pub(crate) struct Outcome {
    pub(crate) load: LoadResult,
    pub(crate) server: Usage,
    pub(crate) players: Usage,
    pub(crate) link: Option<LinkReport>,
}

/// Lets players play against `server`. `watch` sees the server's usage about once a second while the window is open.
pub(crate) fn play(
    place: &mut Place,
    plan: &LoadPlan,
    server: Option<&Server>,
    mut watch: impl FnMut(Usage),
) -> anyhow::Result<Outcome> {
    let of_baseline = plan.pairs.iter().flatten().any(|carrier| carrier.baseline().is_some());
    let command = if of_baseline { baselines::program("players")? } else { ourselves("players")? };
    let mut players = Process::start("players", command, |command| place.spawn(Side::Client, command))?;
    players.tell(&serde_json::to_string(plan)?)?;
    let timeout = LOAD_SLACK + Duration::from_millis(plan.warmup_ms + plan.duration_ms);
    let next = |players: &Process, timeout| -> anyhow::Result<LoadEvent> {
        let line = players.line(timeout)?.context("the players gave up; their reason stands above")?;
        Ok(serde_json::from_str(&line)?)
    };

    let usage = || server.map_or_else(Usage::default, Server::usage);
    let (mut before, mut used, mut link) = (None, None, None);
    let mut kernel_bytes = Vec::new();
    loop {
        match next(&players, timeout)? {
            LoadEvent::Paired => {}
            LoadEvent::Tick => {
                let now = usage();
                kernel_bytes.extend(now.kernel_bytes);
                watch(now);
            }
            LoadEvent::WindowOpen => {
                place.open_window()?;
                let now = [usage(), players.usage()];
                kernel_bytes.extend(now[0].kernel_bytes);
                watch(now[0]);
                before = Some(now);
            }
            LoadEvent::WindowClosed => {
                let before = before.context("the window closed before it opened")?;
                let mut now = [usage(), players.usage()];
                kernel_bytes.extend(now[0].kernel_bytes);
                now[0].kernel_bytes = mean(&kernel_bytes);
                used = Some([now[0].since(&before[0]), now[1].since(&before[1])]);
                link = place.close_window()?;
            }
            LoadEvent::Done(load) => {
                players.end()?;
                let [server, players] = used.context("the players ended before the window did")?;
                return Ok(Outcome { load: *load, server, players, link });
            }
        }
    }
}

/// `None` of nothing.
fn mean(values: &[u64]) -> Option<u64> {
    (!values.is_empty()).then(|| values.iter().sum::<u64>() / values.len() as u64)
}
