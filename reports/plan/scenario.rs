//! What is run: contenders × groups × repeats, in an order that a seed shuffles.
//!
//! A [`Contender`] is what is compared: a transport with its settings. A [`Group`] is what contenders are compared under:
//! a link, a rate, a payload, a number of matches.

use std::{fmt, str::FromStr};

use netduel_link::LinkSpec;
use netduel_loadgen::{Baseline, Subject, Trusted, Workload};
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, Options, TransportKind};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::plan::search::Search;

/// What lies between players and server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// This host's own loopback: no emulation.
    Loopback,
    /// An emulated link.
    Emulated(Box<LinkSpec>),
    /// An emulated link that a bulk transfer to the players' side fills beside the game.
    Shared(Box<LinkSpec>),
    /// The network to a server that somebody else started.
    Remote(Remote),
}

/// A server elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// HOST or HOST:PORT; without a port, each transport's own.
    pub server: String,
    /// Fingerprint of its certificate, if it is trusted by that.
    pub pin: Option<String>,
    /// File with certificates to trust, if it is trusted by these.
    pub ca: Option<std::path::PathBuf>,
}

/// What a link's name ends with where a bulk transfer runs beside the game.
const SHARED_SUFFIX: &str = "+bulk";

impl Remote {
    /// Returns the trust that its flags ask for.
    pub(crate) fn trusted(&self) -> Trusted {
        match (&self.pin, &self.ca) {
            (Some(pin), _) => Trusted::Pin(pin.clone()),
            (None, Some(ca)) => Trusted::Ca(ca.clone()),
            (None, None) => Trusted::Nobody,
        }
    }
}

impl Network {
    /// The name in flags and reports.
    pub fn name(&self) -> String {
        match self {
            Self::Loopback => "loopback".into(),
            Self::Emulated(spec) => spec.name.clone(),
            Self::Shared(spec) => format!("{}{SHARED_SUFFIX}", spec.name),
            Self::Remote(remote) => remote.server.clone(),
        }
    }

    /// The emulated link, where it is one.
    pub fn spec(&self) -> Option<&LinkSpec> {
        match self {
            Self::Emulated(spec) | Self::Shared(spec) => Some(spec),
            Self::Loopback | Self::Remote(_) => None,
        }
    }
}

impl FromStr for Network {
    type Err = netduel_link::ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix(SHARED_SUFFIX) {
            Some(link) => link.parse().map(|spec| Self::Shared(Box::new(spec))),
            None if text == "loopback" => Ok(Self::Loopback),
            None => text.parse().map(|spec| Self::Emulated(Box::new(spec))),
        }
    }
}

/// A transport with its settings; or a baseline, which has none to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contender {
    /// Of all players.
    pub transport: Subject,
    /// Who is told of a move.
    pub relay: RelayPolicy,
    /// Congestion control asked for.
    pub congestion: Congestion,
    /// Nagle's algorithm left on (TCP only).
    pub nagle: bool,
    /// TLS sessions taken up again, where there is TLS.
    pub resumption: bool,
}

impl Contender {
    /// With the settings that everything else is compared with.
    pub fn plain(transport: impl Into<Subject>) -> Self {
        let transport = transport.into();
        let (relay, congestion) = (RelayPolicy::default(), Congestion::default());
        Self { transport, relay, congestion, nagle: false, resumption: false }
    }

    /// What these settings mean to a connection.
    pub fn options(&self) -> Options {
        let Self { congestion, nagle, resumption, .. } = *self;
        Options {
            protocol: netduel_protocol::NAME.into(),
            congestion,
            nodelay: !nagle,
            resumption,
            ..Options::default()
        }
    }

    /// The settings that are not the plain ones.
    fn settings(&self) -> Vec<String> {
        let plain = Self::plain(self.transport);
        let settings = [
            (self.relay != plain.relay).then(|| self.relay.to_string()),
            (self.congestion != plain.congestion).then(|| self.congestion.to_string()),
            (self.nagle != plain.nagle).then(|| "nagle".into()),
            (self.resumption != plain.resumption).then(|| "resumed".into()),
        ];
        settings.into_iter().flatten().collect()
    }

    /// Whether it has settings of its own.
    pub fn is_plain(&self) -> bool {
        *self == Self::plain(self.transport)
    }
}

/// The transport, and what is not plain: "tcp", "tcp +nagle", "quic-stream +bbr".
impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.transport)?;
        self.settings().iter().try_for_each(|setting| write!(f, " +{setting}"))
    }
}

/// What contenders are compared under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// The name of the network between.
    pub link: String,
    /// Moves per second and player; or pairs that connect per second. 0 in a closed loop.
    pub rate_hz: u32,
    /// In a closed loop, how many moves are under way between the two players: each answers what arrives. 0 where moves are
    /// sent on a beat.
    pub in_flight: u32,
    /// Bytes carried with each move on top of the position.
    pub payload_bytes: u32,
    /// Matches at once.
    pub pairs: u32,
}

