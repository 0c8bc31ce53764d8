//! The presets: questions that a comparison answers. Each preset is a scenario, and flags override
//! its values.

use netduel_link::LinkSpec;
use netduel_loadgen::{Baseline, Workload};
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, Socket, TransportKind};

use crate::plan::{
    sampling::Sampling,
    scenario::{Network, Scenario},
    search::Search,
};

/// A named question and its scenario.
pub struct Preset {
    /// The name.
    pub name: &'static str,
    /// The question, in one line.
    pub question: &'static str,
    scenario: fn() -> Scenario,
}

impl Preset {
    /// Every preset; the first is the default.
    pub const ALL: &[Self] = &[
        Self {
            name: "quick",
            question: "a first look: every transport on Wi-Fi that loses, on Wi-Fi that stalls, and on loopback",
            scenario: || Scenario {
                tuned: vec![false, true],
                links: links(&["wifi-edge", "wifi-busy", "loopback"]),
                // With one match for each arm, both links run at once.
                on_links: Sampling::LINK.of(&[1]),
                ..base()
            },
        },
        Self {
            name: "rate",
            question: "the highest rate that each transport sustains with 10 matches, found by search",
            scenario: || Scenario {
                links: links(&["wifi", "lte", "loopback"]),
                rates_hz: vec![Search::RATE.from],
                search: Some(Search::RATE),
                ..with(&TRY.of(&[10]))
            },
        },
        Self {
            name: "loss",
            question: "the effect of loss: 0 to 5 %, independent and in bursts, at a round trip of 40 ms",
            scenario: || Scenario {
                tuned: vec![false, true],
                links: named(&[
                    ("no loss", "delay=20ms"),
                    ("0.5 % loss", "delay=20ms,loss=0.5%"),
                    ("1 % loss", "delay=20ms,loss=1%"),
                    ("2 % loss", "delay=20ms,loss=2%"),
                    ("5 % loss", "delay=20ms,loss=5%"),
                    // A link in bursts passes nothing for 30 ms, for this share of the time.
                    ("1 % in bursts", "delay=20ms,loss=2970ms/30ms"),
                    ("2 % in bursts", "delay=20ms,loss=1470ms/30ms"),
                    ("5 % in bursts", "delay=20ms,loss=570ms/30ms"),
                ]),
                // The rarest bursts come every three seconds in each direction.
                on_links: Sampling { duration_ms: 40_000, ..Sampling::LINK.of(&[1]) },
                ..base()
            },
        },
        Self {
            name: "rtt",
            question: "the effect of distance: round trips of 1 to 200 ms, with 1 % of loss",
            scenario: || Scenario {
                tuned: vec![false, true],
                links: named(&[
                    ("1 ms away", "delay=0.5ms,loss=1%"),
                    ("10 ms away", "delay=5ms,loss=1%"),
                    ("20 ms away", "delay=10ms,loss=1%"),
                    ("50 ms away", "delay=25ms,loss=1%"),
                    ("100 ms away", "delay=50ms,loss=1%"),
                    ("200 ms away", "delay=100ms,loss=1%"),
                ]),
                on_links: Sampling::LINK.of(&[1]),
                ..base()
            },
        },
        Self {
            name: "pairs",
            question: "the most matches that this machine sustains at 60 Hz, found by search, and \
                the cost of each",
            scenario: || Scenario {
                search: Some(Search::PAIRS),
                ..with(&Sampling { duration_ms: 1_000, ..TRY.of(&[Search::PAIRS.from]) })
            },
        },
        Self {
            name: "memory",
            question: "the memory of a connection, in the server and in the kernel: 20 to 400 players at 10 Hz",
            // A low rate keeps queues short. A lower one would be too low: 20 players × 10 Hz × 6 s
            // just give a p99.
            scenario: || Scenario {
                rates_hz: vec![10],
                afresh: true,
                ..with(&Sampling { repeats: 3, duration_ms: 2_000, ..TRY.of(&[10, 50, 100, 200]) })
            },
        },
        Self {
            name: "payload",
            question: "the effect of size: 0 to 1,024 bytes with each move",
            scenario: || Scenario {
                links: links(&["lte", "loopback"]),
                payloads_bytes: vec![0, 16, 64, 256, 1_024],
                on_links: Sampling::LINK.of(&[1]),
                // Five sizes of seven transports: fewer rounds keep the time below five minutes.
                off_links: Sampling { repeats: 10, ..Sampling::ROUNDS.of(&[14]) },
                ..base()
            },
        },
        Self {
            name: "relay",
            question: "the saving if a move is relayed to the opponent alone",
            scenario: || Scenario {
                relays: vec![RelayPolicy::Other, RelayPolicy::Both],
                links: links(&["lte", "loopback"]),
                on_links: Sampling::LINK.of(&[1]),
                ..base()
            },
        },
        Self {
            name: "connect",
            question: "the time from connect to paired and to the first move: with a small certificate, \
                with a chain of 4 kB, and with a resumed TLS session",
            scenario: || Scenario {
                workload: Workload::Connects,
                resumption: vec![false, true],
                long_chain: vec![false, true],
                links: links(&["wifi", "lte", "loopback"]),
                // A p99 needs 1,000 connections in a window on a link.
                rates_hz: vec![3],
                // The first connection of each player cannot resume a session.
                on_links: Sampling { drain_ms: 2_000, ..Sampling::LINK.of(&[4]) },
                off_links: Sampling { repeats: 3, warmup_ms: 1_500, ..TRY.of(&[10]) },
                ..base()
            },
        },
        Self {
            name: "tcp",
            question: "the best of TCP: stock and tuned timers, cubic and bbr, beside QUIC",
            scenario: || Scenario {
                transports: TransportKind::ALL
                    .into_iter()
                    .filter(|kind| *kind != TransportKind::Udp)
                    .collect(),
                tuned: vec![false, true],
                congestions: vec![Congestion::Cubic, Congestion::Bbr],
                links: links(&["wifi-busy", "lte", "loopback"]),
                on_links: Sampling::LINK.of(&[1]),
                ..base()
            },
        },
        Self {
            name: "nagle",
            question: "the effect of Nagle's algorithm on small updates, over TCP and TLS",
            scenario: || Scenario {
                transports: streams_of_tcp(),
                nagle: vec![false, true],
                links: links(&["lte", "loopback"]),
                ..base()
            },
        },
        Self {
            name: "congestion",
            question: "the effect of the congestion control: cubic and bbr",
            scenario: || Scenario {
                congestions: vec![Congestion::Cubic, Congestion::Bbr],
                links: links(&["wifi", "lte", "cable", "loopback"]),
                on_links: Sampling::LINK.of(&[1]),
                ..base()
            },
        },
        Self {
            name: "events",
            question: "the effect of disturbances: seconds without network, a satellite's short \
                outages, and a download beside the game",
            scenario: || Scenario {
                tuned: vec![false, true],
                links: links(&["blackhole", "starlink", "lte+bulk", "loopback"]),
                // Starlink is out every 15 seconds.
                on_links: Sampling { duration_ms: 60_000, ..Sampling::LINK.of(&[1]) },
                ..base()
            },
        },
        Self {
            name: "baselines",
            question: "the cost of each transport, compared with a bare relay of its wire and \
                with other libraries",
            scenario: || Scenario {
                baselines: Baseline::ALL.to_vec(),
                in_flight: vec![1, 8],
                ..with(&Sampling { repeats: 5, duration_ms: 1_000, ..TRY.of(&[50]) })
            },
        },
    ];

