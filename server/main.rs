//! `netduel-server`: the command line of `cli.rs` as a program.

use std::process::ExitCode;

use clap::Parser;
use netduel_server::cli::{Cli, complain, run};

fn main() -> ExitCode {
    match run(&Cli::parse().server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}
