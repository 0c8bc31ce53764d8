//! The process that sets up the link of a race, and starts the server and the players at its two
//! ends.
//!
//! The link needs a process without threads, and the window has many.

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
    link::LinkMonitor,
    protocol::{Plan, Report},
};

/// The period of the link samples.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// The network between the server and the players.
enum Network {
    Loopback,
    Link(Box<Link>),
}

impl Network {
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

/// Checks whether this system can emulate links. Call it before any thread starts.
///
/// # Errors
/// The system cannot emulate links; the error says why and what to do.
pub fn probe() -> anyhow::Result<()> {
    Testbed::enter(Privilege::Auto)?;
    Ok(())
}

/// Runs a race until its players exit, which happens when standard input closes.
///
/// # Errors
/// The link, the server or the players could not start.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut network = Network::new(plan)?;
    let mut server = network.spawn(Side::Server, server_command(plan, network.server_ip())?)?;
    let outcome = server
        .stdout
        .take()
        .context("the server has no output")
        .and_then(|output| listening(plan, output))
        .and_then(|plan| play(&plan, &mut network));
    // The players are gone, so the server has no more work.
    let _ = server.kill();
    let _ = server.wait();
    let status = outcome?;
    if !status.success() {
        bail!("the players exited with {status}");
    }
    Ok(())
}

/// Starts the players and waits for their exit. The players inherit standard input and read the
/// orders themselves. Their reports pass through this process, because two writers of one pipe
/// would cut each other's lines.
fn play(plan: &Plan, network: &mut Network) -> anyhow::Result<ExitStatus> {
    let mut command = subcommand("race-players")?;
    command.arg(serde_json::to_string(plan)?).stdout(Stdio::piped());
    let mut players = network.spawn(Side::Client, command)?;
    let reports = players.stdout.take().context("the players have no output")?;
    let (started, starts) = sync_channel(1);
    let forwarder =
        thread::Builder::new().name("reports".into()).spawn(move || forward(reports, &started))?;
    if let Network::Link(link) = network {
        monitor(link, &starts);
    }
    let _ = forwarder.join();
    Ok(players.wait()?)
}

/// Forwards each line to the window at once. The first line means that the race started, and is
/// signalled on `started`. The sender is dropped after the last line.
fn forward(reports: ChildStdout, started: &SyncSender<()>) {
    for (number, line) in BufReader::new(reports).lines().map_while(Result::ok).enumerate() {
        if number == 0 {
            // Without a link there is no receiver.
            let _ = started.try_send(());
        }
        if write_line(&line).is_err() {
            return; // The view is closed.
        }
    }
}

/// Samples the link from the start of the race to its end.
fn monitor(link: &mut Link, started: &Receiver<()>) {
    if started.recv().is_err() {
        return;
    }
    let mut monitor = LinkMonitor::default();
    loop {
        // An emulator that does not answer is gone. The players then fail and report it.
        let Ok(report) = link.snapshot() else { return };
        let line = serde_json::to_string(&Report::Link(monitor.sample(report))).unwrap_or_default();
        if write_line(&line).is_err() {
            return;
        }
        if started.recv_timeout(SAMPLE_PERIOD) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn write_line(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}

/// Returns the command of the race's server.
fn server_command(plan: &Plan, ip: IpAddr) -> anyhow::Result<Command> {
    let mut command = subcommand("race-server")?;
    command
        .args(["--supervised", "--plaintext", "--drain", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for kind in &plan.kinds {
        command.args(["--listen", &format!("{kind}={}", SocketAddr::new(ip, 0))]);
    }
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "warn");
    }
    Ok(command)
}

/// Waits until the server listens. Returns the plan with the server's addresses and fingerprint.
fn listening(plan: &Plan, output: ChildStdout) -> anyhow::Result<Plan> {
    let mut plan = plan.clone();
    plan.addresses.clear();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["listening", _, addr] => plan.addresses.push(addr.parse()?),
            ["pin", pin] => plan.pin = pin.into(),
            ["ready:", ..] => return Ok(plan),
            _ => bail!("the server wrote an unexpected line '{line}' before it was ready"),
        }
    }
    bail!("the server exited before it was ready")
}

/// Returns a command that runs this program with the subcommand `name`.
pub(crate) fn subcommand(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find the path of this program")?);
    command.arg(name);
    Ok(command)
}
