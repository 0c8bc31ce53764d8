//! The command line of `netduel-report`: its commands, and what each calls.

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

/// Runs the whole program `netduel-report` and returns its exit code.
///
/// A program that has transports of its own registers them, calls this function, and has every command with them. It
/// calls before it starts a thread: an emulated link needs a process of one thread. A comparison starts the running
/// program again as the server, the players and the emulator of a link, so each of them passes through the same `main`.
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
  netduel-report run                                         every transport on loopback, busy Wi-Fi and LTE
  netduel-report run --preset rate                           the highest rate that each transport bears, by search
  netduel-report run --preset full --out all                 every question; go on with --resume all if interrupted
  netduel-report run --transport tcp,quic-datagram --rate 20,60,128
  netduel-report run --link lte --link delay=20ms,loss=2% --duration 10s
  netduel-report run --relay other,both --pairs 1,50 --repeat 7 --duration 10s
  netduel-report render results/2026-11-22T140000Z/results.json
  netduel-report recording results/play-1795368123.json     a page of a match that the window saved
  netduel-report compare OLD/results.json NEW/results.json   what changed beyond noise; exit code 3 if for the worse
  netduel-report selftest aa                                 does it find a difference where there is none?
  netduel-report soak --matches 200 --duration 60s
  netduel-report soak --matches 500 --rate 5 --link wifi --duration 30m
  netduel-report churn --cycles 100000
  netduel-report flood

Exit code 0 if all went well, 1 if a run failed or a promise was broken, 2 for a bad flag, 3 if\ncompare found something worse."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a comparison and write its report
    #[command(after_help = run::presets_help())]
    Run(Box<RunArgs>),
    /// Write the report again from its results file alone
    Render {
        /// A results.json
        file: PathBuf,
    },
    /// Write the page of a match that the window saved, beside its file
    Recording {
        /// A play-TIME.json, written by the window's "Save recording"
        file: PathBuf,
    },
    /// Say what changed between two results beyond noise; exit code 3 if something got worse
    Compare(CompareArgs),
    /// Check the measuring itself: no difference where there is none, and the one that was put there
    #[command(subcommand)]
    Selftest(SelfTest),
    /// Play many matches on mixed transports; fails if a control message is lost or memory grows
    Soak(SoakArgs),
    /// Connect, pair and drop players again and again; fails if the server does not let go of everything
    Churn(ChurnArgs),
    /// Measure what floods cost the players beside them; fails if one takes more than twice the quiet p99
    Flood(FloodArgs),
    /// The flooders; their plan comes on standard input
    #[command(hide = true)]
    Flooder,
    /// The server of a run
    #[command(hide = true)]
    Serve {
        #[command(flatten)]
        args: ServerArgs,
        /// CPU time to burn beside the server's work, in µs per second, for the self-test
        #[arg(long, default_value_t = 0)]
        burn_us_per_s: u32,
        /// The processor to run on
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// The players of a run; their plan comes on standard input
    #[command(hide = true)]
    Players,
    /// One end of a bulk transfer beside a game
    #[command(hide = true)]
    CrossTraffic(CrossTrafficArgs),
}

impl Cli {
    /// Carries out the command.
    ///
    /// # Errors
    /// The command's.
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
