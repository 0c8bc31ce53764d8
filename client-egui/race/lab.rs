//! The process that makes a race's link, and starts its server on one side of it and its players on the other. A process
//! of its own, since a link wants to be made before there are threads, and a window has many.

use std::{
    io::{BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use netduel_link::{Link, LinkSpec, Privilege, Side, Testbed};

use crate::race::{
    link::LinkWatch,
    protocol::{Plan, Report},
};

/// Between two looks at the link.
const LOOK: Duration = Duration::from_secs(1);

/// Where server and players live.
enum Ground {
    Loopback,
    Link(Box<Link>),
}

impl Ground {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let Some(name) = &plan.link else { return Ok(Self::Loopback) };
        let spec: LinkSpec = name.parse()?;
        Ok(Self::Link(Box::new(Testbed::enter(Privilege::Auto)?.link(&spec, plan.seed)?)))
    }

    fn spawn(&self, side: Side, mut command: Command) -> anyhow::Result<Child> {
        match self {
            Self::Loopback => Ok(command.spawn()?),
            Self::Link(link) => Ok(link.spawn(side, command)?),
        }
    }

    fn server_ip(&self) -> IpAddr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
            Self::Link(_) => Side::Server.ip().into(),
        }
    }
}

/// Whether links can be had here; call it before any thread.
///
/// # Errors
/// Why not, and what to do.
pub fn probe() -> anyhow::Result<()> {
    Testbed::enter(Privilege::Auto)?;
    Ok(())
}

/// Runs a race until its players end, which they do when standard input closes.
///
/// # Errors
/// What could not be started, and why.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut ground = Ground::new(plan)?;
    let mut server = ground.spawn(Side::Server, server_command(plan, ground.server_ip())?)?;
    let outcome = server
        .stdout
        .take()
        .context("the server has no output")
        .and_then(|output| listening(plan, output))
        .and_then(|plan| play(&plan, &mut ground));
    // It serves nobody any more.
    let _ = server.kill();
    let _ = server.wait();
    let status = outcome?;
    if !status.success() {
        bail!("the players ended with {status}");
    }
    Ok(())
}

/// Starts the players and waits for their end. Orders pass from the window to them and not through here; their reports do,
/// since two processes that write into one pipe would cut each other's lines.
fn play(plan: &Plan, ground: &mut Ground) -> anyhow::Result<ExitStatus> {
    let mut command = ourselves("race-players")?;
    command.arg(serde_json::to_string(plan)?).stdout(Stdio::piped());
    let mut players = ground.spawn(Side::Client, command)?;
    let reports = players.stdout.take().context("the players have no output")?;
    let (started, starts) = sync_channel(1);
    let passing = thread::Builder::new().name("reports".into()).spawn(move || pass_on(reports, &started))?;
    if let Ground::Link(link) = ground {
        watch(link, &starts);
    }
    let _ = passing.join();
    Ok(players.wait()?)
}

/// Hands each line to the window, at once and whole. The first one says that the race is on; when the last one is out, the
/// sender of `started` is gone.
fn pass_on(reports: ChildStdout, started: &SyncSender<()>) {
    for (number, line) in BufReader::new(reports).lines().map_while(Result::ok).enumerate() {
        if number == 0 {
            // Without a link nobody listens.
            let _ = started.try_send(());
        }
        if say(&line).is_err() {
            return; // The view is closed.
        }
    }
}

/// Looks at the link until the race is over, once it is on.
fn watch(link: &mut Link, started: &Receiver<()>) {
    if started.recv().is_err() {
        return;
    }
    let mut watch = LinkWatch::default();
    loop {
        // An emulator that does not answer is gone, and its players with it: they say so.
        let Ok(report) = link.snapshot() else { return };
        let line = serde_json::to_string(&Report::Link(watch.look(report))).unwrap_or_default();
        if say(&line).is_err() {
            return;
        }
        if started.recv_timeout(LOOK) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}

fn server_command(plan: &Plan, ip: IpAddr) -> anyhow::Result<Command> {
    let mut command = ourselves("race-server")?;
    command.args(["--supervised", "--drain", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    for kind in &plan.kinds {
        command.args(["--listen", &format!("{kind}={}", SocketAddr::new(ip, 0))]);
    }
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "warn");
    }
    Ok(command)
}

/// Waits until the server listens; returns the plan with its addresses.
fn listening(plan: &Plan, output: ChildStdout) -> anyhow::Result<Plan> {
    let mut plan = plan.clone();
    plan.addresses.clear();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["listening", _, addr] => plan.addresses.push(addr.parse()?),
            ["certificate", "sha256", pin] => plan.pin = pin.into(),
            ["ready:", ..] => return Ok(plan),
            _ => bail!("the server said '{line}' before it was ready"),
        }
    }
    bail!("the server ended before it was ready")
}

/// This program again.
pub(crate) fn ourselves(part: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    command.arg(part);
    Ok(command)
}
