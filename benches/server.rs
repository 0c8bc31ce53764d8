//! A relay in a process of its own: the program of the bench again, which serves instead of
//! measuring.

use std::{io::Write, net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, bail};
use netduel_baselines::Relay;
use netduel_loadgen::{Process, this_program};
use netduel_server::Config;
use netduel_transport::{Identity, Options, Trust};
use tokio_util::sync::CancellationToken;

use crate::{
    allocations::{self, Heap},
    contender::Contender,
};

/// The argument that makes a bench serve.
const SERVE: &str = "netduel-bench-serve";
/// The command that asks a server for its allocations.
const HEAP: &str = "heap";
/// The command that makes a server attribute its allocations.
const BLAME: &str = "blame";
/// The longest wait for an answer. A server answers at once even on a busy machine; under valgrind
/// it needs some seconds to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// More connections than any bench makes.
const CONNECTIONS_MAX: usize = 20_000;

/// A server that a bench started. Dropping it ends it.
pub struct Server {
    process: Process,
    /// The relay that it runs.
    pub contender: Contender,
    /// The address at which players connect.
    pub addr: SocketAddr,
    /// The trust that players need.
    pub trust: Trust,
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// The reason why it does not start.
    pub fn start(contender: Contender) -> anyhow::Result<Self> {
        Self::start_with(contender, &[])
    }

    /// Starts a server that counts its allocations, see [`Self::heap`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_counting(contender: Contender) -> anyhow::Result<Self> {
        Self::start_with(contender, &[HEAP])
    }

    /// Starts a server under `tool`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_under(mut tool: Command, contender: Contender) -> anyhow::Result<Self> {
        let server = this_program(SERVE)?;
        tool.arg(server.get_program()).args(server.get_args());
        Self::spawn(tool, contender, &[])
    }

    fn start_with(contender: Contender, flags: &[&str]) -> anyhow::Result<Self> {
        Self::spawn(this_program(SERVE)?, contender, flags)
    }

    fn spawn(mut command: Command, contender: Contender, flags: &[&str]) -> anyhow::Result<Self> {
        command.arg(contender.to_string()).args(flags);
        let process = Process::start("server", command, |mut command| Ok(command.spawn()?))?;
        let line = || process.line(ANSWER_TIMEOUT)?.context("the server ended");
        let (addr, fingerprint) = (line()?, line()?);
        Ok(Self { contender, addr: addr.parse()?, trust: Trust::pin(fingerprint.parse()?), process })
    }

    /// Returns the CPU time used so far, in µs.
    ///
    /// # Errors
    /// The system does not tell: it is not Linux.
    pub fn cpu_us(&self) -> anyhow::Result<u64> {
        self.process.usage().cpu_us.context("only Linux reports the CPU time of a process: measure on Linux")
    }

    /// Returns the resident memory, in bytes.
    ///
    /// # Errors
    /// The system does not tell: it is not Linux.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.process.usage().resident_bytes.context("a process's memory is known on Linux only")
    }

    /// Returns the process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the allocations so far: none, if the server was not started for counting.
    ///
    /// # Errors
    /// The server has ended.
    pub fn heap(&mut self) -> anyhow::Result<Heap> {
        self.ask(HEAP)
    }

    /// Lets the server attribute its allocations ([`Heap::ours`]), which is slow.
    ///
    /// # Errors
    /// The server has ended.
    pub fn blame(&mut self) -> anyhow::Result<()> {
        self.ask(BLAME).map(drop)
    }

    fn ask(&mut self, what: &str) -> anyhow::Result<Heap> {
        self.process.tell(what)?;
        self.process.line(ANSWER_TIMEOUT)?.context("the server ended")?.parse()
    }
}

/// Serves until told to end, if this process was started to be a server, and returns whether it
/// was. Called first in the `main` of a bench.
///
/// # Panics
/// Panics if it cannot serve.
pub fn served() -> bool {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(SERVE) {
        return false;
    }
    let contender = args.next().and_then(|name| name.parse().ok()).expect("a contender");
    if args.next().as_deref() == Some(HEAP) {
        Heap::count();
    }
    std::thread::spawn(answer);
    netduel_transport::reserve_descriptors(CONNECTIONS_MAX);
    crate::runtime().block_on(serve(contender)).expect("it serves");
    true
}

/// Answers the process that started this one, and ends with it. Allocates nothing for an answer.
fn answer() {
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|count| count > 0) {
        if line.trim_end() == BLAME {
            allocations::blame();
        }
        println!("{}", Heap::now());
        line.clear();
    }
    std::process::exit(0);
}

async fn serve(contender: Contender) -> anyhow::Result<()> {
    let identity = Identity::generate(&["localhost".into()])?;
    let any = ([127, 0, 0, 1], 0).into();
    match contender {
        Contender::Ours(kind) => {
            let listener = kind.bind(any, &identity, &options())?;
            tell(listener.local_addr(), &identity)?;
            netduel_server::run(vec![listener], roomy(), CancellationToken::new()).await;
            bail!("the server ended")
        }
        Contender::Bare(baseline) => {
            let relay = Relay::bind(baseline, any, &identity)?;
            tell(relay.local_addr()?, &identity)?;
            Ok(relay.run().await?)
        }
    }
}

fn tell(addr: SocketAddr, identity: &Identity) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{addr}\n{}", identity.fingerprint())?;
    Ok(stdout.flush()?)
}

/// The default options with more patience: players are not polled, and stay silent, while others
/// connect.
pub(crate) fn options() -> Options {
    Options {
        protocol: netduel_protocol::NAME.into(),
        idle_timeout: Duration::from_secs(60),
        ..Options::default()
    }
}

/// Limits that no bench meets: all players come from one address, as fast as they can. The checks
/// stay.
pub(crate) fn roomy() -> Config {
    Config {
        connections_max: CONNECTIONS_MAX,
        connections_per_address_max: CONNECTIONS_MAX,
        connections_per_address_per_s: u32::MAX,
        early_leave: Duration::ZERO,
        handshakes_max: CONNECTIONS_MAX,
        matches_max: CONNECTIONS_MAX,
        messages_per_s_max: u32::MAX,
        capacity_messages_per_s: u32::MAX,
        bytes_per_s_max: u32::MAX,
        ..Config::default()
    }
}
