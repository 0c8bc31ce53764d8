//! `netduel-report`: compares transports and writes reports. Runs itself again as the server, the players and the
//! emulator of a link.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use netduel_reports::{CompareArgs, SoakArgs};
use netduel_server::command::ServerArgs;

/// Compares transports for small, frequent, latest-wins updates, over real sockets.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  netduel-report run                                         every transport on loopback, wifi and lte, at 60 Hz
  netduel-report run --transport tcp,quic-datagram --rate 20,60,128
  netduel-report run --link lte --link delay=20ms,loss=2% --duration 10s
  netduel-report run --relay other,both --pairs 1,50 --repeat 7 --duration 10s
  netduel-report render results/2026-11-22T140000Z/results.json
  netduel-report soak --matches 200 --duration 60s

Exit code 0 if all went well, 1 if a run failed or a promise was broken, 2 for a bad flag."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a comparison and write its report
    Run(CompareArgs),
    /// Write the report again from its results file alone
    Render {
        /// A results.json
        file: PathBuf,
    },
    /// Play many matches on mixed transports; fails if a control message is lost or memory grows
    Soak(SoakArgs),
    /// The server of a run
    #[command(hide = true)]
    Serve(ServerArgs),
    /// The players of a run; their plan comes on standard input
    #[command(hide = true)]
    Players,
}

fn main() -> ExitCode {
    netduel_link::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => netduel_reports::compare(&args),
        Command::Render { file } => netduel_reports::render_file(&file),
        Command::Soak(args) => netduel_reports::soak(&args),
        Command::Serve(args) => netduel_server::command::run(&args),
        Command::Players => netduel_reports::run_players(),
    }
}
