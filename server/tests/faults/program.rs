//! The server as a program of its own: a process can be stopped, and its memory measured.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use netduel_client::{Event, Player, PlayerConfig};
use netduel_transport::{Options, TransportKind, Trust};

use super::world::event;

pub(crate) struct Program {
    child: Child,
    pub(crate) kind: TransportKind,
    pub(crate) addr: SocketAddr,
    pub(crate) trust: Option<Trust>,
}

impl Program {
    /// Starts a server of one kind, with further arguments.
    pub(crate) fn start(kind: TransportKind, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netduel-server"));
        command.args(["--listen", &format!("{kind}=127.0.0.1:0")]).args(arguments).env_remove("RUST_LOG");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        let (mut addr, mut trust) = (None, None);
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("read");
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["listening", _, text] => addr = Some(text.parse().expect("an address")),
                ["pin", pin] => {
                    trust = Some(Trust::pin(pin.parse().expect("a fingerprint")));
                }
                ["ready:", ..] => break,
                _ => panic!("{line}"),
            }
        }
        Self { child, kind, addr: addr.expect("it listens"), trust }
    }

    /// Returns the options of the clients.
    pub(crate) fn options() -> Options {
        Options { protocol: netduel_protocol::NAME.into(), ..Options::default() }
    }

    pub(crate) async fn connect(&self) -> Player {
        let config = PlayerConfig {
            addr: self.addr,
            server_name: "localhost".into(),
            kind: self.kind,
            trust: self.trust.clone(),
            options: Self::options(),
            name: "player".into(),
            period_us: 16_667,
        };
        Player::connect(&config).await.expect("connected")
    }

    /// Starts a match of two players.
    pub(crate) async fn matched(&self, code: Option<&str>) -> [Player; 2] {
        let mut players = [self.connect().await, self.connect().await];
        for player in &mut players {
            player.join(code).expect("open");
        }
        for player in &mut players {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        players
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Returns the memory that the process holds, in bytes; `None` where the system does not tell.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
