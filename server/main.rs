//! `netduel-server`: the command line of `cli.rs` as a program.

use std::process::ExitCode;

use clap::Parser;
use netduel_server::cli::{ServerArgs, run};

/// Matches players and relays their moves, over every transport at once.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  netduel-server                                  serve every transport, for this machine only
  netduel-server --host 0.0.0.0 --name my.host    serve the network; clients pin the printed fingerprint
  netduel-server --cert-out cert.pem              clients trust it with --ca cert.pem
  netduel-server --listen tcp=127.0.0.1:7000 --listen quic-datagram=127.0.0.1:7000
  netduel-server --relay both                     relay by the older policy, to compare

Exit code 0 after a clean drain, 1 if it cannot start or a second signal cut the drain short, 2 for a bad flag."
)]
struct Cli {
    #[command(flatten)]
    server: ServerArgs,
}

fn main() -> ExitCode {
    match run(&Cli::parse().server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
