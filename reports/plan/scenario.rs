//! The scenario: contenders × groups × repeats, in an order that a seed shuffles.
//!
//! A [`Group`] is the common condition of a comparison: a link, a rate, a payload and a number of
//! matches.

use std::{fmt, str::FromStr};

use netduel_link::LinkSpec;
use netduel_loadgen::{Baseline, Trusted, Workload};
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, TransportKind};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::plan::{
    contender::{Contender, settled, with_each},
    keep::Keep,
    sampling::{Order, Sampling},
    search::Search,
};

/// The network between players and server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The loopback of this host, without emulation.
    Loopback,
    /// An emulated link.
    Emulated(Box<LinkSpec>),
    /// An emulated link that a bulk transfer to the players also fills.
    Shared(Box<LinkSpec>),
    /// The network to a server that was started by other means.
    Remote(Remote),
}

/// A server on another machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// HOST or HOST:PORT. Without a port, each transport uses its own.
    pub server: String,
    /// The fingerprint of the server's key, if the key is pinned.
    pub pin: Option<String>,
    /// The file with the trusted certificates, if the server is trusted by these.
    pub ca: Option<std::path::PathBuf>,
}

/// The suffix of a link's name if a bulk transfer shares the link.
const SHARED_SUFFIX: &str = "+bulk";

impl Remote {
    /// Returns the trust in the server that the flags specify.
    pub(crate) fn trusted(&self) -> Trusted {
        match (&self.pin, &self.ca) {
            (Some(pin), _) => Trusted::Pin(pin.clone()),
            (None, Some(ca)) => Trusted::Ca(ca.clone()),
            (None, None) => Trusted::Unverified,
        }
    }
}

impl Network {
    /// Returns the name in flags and reports.
    pub fn name(&self) -> String {
        match self {
            Self::Loopback => "loopback".into(),
            Self::Emulated(spec) => spec.name.clone(),
            Self::Shared(spec) => format!("{}{SHARED_SUFFIX}", spec.name),
            Self::Remote(remote) => remote.server.clone(),
        }
    }

    /// Returns the emulated link, if the network is one.
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

/// The condition under which contenders are compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// The name of the network.
    pub link: String,
    /// The moves per second and player, or the pairs that connect per second. 0 in a closed loop.
    pub rate_hz: u32,
    /// The moves under way between the two players of a closed loop, in which each answers every
    /// arrival. 0 in an open loop.
    pub in_flight: u32,
    /// The bytes carried with each move in addition to the position.
    pub payload_bytes: u32,
    /// The number of concurrent matches.
    pub pairs: u32,
}

/// Writes "wifi, 60 Hz, 10 matches" or "loopback, 8 in flight, 1 match", and the payload if there
/// is one.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, rate_hz, in_flight, payload_bytes, pairs } = self;
        let pace = if *in_flight > 0 { format!("{in_flight} in flight") } else { format!("{rate_hz} Hz") };
        let matches = if *pairs == 1 { "match" } else { "matches" };
        write!(f, "{link}, {pace}, {pairs} {matches}")?;
        if *payload_bytes > 0 { write!(f, ", {payload_bytes} B payload") } else { Ok(()) }
    }
}

/// The identity of a run: a point of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// The contender.
    pub contender: Contender,
    /// The group.
    pub group: Group,
    /// The number of the repeat, from 0. All contenders meet the same schedule in the same repeat.
    pub repeat: u32,
    /// 0 for a contender; from 1 on, an A/A control, which is the reference again.
    pub arm: u8,
}

impl RunKey {
    /// Returns the key of the first repeat, which stands for all repeats.
    pub fn combination(&self) -> Self {
        Self { repeat: 0, ..self.clone() }
    }
}

/// Writes the contender and the number of a control: "tcp" or "tcp (A/A 1)".
impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arm {
            0 => write!(f, "{}", self.contender),
            arm => write!(f, "{} (A/A {arm})", self.contender),
        }
    }
}

