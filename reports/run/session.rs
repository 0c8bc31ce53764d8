//! One session: a server and its players, started once, which play any number of windows.
//!
//! The three orders of runs (beside one another, in turns, afresh) differ only in when they start
//! sessions and when these play.

use std::{
    collections::HashMap,
    net::{SocketAddr, ToSocketAddrs},
};

use anyhow::{Context, bail};
use netduel_link::Limits;
use netduel_loadgen::{Lane, LoadPlan, Moves, Subject};
use netduel_server::Snapshot;
use netduel_transport::TransportKind;

use crate::{
    data::run_result::{RunResult, TcpOfSides},
    plan::{
        sampling::Order,
        scenario::{Remote, RunKey, Scenario},
    },
    run::{
        evidence::{Evidence, SessionEvidence},
        place::Place,
        players::{Players, Window},
        server::{Server, ServerSpec},
    },
};

/// A server with its players at a place.
pub(crate) struct Session<'a> {
    scenario: &'a Scenario,
    place: Place,
    lane: Lane,
    /// `None` for a remote server.
    server: Option<Server>,
    players: Players,
    evidence: Option<SessionEvidence<'a>>,
    /// The moves of the last window, until its run is complete.
    moves: Option<Moves>,
}

impl<'a> Session<'a> {
    /// Starts the server and the players of a run, and waits until all players are paired. The
    /// repeat of `key` decides the paths of the players.
    pub(crate) fn start(
        scenario: &'a Scenario,
        key: &RunKey,
        place: Place,
        lane: Lane,
        evidence: Option<&'a Evidence>,
    ) -> anyhow::Result<Self> {
        let contender = key.contender;
        let server = match (&place, contender.transport) {
            (Place::Elsewhere(_), _) => None,
            (_, Subject::Netduel(kind)) => {
                let burdened = key.arm > 0 && key.arm == scenario.controls;
                let burn_us_per_s = if burdened { scenario.server_burn_us_per_s } else { 0 };
                let spec = ServerSpec { burn_us_per_s, cpu: lane.run, ..ServerSpec::new(&[kind], contender) };
                Some(Server::start(&place, &spec)?)
            }
            (_, Subject::Baseline(baseline)) => Some(Server::start_baseline(&place, baseline, lane.run)?),
        };
        let plan = load_plan(scenario, key, &place, server.as_ref(), lane)?;
        let order = scenario.order_of(&key.group);
        let evidence = evidence.map(|it| it.of_session(key, order, &place, &plan)).transpose()?;
        let variables = evidence.as_ref().map(SessionEvidence::variables).unwrap_or_default();
        let players = Players::start(&place, &plan, variables)?;
        Ok(Self { scenario, place, lane, server, players, evidence, moves: None })
    }

    /// Plays the window of a run. A result of a link still lacks its single drops and its check.
    pub(crate) fn window(&mut self, key: &RunKey) -> anyhow::Result<RunResult> {
        let keeps_moves = self.evidence.as_ref().is_some_and(SessionEvidence::keeps_moves);
        let plan = self.scenario.sampling_of(&key.group).window(keeps_moves);
        let Window { load, server, players, link, tcp, moves } =
            self.players.window(&plan, &mut self.place, self.server.as_ref(), |_| {})?;
        let emulator_cpu_us = link.as_ref().map_or(0, |link| (link.emulator_cpu_ms * 1e3) as u64);
        let both_us = server.cpu_us.zip(players.cpu_us);
        let run = RunResult {
            key: key.clone(),
            order: self.scenario.order_of(&key.group),
            load,
            server,
            players,
            machine_cpu_us: both_us.map(|(server_us, players_us)| server_us + players_us + emulator_cpu_us),
            counters: None,
            tcp: tcp.map(|[server, players]| TcpOfSides { server, players }),
            shared: matches!(self.place, Place::Link(_, Some(_))),
            cpus: Lane { emulator: self.lane.emulator.filter(|_| link.is_some()), ..self.lane },
            link,
        };
        self.moves = moves;
        if run.link.is_none() {
            self.keep_moves(&run)?;
        }
        Ok(run)
    }

