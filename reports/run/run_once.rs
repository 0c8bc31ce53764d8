//! Runs once: starts a server and its players in separate processes, and reads the usage of the
//! server while the window is open.

use std::{
    collections::HashMap,
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, bail};
use netduel_link::{Limits, LinkReport, Side};
use netduel_loadgen::{
    LoadEvent, LoadPlan, LoadResult, Process, Subject, Usage, WindowPlan, affinity, this_program,
};
use netduel_transport::TransportKind;

use crate::{
    data::run_result::RunResult,
    plan::scenario::{Remote, RunKey, Scenario},
    run::{
        baselines,
        place::Place,
        server::{Server, ServerSpec},
    },
};

/// Pings per second and player to a remote server, which measure the offset of its clock.
const CLOCK_PINGS_HZ: u32 = 10;
/// Time after the window in which its moves may still arrive, in ms: longer than TCP's first
/// retransmission on the links of the presets.
const DRAIN_MS: u64 = 500;
/// Additional time for pairing, settling and closing, beyond the planned time of a load.
const LOAD_SLACK: Duration = Duration::from_secs(40);

/// Runs one combination of a scenario.
pub(crate) fn run(scenario: &Scenario, key: &RunKey, mut place: Place) -> anyhow::Result<RunResult> {
    let (contender, group) = (key.contender, &key.group);
    let cpu = affinity::run_cpu().filter(|_| scenario.search.is_none());
    let server = match (&place, contender.transport) {
        (Place::Elsewhere(_), _) => None,
        (_, Subject::Netduel(kind)) => {
            let burn_us_per_s = scenario.server_burn_us_per_s;
            let spec = ServerSpec { burn_us_per_s, cpu, ..ServerSpec::new(&[kind], contender) };
            Some(Server::start(&place, &spec)?)
        }
        (_, Subject::Baseline(baseline)) => Some(Server::start_baseline(&place, baseline, cpu)?),
    };
    let (addresses, trusted) = match (&server, &place) {
        (Some(server), _) => (server.addresses().clone(), server.trusted()),
        (None, Place::Elsewhere(remote)) => {
            let subject = contender.transport;
            let kind = subject.kind().with_context(|| {
                format!("a remote server cannot run the baseline {subject}: leave out --server")
            })?;
            (HashMap::from([(subject, address_of(remote, kind)?)]), remote.trusted())
        }
        (None, _) => bail!("the run has no server"),
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
        pings_hz: if matches!(place, Place::Elsewhere(_)) { CLOCK_PINGS_HZ } else { 0 },
        // Every transport has the same paths; every repeat has others.
        seed: scenario.seed_of(key.repeat),
        options: contender.options(),
    };
    let (warmup_ms, duration_ms) = (scenario.warmup_ms, scenario.duration_ms);
    let window = WindowPlan { warmup_ms, duration_ms, drain_ms: DRAIN_MS, keep_moves: false };
    let shared = matches!(place, Place::Link(_, Some(_)));
    let LoadOutcome { load, server: server_usage, players, link } =
        play(&mut place, &plan, &window, server.as_ref(), |_| {})?;
    let counters = server.map(Server::stop).transpose()?.unwrap_or_default();
    let link = place.end(link)?;
    if let Some(report) = &link {
        report.valid(&Limits::default())?;
    }
    Ok(RunResult { key: key.clone(), load, server: server_usage, players, counters, link, shared })
}

/// Returns the address of a remote server for a transport.
pub(crate) fn address_of(remote: &Remote, kind: TransportKind) -> anyhow::Result<SocketAddr> {
    let found = match remote.server.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => remote.server.to_socket_addrs(),
        _ => (remote.server.as_str(), kind.default_port()).to_socket_addrs(),
    };
    let mut found = found.with_context(|| format!("cannot find the host of --server {}", remote.server))?;
    found.next().with_context(|| format!("--server {} has no address", remote.server))
}

/// The result of a load, and the usage of both sides.
pub(crate) struct LoadOutcome {
    pub(crate) load: LoadResult,
    pub(crate) server: Usage,
    pub(crate) players: Usage,
    pub(crate) link: Option<LinkReport>,
}

/// Runs players against `server`. `watch` receives the usage of the server about once a second
/// while the window is open.
pub(crate) fn play(
    place: &mut Place,
    plan: &LoadPlan,
    window: &WindowPlan,
    server: Option<&Server>,
    mut watch: impl FnMut(Usage),
) -> anyhow::Result<LoadOutcome> {
    let of_baseline = plan.pairs.iter().flatten().any(|subject| subject.baseline().is_some());
    let command = if of_baseline { baselines::program("players")? } else { this_program("players")? };
    let mut players = Process::start("players", command, |command| place.spawn(Side::Client, command))?;
    players.tell(&serde_json::to_string(plan)?)?;
    players.tell(&serde_json::to_string(window)?)?;
    let timeout = LOAD_SLACK + Duration::from_millis(window.total_ms());
    let next = |players: &Process, timeout| -> anyhow::Result<LoadEvent> {
        let line = players.line(timeout)?.context("the players stopped; see the messages above")?;
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
            LoadEvent::Window(load) => {
                players.end()?;
                let [server, players] = used.context("the players ended before the window did")?;
                return Ok(LoadOutcome { load: *load, server, players, link });
            }
        }
    }
}

/// Returns the mean; `None` for no values.
fn mean(values: &[u64]) -> Option<u64> {
    (!values.is_empty()).then(|| values.iter().sum::<u64>() / values.len() as u64)
}