/// The plan of a comparison: all that varies and all that is fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// The preset from which the scenario was made.
    pub preset: String,
    /// The workload of the players.
    pub workload: Workload,
    /// The transports to compare.
    pub transports: Vec<TransportKind>,
    /// The baselines to compare with. With baselines, the report gives ratios to the bare relays
    /// and no verdict.
    pub baselines: Vec<Baseline>,
    /// The recipients of a move.
    pub relays: Vec<RelayPolicy>,
    /// The requested congestion controls, for TCP and QUIC alike.
    pub congestions: Vec<Congestion>,
    /// Whether Nagle's algorithm stays on (TCP only).
    pub nagle: Vec<bool>,
    /// Whether TLS sessions are resumed, for transports with TLS.
    pub resumption: Vec<bool>,
    /// Whether TCP's timers are tuned for small updates (TCP and TLS only).
    pub tuned: Vec<bool>,
    /// The packets after which QUIC acknowledges; `None` for our default (QUIC only).
    pub ack_packets: Vec<Option<u32>>,
    /// Whether the server relays only the newest move of a burst.
    pub newest_of_burst: Vec<bool>,
    /// The times without an acknowledgement after which ENet pings, in ms; `None` for ENet's own
    /// default (ENet only).
    pub enet_ping_ms: Vec<Option<u32>>,
    /// Whether the server sends a certificate chain of realistic size, for transports with TLS.
    pub long_chain: Vec<bool>,
    /// The networks between players and server.
    pub links: Vec<Network>,
    /// The moves per second and player, or the pairs that connect per second.
    pub rates_hz: Vec<u32>,
    /// The closed loops in addition, of one match each, by their number of moves under way.
    pub in_flight: Vec<u32>,
    /// The bytes carried with each move in addition to the position.
    pub payloads_bytes: Vec<u32>,
    /// The sampling on emulated links.
    pub on_links: Sampling,
    /// The sampling where no link is emulated: on loopback, and to a remote server.
    pub off_links: Sampling,
    /// Whether every run starts its own server and players, with nothing beside it.
    pub afresh: bool,
    /// The search, which replaces the list of the searched number.
    pub search: Option<Search>,
    /// The number of A/A controls: additional runs of the reference in every repeat of each group.
    /// Their distance from the reference is the machine's noise without a difference. With 0,
    /// verdicts have no noise floor.
    pub controls: u8,
    /// The seed of the order of the runs, the paths of the bots and the emulated links. Its number
    /// has no meaning.
    pub seed: u64,
    /// The additional CPU time that the server of the last A/A control burns, in µs per second. It
    /// is 0 in every comparison; the self-test injects more in order to find it again.
    pub server_burn_us_per_s: u32,
    /// The evidence that is kept beside the results.
    pub keep: Keep,
}

impl Default for Scenario {
    /// Returns every transport over loopback at 60 Hz, once.
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
            tuned: vec![false],
            ack_packets: vec![None],
            newest_of_burst: vec![false],
            enet_ping_ms: vec![None],
            long_chain: vec![false],
            links: vec![Network::Loopback],
            rates_hz: vec![60],
            in_flight: Vec::new(),
            payloads_bytes: vec![0],
            on_links: Sampling::LINK.of(&[2]),
            off_links: Sampling::ROUNDS.of(&[14]),
            afresh: false,
            search: None,
            controls: 0,
            seed: 1,
            server_burn_us_per_s: 0,
            keep: Keep::default(),
        }
    }
}

