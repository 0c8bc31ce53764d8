//! `netduel-peers`: a peer's relay in a process of its own, and its players for `netduel-report run --preset peers`.

use std::{io::Write, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use netduel_peers::{Peer, Relay};
use netduel_transport::Identity;

/// Bare relays and other libraries' relays, to measure Netduel against.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say which peers there are
    List,
    /// Say whether one can run here, or what it lacks
    Check {
        /// Which one; `list` names them
        peer: Peer,
    },
    /// Relay until standard input closes; players are paired in the order in which they come
    Serve {
        /// Which one; `list` names them
        peer: Peer,
        /// Where players connect
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The processor to run on
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// The players of a run; their plan comes on standard input
    #[command(hide = true)]
    Players,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::List => list(),
        Command::Check { peer } => netduel_peers::check(peer),
        Command::Serve { peer, listen, cpu } => serve(peer, listen, cpu),
        Command::Players => netduel_peers::play(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for peer in Peer::ALL {
        writeln!(stdout, "{peer:<15} {}", peer.summary())?;
    }
    Ok(())
}

fn serve(peer: Peer, listen: SocketAddr, cpu: Option<usize>) -> anyhow::Result<()> {
    if let Some(cpu) = cpu {
        netduel_reports::bind_to_cpu(cpu)?;
    }
    match netduel_peers::other_program(peer, listen) {
        Some(program) => become_program(program),
        None => serve_here(peer, listen),
    }
}

/// Takes this process's place, so that whoever measures it measures that.
#[cfg(unix)]
fn become_program(mut program: std::process::Command) -> anyhow::Result<()> {
    Err(std::os::unix::process::CommandExt::exec(&mut program).into())
}

/// Nobody measures processes here.
#[cfg(not(unix))]
fn become_program(mut program: std::process::Command) -> anyhow::Result<()> {
    let status = program.status()?;
    anyhow::ensure!(status.success(), "it failed ({status})");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn serve_here(peer: Peer, listen: SocketAddr) -> anyhow::Result<()> {
    let identity = Identity::generate(&["localhost".into()])?;
    let relay = Relay::bind(peer, listen, &identity)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening {peer} {}", relay.local_addr()?)?;
    writeln!(stdout, "certificate sha256 {}", identity.fingerprint())?;
    writeln!(stdout, "ready: players may connect; ends when standard input closes")?;
    stdout.flush()?;
    let (mut stdin, mut nowhere) = (tokio::io::stdin(), tokio::io::sink());
    tokio::select! {
        failed = relay.run() => Ok(failed?),
        // An error is an end, too.
        _ = tokio::io::copy(&mut stdin, &mut nowhere) => Ok(()),
    }
}
