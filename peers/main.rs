//! `netduel-peers`: a peer's relay in a process of its own.

use std::{io::Write, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use netduel_peers::{Peer, Relay};
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
    /// Say which peers there are
    List,
    /// Relay until standard input closes; players are paired in the order in which they come
    Serve {
        /// Which one; `list` names them
        peer: Peer,
        /// Where players connect
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::List => list(),
        Command::Serve { peer, listen } => serve(peer, listen),
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
    for peer in Peer::ALL {
        writeln!(stdout, "{peer:<15} {}", peer.summary())?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn serve(peer: Peer, listen: SocketAddr) -> anyhow::Result<()> {
    let identity = Identity::generate(&["localhost".into()])?;
    let relay = Relay::bind(peer, listen, &identity)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening {peer} {}", relay.local_addr()?)?;
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
