//! The `netduel-link` program: lists profiles, probes a link, runs two programs over one, tests
//! itself.

use std::process::ExitCode;

use clap::Parser;
use netduel_link::{
    cli::{Cli, Command},
    init,
};

mod commands;

use commands::{list, probe, run, selftest};

fn main() -> ExitCode {
    init();
    let result = match Cli::parse().command {
        Command::List { toml: None } => list::list(),
        Command::List { toml: Some(name) } => list::print_toml(&name),
        Command::Probe { link, packets, json } => probe::probe(&link, packets, json),
        Command::Run(args) => run::run(&args),
        Command::Selftest { packets, only, privilege } => selftest::self_test(&privilege, packets, &only),
    };
    result.unwrap_or_else(|error| {
        eprintln!("netduel-link: {error:#}");
        ExitCode::FAILURE
    })
}
