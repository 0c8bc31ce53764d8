//! The program `netduel-baselines`: a baseline's relay in a process of its own, and the players
//! that `netduel-reports run --preset baselines` starts.

use std::{io::Write, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use netduel_baselines::{Baseline, Relay};
use netduel_transport::Identity;

/// Runs bare relays and other libraries' relays, which Netduel is measured against.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the baselines
    List,
    /// Check that a baseline can run here, or name what is missing
    Check {
        /// Name of the baseline, as in `list`
        baseline: Baseline,
    },
    /// Relay until standard input closes, and pair players in the order of their arrival
    Serve {
        /// Name of the baseline, as in `list`
        baseline: Baseline,
        /// Address that players connect to
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Processor to run on
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// Play as the plan on standard input says
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

/// Replaces this process by the program, so that measurements of the process include only the
/// program.
#[cfg(unix)]
fn become_program(mut program: std::process::Command) -> anyhow::Result<()> {
    Err(std::os::unix::process::CommandExt::exec(&mut program).into())
}

/// Runs the program as a child. Processes are not measured on this system.
#[cfg(not(unix))]
fn become_program(mut program: std::process::Command) -> anyhow::Result<()> {
    let status = program.status()?;
    anyhow::ensure!(status.success(), "the program failed ({status})");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn serve_here(baseline: Baseline, listen: SocketAddr) -> anyhow::Result<()> {
    let identity = Identity::generate(&["localhost".into()])?;
    let relay = Relay::bind(baseline, listen, &identity)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening {baseline} {}", relay.local_addr()?)?;
    writeln!(stdout, "pin {}", identity.fingerprint())?;
    writeln!(stdout, "ready: players may connect; ends when standard input closes")?;
    stdout.flush()?;
    let (mut stdin, mut nowhere) = (tokio::io::stdin(), tokio::io::sink());
    tokio::select! {
        failed = relay.run() => Ok(failed?),
        // An error also ends the input.
        _ = tokio::io::copy(&mut stdin, &mut nowhere) => Ok(()),
    }
}
