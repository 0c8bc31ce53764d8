//! Tests of verdicts over invented runs with a known truth.

use std::sync::LazyLock;

use netduel_client::stats::{Block, MoveStats, Samples};
use netduel_link::LinkReport;
use netduel_loadgen::{ConnectBlock, Connects, LoadResult, Usage, Workload};

use super::*;
use crate::{
    analysis::verdict::{
        choice::{Certainty, DecidedBy, Doubt, Settle},
        comparison::{Effect, effects},
    },
    data::results::Provenance,
    plan::{
        sampling::Sampling,
        scenario::{Network, Remote, RunKey, Scenario},
    },
};

const SECONDS: u64 = 40;
const ROUNDS: u32 = 19;
const PAIRS: u32 = 2;
/// The fresh moves of a window.
const FRESH: u64 = 1_000;

/// The true figures of a contender.
#[derive(Clone, Copy)]
struct Truth {
    /// The length of a stall in each second, in ms.
    stall_ms: f64,
    cpu_us: f64,
    bytes: u64,
}

fn truth(name: &str) -> Truth {
    let (stall_ms, cpu_us, bytes) = match name {
        "tcp" => (512.0, 10.0, 160),
        "tcp-tuned" => (278.0, 10.2, 160),
        "tls" => (512.0, 13.0, 200),
        "tls-tuned" => (278.0, 13.2, 200),
        "quic-stream" => (168.0, 22.0, 185),
        "quic-uni" => (126.0, 27.0, 190),
        "quic-datagram" => (125.0, 20.0, 174),
        "enet" => (124.0, 9.0, 128),
        _ => (125.0, 8.0, 120),
    };
    Truth { stall_ms, cpu_us, bytes }
}

