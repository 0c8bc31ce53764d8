//! The presets: questions that a comparison answers. Each preset is a scenario, and flags override
//! its values.

use netduel_link::LinkSpec;
use netduel_loadgen::{Baseline, Workload};
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, Socket, TransportKind};

use crate::plan::{
    scenario::{Network, Scenario},
    search::Search,
};

/// The default seed, as good as any other.
pub(crate) const SEED: u64 = 1;

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
            question: "a first look: every transport on loopback, busy Wi-Fi and LTE, at 60 Hz",
            // 28 players × 60 Hz × 0.7 s give a p99 in each repeat, and the preset ends within 90
            // s.
            scenario: || Scenario {
                links: links(&["loopback", "wifi-busy", "lte"]),
                pairs: vec![14],
                warmup_ms: 100,
                duration_ms: 700,
                ..base()
            },
        },
        Self {
            name: "rate",
            question: "the highest rate that each transport sustains with 10 matches, found by search",
            scenario: || Scenario {
                links: links(&["loopback", "wifi", "lte"]),
                rates_hz: vec![Search::RATE.from],
                search: Some(Search::RATE),
                repeats: 2,
                duration_ms: 3_000,
                ..base()
            },
        },
        Self {
            name: "loss",
            question: "the effect of loss: 0 to 5 %, independent and in bursts, at a round trip of 40 ms",
            scenario: || Scenario {
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
                duration_ms: 3_000,
                ..base()
            },
        },
        Self {
            name: "rtt",
            question: "the effect of distance: round trips of 1 to 200 ms, with 1 % of loss",
            scenario: || Scenario {
                links: named(&[
                    ("1 ms away", "delay=0.5ms,loss=1%"),
                    ("10 ms away", "delay=5ms,loss=1%"),
                    ("20 ms away", "delay=10ms,loss=1%"),
                    ("50 ms away", "delay=25ms,loss=1%"),
                    ("100 ms away", "delay=50ms,loss=1%"),
                    ("200 ms away", "delay=100ms,loss=1%"),
                ]),
                duration_ms: 3_000,
                ..base()
            },
        },
        Self {
            name: "pairs",
            question: "the most matches that this machine sustains at 60 Hz, found by search, and \
                the cost of each",
            scenario: || Scenario {
                pairs: vec![Search::PAIRS.from],
                search: Some(Search::PAIRS),
                repeats: 2,
                ..base()
            },
        },
        Self {
            name: "memory",
            question: "the memory of a connection, in the server and in the kernel: 20 to 400 players at 10 Hz",
            // A low rate keeps queues short. A lower one would be too low: 20 players × 10 Hz × 6 s
            // just give a p99.
            scenario: || Scenario {
                pairs: vec![10, 50, 100, 200],
                rates_hz: vec![10],
                duration_ms: 2_000,
                ..base()
            },
        },
        Self {
            name: "payload",
            question: "the effect of size: 0 to 1,024 bytes with each move",
            scenario: || Scenario {
                links: links(&["loopback", "lte"]),
                payloads_bytes: vec![0, 16, 64, 256, 1_024],
                ..base()
            },
        },
        Self {
            name: "relay",
            question: "the saving if a move is relayed to the opponent alone",
            scenario: || Scenario {
                relays: vec![RelayPolicy::Other, RelayPolicy::Both],
                links: links(&["loopback", "lte"]),
                ..base()
            },
        },
        Self {
            name: "connect",
            question: "the time from connect to paired and to the first move, cold and with a resumed TLS session",
            scenario: || Scenario {
                workload: Workload::Connects,
                resumption: vec![false, true],
                links: links(&["loopback", "wifi", "lte"]),
                rates_hz: vec![2],
                // The first connection of each player cannot resume a session.
                warmup_ms: 1_500,
                duration_ms: 3_000,
                ..base()
            },
        },
        Self {
            name: "nagle",
            question: "the effect of Nagle's algorithm on small updates, over TCP and TLS",
            scenario: || Scenario {
                transports: streams_of_tcp(),
                nagle: vec![false, true],
                links: links(&["loopback", "lte"]),
                ..base()
            },
        },
        Self {
            name: "congestion",
            question: "the effect of the congestion control: cubic and bbr",
            scenario: || Scenario {
                congestions: vec![Congestion::Cubic, Congestion::Bbr],
                links: links(&["wifi", "lte", "cable"]),
                ..base()
            },
        },
        Self {
            name: "events",
            question: "the effect of disturbances: two seconds without network, and a download beside the game",
            scenario: || Scenario { links: links(&["blackhole", "lte+bulk"]), duration_ms: 6_000, ..base() },
        },
        Self {
            name: "baselines",
            question: "the cost of each transport, compared with a bare relay of its wire and \
                with other libraries",
            scenario: || Scenario {
                baselines: Baseline::ALL.to_vec(),
                pairs: vec![50],
                in_flight: vec![1, 8],
                repeats: 5,
                ..base()
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

fn base() -> Scenario {
    Scenario { repeats: 3, controls: 1, seed: SEED, ..Scenario::default() }
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
        assert_eq!(Preset::named("events").expect("there").scenario().links.len(), 2);
        assert_eq!(Preset::named("nagle").expect("there").scenario().transports.len(), 2);
    }
}
