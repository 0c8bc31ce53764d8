//! What is run: transports × links × rates × pairs × relay policies × repeats, in an order that a seed shuffles.

use std::str::FromStr;

use netduel_link::LinkSpec;
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, TransportKind};
use serde::{Deserialize, Serialize};

/// What lies between players and server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// This host's own loopback: no emulation.
    Loopback,
    /// An emulated link.
    Emulated(Box<LinkSpec>),
}

impl Network {
    /// The name in flags and reports.
    pub fn name(&self) -> &str {
        match self {
            Self::Loopback => "loopback",
            Self::Emulated(spec) => &spec.name,
        }
    }
}

impl FromStr for Network {
    type Err = netduel_link::ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::Loopback.name() {
            Ok(Self::Loopback)
        } else {
            text.parse().map(|spec| Self::Emulated(Box::new(spec)))
        }
    }
}

/// Everything a comparison varies and everything it holds fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Transports to compare.
    pub transports: Vec<TransportKind>,
    /// What lies between players and server.
    pub links: Vec<Network>,
    /// Moves per second and player.
    pub rates_hz: Vec<u32>,
    /// Matches at once.
    pub pairs: Vec<u32>,
    /// Who is told of a move.
    pub relays: Vec<RelayPolicy>,
    /// How often each combination runs.
    pub repeats: u32,
    /// Time before each measured window, for handshakes, congestion windows and caches to settle, in ms.
    pub warmup_ms: u64,
    /// Measured window of each run, in ms.
    pub duration_ms: u64,
    /// Decides the order of the runs, the bots' paths, and what emulated links do.
    pub seed: u64,
    /// Congestion control asked for, on TCP and QUIC alike.
    pub congestion: Congestion,
    /// Nagle's algorithm left on (TCP only).
    pub nagle: bool,
}

/// One run: a point of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// The transport of all players.
    pub transport: TransportKind,
    /// The name of the network between.
    pub link: String,
    /// Moves per second and player.
    pub rate_hz: u32,
    /// Matches at once.
    pub pairs: u32,
    /// Who is told of a move.
    pub relay: RelayPolicy,
    /// Which repeat, from 0.
    pub repeat: u32,
}

impl Scenario {
    /// Every run in order. Repeats come one after another, and within each the combinations are shuffled, so that what
    /// drifts on the machine meets all of them alike.
    pub fn runs(&self) -> Vec<RunKey> {
        let mut random = self.seed;
        let mut runs = Vec::new();
        for repeat in 0..self.repeats {
            let mut block = self.combinations(repeat);
            // Fisher–Yates.
            for last in (1..block.len()).rev() {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                block.swap(last, ((random >> 33) as usize) % (last + 1));
            }
            runs.extend(block);
        }
        runs
    }

    /// What decides everything random in a repeat, for every transport alike.
    pub fn seed_of(&self, repeat: u32) -> u64 {
        self.seed.wrapping_add(u64::from(repeat))
    }

    /// How long a run takes at least, in ms.
    pub fn run_ms(&self) -> u64 {
        self.warmup_ms + self.duration_ms
    }

    fn combinations(&self, repeat: u32) -> Vec<RunKey> {
        let mut block = Vec::new();
        for link in &self.links {
            for &rate_hz in &self.rates_hz {
                for &pairs in &self.pairs {
                    for &relay in &self.relays {
                        for &transport in &self.transports {
                            block.push(RunKey {
                                transport,
                                link: link.name().to_owned(),
                                rate_hz,
                                pairs,
                                relay,
                                repeat,
                            });
                        }
                    }
                }
            }
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_combination_runs_in_every_repeat_and_the_seed_decides_the_order() {
        let scenario = |seed| Scenario {
            transports: TransportKind::ALL.to_vec(),
            links: ["loopback", "lte"].map(|name| name.parse().expect("a network")).to_vec(),
            rates_hz: vec![20, 60],
            pairs: vec![1],
            relays: vec![RelayPolicy::Other],
            repeats: 3,
            warmup_ms: 1,
            duration_ms: 1,
            seed,
            congestion: Congestion::Cubic,
            nagle: false,
        };
        let runs = scenario(1).runs();
        assert_eq!(runs.len(), 5 * 2 * 2 * 3);
        for (number, block) in runs.chunks(20).enumerate() {
            assert!(block.iter().all(|run| run.repeat as usize == number));
            assert_eq!(block.iter().collect::<HashSet<_>>().len(), 20);
        }
        assert_eq!(runs, scenario(1).runs());
        assert_ne!(runs, scenario(2).runs());
        assert_ne!(runs[..5], runs[20..25], "blocks differ in their order");
    }
}
