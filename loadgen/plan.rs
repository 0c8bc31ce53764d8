//! The plan of a load and of its windows, as JSON lines on standard input of the players' process.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context;
use netduel_client::PlayerConfig;
use netduel_transport::{Options, Trust};
use serde::{Deserialize, Serialize};

use crate::subject::Subject;

/// The task of the players.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Each player sends moves at the given rate.
    #[default]
    Moves,
    /// At the given rate, two players connect, are paired, make the first move each, and leave.
    Connects,
}

/// The proof by which a client knows the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trusted {
    /// The key with this SHA-256 fingerprint.
    Pin(String),
    /// A certificate that the certificates in this file vouch for.
    Ca(PathBuf),
    /// No proof: enough for transports that do not encrypt.
    Unverified,
}

impl Trusted {
    /// Returns the client's trust; `None` where there is no proof.
    ///
    /// # Errors
    /// A malformed fingerprint, or a file without usable certificates.
    pub fn trust(&self) -> anyhow::Result<Option<Trust>> {
        Ok(match self {
            Self::Pin(pin) => Some(Trust::pin(pin.parse()?)),
            Self::Ca(file) => Some(Trust::from_file(file)?),
            Self::Unverified => None,
        })
    }
}

/// A load: the players, their subjects and the rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadPlan {
    /// The players' task.
    pub workload: Workload,
    /// The processor to run on; `None` leaves it to the scheduler.
    pub cpu: Option<usize>,
    /// The server's address for each subject.
    pub addresses: HashMap<Subject, SocketAddr>,
    /// The address of the server for the second player of each match, if it takes another way.
    pub second_ip: Option<IpAddr>,
    /// The proof by which players know the server.
    pub trusted: Trusted,
    /// The subjects of both players of each match.
    pub pairs: Vec<[Subject; 2]>,
    /// Moves per second and player; for connections, meetings per second and pair.
    pub rate_hz: u32,
    /// Moves in flight in each match of a closed loop; 0 in an open loop.
    pub in_flight: u32,
    /// Payload bytes with each move, on top of the position.
    pub payload_bytes: u32,
    /// Pings per second and player, each of which must be answered.
    pub pings_hz: u32,
    /// The seed of the players' paths and of their phases within a period.
    pub seed: u64,
    /// Shift of all sending times, in µs. Loads that run at once do not send all at once.
    pub phase_us: u64,
    /// Settings of the connections.
    pub options: Options,
}

/// A window of measurement. Players move all the time from the warm-up to the end of the drain.
/// Between windows they stay connected and read what arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowPlan {
    /// Time before the window opens, in ms.
    pub warmup_ms: u64,
    /// Length of the window, in ms.
    pub duration_ms: u64,
    /// Time after the window in which its moves may still arrive, in ms.
    pub drain_ms: u64,
    /// Whether a row for each move follows the window.
    pub keep_moves: bool,
}

impl WindowPlan {
    /// Returns the planned time from the beginning of the warm-up to the end of the drain, in ms.
    pub fn total_ms(&self) -> u64 {
        self.warmup_ms + self.duration_ms + self.drain_ms
    }
}

impl LoadPlan {
    /// Returns the time between two moves of a player in µs; 0 in a closed loop.
    pub fn period_us(&self) -> u64 {
        if self.in_flight > 0 { 0 } else { 1_000_000 / u64::from(self.rate_hz.max(1)) }
    }

    /// Returns the address at which the server listens for a subject.
    ///
    /// # Errors
    /// The server does not listen for it.
    pub fn address(&self, subject: Subject) -> anyhow::Result<SocketAddr> {
        let addr = self.addresses.get(&subject).copied();
        addr.with_context(|| format!("the server does not listen for {subject}"))
    }

    /// Returns both players of each pair. The two of a pair share a match code.
    pub(crate) fn configs(&self) -> anyhow::Result<Vec<[PlayerConfig; 2]>> {
        let trust = self.trusted.trust()?;
        // Players of another load on the same server have other codes.
        let run = std::process::id();
        let config =
            |number: usize, subject: Subject, other_way: Option<IpAddr>| -> anyhow::Result<PlayerConfig> {
                let mut addr = self.address(subject)?;
                addr.set_ip(other_way.unwrap_or(addr.ip()));
                let kind = subject.kind().with_context(|| format!("{subject} has players of its own"))?;
                Ok(PlayerConfig {
                    addr,
                    server_name: addr.ip().to_string(),
                    kind,
                    trust: trust.clone(),
                    options: self.options.clone(),
                    name: format!("load {run} {number}"),
                    period_us: self.period_us(),
                })
            };
        let both = |(number, kinds): (usize, &[Subject; 2])| -> anyhow::Result<_> {
            Ok([config(number, kinds[0], None)?, config(number, kinds[1], self.second_ip)?])
        };
        self.pairs.iter().enumerate().map(both).collect()
    }
}
