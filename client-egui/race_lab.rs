//! The process that makes a race's link, and starts its server on one side of it and its players on the other. A process
//! of its own, since a link wants to be made before there are threads, and a window has many.

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use netduel_link::{Lab, Link, LinkSpec, Privilege, Side};

use crate::race_feed::Plan;

/// Where server and players live.
enum Ground {
    Loopback,
    Link(Box<Link>),
}

impl Ground {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let Some(name) = &plan.link else { return Ok(Self::Loopback) };
        let spec: LinkSpec = name.parse()?;
        Ok(Self::Link(Box::new(Lab::enter(Privilege::Auto)?.link(&spec, plan.seed)?)))
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
    Lab::enter(Privilege::Auto)?;
    Ok(())
}

/// Runs a race until its players end, which they do when standard input closes.
///
/// # Errors
/// What could not be started, and why.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let ground = Ground::new(plan)?;
    let mut server = ground.spawn(Side::Server, server_command(plan, ground.server_ip())?)?;
    let outcome = server
        .stdout
        .take()
        .context("the server has no output")
        .and_then(|output| listening(plan, output))
        .and_then(|plan| {
            let mut command = ourselves("race-players")?;
            command.arg(serde_json::to_string(&plan)?);
            // Orders and reports pass between the window and the players, and not through here.
            Ok(ground.spawn(Side::Client, command)?.wait()?)
        });
    // It serves nobody any more.
    let _ = server.kill();
    let _ = server.wait();
    let status = outcome?;
    if !status.success() {
        bail!("the players ended with {status}");
    }
    Ok(())
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
