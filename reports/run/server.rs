//! The server of a run, in a process apart.

use std::{collections::HashMap, net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, bail};
use netduel_link::Side;
use netduel_loadgen::{Baseline, Process, Subject, Trusted, Usage, this_program};
use netduel_server::Snapshot;
use netduel_transport::TransportKind;

use crate::{
    plan::scenario::Contender,
    run::{baselines, kernel_memory::Sockets, place::Place},
};

/// Until a server that was started listens.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// A server in a process of its own.
pub(crate) struct Server {
    process: Process,
    addresses: HashMap<Subject, SocketAddr>,
    pin: String,
    /// Whether it says at the end what it counted, as ours does.
    counts: bool,
    /// Where the kernel is asked for what it holds for the server, if it says.
    sockets: Option<Sockets>,
}

impl Server {
    /// Starts one that listens for `kinds`, with the settings of a run, and waits until it does.
    pub(crate) fn start(
        place: &Place,
        kinds: &[TransportKind],
        contender: &Contender,
        burn_us_per_s: u32,
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        Self::start_with(place, kinds, contender, burn_us_per_s, cpu, &[])
    }

    /// The same, with these flags on top.
    pub(crate) fn start_with(
        place: &Place,
        kinds: &[TransportKind],
        contender: &Contender,
        burn_us_per_s: u32,
        cpu: Option<usize>,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = this_program("serve")?;
        command.args([
            "--supervised",
            "--counters",
            "--drain",
            "5",
            "--max-connections",
            "10000",
            // All players share one address, and some runs are about many connections at once.
            "--max-connections-per-address",
            "10000",
            "--max-connection-rate",
            "1000000",
            "--max-handshakes",
            "10000",
            "--max-matches",
            "10000",
            "--max-messages",
            "1000000",
        ]);
        command.args(flags);
        command.args(["--relay", &contender.relay.to_string()]);
        command.args(["--congestion", contender.congestion.name()]);
        if contender.nagle {
            command.arg("--nagle");
        }
        if contender.resumption {
            command.arg("--resumption");
        }
        if let Some(cpu) = cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        if burn_us_per_s > 0 {
            command.args(["--burn-us-per-s", &burn_us_per_s.to_string()]);
        }
        for kind in kinds {
            command.args(["--listen", &format!("{kind}={}", SocketAddr::new(place.server_ip(), 0))]);
        }
        // Its log would tear the progress bar; warnings are worth that.
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        Self::when_ready(place, command, true)
    }

    /// Starts one with the limits that a server has of its own, and waits until it listens.
    pub(crate) fn start_guarded(
        place: &Place,
        kinds: &[TransportKind],
        cpu: Option<usize>,
    ) -> anyhow::Result<Self> {
        let mut command = this_program("serve")?;
        command.args(["--supervised", "--counters", "--drain", "5"]).env("RUST_LOG", "error");
        if let Some(cpu) = cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        for kind in kinds {
            command.args(["--listen", &format!("{kind}={}", SocketAddr::new(place.server_ip(), 0))]);
        }
        // A look at all of its sockets takes the kernel some ms where it is flooded, and who is watched would wait for it.
        Ok(Self { sockets: None, ..Self::when_ready(place, command, true)? })
    }

    /// Starts a baseline's relay, and waits until it listens.
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
        Self::when_ready(place, command, false)
    }

    fn when_ready(place: &Place, command: Command, counts: bool) -> anyhow::Result<Self> {
        let process = Process::start("server", command, |command| place.spawn(Side::Server, command))?;
        let sockets = place.sockets();
        let mut server = Self { process, addresses: HashMap::new(), pin: String::new(), counts, sockets };
        loop {
            let line = server.process.line(READY_TIMEOUT)?.context("the server ended before it was ready")?;
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", name, addr] => {
                    let subject = name.parse().map_err(anyhow::Error::msg)?;
                    server.addresses.insert(subject, addr.parse()?);
                }
                ["certificate", "sha256", pin] => server.pin = pin.to_owned(),
                ["ready:", ..] => return Ok(server),
                _ => bail!("the server said '{line}' before it was ready"),
            }
        }
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &HashMap<Subject, SocketAddr> {
        &self.addresses
    }

    /// By its certificate, if it has one.
    pub(crate) fn trusted(&self) -> Trusted {
        if self.pin.is_empty() { Trusted::Nobody } else { Trusted::Pin(self.pin.clone()) }
    }

    /// Fingerprint of its certificate.
    pub(crate) fn pin(&self) -> &str {
        &self.pin
    }

    /// What the kernel has accounted to it so far, and holds for its sockets now.
    pub(crate) fn usage(&self) -> Usage {
        let kernel_bytes = self.sockets.as_ref().and_then(|it| it.kernel_bytes(self.process.id()));
        Usage { kernel_bytes, ..self.process.usage() }
    }

    /// See [`Process::descriptors`].
    pub(crate) fn descriptors(&self) -> Option<usize> {
        self.process.descriptors()
    }

    /// Ends it and returns what it counted; nothing of a baseline, which does not count.
    pub(crate) fn stop(mut self) -> anyhow::Result<Snapshot> {
        self.process.close_stdin();
        if !self.counts {
            self.process.end()?;
            return Ok(Snapshot::default());
        }
        let line = self.process.line(READY_TIMEOUT)?.context("the server ended without its counters")?;
        self.process.end()?;
        serde_json::from_str(&line)
            .with_context(|| format!("the server said '{line}' where its counters should be"))
    }

    /// Kills it and returns its CPU time as we read it and as the kernel accounts for it, in µs.
    pub(crate) fn kill_accounted(self) -> anyhow::Result<(u64, u64)> {
        self.process.kill_accounted()
    }
}
