//! Tests of verdicts, their sentences and the comparison of two results, over invented results with
//! a known truth.

use std::process::Command;

use netduel_client::stats::{MoveStats, Samples};
use netduel_link::LinkSpec;
use netduel_loadgen::{LoadResult, Subject, Usage, Workload};
use netduel_reports::{
    analysis::{
        capacity::{Fate, capacities},
        old_metrics::Metric,
        old_verdict::{Evidence, Outcome, Verdict},
    },
    commands::compare::{Changes, mismatches},
    data::{
        results::{Provenance, Results},
        run_result::RunResult,
    },
    plan::{
        sampling::Sampling,
        scenario::{Contender, Network, RunKey, Scenario},
        search::Search,
    },
    render::{
        narrative::paragraphs,
        text::{markdown, terminal},
    },
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

#[test]
fn narrative_names_scope_and_evidence() {
    let three = results(physics, 3, 1);
    let text = paragraphs(&three, &Verdict::from_results(&three).expect("transports")).join("\n");
    for words in [
        "3 repeats cannot carry a test",
        "--repeat 8 allows a test",
        "tcp is the reference and not encrypted",
        "On loopback at 60 Hz with 10 matches, there is no detectable difference in age p99 from tcp",
        "keeps the opponent's position freshest",
        "No detectable difference from quic-",
        "indication: clear of the reference and its control in each of 3 repeats",
        "If encryption matters: quic-datagram",
    ] {
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }
    assert!(!text.contains("p = "), "three repeats carry no p: {text}");

    let eight = results(physics, 8, 0);
    let text = paragraphs(&eight, &Verdict::from_results(&eight).expect("transports")).join("\n");
    assert!(text.contains("tested, p = 0.031") && text.contains("95 % interval"), "{text}");
    assert!(text.contains("No transport ran against itself"), "{text}");

    let two = results(physics, 2, 1);
    let text = paragraphs(&two, &Verdict::from_results(&two).expect("transports")).join("\n");
    assert!(text.contains("A comparison needs 3 repeats") && text.contains("not enough data"), "{text}");
}

#[test]
fn report_begins_with_verdict() {
    let results = results(physics, 3, 1);
    let text = markdown(&results);
    let at = |heading: &str| text.find(heading).unwrap_or_else(|| panic!("no {heading:?} in {text}"));
    assert!(at("## Verdict") < at("## Outcomes against"));
    assert!(at("## Outcomes against") < at("## loopback, 60 Hz"));
    assert!(text.contains("| quic-datagram | = | (better −"), "{text}");
    assert!(text.contains("Noise of tcp against itself: age p99"), "{text}");
    // Each group has a table of figures and one of spread. The settings have one table of
    // contenders and one of sides.
    assert_eq!(text.matches("\n| tcp | ").count(), 2 * 2 + 1 + 2, "controls are no rows: {text}");
    assert_eq!(text, markdown(&results));
    assert!(terminal(&results).trim_start().starts_with("3 repeats cannot"));
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

#[test]
fn compares_two_results() {
    let old = results(physics, 3, 1);
    let same = Changes::between(&old, &old);
    assert!(!same.got_worse());
    assert_eq!(same.changes.len(), 2 * 5 * Metric::all_for(Workload::Moves).len());
    assert!(same.changes.iter().all(|it| it.outcome == Outcome::NoDetectableDifference));

    // One transport becomes twice as expensive on one link.
    let slower: Truth = |kind, link, repeat, arm| {
        let (age, cpu) = physics(kind, link, repeat, arm);
        (age, if kind == 4 && link == "wifi" { cpu * 2.0 } else { cpu })
    };
    let new = results(slower, 3, 1);
    let diff = Changes::between(&old, &new);
    assert!(diff.got_worse());
    let worse: Vec<_> = diff.changes.iter().filter(|it| matches!(it.outcome, Outcome::Worse(_))).collect();
    assert_eq!(worse.len(), 1);
    assert_eq!((worse[0].metric, worse[0].key.group.link.as_str()), (Metric::ServerCpu, "wifi"));
    assert!(diff.text().contains("worse (indication): quic-datagram on wifi"), "{}", diff.text());
    assert!(!Changes::between(&new, &old).got_worse(), "the reverse comparison is better");

    // The comparison names combinations that only one result has.
    let mut fewer = old.clone();
    fewer.runs.retain(|run| run.key.contender.transport.name() != "tls");
    assert_eq!(Changes::between(&old, &fewer).only_one.len(), 2);
}

#[test]
fn names_other_hosts_and_settings() {
    let old = results(physics, 3, 1);
    assert!(mismatches(&old, &old).is_empty());
    let mut new = old.clone();
    new.provenance.kernel = "7.0".into();
    new.scenario.on_links.duration_ms = 9_000;
    new.provenance.sysctls.push(("net.core.rmem_max".into(), "1".into()));
    if let Network::Emulated(spec) = &mut new.scenario.links[1] {
        spec.up.delay_ms += 1.0;
    }
    let found: Vec<String> = mismatches(&old, &new).into_iter().map(|it| it.what).collect();
    assert_eq!(found, ["--duration", "kernel", "net.core.rmem_max", "link wifi"]);
    // Different commits are the purpose of the comparison.
    let mut built = old.clone();
    built.provenance.commit = "another".into();
    assert!(mismatches(&old, &built).is_empty());
}

#[test]
fn exit_code_tells_outcome() {
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str, results: &Results| {
        let path = folder.path().join(name);
        results.save(&path).expect("saved");
        path.to_str().expect("utf-8").to_owned()
    };
    let old = results(physics, 3, 1);
    let dearer: Truth = |kind, link, repeat, arm| {
        let (age, cpu) = physics(kind, link, repeat, arm);
        (age, cpu * 2.0)
    };
    let mut elsewhere = results(dearer, 3, 1);
    let (before, after) = (file("old.json", &old), file("new.json", &elsewhere));
    elsewhere.provenance.cpu = "another".into();
    let elsewhere = file("elsewhere.json", &elsewhere);
    let mut empty = old.clone();
    empty.runs.clear();
    let empty = file("empty.json", &empty);
    let cases: [(&[&str], i32, &str); 6] = [
        (&[&before, &before], 0, "50 without detectable difference"),
        (&[&before, &after], 3, "worse (indication): tcp on loopback"),
        (&[&before, &elsewhere], 1, "processor: one before, another now"),
        (&[&before, &elsewhere, "--insist"], 3, "warning: different processor"),
        (&[&before, &empty], 1, "share no combination"),
        (&[&before, "no-such-file.json"], 1, "cannot read no-such-file.json"),
    ];
    for (args, code, words) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_netduel-reports")).arg("compare").args(args).output();
        let output = output.expect("started");
        let text =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
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