    /// Returns the preset of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|preset| preset.name == name)
    }

    /// Returns the scenario.
    pub fn scenario(&self) -> Scenario {
        Scenario { preset: self.name.into(), ..(self.scenario)() }
    }
}

/// Returns the plan that most presets share.
fn base() -> Scenario {
    Scenario { controls: 1, ..Scenario::default() }
}

/// The sampling of runs that each start their own server and players: a value of a search, or a
/// number of matches.
const TRY: Sampling =
    Sampling { pairs: Vec::new(), repeats: 2, warmup_ms: 250, duration_ms: 3_000, drain_ms: 500 };

/// Returns the plan that most presets share, with this sampling on every network.
fn with(sampling: &Sampling) -> Scenario {
    Scenario { on_links: sampling.clone(), off_links: sampling.clone(), ..base() }
}

/// Returns links by their names. A test checks that every name exists.
fn links(names: &[&str]) -> Vec<Network> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Returns links by their specifications, under readable names.
fn named(links: &[(&str, &str)]) -> Vec<Network> {
    let link = |(name, what): &(&str, &str)| match what.parse().ok()? {
        Network::Emulated(spec) => {
            Some(Network::Emulated(Box::new(LinkSpec { name: (*name).into(), ..*spec })))
        }
        other => Some(other),
    };
    links.iter().filter_map(link).collect()
}