/// "wifi, 60 Hz, 10 matches" or "loopback, 8 in flight, 1 match", and the payload where there is one.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, rate_hz, in_flight, payload_bytes, pairs } = self;
        let pace = if *in_flight > 0 { format!("{in_flight} in flight") } else { format!("{rate_hz} Hz") };
        let matches = if *pairs == 1 { "match" } else { "matches" };
        write!(f, "{link}, {pace}, {pairs} {matches}")?;
        if *payload_bytes > 0 { write!(f, ", {payload_bytes} B payload") } else { Ok(()) }
    }
}

/// One run: a point of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// What runs.
    pub contender: Contender,
    /// Under what.
    pub group: Group,
    /// Which repeat, from 0. Contenders meet the same schedule in the same repeat.
    pub repeat: u32,
    /// 0 for what is compared; from 1 on, an A/A control: the reference again.
    pub arm: u8,
}

impl RunKey {
    /// The same in its first repeat, which stands for all of them.
    pub fn combination(&self) -> Self {
        Self { repeat: 0, ..self.clone() }
    }
}

/// The contender, and whether it is a control: "tcp" or "tcp (A/A 1)".
impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arm {
            0 => write!(f, "{}", self.contender),
            arm => write!(f, "{} (A/A {arm})", self.contender),
        }
    }
}

/// Everything a comparison varies and everything it holds fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// The preset it began from.
    pub preset: String,
    /// What the players do.
    pub workload: Workload,
    /// Transports to compare.
    pub transports: Vec<TransportKind>,
    /// Other relays to measure them against. With any, no verdict is given, but ratios to the bare relays.
    pub baselines: Vec<Baseline>,
    /// Who is told of a move.
    pub relays: Vec<RelayPolicy>,
    /// Congestion control asked for, on TCP and QUIC alike.
    pub congestions: Vec<Congestion>,
    /// Nagle's algorithm left on (TCP only).
    pub nagle: Vec<bool>,
    /// TLS sessions taken up again, where there is TLS.
    pub resumption: Vec<bool>,
    /// What lies between players and server.
    pub links: Vec<Network>,
    /// Moves per second and player; or pairs that connect per second.
    pub rates_hz: Vec<u32>,
    /// Closed loops besides, of one match each, with so many moves under way.
    pub in_flight: Vec<u32>,
    /// Bytes carried with each move on top of the position.
    pub payloads_bytes: Vec<u32>,
    /// Matches at once.
    pub pairs: Vec<u32>,
    /// What is found by trying, in place of the list of the same name.
    pub search: Option<Search>,
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
    /// CPU time that the server's process burns beside its work, in µs per second: 0 in every comparison, more only where
    /// the self-test injects what it must find again.
    pub server_burn_us_per_s: u32,
}

impl Default for Scenario {
    /// Every transport over loopback at 60 Hz, once.
    fn default() -> Self {
        Self {
            preset: "custom".into(),
            workload: Workload::Moves,
            transports: TransportKind::ALL.to_vec(),
            baselines: Vec::new(),
            relays: vec![RelayPolicy::Other],
            congestions: vec![Congestion::Cubic],
            nagle: vec![false],
            resumption: vec![false],
            links: vec![Network::Loopback],
            rates_hz: vec![60],
            in_flight: Vec::new(),
            payloads_bytes: vec![0],
            pairs: vec![10],
            search: None,
            repeats: 1,
            controls: 0,
            warmup_ms: 250,
            duration_ms: 1_000,
            seed: 1,
            server_burn_us_per_s: 0,
        }
    }
}

impl Scenario {
    /// Every run of a scenario without a search, in order. Repeats come one after another, and within each the combinations
    /// are shuffled, so that what drifts on the machine meets all of them alike.
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

    /// What is compared: every transport with every setting, and the baselines.
    pub fn contenders(&self) -> Vec<Contender> {
        let mut contenders = Vec::new();
        for &transport in &self.transports {
            for &relay in &self.relays {
                for &congestion in &self.congestions {
                    for &nagle in &self.nagle {
                        for &resumption in &self.resumption {
                            let transport = transport.into();
                            contenders.push(Contender { transport, relay, congestion, nagle, resumption });
                        }
                    }
                }
            }
        }
        // Without TLS there is no session: what is left of it ran already.
        let possible =
            |it: &Contender| !it.resumption || it.transport.encrypted() || !self.resumption.contains(&false);
        contenders.retain(possible);
        contenders.extend(self.baselines.iter().map(|baseline| Contender::plain(*baseline)));
        contenders
    }

