//! Tests of the comparison of two results, over invented results with a known truth.

use std::{path::Path, process::Command};

use netduel_client::stats::{Block, MoveStats, Samples};
use netduel_loadgen::{LoadResult, Usage};
use netduel_reports::{
    analysis::{metrics::Metric, verdict::comparison::Finding},
    commands::compare::{Changes, Evidence, mismatches},
    data::{
        results::{Provenance, Results},
        run_result::RunResult,
    },
    plan::{
        sampling::Sampling,
        scenario::{Network, RunKey, Scenario},
    },
};

/// Returns a pseudo-random number from 0 to 1 that follows from its arguments.
fn noise(seed: u64, place: u64) -> f64 {
    let mut it = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place.wrapping_mul(0xd1b5_4a32_d192_ed03);
    it ^= it >> 29;
    it = it.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it ^= it >> 32;
    (it % 10_000) as f64 / 10_000.0
}

/// Returns a run with 3 % of noise in its CPU time, and with ages of 20 to 90 ms in each second.
fn run(key: RunKey, seed: u64, cpu: f64, age_ms: f64) -> RunResult {
    let place = u64::from(key.repeat) + if key.contender.transport.encrypted() { 1_000 } else { 0 };
    let mut stats = MoveStats::new(16_667);
    let seconds = if key.group.link == "loopback" { 1 } else { 40 };
    for second in 0..seconds {
        let mut age = Samples::default();
        for step in 0..100 {
            let part = noise(seed, place * 1_000_000 + second * 1_000 + step % 25);
            age.record((20_000.0 + 70_000.0 * part + age_ms * 1e3) as u64);
        }
        stats.age.merge(&age);
        stats.blocks.push(Block { age, freezes: 1 });
    }
    stats.fresh = 1_000;
    let load = LoadResult {
        stats,
        sent: 1_000,
        sent_bytes: Some(80_000),
        received_bytes: Some(80_000),
        ..LoadResult::default()
    };
    let cpu_us = 10_000.0 * cpu * (1.0 + 0.03 * noise(seed, place));
    let server = Usage { cpu_us: Some(cpu_us as u64), ..Usage::default() };
    RunResult { server, ..RunResult::new(key, load) }
}

/// Returns results on loopback and on a link, with CPU time and age as given for the encrypted
/// transport.
fn results(seed: u64, cpu: f64, age_ms: f64) -> Results {
    let scenario = Scenario {
        transports: ["tcp", "tls"].map(|name| name.parse().expect("a kind")).to_vec(),
        links: ["loopback", "wifi"].map(|name| name.parse().expect("a link")).to_vec(),
        on_links: Sampling::LINK.of(&[1]),
        off_links: Sampling::ROUNDS.of(&[14]),
        seed,
        ..Scenario::default()
    };
    let runs = scenario.runs().into_iter().map(|key| match key.contender.transport.encrypted() {
        true => run(key, seed, cpu, age_ms),
        false => run(key, seed, 1.0, 0.0),
    });
    let provenance = Provenance { kernel: "6.18".into(), cpu: "one".into(), ..Provenance::default() };
    Results { runs: runs.collect(), ..Results::empty(scenario, provenance) }
}

fn found(changes: &Changes, finding: Finding) -> Vec<(Metric, String, String)> {
    let of = changes.changes.iter().filter(|it| it.finding == finding);
    of.map(|it| (it.metric, it.key.contender.to_string(), it.key.group.link.clone())).collect()
}

#[test]
fn finds_what_changed() {
    let old = results(1, 1.5, 0.0);
    let same = Changes::between(&old, &results(2, 1.5, 0.0));
    assert!(
        found(&same, Finding::Worse).is_empty() && found(&same, Finding::Better).is_empty(),
        "{}",
        same.text()
    );
    assert!(!same.got_worse(Evidence::Indication), "{}", same.text());

    let dearer = Changes::between(&old, &results(2, 2.0, 0.0));
    let expected = (Metric::ServerCpu, "tls".to_owned(), "loopback".to_owned());
    assert_eq!(found(&dearer, Finding::Worse), std::slice::from_ref(&expected), "{}", dearer.text());
    assert!(dearer.got_worse(Evidence::Found));
    let cheaper = Changes::between(&results(2, 2.0, 0.0), &old);
    assert_eq!(found(&cheaper, Finding::Better), [expected]);
    assert!(!cheaper.got_worse(Evidence::Indication), "better is no reason to fail");

    // With the same seed both met the same bad periods.
    let older = Changes::between(&old, &results(1, 1.5, 30.0));
    let worse = found(&older, Finding::Worse);
    assert!(worse.contains(&(Metric::AgeP99, "tls".into(), "wifi".into())), "{}", older.text());
    assert!(worse.iter().all(|it| it.1 == "tls"));
}

