//! The plan of a load: JSON on standard input of the players' process.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use netduel_client::PlayerConfig;
use netduel_transport::{Options, Trust};
use serde::{Deserialize, Serialize};

use crate::subject::Subject;

/// What the players do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// They play: each sends moves at the rate.
    #[default]
    Moves,
    /// They come and go: at the rate, two connect, are paired, make the first move each, and leave.
    Connects,
}

/// Which server is believed to be the right one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trusted {
    /// The one with this fingerprint.
    Pin(String),
    /// One with a certificate that these certificates, of a file, speak for.
    Ca(PathBuf),
    /// None is known: enough for transports that do not encrypt.
    Nobody,
}

impl Trusted {
    /// What a client needs for that; `None` where nobody is known.
    ///
    /// # Errors
    /// A pin or a file that is none.
    pub fn trust(&self) -> anyhow::Result<Option<Trust>> {
        Ok(match self {
            Self::Pin(pin) => Some(Trust::pin(pin.parse()?)),
            Self::Ca(file) => Some(Trust::from_file(file)?),
            Self::Nobody => None,
        })
    }
}

/// What the players are to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadPlan {
    /// Play, or come and go.
    pub workload: Workload,
    /// The processor to run on; any without it.
    pub cpu: Option<usize>,
    /// Where the server listens.
    pub addresses: HashMap<Subject, SocketAddr>,
    /// Which server is the right one.
    pub trusted: Trusted,
    /// What carries the moves of both players of each match.
    pub pairs: Vec<[Subject; 2]>,
    /// Moves per second and player; or how often a second each pair comes and goes.
    pub rate_hz: u32,
    /// In a closed loop, moves under way in each match; 0 in an open one, at that rate.
    pub in_flight: u32,
    /// Bytes carried with each move on top of the position.
    pub payload_bytes: u32,
    /// Time before the window, in ms.
    pub warmup_ms: u64,
    /// The window, in ms.
    pub duration_ms: u64,
    /// Pings per second and player; each must be answered.
    pub pings_hz: u32,
    /// Which paths the players walk, and when in its period each sends.
    pub seed: u64,
    /// Settings of the connections.
    pub options: Options,
}

impl LoadPlan {
    /// Where the server listens for what a subject carries.
    ///
    /// # Errors
    /// It does not.
    pub fn address(&self, subject: Subject) -> anyhow::Result<SocketAddr> {
        let addr = self.addresses.get(&subject).copied();
        addr.with_context(|| format!("the server does not listen for {subject}"))
    }

    /// Both players of each pair; those of one pair have a name in common.
    pub(crate) fn configs(&self) -> anyhow::Result<Vec<[PlayerConfig; 2]>> {
        let trust = self.trusted.trust()?;
        // Other players on the same server have other names.
        let run = std::process::id();
        let config = |number: usize, subject: Subject| -> anyhow::Result<PlayerConfig> {
            let addr = self.address(subject)?;
            let kind = subject.kind().with_context(|| format!("{subject} has players of its own"))?;
            Ok(PlayerConfig {
                addr,
                server_name: addr.ip().to_string(),
                kind,
                trust: trust.clone(),
                options: self.options.clone(),
                name: format!("load {run} {number}"),
                period_us: 1_000_000 / u64::from(self.rate_hz.max(1)),
            })
        };
        let both = |(number, kinds): (usize, &[Subject; 2])| -> anyhow::Result<_> {
            Ok([config(number, kinds[0])?, config(number, kinds[1])?])
        };
        self.pairs.iter().enumerate().map(both).collect()
    }
}