    /// Keeps the moves of the last window, if they were asked for and are not kept yet.
    fn keep_moves(&mut self, run: &RunResult) -> anyhow::Result<()> {
        let moves = self.moves.take();
        self.evidence.as_ref().map_or(Ok(()), |evidence| evidence.keep_moves(run, moves.as_ref()))
    }

    /// Ends the players and the server, and returns the counters of the server. A remote server
    /// tells none.
    pub(crate) fn end(mut self) -> anyhow::Result<Option<Snapshot>> {
        self.players.end()?;
        self.evidence.as_mut().map_or(Ok(()), SessionEvidence::end)?;
        self.server.map(Server::stop).transpose()
    }

    /// Ends a session of one window, and completes the result of that window. The counters of the
    /// server and the drops of the link are then those of the run.
    ///
    /// # Errors
    /// The error of [`LinkReport::valid`](netduel_link::LinkReport::valid) if the link was not what
    /// its specification says.
    pub(crate) fn end_with(self, mut run: RunResult) -> anyhow::Result<RunResult> {
        let Self { place, server, players, mut evidence, moves, .. } = self;
        players.end()?;
        let counters = server.map(Server::stop).transpose()?;
        run.counters = counters.filter(|_| run.key.contender.transport.kind().is_some());
        evidence.as_mut().map_or(Ok(()), SessionEvidence::end)?;
        run.link = place.end(run.link)?;
        if let Some(report) = &run.link {
            report.valid(&Limits::default())?;
        }
        // The list of drops is complete now.
        evidence.map_or(Ok(()), |evidence| evidence.keep_moves(&run, moves.as_ref()))?;
        Ok(run)
    }
}

/// Runs once: starts a session, plays one window, and ends the session.
pub(crate) fn run_once(
    scenario: &Scenario,
    key: &RunKey,
    place: Place,
    lane: Lane,
    evidence: Option<&Evidence>,
) -> anyhow::Result<RunResult> {
    let mut session = Session::start(scenario, key, place, lane, evidence)?;
    let run = session.window(key)?;
    session.end_with(run)
}

/// Returns the plan of the players of a run.
fn load_plan(
    scenario: &Scenario,
    key: &RunKey,
    place: &Place,
    server: Option<&Server>,
    lane: Lane,
) -> anyhow::Result<LoadPlan> {
    let RunKey { contender, group, .. } = key;
    if place.second_ip().is_some() && contender.transport.baseline().is_some() {
        bail!("the players of the baseline {} cannot have a link each: name one link", contender.transport);
    }
    let (addresses, trusted) = match (server, place) {
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
    Ok(LoadPlan {
        workload: scenario.workload,
        cpu: lane.run,
        addresses,
        second_ip: place.second_ip(),
        trusted,
        pairs: vec![[contender.transport; 2]; group.pairs as usize],
        rate_hz: group.rate_hz,
        in_flight: group.in_flight,
        payload_bytes: group.payload_bytes,
        pings_hz: 0,
        // Every transport has the same paths; every repeat has others.
        seed: scenario.seed_of(key.repeat),
        phase_us: phase_us(scenario, key),
        options: contender.options(),
    })
}

/// Returns the shift of the sending times of a run beside others, in µs; 0 for a run alone.
///
/// The shifts of all arms on all links are even parts of the time between two players of a match.
/// Without them, twenty arms would send in the same moment and wait for each other.
fn phase_us(scenario: &Scenario, key: &RunKey) -> u64 {
    if scenario.order_of(&key.group) != Order::Beside {
        return 0;
    }
    let arms = scenario.arms();
    let arm = arms.iter().position(|arm| *arm == (key.contender, key.arm)).unwrap_or(0);
    let link = scenario.links.iter().position(|link| link.name() == key.group.link).unwrap_or(0);
    let place = (link * arms.len() + arm) as u64;
    let players = 2 * u64::from(key.group.pairs.max(1));
    let period_us = 1_000_000 / u64::from(key.group.rate_hz.max(1));
    period_us / players * place / (arms.len() * scenario.links.len()).max(1) as u64
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
