//! The players of a run, in a separate process that plays one window after the other.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use netduel_link::{LinkReport, Side};
use netduel_loadgen::{LoadEvent, LoadPlan, LoadResult, Moves, Process, Usage, WindowPlan, this_program};

use crate::{
    data::tcp_counters::TcpCounters,
    run::{baselines, place::Place, server::Server},
};

/// Additional time for pairing, settling and closing, beyond the planned time of a window.
const SLACK: Duration = Duration::from_secs(40);

/// The measurements of a window, and the resources that both sides used in it.
pub(crate) struct Window {
    /// The measurements of the players.
    pub(crate) load: LoadResult,
    /// The resources that the server used.
    pub(crate) server: Usage,
    /// The resources that the players used.
    pub(crate) players: Usage,
    /// The report of the emulated link, if there is one.
    pub(crate) link: Option<LinkReport>,
    /// The counters of TCP in the namespaces of server and players, where the kernel tells.
    pub(crate) tcp: Option<[TcpCounters; 2]>,
    /// A row for each move, if the plan of the window asked for it.
    pub(crate) moves: Option<Moves>,
}

/// Players in a separate process.
pub(crate) struct Players {
    process: Process,
}

impl Players {
    /// Starts the players of a load with these variables, and waits until all are paired.
    pub(crate) fn start(
        place: &Place,
        plan: &LoadPlan,
        variables: Vec<(&'static str, PathBuf)>,
    ) -> anyhow::Result<Self> {
        let of_baseline = plan.pairs.iter().flatten().any(|subject| subject.baseline().is_some());
        let mut command = if of_baseline { baselines::program("players")? } else { this_program("players")? };
        command.envs(variables);
        let mut process = Process::start("players", command, |command| place.spawn(Side::Client, command))?;
        process.tell(&serde_json::to_string(plan)?)?;
        let players = Self { process };
        match players.next(SLACK)? {
            LoadEvent::Paired => Ok(players),
            other => bail!("the players printed {other:?} before they were paired"),
        }
    }

    /// Plays one window. `watch` receives the usage of the server about once a second while the
    /// window is open.
    pub(crate) fn window(
        &mut self,
        plan: &WindowPlan,
        place: &mut Place,
        server: Option<&Server>,
        mut watch: impl FnMut(Usage),
    ) -> anyhow::Result<Window> {
        self.process.tell(&serde_json::to_string(plan)?)?;
        let timeout = SLACK + Duration::from_millis(plan.total_ms());
        let usage = || server.map_or_else(Usage::default, Server::usage);
        let (mut before, mut used, mut link) = (None, None, None);
        let own_pid = self.process.id();
        let tcp = || {
            let counted = TcpCounters::of_process;
            Some([counted(server?.pid())?, counted(own_pid)?])
        };
        let (mut tcp_before, mut tcp_grown) = (None, None);
        let mut kernel_bytes = Vec::new();
        loop {
            match self.next(timeout)? {
                LoadEvent::Paired => bail!("the players were paired twice"),
                LoadEvent::Tick => {
                    let now = usage();
                    kernel_bytes.extend(now.kernel_bytes);
                    watch(now);
                }
                LoadEvent::WindowOpen { open_us } => {
                    place.open_window(open_us)?;
                    let now = [usage(), self.process.usage()];
                    kernel_bytes.extend(now[0].kernel_bytes);
                    watch(now[0]);
                    before = Some(now);
                    tcp_before = tcp();
                }
                LoadEvent::WindowClosed => {
                    let before = before.context("the window closed before it opened")?;
                    let mut now = [usage(), self.process.usage()];
                    kernel_bytes.extend(now[0].kernel_bytes);
                    now[0].kernel_bytes = mean(&kernel_bytes);
                    used = Some([now[0].since(&before[0]), now[1].since(&before[1])]);
                    tcp_grown = tcp().zip(tcp_before).map(|([server, players], [of_server, of_players])| {
                        [server.since(&of_server), players.since(&of_players)]
                    });
                    link = place.close_window()?;
                }
                LoadEvent::Window { result, moves } => {
                    let [server, players] = used.context("the window ended before it closed")?;
                    return Ok(Window { load: *result, server, players, link, tcp: tcp_grown, moves });
                }
            }
        }
    }

    /// Lets the players leave, and waits for the end of their process.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.process.end()
    }

    fn next(&self, timeout: Duration) -> anyhow::Result<LoadEvent> {
        let line = self.process.line(timeout)?.context("the players stopped; see the messages above")?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Starts players against a server, plays one window and ends them.
pub(crate) fn play(
    place: &mut Place,
    plan: &LoadPlan,
    window: &WindowPlan,
    server: Option<&Server>,
    watch: impl FnMut(Usage),
) -> anyhow::Result<Window> {
    let mut players = Players::start(place, plan, Vec::new())?;
    let played = players.window(window, place, server, watch)?;
    players.end()?;
    Ok(played)
}

/// Returns the mean; `None` for no values.
fn mean(values: &[u64]) -> Option<u64> {
    (!values.is_empty()).then(|| values.iter().sum::<u64>() / values.len() as u64)
}
