//! Tests of the search's judgement over invented runs, one for each cause.

use netduel_client::stats::Samples;
use netduel_link::{Counters, DirectionReport, LinkSpec, Priority};
use netduel_loadgen::LoadResult;

use super::*;
use crate::{
    data::results::{ATTEMPTS_MAX, Failure, Provenance},
    plan::{
        sampling::Sampling,
        scenario::{Network, Scenario},
    },
};

const SPEC: &str = "delay=10ms,rate=5mbit,queue=20kB";
const MATCHES: u32 = 10;
/// The bytes of a move of `udp` with its headers.
const MOVE_BYTES: u64 = 54;

/// A window of a second.
const WINDOW: Sampling =
    Sampling { pairs: Vec::new(), repeats: 1, warmup_ms: 0, duration_ms: 1_000, drain_ms: 0 };

/// Returns a search of `of` over `udp` on [`SPEC`] or on loopback, with one match or ten and
/// windows of a second.
fn search_on(link: &str, search: Search) -> Results {
    let network: Network = link.parse().expect("a network");
    let scenario = Scenario {
        transports: vec!["udp".parse().expect("a kind")],
        links: vec![network],
        rates_hz: vec![60],
        on_links: WINDOW.of(&[MATCHES]),
        off_links: WINDOW.of(&[MATCHES]),
        search: Some(search),
        ..Scenario::default()
    };
    Results::empty(scenario, Provenance::default())
}

/// Returns the key of the first repeat at a value.
fn key_at(results: &Results, value: u32) -> RunKey {
    let scenario = &results.scenario;
    let of = scenario.search.expect("a search").of;
    let contender = scenario.contenders()[0];
    RunKey { contender, group: group_at(&scenario.groups()[0], of, value), repeat: 0, arm: 0 }
}

/// Returns a run that delivers every move at an age of 40 ms.
fn perfect(key: RunKey) -> RunResult {
    let sent = moves_per_s(&key.group) as u64;
    let mut load = LoadResult { sent, ..LoadResult::default() };
    (0..1_000).for_each(|_| load.stats.age.record(40_000));
    load.stats.fresh = sent;
    let link = key.group.link.contains("rate").then(|| {
        let counters = Counters {
            offered: sent,
            offered_bytes: sent * MOVE_BYTES,
            delivered: sent,
            delivered_bytes: sent * MOVE_BYTES,
            ..Counters::default()
        };
        report(DirectionReport { udp: counters, ..DirectionReport::default() })
    });
    RunResult { link, ..RunResult::new(key, load) }
}

fn report(both: DirectionReport) -> LinkReport {
    let empty = LinkReport::new(SPEC.parse::<LinkSpec>().expect("a spec"), 1);
    let priority = Priority::RealTime;
    LinkReport { elapsed_ms: 1_000.0, up: both, down: both, emulator_cpu_ms: 100.0, priority, ..empty }
}

/// Judges one value by its runs.
fn judge(results: &Results, value: u32, runs: &[RunResult]) -> Try {
    let mut results = results.clone();
    results.scenario.on_links.repeats = runs.len() as u32;
    results.scenario.off_links.repeats = runs.len() as u32;
    results.runs = runs.to_vec();
    let search = results.scenario.search.expect("a search");
    tried(&results, &search, &key_at(&results, value), value).expect("its runs are done")
}

/// Judges 60 Hz by one run on [`SPEC`], which is perfect but for a change.
fn judge_with(change: impl Fn(&mut RunResult)) -> Try {
    judge_on(SPEC, change)
}

fn judge_on(link: &str, change: impl Fn(&mut RunResult)) -> Try {
    let results = search_on(link, Search::RATE);
    let mut run = perfect(key_at(&results, 60));
    change(&mut run);
    judge(&results, 60, &[run])
}

fn link_of(run: &mut RunResult) -> &mut LinkReport {
    run.link.as_mut().expect("a link")
}

#[test]
fn perfect_run_holds() {
    let held = judge_with(|_| {});
    assert_eq!(held.fate, Fate::Held);
    assert!(!held.players_busy && !held.server_busy && !held.link_busy && !held.harness_broke());
    assert_eq!(held.to_string(), "held");
    assert_eq!(judge_on("loopback", |_| {}).wire, None);
}

