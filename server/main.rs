//! `netduel-server`: the command line of `cli.rs` as a program.

use std::process::ExitCode;

use clap::Parser;
use netduel_server::cli::{Cli, run};

fn main() -> ExitCode {
    match run(&Cli::parse().server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