#[test]
fn matches_across_one_setting() {
    let old = results(1, 1.5, 0.0);
    let mut new = results(2, 1.5, 0.0);
    new.scenario.off_links.pairs = vec![50];
    for run in &mut new.runs {
        if run.key.group.link == "loopback" {
            run.key.group.pairs = 50;
        }
    }
    let changes = Changes::between(&old, &new);
    assert!(changes.only_one.is_empty());
    let named: Vec<String> = changes.mismatches.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["--pairs: 14 before, 50 now"]);

    // Two numbers of matches have no single partner.
    let mut two = old.clone();
    for mut run in old.runs.iter().filter(|run| run.key.group.link == "loopback").cloned() {
        run.key.group.pairs = 28;
        two.runs.push(run);
    }
    two.scenario.off_links.pairs = vec![14, 28];
    let changes = Changes::between(&two, &new);
    assert_eq!(
        changes.only_one.iter().filter(|(_, side)| *side == "before").count(),
        4,
        "{}",
        changes.text()
    );
}

#[test]
fn names_other_hosts_and_plans() {
    let old = results(1, 1.5, 0.0);
    assert!(mismatches(&old, &old).is_empty());
    let mut new = old.clone();
    new.provenance.kernel = "7.0".into();
    new.scenario.on_links.duration_ms = 9_000;
    if let Network::Emulated(spec) = &mut new.scenario.links[1] {
        spec.up.delay_ms += 1.0;
    }
    let found: Vec<String> = mismatches(&old, &new).into_iter().map(|it| it.what).collect();
    assert_eq!(found, ["--duration on wifi", "kernel", "link wifi"]);
    // Different builds are the purpose of the comparison, and any seed is as good as another.
    let mut built = results(2, 1.5, 0.0);
    built.provenance.commit = "another".into();
    assert!(mismatches(&old, &built).is_empty());
}

#[test]
fn exit_code_tells_the_outcome() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, results: &Results| {
        std::fs::create_dir(folder.path().join(name)).expect("created");
        results.save(&folder.path().join(name).join("results.json")).expect("saved");
        folder.path().join(name).to_str().expect("utf-8").to_owned()
    };
    let old = file("old", &results(1, 1.5, 0.0));
    let dearer = file("dearer", &results(2, 2.0, 0.0));
    let mut other = results(2, 2.0, 0.0);
    other.provenance.cpu = "another".into();
    let elsewhere = file("elsewhere", &other);
    other.runs.clear();
    let empty = file("empty", &other);
    let old_file = Path::new(&old).join("results.json").to_str().expect("utf-8").to_owned();
    let cases: [(&[&str], i32, &str); 7] = [
        (&[&old, &old_file], 0, "0 better, 0 worse"),
        (&[&old, &dearer], 3, "worse: tls on loopback, 60 Hz, 14 matches, CPU per fresh move"),
        (&[&old, &dearer], 3, "old  1970-01-01T00:00:00Z"),
        (&[&old, &elsewhere], 1, "processor: one before, another now"),
        (&[&old, &elsewhere, "--insist"], 3, "differs: processor: one before, another now"),
        (&[&old, &empty], 1, "share no transport on the same link"),
        (&[&old, "no-such-file.json"], 1, "cannot read no-such-file.json"),
    ];
    for (args, code, words) in cases {
        let program = env!("CARGO_BIN_EXE_netduel-reports");
        let output = Command::new(program).arg("compare").args(args).output().expect("started");
        let text =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
}
