//! `netduel-baselines`: a baseline's relay in a process of its own, and its players for `netduel-report run --preset baselines`.

use std::{io::Write, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use netduel_baselines::{Baseline, Relay};
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
    /// Say which baselines there are
    List,
    /// Say whether one can run here, or what it lacks
    Check {
        /// Which one; `list` names them
        baseline: Baseline,
    },
    /// Relay until standard input closes; players are paired in the order in which they come
    Serve {
        /// Which one; `list` names them
        baseline: Baseline,
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
        Command::Check { baseline } => netduel_baselines::check(baseline),
        Command::Serve { baseline, listen, cpu } => serve(baseline, listen, cpu),
        Command::Players => netduel_baselines::play(),
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
    for baseline in Baseline::ALL {
        writeln!(stdout, "{baseline:<15} {}", baseline.summary())?;
    }
    Ok(())
}

fn serve(baseline: Baseline, listen: SocketAddr, cpu: Option<usize>) -> anyhow::Result<()> {
    if let Some(cpu) = cpu {
        netduel_loadgen::affinity::bind(cpu)?;
    }
    match netduel_baselines::other_program(baseline, listen) {
        Some(program) => become_program(program),
        None => serve_here(baseline, listen),
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
async fn serve_here(baseline: Baseline, listen: SocketAddr) -> anyhow::Result<()> {
    let identity = Identity::generate(&["localhost".into()])?;
    let relay = Relay::bind(baseline, listen, &identity)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening {baseline} {}", relay.local_addr()?)?;
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
