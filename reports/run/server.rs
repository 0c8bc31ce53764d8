//! The server of a run, in a separate process.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use netduel_link::Side;
use netduel_loadgen::{Baseline, Process, Subject, Trusted, Usage, this_program};
use netduel_server::Snapshot;
use netduel_transport::TransportKind;

use crate::{
    plan::contender::Contender,
    run::{baselines, kernel_memory::Sockets, place::Place},
};

/// The time within which a server must listen.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The admission limits of a server under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerLimits {
    /// Limits above every load: all players share one address, and some runs have many connections
    /// at once.
    Raised,
    /// The default limits of the server, for runs that test them.
    Default,
}

impl ServerLimits {
    /// Returns the flags of the limits.
    const fn args(self) -> &'static [&'static str] {
        match self {
            Self::Raised => &[
                "--max-connections=10000",
                "--max-connections-per-address=10000",
                "--max-connection-rate=1000000",
                "--max-handshakes=10000",
                "--max-matches=10000",
                "--max-messages=1000000",
                "--max-bytes=1000000000",
                "--capacity=1000000000",
                "--early-leave=0",
                "--max-code-guesses=1000000",
            ],
            Self::Default => &[],
        }
    }
}

/// The settings of a server to start.
#[derive(Clone, Debug)]
pub(crate) struct ServerSpec {
    /// The transports that the server listens for.
    pub(crate) kinds: Vec<TransportKind>,
    /// The contender whose settings the server has.
    pub(crate) contender: Contender,
    /// The admission limits.
    pub(crate) limits: ServerLimits,
    /// The time in which a disconnected player may resume, in s; `None` keeps the default of the
    /// server.
    pub(crate) resume_grace_s: Option<u32>,
    /// The CPU time to burn beside the work of the server, in µs per second.
    pub(crate) burn_us_per_s: u32,
    /// The processor that the server is bound to.
    pub(crate) cpu: Option<usize>,
    /// The lowest level of the log. Log lines break the progress bar, so only warnings or errors
    /// are logged.
    pub(crate) log: &'static str,
}

impl ServerSpec {
    /// Returns the settings of a run with these transports: raised limits and a log of warnings.
    pub(crate) fn new(kinds: &[TransportKind], contender: Contender) -> Self {
        Self {
            kinds: kinds.to_vec(),
            contender,
            limits: ServerLimits::Raised,
            resume_grace_s: None,
            burn_us_per_s: 0,
            cpu: None,
            log: "warn",
        }
    }

    /// Returns the flags of `netduel-reports serve` for these settings, with listeners on `ip`.
    fn args(&self, ip: IpAddr) -> Vec<String> {
        let Self { kinds, contender, limits, resume_grace_s, burn_us_per_s, cpu, log: _ } = self;
        // The addresses of an emulated link are not loopback ones, and nobody else reaches them.
        let mut args: Vec<String> =
            ["--supervised", "--plaintext", "--counters", "--drain=5"].map(str::to_owned).to_vec();
        args.extend(limits.args().iter().map(|arg| (*arg).to_owned()));
        args.extend(resume_grace_s.map(|seconds| format!("--resume-grace={seconds}")));
        args.push(format!("--relay={}", contender.relay));
        args.extend(contender.newest_of_burst.then(|| "--newest-of-burst".to_owned()));
        args.push(format!("--congestion={}", contender.congestion.name()));
        args.extend(contender.nagle.then(|| "--nagle".to_owned()));
        args.extend(contender.resumption.then(|| "--resumption".to_owned()));
        args.extend(contender.tuned.then(|| "--tuned".to_owned()));
        args.extend(contender.ack_packets.map(|packets| format!("--ack-packets={packets}")));
        args.extend(contender.enet_ping_ms.map(|ms| format!("--enet-ping={ms}")));
        args.extend(contender.long_chain.then(|| "--long-chain".to_owned()));
        args.extend(cpu.map(|cpu| format!("--cpu={cpu}")));
        args.push(format!("--burn-us-per-s={burn_us_per_s}"));
        args.extend(kinds.iter().map(|kind| format!("--listen={kind}={}", SocketAddr::new(ip, 0))));
        args
    }
}

/// A server in a separate process.
pub(crate) struct Server {
    process: Process,
    addresses: HashMap<Subject, SocketAddr>,
    pin: String,
    /// Whether the server prints its counters at the end; baselines do not.
    counts: bool,
    /// The reader of the kernel memory of the server, where it is available.
    sockets: Option<Sockets>,
}