    /// What the transports are compared with: the first that does not encrypt, since what encryption and everything above
    /// it costs is told from there; where all do, the first.
    pub fn reference(&self) -> Option<Contender> {
        let contenders = self.contenders();
        let plain = contenders.iter().find(|it| !it.transport.encrypted());
        plain.or(contenders.first()).copied()
    }

    /// What a contender is compared with: a transport with other settings with itself in the first ones, and a transport
    /// with the reference. `None` for the reference itself.
    pub fn reference_of(&self, contender: Contender) -> Option<Contender> {
        let reference = self.reference()?;
        let same_transport = self.contenders().into_iter().find(|it| it.transport == contender.transport)?;
        let of = if same_transport == contender { reference } else { same_transport };
        (of != contender).then_some(of)
    }

    /// The groups, in the order of the scenario.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        for link in &self.links {
            for &rate_hz in &self.rates_hz {
                for &payload_bytes in &self.payloads_bytes {
                    for &pairs in &self.pairs {
                        groups.push(Group { link: link.name(), rate_hz, in_flight: 0, payload_bytes, pairs });
                    }
                }
            }
            for &in_flight in &self.in_flight {
                for &payload_bytes in &self.payloads_bytes {
                    // More matches would only be more under way.
                    groups.push(Group { link: link.name(), rate_hz: 0, in_flight, payload_bytes, pairs: 1 });
                }
            }
        }
        groups
    }

    /// What runs in every group: the contenders, and the reference as often again as there are controls.
    pub fn arms(&self) -> Vec<(Contender, u8)> {
        let controls = (1..=self.controls).filter_map(|arm| Some((self.reference()?, arm)));
        self.contenders().into_iter().map(|contender| (contender, 0)).chain(controls).collect()
    }

    /// What decides everything random in a repeat, for every contender alike.
    pub fn seed_of(&self, repeat: u32) -> u64 {
        self.seed.wrapping_add(u64::from(repeat))
    }

    /// How long a run takes at least, in ms.
    pub fn run_ms(&self) -> u64 {
        self.warmup_ms + self.duration_ms
    }

    fn combinations(&self, repeat: u32) -> Vec<RunKey> {
        let arms = self.arms();
        let in_group = |group: Group| {
            let key = move |&(contender, arm)| RunKey { contender, group: group.clone(), repeat, arm };
            arms.iter().map(key).collect::<Vec<_>>()
        };
        self.groups().into_iter().flat_map(in_group).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_combination_runs_in_every_repeat_and_the_seed_decides_the_order() {
        let scenario = |seed| Scenario {
            links: ["loopback", "lte"].map(|name| name.parse().expect("a network")).to_vec(),
            rates_hz: vec![20, 60],
            repeats: 3,
            controls: 1,
            seed,
            ..Scenario::default()
        };
        let in_block = 4 * (TransportKind::ALL.len() + 1);
        let runs = scenario(1).runs();
        assert_eq!(runs.len(), 3 * in_block);
        for (number, block) in runs.chunks(in_block).enumerate() {
            assert!(block.iter().all(|run| run.repeat as usize == number));
            assert_eq!(block.iter().collect::<HashSet<_>>().len(), in_block);
        }
        assert_eq!(runs, scenario(1).runs());
        assert_ne!(runs, scenario(2).runs());
        assert_ne!(runs[..5], runs[in_block..in_block + 5], "blocks differ in their order");
        assert_eq!(scenario(1).groups().len(), 4);
        // The control is the reference again, once in each group.
        let controls: Vec<_> = runs.iter().filter(|run| run.arm == 1).collect();
        assert_eq!(controls.len(), 4 * 3);
        assert!(controls.iter().all(|run| !run.contender.transport.encrypted()));
    }

    #[test]
    fn settings_are_compared_with_the_same_transport_and_transports_with_the_reference() {
        let kinds = ["tcp", "tls"].map(|name| name.parse().expect("a kind"));
        let scenario = Scenario {
            transports: kinds.to_vec(),
            congestions: vec![Congestion::Cubic, Congestion::Bbr],
            ..Scenario::default()
        };
        let names: Vec<(String, Option<String>)> = (scenario.contenders().into_iter())
            .map(|it| (it.to_string(), scenario.reference_of(it).map(|it| it.to_string())))
            .collect();
        let expected =
            [("tcp", None), ("tcp +bbr", Some("tcp")), ("tls", Some("tcp")), ("tls +bbr", Some("tls"))];
        assert_eq!(names, expected.map(|(name, of)| (name.to_owned(), of.map(str::to_owned))));
    }

    #[test]
    fn a_link_may_be_shared_with_a_bulk_transfer() {
        let shared: Network = "lte+bulk".parse().expect("a network");
        assert_eq!(shared.name(), "lte+bulk");
        assert!(matches!(&shared, Network::Shared(spec) if spec.name == "lte"));
    }
}