#[test]
fn own_drops_never_count() {
    // 54 B × 20 players × 640 Hz are 5.5 Mbit/s: a tenth of the moves overflows the queue, and the
    // rest arrives young.
    let results = search_on(SPEC, Search::RATE);
    let mut run = perfect(key_at(&results, 640));
    let (sent, arrived) = (run.load.sent, run.load.sent * 9 / 10);
    run.load.stats.fresh = arrived;
    let link = link_of(&mut run);
    (link.up.udp.delivered, link.up.udp.queue_dropped) = (arrived, sent - arrived);
    link.down.udp.offered = arrived;
    link.down.udp.offered_bytes = arrived * MOVE_BYTES;
    let broke = judge(&results, 640, &[run.clone()]);
    assert_eq!(broke.fate, Fate::BeyondLink);
    assert!(!broke.harness_broke());

    // Without a rate in the spec, the same drops are moves that are missing.
    link_of(&mut run).spec.up.rate = None;
    link_of(&mut run).spec.down.rate = None;
    let broke = judge(&results, 640, &[run]);
    let missing = Fate::Missing { delivered_share: 0.9, allowed_share: 1.0, superseded_share: 0.0 };
    assert_eq!(broke.fate, missing);
    assert_eq!(broke.to_string(), "90.0 % of the moves arrived");
}

#[test]
fn link_s_own_loss_is_allowed() {
    // Each way loses a tenth, so that 81 % arrive; 95 % of these must.
    let lossy = |fresh_share: f64| {
        judge_with(move |run| {
            let sent = run.load.sent;
            let link = link_of(run);
            for way in [&mut link.up, &mut link.down] {
                (way.udp.lost, way.udp.delivered) = (sent / 10, sent - sent / 10);
            }
            run.load.stats.fresh = (sent as f64 * fresh_share) as u64;
        })
    };
    assert_eq!(lossy(0.81).fate, Fate::Held);
    assert_eq!(lossy(0.775).fate, Fate::Held);
    let broke = lossy(0.765);
    let Fate::Missing { delivered_share, allowed_share, .. } = broke.fate else { panic!("{broke}") };
    assert!((delivered_share - 0.765).abs() < 1e-9 && (allowed_share - 0.81).abs() < 1e-9, "{broke}");
    assert_eq!(broke.to_string(), "76.5 % of the moves arrived (the link leaves 81.0 %)");
}

#[test]
fn queue_drops_hide_no_loss() {
    // Of 100 packets 50 overflow, and the link loses 5 of the other 50: a tenth, not a twentieth.
    let run = {
        let results = search_on(SPEC, Search::RATE);
        let mut run = perfect(key_at(&results, 60));
        let up = &mut link_of(&mut run).up.udp;
        (up.offered, up.queue_dropped, up.lost) = (100, 50, 5);
        run
    };
    let link = run.link.as_ref().expect("a link");
    let left = |direction| left_by_link([link].into_iter(), direction);
    assert!((left(Direction::Up) - 0.9).abs() < 1e-9);
    assert_eq!((left(Direction::Down), left_by_link([].into_iter(), Direction::Up)), (1.0, 1.0));
    assert!((arrived_share(&[link], Direction::Up) - 0.45).abs() < 1e-9);
    assert_eq!(arrived_share(&[], Direction::Up), 1.0);
}

#[test]
fn held_packets_are_allowed() {
    let reordered = judge_with(|run| {
        let sent = run.load.sent;
        link_of(run).up.udp.held = sent / 10;
        (run.load.stats.fresh, run.load.stats.late) = (sent * 9 / 10, sent / 10);
    });
    assert_eq!(reordered.fate, Fate::Held);
}

#[test]
fn duplicates_never_count() {
    // A tenth is missing, and as many arrive twice.
    let broke = judge_with(|run| {
        let sent = run.load.sent;
        (run.load.stats.fresh, run.load.stats.late) = (sent * 9 / 10, sent / 10);
        link_of(run).up.udp.duplicated = sent / 10;
    });
    assert!(matches!(broke.fate, Fate::Missing { allowed_share: 1.0, .. }), "{broke}");
}

#[test]
fn superseded_moves_are_missing() {
    let broke = judge_on("loopback", |run| {
        let sent = run.load.sent;
        (run.load.stats.fresh, run.load.superseded) = (sent / 2, sent / 2);
    });
    let missing = Fate::Missing { delivered_share: 0.5, allowed_share: 1.0, superseded_share: 0.5 };
    assert_eq!(broke.fate, missing);
    assert_eq!(broke.to_string(), "50.0 % of the moves arrived, 50.0 % were superseded");
}