impl Scenario {
    /// Returns every run of a scenario without a search, in order: group by group, and repeat by
    /// repeat. Within a repeat the arms are shuffled, so that drift of the machine affects all
    /// alike.
    pub fn runs(&self) -> Vec<RunKey> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let arms = self.arms();
        let mut runs = Vec::new();
        for group in self.groups() {
            for repeat in 0..self.sampling_of(&group).repeats {
                let key = |&(contender, arm): &(Contender, u8)| RunKey {
                    contender,
                    group: group.clone(),
                    repeat,
                    arm,
                };
                let mut block: Vec<RunKey> = arms.iter().map(key).collect();
                block.shuffle(&mut random);
                runs.extend(block);
            }
        }
        runs
    }

    /// Returns the network of this name.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.links.iter().find(|link| link.name() == name)
    }

    /// Returns the sampling on a network.
    pub fn sampling(&self, network: &Network) -> &Sampling {
        if network.spec().is_some() { &self.on_links } else { &self.off_links }
    }

    /// Returns the sampling on links, or the other where no link is emulated.
    pub fn main_sampling(&self) -> &Sampling {
        let emulated = self.links.iter().any(|link| link.spec().is_some());
        if emulated { &self.on_links } else { &self.off_links }
    }

    /// Returns the sampling of a group.
    pub fn sampling_of(&self, group: &Group) -> &Sampling {
        self.network(&group.link).map_or(&self.off_links, |network| self.sampling(network))
    }

    /// Returns the order of the runs of a group.
    pub fn order_of(&self, group: &Group) -> Order {
        let alone = self.afresh || self.search.is_some() || !self.baselines.is_empty() || group.in_flight > 0;
        let emulated = self.network(&group.link).is_some_and(|network| network.spec().is_some());
        match (alone, emulated, self.workload) {
            (true, ..) => Order::Afresh,
            (false, true, _) => Order::Beside,
            (false, false, Workload::Moves) => Order::InTurns,
            // Handshakes load the machine, and no link spreads them.
            (false, false, Workload::Connects) => Order::Afresh,
        }
    }

    /// Whether any group has runs in this order.
    pub fn has_order(&self, order: Order) -> bool {
        self.groups().iter().any(|group| self.order_of(group) == order)
    }

    /// Returns the contenders: every transport with every setting, and the baselines.
    pub fn contenders(&self) -> Vec<Contender> {
        let plain: Vec<Contender> = self.transports.iter().map(|kind| Contender::plain(*kind)).collect();
        let all = with_each(&plain, &self.tuned, |it, tuned| it.tuned = tuned);
        let all = with_each(&all, &self.relays, |it, relay| it.relay = relay);
        let all = with_each(&all, &self.congestions, |it, congestion| it.congestion = congestion);
        let all = with_each(&all, &self.nagle, |it, nagle| it.nagle = nagle);
        let all = with_each(&all, &self.resumption, |it, resumption| it.resumption = resumption);
        let all = with_each(&all, &self.ack_packets, |it, packets| it.ack_packets = packets);
        let all = with_each(&all, &self.newest_of_burst, |it, newest| it.newest_of_burst = newest);
        let all = with_each(&all, &self.enet_ping_ms, |it, ping_ms| it.enet_ping_ms = ping_ms);
        let all = with_each(&all, &self.long_chain, |it, long| it.long_chain = long);
        let mut contenders = settled(&all);
        contenders.extend(self.baselines.iter().map(|baseline| Contender::plain(*baseline)));
        contenders
    }

    /// Returns the reference: the first contender that does not encrypt, or else the first. An
    /// unencrypted reference shows the cost of encryption and of everything above it.
    pub fn reference(&self) -> Option<Contender> {
        let contenders = self.contenders();
        let plain = contenders.iter().find(|it| !it.transport.encrypted());
        plain.or(contenders.first()).copied()
    }

    /// Returns the reference of a contender; `None` for the reference itself. A transport with
    /// other settings is compared with its own first settings, and a transport in its first
    /// settings with the reference. A tuned TCP counts as a transport.
    pub fn reference_of(&self, contender: Contender) -> Option<Contender> {
        let reference = self.reference()?;
        let first = self.contenders().into_iter().find(|it| it.same_standing(&contender))?;
        let of = if first == contender { reference } else { first };
        (of != contender).then_some(of)
    }

    /// Returns the groups, in the order of the scenario.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        for link in &self.links {
            for &rate_hz in &self.rates_hz {
                for &payload_bytes in &self.payloads_bytes {
                    for &pairs in &self.sampling(link).pairs {
                        groups.push(Group { link: link.name(), rate_hz, in_flight: 0, payload_bytes, pairs });
                    }
                }
            }
            for &in_flight in &self.in_flight {
                for &payload_bytes in &self.payloads_bytes {
                    // More matches would only add moves under way.
                    groups.push(Group { link: link.name(), rate_hz: 0, in_flight, payload_bytes, pairs: 1 });
                }
            }
        }
        groups
    }

    /// Returns all that runs in every group: the contenders, and the reference once more for each
    /// control.
    pub fn arms(&self) -> Vec<(Contender, u8)> {
        let controls = (1..=self.controls).filter_map(|arm| Some((self.reference()?, arm)));
        self.contenders().into_iter().map(|contender| (contender, 0)).chain(controls).collect()
    }

    /// Returns the seed of a repeat, which is the same for every contender. It is a hash, so that
    /// neighbouring seeds share no repeat.
    pub fn seed_of(&self, repeat: u32) -> u64 {
        ChaCha8Rng::seed_from_u64(self.seed.rotate_left(32) ^ u64::from(repeat)).next_u64()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn links(names: &[&str]) -> Vec<Network> {
        names.iter().map(|name| name.parse().expect("a network")).collect()
    }

    #[test]
    fn seed_shuffles_complete_repeats() {
        let scenario = |seed| Scenario {
            links: links(&["loopback", "lte"]),
            rates_hz: vec![20, 60],
            on_links: Sampling { repeats: 2, ..Sampling::LINK.of(&[1]) },
            off_links: Sampling { repeats: 3, ..Sampling::ROUNDS.of(&[14]) },
            controls: 1,
            seed,
            ..Scenario::default()
        };
        let in_block = scenario(1).arms().len();
        let runs = scenario(1).runs();
        assert_eq!(runs.len(), 2 * (2 + 3) * in_block);
        for block in runs.chunks(in_block) {
            assert!(block.iter().all(|run| run.repeat == block[0].repeat && run.group == block[0].group));
            assert_eq!(block.iter().collect::<HashSet<_>>().len(), in_block);
        }
        assert_eq!(runs, scenario(1).runs());
        assert_ne!(runs, scenario(2).runs());
        assert_ne!(runs[0].contender, runs[in_block].contender, "blocks differ in their order");
        let groups = scenario(1).groups();
        let pairs: Vec<u32> = groups.iter().map(|group| group.pairs).collect();
        assert_eq!(pairs, [14, 14, 1, 1], "a network has its own number of matches");
        // The control is the reference once more in each group.
        let controls: Vec<_> = runs.iter().filter(|run| run.arm == 1).collect();
        assert_eq!(controls.len(), 2 * (2 + 3));
        assert!(controls.iter().all(|run| !run.contender.transport.encrypted()));
    }

    #[test]
    fn neighbouring_seeds_share_no_repeat() {
        let seeds: HashSet<u64> = (0..50)
            .flat_map(|seed| {
                let scenario = Scenario { seed, ..Scenario::default() };
                (0..20).map(move |repeat| scenario.seed_of(repeat))
            })
            .collect();
        assert_eq!(seeds.len(), 50 * 20);
    }

    #[test]
    fn network_and_plan_decide_the_order() {
        let orders = |change: fn(&mut Scenario)| {
            let mut scenario =
                Scenario { links: links(&["loopback", "lte", "lte+bulk"]), ..Scenario::default() };
            change(&mut scenario);
            scenario.groups().iter().map(|group| scenario.order_of(group)).collect::<Vec<_>>()
        };
        use Order::{Afresh, Beside, InTurns};
        assert_eq!(orders(|_| {}), [InTurns, Beside, Beside]);
        assert_eq!(orders(|it| it.workload = Workload::Connects), [Afresh, Beside, Beside]);
        assert_eq!(orders(|it| it.afresh = true), [Afresh; 3]);
        assert_eq!(orders(|it| it.search = Some(Search::RATE)), [Afresh; 3]);
        assert_eq!(orders(|it| it.baselines = Baseline::ALL.to_vec()), [Afresh; 3]);
        assert_eq!(
            orders(|it| it.in_flight = vec![8]),
            [InTurns, Afresh, Beside, Afresh, Beside, Afresh],
            "closed loops"
        );
    }

    #[test]
    fn chooses_the_reference() {
        let kinds = ["tcp", "tls"].map(|name| name.parse().expect("a kind"));
        let scenario = Scenario {
            transports: kinds.to_vec(),
            congestions: vec![Congestion::Cubic, Congestion::Bbr],
            tuned: vec![false, true],
            ..Scenario::default()
        };
        let names: Vec<(String, Option<String>)> = (scenario.contenders().into_iter())
            .map(|it| (it.to_string(), scenario.reference_of(it).map(|it| it.to_string())))
            .collect();
        let expected = [
            ("tcp", None),
            ("tcp +bbr", Some("tcp")),
            ("tcp-tuned", Some("tcp")),
            ("tcp-tuned +bbr", Some("tcp-tuned")),
            ("tls", Some("tcp")),
            ("tls +bbr", Some("tls")),
            ("tls-tuned", Some("tcp")),
            ("tls-tuned +bbr", Some("tls-tuned")),
        ];
        assert_eq!(names, expected.map(|(name, of)| (name.to_owned(), of.map(str::to_owned))));
    }

    #[test]
    fn parses_links_shared_with_bulk() {
        let shared: Network = "lte+bulk".parse().expect("a network");
        assert_eq!(shared.name(), "lte+bulk");
        assert!(matches!(&shared, Network::Shared(spec) if spec.name == "lte"));
    }
}
