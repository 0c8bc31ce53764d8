//! The test of a search over invented runs with a known truth.

use netduel_client::stats::Samples;
use netduel_loadgen::LoadResult;
use netduel_reports::{
    analysis::{
        capacity::{Fate, capacities},
        conclusions::Conclusions,
    },
    data::{
        results::{Provenance, Results},
        run_result::RunResult,
    },
    plan::{
        contender::Contender,
        sampling::Sampling,
        scenario::{Group, RunKey, Scenario},
        search::Search,
    },
    render::text::markdown,
};

/// Checks a search over invented runs, in which each transport breaks at its own rate: by age, by
/// loss, and never.
#[test]
fn search_finds_capacity_and_reason() {
    let scenario = Scenario {
        transports: ["tcp", "quic-datagram", "enet"].map(|name| name.parse().expect("a kind")).to_vec(),
        off_links: Sampling { repeats: 1, ..Sampling::ROUNDS.of(&[10]) },
        search: Some(Search::RATE),
        ..Scenario::default()
    };
    let group = scenario.groups().remove(0);
    let mut found = Results::empty(scenario, Provenance::default());
    let run_of = |contender: Contender, rate_hz: u32| {
        let group = Group { rate_hz, ..group.clone() };
        let load = LoadResult { sent: 1_000, ..LoadResult::default() };
        let mut run = RunResult::new(RunKey { contender, group, repeat: 0, arm: 0 }, load);
        let (age_ms, delivered_percent) = match contender.transport.name() {
            "tcp" => (if rate_hz <= 700 { 40 } else { 140 }, 100),
            "enet" => (40, if rate_hz <= 150 { 96 } else { 90 }),
            _ => (40, 100),
        };
        run.load.stats.age = Samples::default();
        (0..1_000).for_each(|_| run.load.stats.age.record(age_ms * 1_000));
        run.load.sent = 20 * u64::from(rate_hz);
        run.load.stats.fresh = run.load.sent * delivered_percent / 100;
        run
    };
    let mut tries = 0;
    loop {
        let next: Vec<_> =
            capacities(&found).into_iter().filter_map(|it| Some((it.contender, it.next?))).collect();
        if next.is_empty() {
            break;
        }
        found.runs.extend(next.into_iter().map(|(contender, rate_hz)| run_of(contender, rate_hz)));
        tries += 1;
        assert!(tries <= Search::RATE.tries_max(), "it ends");
    }
    let capacities = capacities(&found);
    let [tcp, datagram, enet] = &capacities[..] else { panic!("three") };
    assert!((610..=700).contains(&tcp.highest().expect("some")));
    assert!(matches!(tcp.broke().expect("it broke").fate, Fate::Stale { .. }));
    assert_eq!((datagram.highest(), datagram.broke()), (Some(Search::RATE.to), None));
    assert!((130..=150).contains(&enet.highest().expect("some")));
    assert!(matches!(enet.broke().expect("it broke").fate, Fate::Missing { .. }));
    let text = markdown(&Conclusions::of(&found));
    assert!(text.contains("On loopback: quic-datagram at least 10240 Hz; tcp "), "{text}");
    assert!(text.contains("by age p99 140 ms") || text.contains("| age p99 140 ms |"), "{text}");
}