#[test]
fn moves_superseded_on_arrival_arrived() {
    let held = judge_on("loopback", |run| {
        let sent = run.load.sent;
        (run.load.stats.fresh, run.load.stats.superseded_on_arrival) = (sent / 2, sent / 2);
    });
    assert_eq!(held.fate, Fate::Held);
}

#[test]
fn each_player_may_have_a_link() {
    // One link loses a fifth of what goes up, the other one a tenth of what goes down. Half of the
    // moves cross both of these.
    let with = |busy_ms: f64| {
        let results = search_on(SPEC, Search::RATE);
        let mut run = perfect(key_at(&results, 60));
        let sent = run.load.sent;
        let first = link_of(&mut run);
        let mut second = first.clone();
        first.up.udp.lost = first.up.udp.offered / 5;
        second.down.udp.lost = second.down.udp.offered / 10;
        second.emulator_cpu_ms = busy_ms;
        first.second = Some(Box::new(second));
        run.load.stats.fresh = sent * 83 / 100;
        assert!((left_by_links(&[&run]) - f64::midpoint(0.8 * 0.9, 1.0)).abs() < 1e-9);
        judge(&results, 60, &[run])
    };
    let held = with(100.0);
    assert_eq!((held.fate, held.wire, held.link_busy), (Fate::Held, None, false));
    assert!(with(900.0).link_busy);
}

#[test]
fn old_positions_break_a_value() {
    let aged = |age_us: u64| {
        judge_with(move |run| {
            run.load.stats.age = Samples::default();
            (0..1_000).for_each(|_| run.load.stats.age.record(age_us));
        })
    };
    assert_eq!(aged(99_000).fate, Fate::Held);
    let broke = aged(140_000);
    assert!(matches!(broke.fate, Fate::Stale { age_p99_ms } if (139.0..142.0).contains(&age_p99_ms)));
    assert!(broke.to_string().starts_with("age p99 14"), "{broke}");
}

#[test]
fn few_samples_are_no_judgement() {
    let broke = judge_with(|run| run.load.stats.age = Samples::default());
    assert_eq!(broke.fate, Fate::TooFew);
    assert_eq!(broke.to_string(), "too few moves for a judgement: raise --duration");
}

#[test]
fn players_must_send_the_rate() {
    let sending = |share: f64| {
        judge_with(move |run| {
            run.load.sent = (run.load.sent as f64 * share) as u64;
            run.load.stats.fresh = run.load.sent;
        })
    };
    assert_eq!(sending(0.96).fate, Fate::Held);
    let broke = sending(0.5);
    assert_eq!(broke.fate, Fate::Unsent { sent_share: 0.5 });
    assert!(broke.harness_broke());
    assert_eq!(broke.to_string(), "the players sent 50.0 % of the moves");
}

#[test]
fn repeats_are_judged_together() {
    let results = search_on("loopback", Search::RATE);
    let run = |repeat: u32, fresh_percent: u64| {
        let mut run = perfect(RunKey { repeat, ..key_at(&results, 60) });
        run.load.stats.fresh = run.load.sent * fresh_percent / 100;
        run
    };
    assert_eq!(judge(&results, 60, &[run(0, 100), run(1, 92)]).fate, Fate::Held);
    let broke = judge(&results, 60, &[run(0, 96), run(1, 92)]);
    assert!(matches!(broke.fate, Fate::Missing { delivered_share, .. } if delivered_share == 0.94));
}

#[test]
fn busy_sides_are_named() {
    // Nine tenths of the window, which is too much; eight tenths are not.
    let broke = |busy: &dyn Fn(&mut RunResult, u64)| {
        let with = |share: u64| {
            judge_with(|run| {
                run.load.stats.fresh = 0;
                busy(run, share);
            })
        };
        let calm = with(800);
        assert!(!calm.players_busy && !calm.server_busy && !calm.link_busy, "{calm}");
        with(900)
    };
    let server = broke(&|run, ms| run.server.cpu_us = Some(ms * 1_000));
    assert!(server.server_busy && !server.harness_broke());
    assert_eq!(server.to_string(), "0.0 % of the moves arrived, server busy");
    let players = broke(&|run, ms| run.players.cpu_us = Some(ms * 1_000));
    assert!(players.players_busy && players.harness_broke());
    assert_eq!((players.answer(), players.to_string().contains(", players busy")), (Answer::Broke, true));
    let late = broke(&|run, ms| {
        // Nine or eleven milliseconds of a bound of 100.
        let late_us = if ms < 900 { 9_000 } else { 11_000 };
        (0..1_000).for_each(|_| run.load.lateness.record(late_us));
    });
    assert!(late.players_busy && late.harness_broke());
    let emulator = broke(&|run, ms| link_of(run).emulator_cpu_ms = ms as f64);
    assert!(emulator.link_busy && emulator.harness_broke());
    assert_eq!(
        (emulator.answer(), emulator.to_string().contains(", emulator busy")),
        (Answer::LinkBroke, true)
    );
    let all = broke(&|run, ms| {
        (run.server.cpu_us, link_of(run).emulator_cpu_ms) = (Some(ms * 1_000), ms as f64);
    });
    assert!(!all.harness_broke(), "the server is the cause");
    assert_eq!(all.answer(), Answer::Broke);
}

