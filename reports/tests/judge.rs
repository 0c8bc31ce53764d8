//! Tests of verdicts, their sentences and the comparison of two results, over invented results with
//! a known truth.

use netduel_client::stats::{MoveStats, Samples};
use netduel_link::LinkSpec;
use netduel_loadgen::{LoadResult, Subject, Usage};
use netduel_reports::{
    analysis::{
        capacity::{Fate, capacities},
        old_metrics::Metric,
        old_verdict::{Evidence, Outcome, Verdict},
    },
    data::{
        results::{Provenance, Results},
        run_result::RunResult,
    },
    plan::{
        sampling::Sampling,
        scenario::{Contender, Network, RunKey, Scenario},
        search::Search,
    },
    render::text::markdown,
};
use netduel_transport::{PathStats, TransportKind};

/// The age p99 in ms and the CPU time per fresh move in µs, of a transport (by its place in the
/// list), link, repeat and arm.
type Truth = fn(usize, &str, u32, u8) -> (f64, f64);

/// Returns values like those of real transports: alike and more expensive on a clean link, fresher
/// under loss, with 1 % of noise.
fn physics(kind: usize, link: &str, repeat: u32, arm: u8) -> (f64, f64) {
    let noise = 1.0 + (f64::from(repeat * 7 + u32::from(arm) * 3) + kind as f64) % 5.0 / 500.0;
    let age_ms = match (link, kind) {
        ("loopback", _) => 16.6,
        (_, 3 | 4) => 43.0,
        _ => 66.0 + f64::from(repeat % 3),
    };
    let cpu_us = [10.0, 16.0, 30.0, 60.0, 27.0][kind];
    (age_ms * noise, cpu_us * noise)
}

fn kinds(names: &[&str]) -> Vec<TransportKind> {
    names.iter().map(|name| name.parse().expect("a kind")).collect()
}

fn results(truth: Truth, repeats: u32, controls: u8) -> Results {
    let lossy = Network::Emulated(Box::new("wifi".parse::<LinkSpec>().expect("a profile")));
    let scenario = Scenario {
        transports: kinds(&["tcp", "tls", "quic-stream", "quic-uni", "quic-datagram"]),
        links: vec![Network::Loopback, lossy],
        on_links: Sampling { repeats, ..Sampling::LINK.of(&[10]) },
        off_links: Sampling { repeats, ..Sampling::ROUNDS.of(&[10]) },
        controls,
        ..Scenario::default()
    };
    let places = scenario.transports.clone();
    let run = |key: RunKey| {
        let place = places
            .iter()
            .position(|kind| Subject::from(*kind) == key.contender.transport)
            .expect("in the list");
        let (age_ms, cpu_us) = truth(place, &key.group.link, key.repeat, key.arm);
        let mut samples = Samples::default();
        (0..1_000).for_each(|_| samples.record((age_ms * 1_000.0) as u64));
        let mut stats = MoveStats::new(16_667);
        (stats.one_way, stats.age, stats.fresh) = (samples.clone(), samples, 1_000);
        let bytes = Some(80_000);
        let load = LoadResult {
            stats,
            sent: 1_000,
            sent_bytes: bytes,
            received_bytes: bytes,
            path: PathStats::default(),
            ..LoadResult::default()
        };
        let server = Usage { cpu_us: Some((cpu_us * 1_000.0) as u64), ..Usage::default() };
        RunResult { server, ..RunResult::new(key, load) }
    };
    let provenance = Provenance { kernel: "6.18".into(), cpu: "one".into(), ..Provenance::default() };
    let runs = scenario.runs().into_iter().map(run).collect();
    Results { runs, ..Results::empty(scenario, provenance) }
}

fn outcomes(results: &Results, metric: Metric, group: usize) -> Vec<Outcome> {
    let verdict = Verdict::from_results(results).expect("transports");
    let map = verdict.map(metric);
    map.iter().map(|(_, groups)| groups[group].expect("compared").outcome).collect()
}

#[test]
fn verdict_states_truth_and_evidence() {
    for (repeats, evidence) in [(3, Evidence::Indicated), (8, Evidence::Tested)] {
        let results = results(physics, repeats, 1);
        let (same, better, worse) =
            (Outcome::NoDetectableDifference, Outcome::Better(evidence), Outcome::Worse(evidence));
        assert_eq!(outcomes(&results, Metric::AgeP99, 0), [same; 4]);
        assert_eq!(outcomes(&results, Metric::AgeP99, 1), [same, same, better, better]);
        assert_eq!(outcomes(&results, Metric::ServerCpu, 0), [worse; 4]);
        assert_eq!(outcomes(&results, Metric::Bytes, 1), [same; 4]);

        let verdict = Verdict::from_results(&results).expect("transports");
        let choices = |group: usize| -> Vec<TransportKind> {
            verdict.groups[group].choices.iter().map(|it| it.transport.kind().expect("ours")).collect()
        };
        // On loopback all are equally fresh, so the cheapest encrypted one is chosen. On the lossy
        // link the cheaper of the two fresh ones is.
        assert_eq!(choices(0), kinds(&["tls"]));
        assert_eq!(choices(1), kinds(&["quic-datagram"]));
        assert!(verdict.groups.iter().flat_map(|it| &it.choices).all(|it| it.transport.encrypted()));
    }
}

/// Checks that a difference within that of the A/A control counts as noise.
#[test]
fn noise_has_no_winner() {
    let noisy: Truth = |kind, _, repeat, arm| {
        let wobble = if arm == 0 { 0.0 } else { -30.0 + f64::from(repeat) };
        (if kind == 4 { 43.0 } else { 66.0 } + wobble, 10.0)
    };
    assert_eq!(outcomes(&results(noisy, 3, 1), Metric::AgeP99, 1), [Outcome::NoDetectableDifference; 4]);
    let without = outcomes(&results(noisy, 3, 0), Metric::AgeP99, 1);
    assert_eq!(without[3], Outcome::Better(Evidence::Indicated));
}

/// Checks a search over invented runs, in which each transport breaks at its own rate: by age, by
/// loss, and never.
#[test]
fn search_finds_capacity_and_reason() {
    let mut found = results(physics, 1, 0);
    found.scenario.transports = kinds(&["tcp", "quic-datagram", "enet"]);
    found.scenario.links.truncate(1);
    found.scenario.search = Some(Search::RATE);
    let template = found.runs[0].clone();
    found.runs.clear();
    let run_of = |contender: Contender, rate_hz: u32| {
        let mut run = template.clone();
        run.key.contender = contender;
        run.key.group.rate_hz = rate_hz;
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
    let text = markdown(&found);
    assert!(text.contains("On loopback: quic-datagram at least 10240 Hz; tcp "), "{text}");
    assert!(text.contains("by age p99 140 ms") || text.contains("| age p99 140 ms |"), "{text}");
}
