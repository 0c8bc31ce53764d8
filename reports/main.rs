//! `netduel-report`: compares transports and writes reports. Runs itself again as the server, the players and the
//! emulator of a link.

use std::process::ExitCode;

use clap::Parser;
use netduel_reports::cli::Cli;

fn main() -> ExitCode {
    netduel_link::init();
    Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