/// Returns a number from −1 to 1 that these numbers alone decide.
fn noise(of: [u64; 3]) -> f64 {
    let mixed =
        of.iter().fold(7u64, |hash, it| (hash ^ it).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31));
    (mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Returns a second with a stall that the link lengthens or shortens for all contenders alike.
fn second(number: u64, stall_ms: f64, own: u64) -> Block {
    static CALM: LazyLock<Samples> = LazyLock::new(|| {
        let mut age = Samples::default();
        (0..260).for_each(|_| age.record_span(36_000, 54_000));
        age
    });
    let mut age = CALM.clone();
    let stall_ms = stall_ms * (1.0 + 0.3 * noise([number, 1, 1]) + 0.02 * noise([number, own, 2]));
    age.record_span(36_000, (stall_ms * 1e3) as u64);
    Block { age, freezes: u64::from(stall_ms > 100.0) }
}

/// Returns a window in seconds.
fn seconds(stall_ms: f64, own: u64) -> Vec<Block> {
    (0..SECONDS).map(|number| second(number, stall_ms, own)).collect()
}

/// Returns the number of an arm, by which its noise differs.
fn own(key: &RunKey) -> u64 {
    key.to_string()
        .bytes()
        .fold(u64::from(key.arm), |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
}

/// Returns the run of a key by the truth.
fn run(scenario: &Scenario, key: RunKey) -> RunResult {
    let Truth { stall_ms, cpu_us, bytes } = truth(&key.contender.to_string());
    let place = Place::of(scenario, &key.group);
    let mut stats = MoveStats::new(16_667);
    stats.block_us = 1_000_000;
    stats.blocks = match place {
        Place::Link => seconds(stall_ms, own(&key)),
        _ => vec![second(key.repeat.into(), 54.0, own(&key))],
    };
    stats.blocks.iter().for_each(|block| stats.age.merge(&block.age));
    stats.fresh = FRESH;
    let load = LoadResult {
        sent: FRESH,
        sent_bytes: Some(bytes * FRESH / 2),
        received_bytes: Some(bytes * FRESH / 2),
        stats,
        ..LoadResult::default()
    };
    let cpu_us = cpu_us * (1.0 + 0.03 * noise([key.repeat.into(), own(&key), 3]));
    let link = scenario.links.iter().find(|it| it.name() == key.group.link).and_then(Network::spec);
    let link = link.map(|spec| {
        let mut report = LinkReport::new(spec.clone(), 1);
        report.elapsed_ms = SECONDS as f64 * 1e3;
        (report.up.loss_periods, report.down.loss_periods) = (36, 35);
        (report.up.udp.lost, report.down.udp.lost) = (90, 80);
        report
    });
    let cpu_us = (place != Place::Remote).then_some((cpu_us * FRESH as f64) as u64);
    RunResult { link, server: Usage { cpu_us, ..Usage::default() }, ..RunResult::new(key, load) }
}

fn scenario(links: &[&str]) -> Scenario {
    let sampling = Sampling {
        pairs: vec![PAIRS],
        repeats: 1,
        warmup_ms: 100,
        duration_ms: SECONDS * 1_000,
        drain_ms: 0,
    };
    Scenario {
        links: links.iter().map(|name| name.parse().expect("a network")).collect(),
        tuned: vec![false, true],
        on_links: sampling.clone(),
        off_links: Sampling { repeats: ROUNDS, duration_ms: 250, ..sampling },
        controls: 1,
        ..Scenario::default()
    }
}

fn results_of(scenario: Scenario) -> Results {
    let runs = scenario.runs().into_iter().map(|key| run(&scenario, key)).collect();
    Results { runs, ..Results::empty(scenario, Provenance::default()) }
}

fn results(links: &[&str]) -> Results {
    results_of(scenario(links))
}

fn judged(results: &Results) -> Verdict {
    Verdict::from_results(results).expect("a comparison")
}

/// Returns the first group's choice among the encrypted contenders.
fn choice(results: &Results) -> Choice {
    judged(results).groups[0].choice.clone().expect("a choice")
}

fn names(contenders: &[Contender]) -> Vec<String> {
    contenders.iter().map(ToString::to_string).collect()
}

fn named(results: &Results, name: &str) -> Contender {
    results.scenario.contenders().into_iter().find(|it| it.to_string() == name).expect("a contender")
}

#[test]
fn chooses_the_cheapest_of_the_fresh() {
    let verdict = judged(&results(&["wifi-busy", "loopback"]));
    let [wifi, loopback] = &verdict.groups[..] else { panic!("two groups") };
    let choice = wifi.choice.as_ref().expect("a choice");
    assert_eq!(choice.contender.to_string(), "quic-datagram");
    assert_eq!(names(&choice.alike), ["quic-uni"]);
    assert_eq!(names(&choice.worse), ["quic-stream", "tls-tuned", "tls"]);
    assert_eq!((choice.by, choice.certainty), (DecidedBy::Cpu, Certainty::Strong), "{:?}", choice.doubts);
    assert!(choice.encrypted_only && choice.doubts.is_empty() && choice.settle.is_none());
    let cpu = choice.cpu.expect("known");
    assert!((cpu.ratio - 2.0).abs() < 0.05 && cpu.interval.low < 2.0 && cpu.interval.high > 2.0, "{cpu:?}");
    assert!((choice.bytes.expect("known").ratio - 174.0 / 160.0).abs() < 1e-3);
    assert_eq!(choice.felt.contender, choice.contender);
    assert!(choice.felt_reference.expect("tcp").value > 3.0 * choice.felt.value);
    let of_all = wifi.choice_of_all.as_ref().expect("a choice");
    assert_eq!((of_all.contender.to_string().as_str(), of_all.encrypted_only), ("udp", false));
    assert_eq!(wifi.recommendation(), "quic-datagram");
    assert_eq!((wifi.unit, wifi.figures.units()), (Unit::Second, SECONDS as usize));
    assert_eq!((loopback.unit, loopback.figures.units()), (Unit::Round, ROUNDS as usize));
    // All are fresh alike there; of those that cost alike the plainer is chosen.
    assert_eq!(loopback.recommendation(), "tls");
}

#[test]
fn figures_are_those_of_all_samples() {
    let results = results(&["wifi-busy"]);
    let verdict = judged(&results);
    for run in &results.runs {
        let arm = (run.key.contender, run.key.arm);
        let estimates = &verdict.groups[0].figures.estimates;
        let of = |metric| estimates.iter().find(|it| (it.contender, it.arm) == arm && it.metric == metric);
        let age = &run.load.stats.age;
        assert_eq!(of(Metric::AgeP99).expect("known").value, age.quantile_us(0.99).expect("enough") as f64);
        let mean = of(Metric::AgeMean).expect("known").value;
        assert!((mean / age.mean_us().expect("ages") - 1.0).abs() < 1e-3);
        let freezes: u64 = run.load.stats.blocks.iter().map(|it| it.freezes).sum();
        let time_us: u64 = age.buckets().map(|it| it.1).sum();
        let each_minute = freezes as f64 / (time_us as f64 / 60e6);
        assert!((of(Metric::Freezes).expect("known").value - each_minute).abs() < 1e-9);
    }
    assert!(
        verdict.groups[0].estimate(Metric::ServerCpu, verdict.reference).is_none(),
        "not judged on links"
    );
}

#[test]
fn findings_have_four_words() {
    let results = results(&["wifi-busy", "loopback"]);
    let verdict = judged(&results);
    let [wifi, loopback] = &verdict.groups[..] else { panic!("two groups") };
    let tcp = verdict.reference;
    let [tls, datagram, uni] = ["tls", "quic-datagram", "quic-uni"].map(|name| named(&results, name));
    assert_eq!(wifi.finding(Metric::AgeP99, datagram, tcp), Finding::Better);
    assert_eq!(wifi.finding(Metric::AgeP99, tcp, datagram), Finding::Worse);
    assert_eq!(wifi.finding(Metric::AgeP99, uni, datagram), Finding::Same);
    assert_eq!(wifi.finding(Metric::Bytes, datagram, tcp), Finding::CannotTell, "not judged on links");
    assert_eq!(loopback.finding(Metric::ServerCpu, tls, tcp), Finding::Worse);
    assert_eq!(loopback.finding(Metric::Bytes, datagram, tcp), Finding::Worse);
    assert_eq!(loopback.finding(Metric::AgeP99, datagram, tcp), Finding::Same);
    // The control is the reference again.
    let control = &loopback.figures.control;
    assert!(control.iter().all(|it| it.finding == Finding::Same), "{control:?}");
    assert!(wifi.figures.control.iter().all(|it| it.candidate == tcp && it.against == tcp));
    let map = verdict.map(Metric::AgeP99);
    assert_eq!(map.len(), verdict.contenders.len() - 1);
    let cells = &map.iter().find(|it| it.0 == datagram).expect("mapped").1;
    let findings: Vec<Finding> = cells.iter().map(|it| it.as_ref().expect("compared").finding).collect();
    assert_eq!(findings, [Finding::Better, Finding::Same]);
}

#[test]
fn comparison_turns_around() {
    let results = results(&["wifi-busy"]);
    let group = judged(&results).groups.remove(0);
    let [stream, tcp] = ["quic-stream", "tcp"].map(|name| named(&results, name));
    for metric in [Metric::AgeP99, Metric::Freezes] {
        let forth = group.comparison(metric, stream, tcp).expect("compared");
        let back = group.comparison(metric, tcp, stream).expect("compared");
        assert_eq!((back.candidate, back.against, back.finding), (tcp, stream, forth.finding.reversed()));
        let (forth, back) = (forth.effect.expect("enough"), back.effect.expect("enough"));
        assert_eq!(
            (back.candidate, back.against, back.difference),
            (forth.against, forth.candidate, -forth.difference)
        );
        let again = Comparison::new(metric, [tcp, stream], Some(back)).reversed().effect.expect("enough");
        for (one, other) in [(again.alone, forth.alone), (again.simultaneous, forth.simultaneous)] {
            assert!((one.low - other.low).abs() < 1e-6 * other.low.abs().max(1.0), "{one:?} {other:?}");
            assert!((one.high - other.high).abs() < 1e-6 * other.high.abs().max(1.0), "{one:?} {other:?}");
        }
        assert!(back.alone.low <= back.difference && back.difference <= back.alone.high);
        assert_eq!((back.floor, back.margin), (metric.floor(back.against), metric.margin(back.against)));
    }
}

/// Returns the numbers of an invented comparison, against 100.
fn effect(simultaneous: [f64; 2], alone: [f64; 2]) -> Effect {
    let interval = |[low, high]: [f64; 2]| crate::analysis::statistics::Interval { low, high };
    Effect {
        units: 30,
        candidate: 110.0,
        against: 100.0,
        difference: 10.0,
        alone: interval(alone),
        simultaneous: interval(simultaneous),
        floor: 2.0,
        margin: 10.0,
        detectable: 5.0,
    }
}

#[test]
fn intervals_decide_findings() {
    let found = |low, high| effect([low, high], [0.0, 0.0]).finding();
    assert_eq!(found(2.1, 30.0), Finding::Worse);
    assert_eq!(found(-30.0, -2.1), Finding::Better);
    assert_eq!(found(2.1, 9.0), Finding::Worse, "found, though nobody would notice");
    assert_eq!(found(2.0, 30.0), Finding::CannotTell);
    assert_eq!(found(-30.0, -2.0), Finding::CannotTell);
    assert_eq!(found(2.0, 10.0), Finding::Same);
    assert_eq!(found(-10.0, 10.0), Finding::Same);
    assert_eq!(found(-10.1, 10.0), Finding::CannotTell);
    assert_eq!(found(-10.0, 10.1), Finding::CannotTell);
    assert_eq!(found(2.1, f64::INFINITY), Finding::Worse);
    assert_eq!(effect([0.0, 90.0], [3.0, 40.0]).finding_alone(), Finding::Worse);
    let ratio = effect([0.0, 0.0], [-10.0, 30.0]).ratio_interval();
    assert_eq!((ratio.low, ratio.high), (0.9, 1.3));
}

#[test]
fn too_few_losses_give_no_choice() {
    let mut results = results(&["lte", "loopback"]);
    for run in results.runs.iter_mut().filter(|run| run.key.group.link == "lte") {
        let link = run.link.as_mut().expect("a link");
        // Of all contenders the one with the least evidence counts.
        let periods = if run.key.contender.to_string() == "enet" { 4 } else { 40 };
        (link.up.loss_periods, link.down.loss_periods) = (periods, 0);
    }
    let verdict = judged(&results);
    let lte = &verdict.groups[0];
    assert_eq!((&lte.choice, &lte.choice_of_all), (&None, &None));
    assert_eq!(lte.recommendation(), "none (too few losses)");
    let met = lte.met.expect("a link");
    assert_eq!((met.bad_periods, met.bad_periods_wanted, met.lost_packets), (4, 10, 170));
    assert!(met.asked_loss && !met.enough() && met.seconds == SECONDS as f64);
    // LTE is bad about every ten seconds, each way.
    assert!((40..=200).contains(&met.seconds_wanted.expect("known")), "{met:?}");
    assert!(verdict.groups[1].met.is_none() && verdict.groups[1].choice.is_some());

    let enough = judged(&self::results(&["lte"])).groups[0].met.expect("a link");
    assert!(enough.enough() && enough.seconds_wanted.is_none());
    // A link that was not asked to lose anything needs no losses.
    let mut clean = self::results(&["delay=20ms"]);
    clean.runs.iter_mut().filter_map(|run| run.link.as_mut()).for_each(|link| {
        (link.up.loss_periods, link.down.loss_periods) = (0, 0);
    });
    let group = judged(&clean).groups.remove(0);
    assert!(group.met.is_some_and(|met| !met.asked_loss && met.enough()) && group.choice.is_some());
}

#[test]
fn failed_checks_lower_the_certainty() {
    let mut results = results(&["wifi-busy", "loopback"]);
    (0..2_000).for_each(|_| results.runs[0].load.lateness.record(50_000));
    let choice = choice(&results);
    assert_eq!(choice.certainty, Certainty::Some);
    assert_eq!(choice.doubts, [Doubt::FailedChecks(vec!["Lateness of sending on links, p99"])]);
    assert_eq!(choice.settle, Some(Settle::IdleMachine));
    assert_eq!(judged(&results).failed_checks, ["Lateness of sending on links, p99"]);
    // A run that was repeated is told, and does not decide.
    let mut repeated = self::results(&["wifi-busy", "loopback"]);
    let key = repeated.runs[0].key.clone();
    repeated.rejected.push(crate::data::results::Failure { key, reason: "late".into() });
    assert_eq!(self::choice(&repeated).certainty, Certainty::Strong);
}

/// Gives `name` a stall of this length once in so many seconds.
fn stalls_now_and_then(results: &mut Results, name: &str, stall_ms: f64, every: usize) {
    for run in
        results.runs.iter_mut().filter(|run| run.key.contender.to_string() == name && run.link.is_some())
    {
        let stalled = seconds(stall_ms, own(&run.key));
        let stats = &mut run.load.stats;
        for (at, block) in stats.blocks.iter_mut().enumerate().filter(|it| it.0 % every == 0) {
            *block = stalled[at].clone();
        }
    }
}

#[test]
fn open_rivals_leave_a_doubt() {
    // A rival with a few deep stalls: its figure is far worse, but on one second alone.
    let mut results = results(&["wifi-busy", "loopback"]);
    stalls_now_and_then(&mut results, "quic-uni", 3_000.0, 40);
    let choice = choice(&results);
    assert_eq!(choice.contender.to_string(), "quic-datagram");
    assert!(names(&choice.worse).contains(&"quic-uni".to_owned()));
    let uni = named(&results, "quic-uni");
    let open = |doubt: &Doubt| matches!(doubt, Doubt::NotShown(rivals) | Doubt::ShownAlone(rivals) if *rivals == [uni]);
    assert!(choice.doubts.iter().any(open), "{:?}", choice.doubts);
    assert!(choice.certainty < Certainty::Strong);
    let Some(Settle::LinkSeconds(seconds)) = choice.settle else { panic!("{:?}", choice.settle) };
    assert!(seconds > SECONDS && seconds % 10 == 0, "{seconds}");
}

#[test]
fn freshness_decides_alone() {
    let mut scenario = scenario(&["wifi-busy", "loopback"]);
    scenario.transports = ["tls", "quic-datagram"].map(|name| name.parse().expect("a kind")).to_vec();
    scenario.tuned = vec![false];
    let choice = choice(&results_of(scenario));
    assert_eq!((choice.contender.to_string().as_str(), choice.by), ("quic-datagram", DecidedBy::Freshness));
    assert!(choice.alike.is_empty() && names(&choice.worse) == ["tls"]);
}

/// Returns results of two transports that are fresh alike, and whose costs vary wildly by round.
fn alike_with_wild_costs() -> Results {
    let mut scenario = scenario(&["wifi-busy", "loopback"]);
    scenario.transports = ["quic-uni", "quic-datagram"].map(|name| name.parse().expect("a kind")).to_vec();
    scenario.tuned = vec![false];
    let mut results = results_of(scenario);
    for run in results.runs.iter_mut().filter(|run| run.link.is_none()) {
        let factor = if (run.key.repeat + own(&run.key) as u32).is_multiple_of(2) { 0.3 } else { 2.5 };
        run.server.cpu_us = run.server.cpu_us.map(|cpu_us| (cpu_us as f64 * factor) as u64);
    }
    results
}

#[test]
fn open_cost_leaves_ages_unnoticed() {
    let mut results = alike_with_wild_costs();
    let choice = choice(&results);
    assert_eq!(choice.certainty, Certainty::None, "{:?}", choice.doubts);
    assert_eq!(choice.open.len(), 1);
    assert_eq!(choice.doubts, [Doubt::NotShown(choice.open.clone())]);
    assert_eq!(choice.unnoticed, Some(Certainty::Strong));
    assert_eq!(judged(&results).groups[0].recommendation(), "undecided");
    // A failed self-check weakens this, too.
    (0..2_000).for_each(|_| results.runs[0].load.lateness.record(50_000));
    assert_eq!(self::choice(&results).unnoticed, Some(Certainty::Some));
    // With deep stalls of one of them, a player may notice.
    let mut stalling = alike_with_wild_costs();
    stalls_now_and_then(&mut stalling, "quic-uni", 3_000.0, 40);
    let choice = self::choice(&stalling);
    assert_eq!((choice.certainty, choice.unnoticed), (Certainty::None, Some(Certainty::None)));
    // A settled choice leaves nothing open.
    let settled = self::choice(&self::results(&["wifi-busy", "loopback"]));
    assert_eq!((settled.open, settled.unnoticed), (Vec::new(), None));
}

#[test]
fn remote_server_is_chosen_by_bytes() {
    let remote = Network::Remote(Remote { server: "far.example".into(), pin: None, ca: None });
    let results = results_of(Scenario { links: vec![remote], ..scenario(&[]) });
    let group = judged(&results).groups.remove(0);
    assert_eq!((group.place, group.unit), (Place::Remote, Unit::Round));
    let choice = group.choice.expect("a choice");
    assert_eq!((choice.contender.to_string().as_str(), choice.by), ("quic-datagram", DecidedBy::Bytes));
    assert!(choice.cpu.is_none() && choice.doubts.contains(&Doubt::NoCpu), "{:?}", choice.doubts);
}

#[test]
fn unknown_cost_settles_nothing() {
    let remote = Network::Remote(Remote { server: "far.example".into(), pin: None, ca: None });
    let mut scenario = Scenario { links: vec![remote], tuned: vec![false], ..scenario(&[]) };
    scenario.transports = ["quic-uni", "quic-datagram"].map(|name| name.parse().expect("a kind")).to_vec();
    let mut results = results_of(scenario);
    for run in &mut results.runs {
        let factor = if (run.key.repeat + own(&run.key) as u32).is_multiple_of(2) { 0.3 } else { 2.5 };
        run.load.sent_bytes = run.load.sent_bytes.map(|bytes| (bytes as f64 * factor) as u64);
        run.load.received_bytes = run.load.sent_bytes;
    }
    // Bytes that vary wildly leave the choice open, and no rounds of CPU would close it.
    let choice = choice(&results);
    assert_eq!((choice.certainty, choice.open.len()), (Certainty::None, 1), "{:?}", choice.doubts);
    assert_eq!(choice.settle, None);
}

#[test]
fn unknown_cost_leaves_the_freshest() {
    let choice = choice(&results(&["wifi-busy"]));
    assert_eq!(choice.by, DecidedBy::Nothing);
    assert!(choice.doubts.contains(&Doubt::NoCost));
    let fresh = [&["quic-datagram".to_owned()], &names(&choice.alike)[..]].concat();
    assert!(fresh.contains(&choice.contender.to_string()) || choice.contender.to_string() == "quic-uni");
}

#[test]
fn cost_comes_from_alike_group() {
    let mut scenario = scenario(&["loopback", "wifi-busy"]);
    (scenario.rates_hz, scenario.payloads_bytes) = (vec![20, 60], vec![0, 64]);
    scenario.transports = ["tcp", "tls"].map(|name| name.parse().expect("a kind")).to_vec();
    let verdict = judged(&results_of(scenario));
    for group in &verdict.groups {
        let costs = &verdict.cost_of(&group.group).expect("measured").group;
        assert_eq!(
            (costs.link.as_str(), costs.rate_hz, costs.payload_bytes),
            ("loopback", group.group.rate_hz, group.group.payload_bytes)
        );
    }
    let other = Group { rate_hz: 1, ..verdict.groups[0].group.clone() };
    assert!(verdict.cost_of(&other).is_some(), "any cost is better than none");
}

#[test]
fn single_contender_is_the_only_one() {
    let mut scenario = scenario(&["wifi-busy"]);
    (scenario.transports, scenario.tuned) = (vec!["tls".parse().expect("a kind")], vec![false]);
    let choice = choice(&results_of(scenario));
    assert_eq!((choice.contender.to_string().as_str(), choice.by), ("tls", DecidedBy::Only));
    assert!(choice.doubts.is_empty() && choice.alike.is_empty() && choice.worse.is_empty());
}

#[test]
fn few_rounds_cannot_tell() {
    let mut scenario = scenario(&["loopback"]);
    scenario.off_links.repeats = 4;
    let verdict = judged(&results_of(scenario));
    let group = &verdict.groups[0];
    assert!(
        group.figures.comparisons.iter().all(|it| it.effect.is_none() && it.finding == Finding::CannotTell)
    );
    assert!(group.figures.estimates.iter().all(|it| it.interval.is_none() && it.value > 0.0));
    let choice = group.choice.as_ref().expect("a choice");
    assert_eq!(choice.certainty, Certainty::None);
    assert!(matches!(choice.doubts[..], [Doubt::NotShown(_)]), "{:?}", choice.doubts);
}

#[test]
fn searches_have_no_verdict() {
    let mut results = results(&["loopback"]);
    results.scenario.search = Some(crate::plan::search::Search::RATE);
    assert!(Verdict::from_results(&results).is_none());
    let mut empty = self::results(&["loopback"]);
    empty.runs.clear();
    assert!(judged(&empty).groups.is_empty());
}

#[test]
fn judges_connects_by_time() {
    let mut scenario = scenario(&["wifi-busy"]);
    scenario.workload = Workload::Connects;
    let mut results = results_of(scenario);
    for run in &mut results.runs {
        let slow = if run.key.contender.transport.encrypted() { 2 } else { 1 };
        let block = |number: u64| {
            let mut block = ConnectBlock::default();
            (0..30).for_each(|meeting| {
                block.first_move.record(slow * (300_000 + (number * 30 + meeting) * 10));
                block.paired.record(slow * 200_000);
            });
            block
        };
        let connects = Connects { blocks: (0..SECONDS).map(block).collect(), ..Connects::default() };
        run.load.connects = Some(connects);
    }
    let verdict = judged(&results);
    let value =
        |metric, name: &str| verdict.groups[0].estimate(metric, named(&results, name)).expect("known").value;
    assert!((value(Metric::PairedP50, "tcp") - 200_000.0).abs() < 2_000.0);
    assert!((value(Metric::PairedP99, "tls") - 400_000.0).abs() < 4_000.0);
    assert!((value(Metric::FirstMoveP50, "tcp") - 306_000.0).abs() < 3_000.0);
    assert!(value(Metric::FirstMoveP99, "tcp") > value(Metric::FirstMoveP50, "tcp"));
}

#[test]
fn two_results_compare_unpaired() {
    let [old, new] = [results(&["wifi-busy", "loopback"]), results(&["wifi-busy", "loopback"])];
    let runs = |of: &Results, link: &str, name: &str| -> Vec<RunResult> {
        let is_it = |run: &&RunResult| {
            run.key.group.link == link && run.key.contender.to_string() == name && run.key.arm == 0
        };
        of.runs.iter().filter(is_it).cloned().collect()
    };
    let compare = |metric, link: &str, [now, before]: [&str; 2], paired| {
        let (now, before) = (runs(&new, link, now), runs(&old, link, before));
        let pairs = [[now.iter().collect(), before.iter().collect()], [Vec::new(), Vec::new()]];
        let found = effects(metric, &pairs, paired, 1);
        assert_eq!((found.len(), found[1]), (2, None));
        found[0].expect("enough")
    };
    for paired in [true, false] {
        assert_eq!(compare(Metric::ServerCpu, "loopback", ["tcp", "tcp"], paired).finding(), Finding::Same);
        assert_eq!(compare(Metric::ServerCpu, "loopback", ["tls", "tcp"], paired).finding(), Finding::Worse);
        assert_eq!(compare(Metric::AgeP99, "wifi-busy", ["udp", "tcp"], paired).finding(), Finding::Better);
    }
    // The same runs differ in nothing if they are paired, and vary by themselves if not.
    let width = |paired| {
        let alone = compare(Metric::AgeP99, "wifi-busy", ["tcp", "tcp"], paired).alone;
        alone.high - alone.low
    };
    assert!(width(true) * 3.0 < width(false), "{} {}", width(true), width(false));
}
