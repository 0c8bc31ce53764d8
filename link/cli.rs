//! Command line of `netduel-link`: its subcommands and their options.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{
    error::LinkError,
    measure::probe::ProbePlan,
    spec::link_spec::LinkSpec,
    testbed::{Link, Testbed},
    types::Privilege,
    user::User,
};

/// The exit code of a run on a link that did not keep to its spec.
pub const EXIT_INVALID: u8 = 3;

/// Run programs on the two ends of an emulated network path.
#[derive(Debug, Parser)]
#[command(name = "netduel-link", version, after_help = examples())]
pub struct Cli {
    /// The subcommand to run
    #[command(subcommand)]
    pub command: Command,
}

/// The syntax of a link, for the help of every program that takes one.
pub const GRAMMAR: &str = "\
  delay=20ms,jitter=2ms/50ms,loss=1%,rate=10mbit,queue=50kB
  Every value is for each direction. 80 ms there and back are delay=40ms or rtt=80ms. A move from player to
  player crosses the link up and down, so that loss=2% loses 4 % of the moves.
  loss=900ms/30ms/50%       bursts: good for 900 ms, bad for 30 ms (means); half of the slots of 5 ms are lost
  stall=700ms/100ms/20%     the same, and what is not lost waits for the end of the bad period, as on Wi-Fi
  periods=shared            both directions are bad at the same times, as on one radio channel
  queue=codel, queue=50kB/codel       the queue drops packets before it is full (RFC 8289)
  rate=FILE (a mahimahi trace)        trace=FILE (CSV of ms,delay_ms,loss_share)
  reorder=1%/5ms  duplicate=0.1%  mtu=1400  ip=6  up.rate=1mbit  down.delay=30ms (one direction)
  wifi-busy/fibre           two profiles: the first player of each match has the first link";

/// Returns the text behind the help: the grammar and examples.
fn examples() -> String {
    format!(
        "A LINK is the name of a profile (see `netduel-link list`), a .toml file, or a spec:\n{GRAMMAR}\n{EXAMPLES}"
    )
}

const EXAMPLES: &str = "

Examples:
  netduel-link list
  netduel-link probe --profile wifi
  netduel-link run --profile lte --server 'netduel-server --host 198.18.0.1 --plaintext' -- \\
      netduel-bot --server {server}
  netduel-link run --profile delay=50ms,loss=2% --server 'iperf3 -s' -- iperf3 -c {server}
  netduel-link selftest

Exit codes: 0 success; 1 failure; 2 wrong usage; 3 the link did not keep to its spec (run, probe).
Otherwise `run` ends with the exit code of the client's command.";

/// A subcommand of `netduel-link`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the profiles, their settings and the sources of their figures
    List {
        /// Print this profile as TOML, as a template for your own
        #[arg(long, value_name = "NAME")]
        toml: Option<String>,
    },
    /// Measure a link with real packets and compare it with its spec
    Probe {
        /// The link to measure
        #[command(flatten)]
        link: LinkArgs,
        /// Number of packets to send in each direction
        #[arg(long, default_value_t = ProbePlan::default().packets)]
        packets: u32,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a server and a client with the link between them
    #[command(after_help = "The client starts once the server listens on a port. Write {server} in the \
                            client's arguments for the server's address, and {second} for its address on \
                            the second player's link; both programs also find it in \
                            the environment variable NETDUEL_SERVER_IP. The server is stopped when the \
                            client ends. Both programs run without privileges: with sudo, as the user that called it.")]
    Run(RunArgs),
    /// Check that links on this machine keep to their spec: delay, loss, rate and reordering, over
    /// UDP and TCP
    Selftest {
        /// Number of packets of each protocol in each check
        #[arg(long, default_value_t = 40_000)]
        packets: u32,
        /// Run only the checks whose name contains this text
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
        /// The privilege to make links with
        #[command(flatten)]
        privilege: PrivilegeArg,
    },
}

/// The options that describe a link.
#[derive(Args, Debug)]
pub struct LinkArgs {
    /// The LINK: a profile's name, a .toml file, or a spec (see `netduel-link --help`)
    #[arg(long, value_name = "LINK")]
    pub profile: LinkSpec,
    /// Seed of all random decisions; the same seed gives the same bad periods
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Bind the emulator to this processor, counted from 0
    #[arg(long, value_name = "CPU")]
    pub emulator_cpu: Option<usize>,
    /// The privilege to make links with
    #[command(flatten)]
    pub privilege: PrivilegeArg,
}

/// The option that chooses the privilege to make links with.
#[derive(Args, Debug)]
pub struct PrivilegeArg {
    /// Use a user namespace even as root
    #[arg(long)]
    pub user_namespace: bool,
}

impl LinkArgs {
    /// Enters a testbed and makes the link.
    ///
    /// # Errors
    /// Those of [`Testbed::enter`] and [`Testbed::link`].
    pub fn link(&self) -> Result<Link, LinkError> {
        self.link_in(&mut self.privilege.enter()?)
    }

    /// Makes the link in a testbed.
    ///
    /// # Errors
    /// Those of [`Testbed::link`].
    pub fn link_in(&self, testbed: &mut Testbed) -> Result<Link, LinkError> {
        testbed.bind_emulators(self.emulator_cpu);
        testbed.link(&self.profile, self.seed)
    }
}

impl PrivilegeArg {
    /// Enters a testbed with this privilege.
    ///
    /// # Errors
    /// Those of [`Testbed::enter`].
    pub fn enter(&self) -> Result<Testbed, LinkError> {
        Testbed::enter(if self.user_namespace { Privilege::UserNamespace } else { Privilege::Auto })
    }
}

/// The options of `netduel-link run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The link between the two programs
    #[command(flatten)]
    pub link: LinkArgs,
    /// The server's command line; a shell runs it at the server's end
    #[arg(long, value_name = "COMMAND LINE")]
    pub server: String,
    /// User of both programs, as NAME or UID:GID, if this program runs as root; without it, the
    /// user behind sudo. They have no capabilities in any case
    #[arg(long, value_name = "USER")]
    pub user: Option<User>,
    /// Write the link's report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The client's command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// Returns the whole command line, for completions and man pages.
pub fn command() -> clap::Command {
    Cli::command()
}