/// Returns the transports that can leave Nagle's algorithm on.
fn streams_of_tcp() -> Vec<TransportKind> {
    TransportKind::ALL.into_iter().filter(|kind| kind.socket() == Socket::Tcp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_links_and_contenders() {
        for preset in Preset::ALL {
            let scenario = preset.scenario();
            let names: std::collections::HashSet<String> = scenario.links.iter().map(Network::name).collect();
            assert_eq!(names.len(), scenario.links.len(), "{}", preset.name);
            assert!(!names.is_empty() && scenario.contenders().len() > 1, "{}", preset.name);
            assert!(scenario.controls > 0, "{}: every preset has an A/A control", preset.name);
        }
        assert_eq!(Preset::named("loss").expect("there").scenario().links.len(), 8);
        assert_eq!(Preset::named("rtt").expect("there").scenario().links.len(), 6);
        assert_eq!(Preset::named("events").expect("there").scenario().links.len(), 4);
        assert_eq!(Preset::named("nagle").expect("there").scenario().transports.len(), 2);
        let connect = Preset::named("connect").expect("there").scenario().contenders();
        let of_tls: Vec<String> =
            connect.iter().map(ToString::to_string).filter(|name| name.starts_with("tls")).collect();
        assert_eq!(of_tls, ["tls", "tls +chain", "tls +resumed"], "a resumed session sends no chain");
        let Scenario { on_links, rates_hz, .. } = Preset::named("connect").expect("there").scenario();
        let players = 2 * u64::from(on_links.pairs[0] * rates_hz[0]) * on_links.duration_ms / 1_000;
        assert!(players >= 1_000, "{players} give no p99");
    }

    /// Returns the number of bad periods that a window of a preset is expected to meet.
    fn bad_periods_in(preset: &str, link: &str) -> f64 {
        let scenario = Preset::named(preset).expect("there").scenario();
        let network = scenario.network(link).expect("a link of the preset");
        let window_ms = scenario.sampling(network).duration_ms as f64;
        network.spec().expect("an emulated link").expected_bad_periods(window_ms).expect("bad periods")
    }

    #[test]
    fn windows_meet_what_they_ask_about() {
        assert!(bad_periods_in("quick", "wifi-busy") >= 36.0, "30 or more with most seeds");
        assert!(bad_periods_in("events", "blackhole") >= 5.0);
        assert!(bad_periods_in("events", "starlink") >= 4.0);
        assert!(bad_periods_in("loss", "1 % in bursts") >= 25.0);
        for preset in Preset::ALL {
            let scenario = preset.scenario();
            let emulated = scenario.links.iter().any(|link| link.spec().is_some());
            if emulated && scenario.search.is_none() {
                // ENet measures the loss of five seconds before it throttles.
                assert!(scenario.on_links.duration_ms >= 20_000, "{}", preset.name);
            }
        }
    }
}