#[test]
fn busy_side_undoes_nothing() {
    let held = judge_with(|run| link_of(run).emulator_cpu_ms = 950.0);
    assert!(held.link_busy && !held.harness_broke());
    assert_eq!((held.fate.clone(), held.answer()), (Fate::Held, Answer::Held));
}

#[test]
fn late_link_ends_the_search() {
    let mut results = search_on(SPEC, Search::RATE);
    results.runs = [10, 20].map(|rate_hz| perfect(key_at(&results, rate_hz))).to_vec();
    let late = Failure { key: key_at(&results, 40), reason: "late".into() };
    results.rejected = vec![late; ATTEMPTS_MAX];
    let found = capacities(&results);
    let [capacity] = &found[..] else { panic!("one contender") };
    assert_eq!((capacity.highest(), capacity.next), (Some(20), None));
    let broke = capacity.broke().expect("it broke");
    assert_eq!((&broke.fate, broke.value), (&Fate::LinkLate, 40));
    assert!(capacity.harness_broke());
    assert_eq!(broke.to_string(), "the link was late in each attempt, emulator busy");
    // One attempt is left.
    results.rejected.pop();
    assert_eq!(capacities(&results)[0].next, Some(40));
}

#[test]
fn failed_run_breaks_a_value() {
    let mut results = search_on(SPEC, Search::RATE);
    results.failures = vec![Failure { key: key_at(&results, 10), reason: "refused".into() }];
    let broke = tried(&results, &Search::RATE, &key_at(&results, 10), 10).expect("done");
    assert_eq!((broke.fate.clone(), broke.to_string()), (Fate::Failed, "a run failed".into()));
    assert!(!broke.harness_broke());
    assert_eq!(capacities(&results)[0].next, Some(20), "one failure does not end the search");
}

#[test]
fn link_bounds_rate_and_matches() {
    // 5 Mbit/s are 625,000 B/s: 11,574 moves of 54 B.
    let wire = judge_with(|_| {}).wire.expect("a rate");
    assert_eq!((wire.direction, wire.bytes_per_move), (Direction::Up, 54.0));
    assert!((wire.limit - 578.7).abs() < 0.1, "{wire:?}");
    let of_matches = Search { of: Searched::Pairs, ..Search::PAIRS };
    let results = search_on(SPEC, of_matches);
    let judged = judge(&results, 64, &[perfect(key_at(&results, 64))]);
    assert!((judged.wire.expect("a rate").limit - 96.45).abs() < 0.1, "{judged:?}");
    assert_eq!(judged.fate, Fate::Held);
    assert_eq!(judge(&results, 128, &[perfect(key_at(&results, 128))]).fate, Fate::BeyondLink);
}

#[test]
fn narrower_direction_bounds() {
    // The downlink has a third of the rate, and half of the moves reach it.
    let wire = judge_with(|run| {
        let sent = run.load.sent;
        let link = link_of(run);
        link.spec.down.rate = Some(Rate::MbitPerS(5.0 / 3.0));
        link.up.udp.lost = sent / 4;
        link.up.udp.queue_dropped = sent / 4;
        link.down.udp.offered_bytes = sent / 2 * MOVE_BYTES;
    });
    let wire = wire.wire.expect("a rate");
    assert_eq!(wire.direction, Direction::Down);
    assert!((wire.limit - 578.7 / 3.0).abs() < 0.1 && wire.bytes_per_move == 54.0, "{wire:?}");
}

#[test]
fn needs_a_constant_rate() {
    assert_eq!(judge_with(|run| run.shared = true).wire, None, "a bulk transfer takes part");
    let traced = judge_with(|run| {
        let link = link_of(run);
        link.spec.up.rate = Some(Rate::Trace("trace".into()));
        link.spec.down.rate = None;
    });
    assert_eq!(traced.wire, None);
    let silent = judge_with(|run| {
        let link = link_of(run);
        for way in [&mut link.up, &mut link.down] {
            way.udp.offered_bytes = 0;
        }
    });
    assert_eq!(silent.wire, None);
    assert_eq!(judge_with(|run| run.load.sent = 0).wire, None, "no move has a size");
}