impl Server {
    /// Starts a server, and waits until it listens.
    pub(crate) fn start(place: &Place, spec: &ServerSpec) -> anyhow::Result<Self> {
        let mut command = this_program("serve")?;
        command.args(spec.args(place.server_ip()));
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", spec.log);
        }
        let process = Process::start("server", command, |command| place.spawn(Side::Server, command))?;
        Self::when_ready(place, process, true)
    }

    /// Stops reading the kernel memory of the server. Under a flood, one reading of all sockets
    /// takes the kernel some ms, which would delay the players of the run.
    pub(crate) fn without_kernel_memory(mut self) -> Self {
        self.sockets = None;
        self
    }

    /// Starts the relay of a baseline, and waits until it listens.
    pub(crate) fn start_baseline(
        place: &Place,
        baseline: Baseline,
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        let mut command = baselines::program("serve")?;
        command.args([baseline.name(), "--listen", &SocketAddr::new(place.server_ip(), 0).to_string()]);
        if let Some(cpu) = cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        let process = Process::start("server", command, |command| match baselines::is_foreign(baseline) {
            true => place.spawn_unprivileged(Side::Server, command),
            false => place.spawn(Side::Server, command),
        })?;
        Self::when_ready(place, process, false)
    }

    /// Reads the addresses of a server's process until it is ready.
    fn when_ready(place: &Place, process: Process, counts: bool) -> anyhow::Result<Self> {
        let sockets = place.sockets();
        let mut server = Self { process, addresses: HashMap::new(), pin: String::new(), counts, sockets };
        loop {
            let line = server.process.line(READY_TIMEOUT)?.context("the server ended before it was ready")?;
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", name, addr] => {
                    let subject = name.parse().map_err(anyhow::Error::msg)?;
                    server.addresses.insert(subject, place.reachable(addr.parse()?));
                }
                ["pin", pin] => server.pin = pin.to_owned(),
                ["ready:", ..] => return Ok(server),
                _ => bail!("the server printed '{line}' before it was ready"),
            }
        }
    }

    /// Returns the address of every transport that the server listens for.
    pub(crate) fn addresses(&self) -> &HashMap<Subject, SocketAddr> {
        &self.addresses
    }

    /// Returns the trust in the certificate of the server, if it has one.
    pub(crate) fn trusted(&self) -> Trusted {
        if self.pin.is_empty() { Trusted::Unverified } else { Trusted::Pin(self.pin.clone()) }
    }

    /// Returns the number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the fingerprint of the server's key.
    pub(crate) fn pin(&self) -> &str {
        &self.pin
    }

    /// Returns the resources that the kernel has accounted to the server, and the memory of its
    /// sockets now.
    pub(crate) fn usage(&self) -> Usage {
        let kernel_bytes = self.sockets.as_ref().and_then(|it| it.kernel_bytes(self.process.id()));
        Usage { kernel_bytes, ..self.process.usage() }
    }

    /// Returns the number of open descriptors; see [`Process::descriptors`].
    pub(crate) fn descriptors(&self) -> Option<usize> {
        self.process.descriptors()
    }

    /// Ends the server and returns its counters; the default for a baseline, which has none.
    pub(crate) fn stop(mut self) -> anyhow::Result<Snapshot> {
        self.process.close_stdin();
        if !self.counts {
            self.process.end()?;
            return Ok(Snapshot::default());
        }
        let line = self.process.line(READY_TIMEOUT)?.context("the server ended without its counters")?;
        self.process.end()?;
        serde_json::from_str(&line)
            .with_context(|| format!("the server printed '{line}' instead of its counters"))
    }

    /// Kills the server, and returns its CPU time as measured and as accounted by the kernel, in
    /// µs.
    pub(crate) fn kill_accounted(self) -> anyhow::Result<(u64, u64)> {
        self.process.kill_accounted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_follow_the_settings() {
        let plain = ServerSpec::new(&[TransportKind::Tcp], Contender::plain(TransportKind::Tcp));
        let nagle = ServerSpec {
            contender: Contender { nagle: true, ..plain.contender },
            limits: ServerLimits::Default,
            cpu: Some(3),
            ..plain.clone()
        };
        let [plain, nagle] = [plain, nagle].map(|it| it.args(IpAddr::from([127, 0, 0, 1])).join(" "));
        assert!(
            plain.contains("--max-matches=10000") && plain.ends_with("--listen=tcp=127.0.0.1:0"),
            "{plain}"
        );
        assert!(!nagle.contains("--max") && nagle.contains("--nagle --cpu=3"), "{nagle}");
    }
}
