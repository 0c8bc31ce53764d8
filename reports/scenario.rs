//! What is run: transports × links × rates × pairs × relay policies × repeats, in an order that a seed shuffles.

use std::{fmt, str::FromStr};

use netduel_link::LinkSpec;
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, TransportKind};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
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
    /// How many times more the reference runs in every repeat of each group, as if it were another transport: how far
    /// these lie from it is what the machine makes of no difference at all (A/A). 0 leaves verdicts without a noise floor.
    pub controls: u8,
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
    /// CPU time that the server's process burns beside its work, in µs per second: 0 in every comparison, more only where
    /// the self-test injects what it must find again.
    pub server_burn_us_per_s: u32,
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
    /// Which repeat, from 0. Transports meet the same schedule in the same repeat.
    pub repeat: u32,
    /// 0 for what is compared; from 1 on, an A/A control: the reference again.
    pub arm: u8,
}

impl RunKey {
    /// What is compared with each other.
    pub fn group(&self) -> Group {
        Group { link: self.link.clone(), rate_hz: self.rate_hz, pairs: self.pairs, relay: self.relay }
    }

    /// The same in its first repeat, which stands for all of them.
    pub fn combination(&self) -> Self {
        Self { repeat: 0, ..self.clone() }
    }
}

/// The transport, and whether it is a control: "tcp" or "tcp (A/A 1)".
impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arm {
            0 => write!(f, "{}", self.transport),
            arm => write!(f, "{} (A/A {arm})", self.transport),
        }
    }
}

/// One link, rate, number of pairs and relay policy: what transports are compared under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The name of the network between.
    pub link: String,
    /// Moves per second and player.
    pub rate_hz: u32,
    /// Matches at once.
    pub pairs: u32,
    /// Who is told of a move.
    pub relay: RelayPolicy,
}

/// "wifi, 60 Hz, 10 matches, relay to other".
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, rate_hz, pairs, relay } = self;
        let matches = if *pairs == 1 { "match" } else { "matches" };
        write!(f, "{link}, {rate_hz} Hz, {pairs} {matches}, relay to {relay}")
    }
}

impl Scenario {
    /// Every run in order. Repeats come one after another, and within each the combinations are shuffled, so that what
    /// drifts on the machine meets all of them alike.
    pub fn runs(&self) -> Vec<RunKey> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut runs = Vec::new();
        for repeat in 0..self.repeats {
            let mut block = self.combinations(repeat);
            block.shuffle(&mut random);
            runs.extend(block);
        }
        runs
    }

    /// What the others are compared with: the first that does not encrypt, since what encryption and everything above it
    /// costs is told from there; where all do, the first.
    pub fn reference(&self) -> Option<TransportKind> {
        let plain = self.transports.iter().find(|kind| !kind.capabilities().encrypted);
        plain.or(self.transports.first()).copied()
    }

    /// The groups, in the order of the scenario.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for group in self.combinations(0).iter().map(RunKey::group) {
            if groups.last() != Some(&group) {
                groups.push(group);
            }
        }
        groups
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
        let controls = (1..=self.controls).filter_map(|arm| Some((self.reference()?, arm)));
        let arms: Vec<(TransportKind, u8)> =
            self.transports.iter().map(|&kind| (kind, 0)).chain(controls).collect();
        let mut block = Vec::new();
        for link in &self.links {
            for &rate_hz in &self.rates_hz {
                for &pairs in &self.pairs {
                    for &relay in &self.relays {
                        for &(transport, arm) in &arms {
                            let link = link.name().to_owned();
                            block.push(RunKey { transport, link, rate_hz, pairs, relay, repeat, arm });
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
            controls: 1,
            warmup_ms: 1,
            duration_ms: 1,
            seed,
            congestion: Congestion::Cubic,
            nagle: false,
            server_burn_us_per_s: 0,
        };
        let runs = scenario(1).runs();
        assert_eq!(runs.len(), 6 * 2 * 2 * 3);
        for (number, block) in runs.chunks(24).enumerate() {
            assert!(block.iter().all(|run| run.repeat as usize == number));
            assert_eq!(block.iter().collect::<HashSet<_>>().len(), 24);
        }
        assert_eq!(runs, scenario(1).runs());
        assert_ne!(runs, scenario(2).runs());
        assert_ne!(runs[..5], runs[24..29], "blocks differ in their order");
        assert_eq!(scenario(1).groups().len(), 4);
        // The control is the reference again, once in each group.
        let controls: Vec<_> = runs.iter().filter(|run| run.arm == 1).collect();
        assert_eq!(controls.len(), 4 * 3);
        assert!(controls.iter().all(|run| !run.transport.capabilities().encrypted));
    }
}