#[test]
fn searches_up_to_capacity() {
    // The bottleneck passes 11,574 moves a second and drops the rest; age stays low.
    let mut results = search_on(SPEC, Search::RATE);
    while let Some(rate_hz) = capacities(&results)[0].next {
        let mut run = perfect(key_at(&results, rate_hz));
        let (sent, arrived) = (run.load.sent, run.load.sent.min(11_574));
        run.load.stats.fresh = arrived;
        let link = link_of(&mut run);
        (link.up.udp.queue_dropped, link.up.udp.delivered) = (sent - arrived, arrived);
        (link.down.udp.offered, link.down.udp.offered_bytes) = (arrived, arrived * MOVE_BYTES);
        results.runs.push(run);
    }
    let found = &capacities(&results)[0];
    let highest = found.highest().expect("some");
    assert!((503..=578).contains(&highest), "{found:?}");
    assert!((found.wire().expect("a rate").limit - 578.7).abs() < 0.1);
    assert!(matches!(found.broke().expect("it broke").fate, Fate::BeyondLink));
    assert!(!found.harness_broke());
}

#[test]
fn wire_is_of_highest_held() {
    let judged = |value: u32, fate: Fate, limit: f64| Try {
        value,
        fate,
        wire: Some(Wire { direction: Direction::Up, bytes_per_move: 54.0, limit }),
        players_busy: false,
        server_busy: false,
        link_busy: false,
    };
    let results = search_on(SPEC, Search::RATE);
    let mut capacity = capacities(&results).remove(0);
    assert_eq!((capacity.highest(), capacity.wire()), (None, None));
    assert!(capacity.broke().is_none() && !capacity.harness_broke());
    capacity.tries = vec![judged(10, Fate::Failed, 1.0), judged(20, Fate::TooFew, 2.0)];
    assert_eq!(capacity.wire().map(|wire| wire.limit), Some(1.0));
    assert_eq!(capacity.broke().map(|it| it.value), Some(10));
    capacity.tries[0].fate = Fate::Held;
    capacity.tries.push(judged(40, Fate::Held, 3.0));
    capacity.tries.push(judged(80, Fate::Failed, 4.0));
    assert_eq!(capacity.wire().map(|wire| wire.limit), Some(3.0));
    assert_eq!((capacity.highest(), capacity.broke().map(|it| it.value)), (Some(40), Some(80)));
    assert_eq!(capacity.tries[3].to_string(), "a run failed");
    assert_eq!(judged(1, Fate::BeyondLink, 1.0).to_string(), "more than the link's rate carries");
}

#[test]
fn names_what_has_no_result() {
    let mut results = search_on(SPEC, Search::RATE);
    let name = format!("udp on {SPEC}");
    assert_eq!(without_result(&results), std::slice::from_ref(&name));
    let late = Failure { key: key_at(&results, 10), reason: "late".into() };
    results.rejected = vec![late; ATTEMPTS_MAX];
    assert_eq!(without_result(&results), [name]);
    results.runs = vec![perfect(key_at(&results, 10))];
    assert!(without_result(&results).is_empty());

    // Without a search, a combination needs one run of any repeat.
    results.scenario.search = None;
    (results.scenario.on_links.repeats, results.scenario.off_links.repeats) = (2, 2);
    assert_eq!(without_result(&results), [format!("udp on {SPEC}")], "60 Hz has not run");
    assert!(capacities(&results).is_empty());
    let mut key = key_at(&search_on(SPEC, Search::RATE), 60);
    key.repeat = 1;
    results.runs = vec![perfect(key)];
    assert!(without_result(&results).is_empty());
}

#[test]
fn searches_each_contender_and_control() {
    let mut results = search_on("loopback", Search { from: 0, ..Search::RATE });
    results.scenario.controls = 1;
    let found = capacities(&results);
    let arms: Vec<(u8, u32, Option<u32>)> =
        found.iter().map(|it| (it.arm, it.group.rate_hz, it.next)).collect();
    assert_eq!(arms, [(0, 1, Some(1)), (1, 1, Some(1))]);
    results.scenario.search = Some(Search::PAIRS);
    assert!(capacities(&results).iter().all(|it| it.group.pairs == 4 && it.group.rate_hz == 60));
}
