//! The command line of `netduel-reports`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use netduel_loadgen::affinity;
use netduel_server::cli::ServerArgs;

use crate::{
    commands::{
        compare::{self, CompareArgs, EXIT_WORSE},
        recording, render,
        run::{self, RunArgs},
        selftest::{self, SelfTest},
    },
    run::{
        cpu_burner,
        cross_traffic::{self, CrossTrafficArgs},
    },
    stress::{
        churn::{self, ChurnArgs},
        flood::{self, FloodArgs},
        flooder,
        soak::{self, SoakArgs},
    },
};

/// Runs the whole program `netduel-reports` and returns its exit code.
///
/// A program with transports of its own registers them and then calls this function; every command
/// then knows them. The call comes before the first thread starts, since entering the network
/// namespace of an emulated link needs a process of one thread. A comparison starts the running
/// program again as the server, the players and the link emulator, so each of them passes through
/// the same `main`.
pub fn main() -> ExitCode {
    netduel_link::init();
    Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Compares transports for small, frequent, latest-wins updates, over real sockets.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  netduel-reports run                                         every transport on loopback, busy Wi-Fi and LTE
  netduel-reports run --preset rate                           search for the highest rate of each transport
  netduel-reports run --preset full --out all                 every preset; continue with --resume all if interrupted
  netduel-reports run --transport tcp,quic-datagram --rate 20,60,128
  netduel-reports run --link lte --link delay=20ms,loss=2% --duration 10s
  netduel-reports run --relay other,both --pairs 1,50 --repeat 7 --duration 10s
  netduel-reports render results/2026-11-22T140000Z/results.json
  netduel-reports recording results/play-1795368123.json     render a match that the window saved
  netduel-reports compare OLD/results.json NEW/results.json   list changes beyond noise; exit code 3 if one is worse
  netduel-reports selftest aa                                 check that equal transports show no difference
  netduel-reports soak --matches 200 --duration 60s
  netduel-reports soak --matches 500 --rate 5 --link wifi --duration 30m
  netduel-reports churn --cycles 100000
  netduel-reports flood

Exit codes: 0 success, 1 a failed run or check, 2 a wrong flag, 3 compare found a regression."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a comparison and write its reports
    #[command(after_help = run::help())]
    Run(Box<RunArgs>),
    /// Write the reports again from a results file
    Render {
        /// The results.json to render
        file: PathBuf,
    },
    /// Write an HTML page of a match that the window saved, beside its file
    Recording {
        /// The play-TIME.json that "Save recording" wrote in the window
        file: PathBuf,
    },
    /// List changes between two results beyond noise; exit code 3 if a metric got worse
    Compare(CompareArgs),
    /// Check the measurement: a transport against itself shows no difference, and an added
    /// difference is found
    #[command(subcommand)]
    Selftest(SelfTest),
    /// Play many matches on mixed transports; fails if a control message is lost or memory grows
    Soak(SoakArgs),
    /// Connect, pair and drop players repeatedly; fails if the server keeps memory or descriptors
    Churn(ChurnArgs),
    /// Measure the latency of players beside a flood; fails above twice the quiet p99
    Flood(FloodArgs),
    /// Run the flooders of a plan on standard input
    #[command(hide = true)]
    Flooder,
    /// Run the server of a comparison
    #[command(hide = true)]
    Serve {
        #[command(flatten)]
        args: Box<ServerArgs>,
        /// CPU time to burn beside the server, in µs per second, for the self-test
        #[arg(long, default_value_t = 0)]
        burn_us_per_s: u32,
        /// The processor to run on
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// Run the players of a plan on standard input
    #[command(hide = true)]
    Players,
    /// Run one end of a bulk transfer beside a game
    #[command(hide = true)]
    CrossTraffic(CrossTrafficArgs),
}

impl Cli {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// Every error of the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(args) => run::run(&args)?,
            Command::Render { file } => render::render(&file)?,
            Command::Recording { file } => recording::recording(&file)?,
            Command::Compare(args) => {
                if compare::compare(&args)? {
                    return Ok(EXIT_WORSE.into());
                }
            }
            Command::Selftest(test) => selftest::self_test(&test)?,
            Command::Soak(args) => soak::soak(&args)?,
            Command::Churn(args) => churn::churn(&args)?,
            Command::Flood(args) => flood::flood(&args)?,
            Command::Flooder => flooder::run_flooder()?,
            Command::CrossTraffic(args) => cross_traffic::cross_traffic(&args)?,
            Command::Serve { args, burn_us_per_s, cpu } => {
                if let Some(cpu) = cpu {
                    affinity::bind(cpu)?;
                }
                cpu_burner::burn(burn_us_per_s);
                netduel_server::cli::run(&args)?;
            }
            Command::Players => netduel_loadgen::run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
