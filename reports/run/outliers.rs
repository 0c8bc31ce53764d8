//! Finds runs that the machine disturbed, by figures that no conclusion rests on. Pure.
//!
//! A run is judged by how often its server was switched to and by the emulator's CPU time for each
//! packet. Both change when a process runs on another processor than planned, or when the
//! hypervisor takes the processor away. The CPU time of the server itself is the result, so that no
//! run is discarded because of it.

use netduel_loadgen::Quantiles;

use crate::{
    analysis::summary::LATENESS_ON_LINK_P99_MAX_US,
    data::{results::Failure, run_result::RunResult},
    plan::{sampling::Order, scenario::RunKey},
};

/// The largest distance of a round's context switches per move from the median of the same arm's
/// rounds, as a share. An emulator or another process that shares the processor doubles the
/// switches, and windows of one arm differ by a few hundredths.
const SWITCHES_SHARE_MAX: f64 = 0.3;
/// The largest share of an arm's rounds that are outliers. Beyond it, the machine is busy all the
/// time: the same rounds would be outliers again, and the self-checks name them.
const OUTLIERS_SHARE_MAX: f64 = 0.25;
/// The fewest rounds whose median is the usual number of switches.
const ROUNDS_MIN: usize = 5;
/// The largest ratio of an emulator's CPU time per packet to the median of the emulators beside it.
/// Wake-ups are dearer where packets are rare, by up to a half; a wrong processor doubles them.
const EMULATOR_RATIO_MAX: f64 = 1.8;
/// The fewest runs beside one another whose median is the usual CPU time of an emulator.
const BESIDE_MIN: usize = 4;

/// Returns the runs to discard and repeat, each with the reason.
pub(crate) fn outliers(runs: &[&RunResult]) -> Vec<Failure> {
    let mut found = Vec::new();
    let mut arms: Vec<RunKey> = Vec::new();
    for arm in runs.iter().map(|run| run.key.combination()) {
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    for arm in arms {
        let rounds: Vec<&RunResult> = (runs.iter().copied())
            .filter(|run| run.order == Order::InTurns && run.key.combination() == arm)
            .collect();
        found.extend(by_switches(&rounds));
    }
    let beside: Vec<&RunResult> = runs.iter().copied().filter(|run| run.order == Order::Beside).collect();
    found.extend(by_emulator(&beside));
    for failure in by_lateness(&beside) {
        // One reason is enough to discard a run.
        if found.iter().all(|known| known.key != failure.key) {
            found.push(failure);
        }
    }
    found
}

/// Returns the rounds of one arm in which its server was switched to unusually often or seldom.
fn by_switches(rounds: &[&RunResult]) -> Vec<Failure> {
    let judge = |run: &&RunResult, usual: f64| {
        let switches = switches_per_move(run)?;
        let share = switches / usual - 1.0;
        (share.abs() > SWITCHES_SHARE_MAX).then(|| Failure {
            key: run.key.clone(),
            reason: format!(
                "the server had {switches:.2} context switches a move, and {usual:.2} in the median of \
                 its rounds (bound ±{:.0} %)",
                SWITCHES_SHARE_MAX * 100.0
            ),
        })
    };
    let all: Vec<f64> = rounds.iter().filter_map(|run| switches_per_move(run)).collect();
    let Some(usual) = usual(&all, ROUNDS_MIN) else { return Vec::new() };
    few(rounds.iter().filter_map(|run| judge(run, usual)).collect(), rounds.len())
}

/// Returns the runs beside one another whose emulator took unusually much or little CPU time.
fn by_emulator(beside: &[&RunResult]) -> Vec<Failure> {
    let judge = |run: &&RunResult, usual: f64| {
        let us = run.link.as_ref()?.emulator_us_per_packet()?;
        let ratio = us / usual;
        (ratio.max(1.0 / ratio) > EMULATOR_RATIO_MAX).then(|| Failure {
            key: run.key.clone(),
            reason: format!(
                "the emulator took {us:.1} µs of CPU time a packet, and {usual:.1} µs in the median of \
                 those beside it (bound × {EMULATOR_RATIO_MAX})"
            ),
        })
    };
    let all: Vec<f64> = beside.iter().filter_map(|run| run.link.as_ref()?.emulator_us_per_packet()).collect();
    let Some(usual) = usual(&all, BESIDE_MIN) else { return Vec::new() };
    few(beside.iter().filter_map(|run| judge(run, usual)).collect(), beside.len())
}

/// Returns the runs beside one another whose players sent their moves late. Closed loops have no
/// intended times.
fn by_lateness(beside: &[&RunResult]) -> Vec<Failure> {
    let judge = |run: &&RunResult| {
        let late_us =
            run.load.lateness.quantile_us(0.99).filter(|late_us| *late_us > LATENESS_ON_LINK_P99_MAX_US)?;
        Some(Failure {
            key: run.key.clone(),
            reason: format!(
                "the players sent their moves {:.1} ms late at p99 (bound {} ms)",
                late_us as f64 / 1e3,
                LATENESS_ON_LINK_P99_MAX_US / 1_000
            ),
        })
    };
    beside.iter().filter_map(judge).collect()
}

/// Returns these outliers; nothing if they are too many to be any.
fn few(found: Vec<Failure>, of: usize) -> Vec<Failure> {
    let are_few = found.len() as f64 <= of as f64 * OUTLIERS_SHARE_MAX;
    if are_few { found } else { Vec::new() }
}

/// Returns the median; `None` for fewer than `count_min` values, or if most of them are zero.
fn usual(values: &[f64], count_min: usize) -> Option<f64> {
    let quantiles: Quantiles = values.iter().copied().collect();
    (values.len() >= count_min).then(|| quantiles.median()).filter(|usual| *usual > 0.0)
}

/// Returns the context switches of the server per move that the players sent.
fn switches_per_move(run: &RunResult) -> Option<f64> {
    let switches = run.server.context_switches?;
    (run.load.sent > 0).then(|| switches as f64 / run.load.sent as f64)
}

#[cfg(test)]
mod tests {
    use netduel_link::{Counters, DirectionReport, Histogram, LinkReport, LinkSpec, Priority};
    use netduel_loadgen::{LoadResult, Usage};

    use super::*;
    use crate::plan::scenario::{Group, Scenario};

    const MOVES: u64 = 400;
    const PACKETS: u64 = 1_000;

    /// Returns the key of a repeat of the reference, or of its control.
    fn key(repeat: u32, arm: u8) -> RunKey {
        let scenario = Scenario::default();
        let group = Group { pairs: 14, ..scenario.groups()[0].clone() };
        RunKey { contender: scenario.contenders()[0], group, repeat, arm }
    }

    /// Returns rounds of one arm with these context switches per move.
    fn rounds(arm: u8, switches: &[f64]) -> Vec<RunResult> {
        let round = |(repeat, switches): (usize, &f64)| {
            let context_switches = Some((switches * MOVES as f64) as u64);
            RunResult {
                order: Order::InTurns,
                server: Usage { context_switches, ..Usage::default() },
                ..RunResult::new(key(repeat as u32, arm), LoadResult { sent: MOVES, ..LoadResult::default() })
            }
        };
        switches.iter().enumerate().map(round).collect()
    }

    /// Returns arms beside one another with these CPU times of the emulator, in µs per packet.
    fn beside(us_per_packet: &[f64]) -> Vec<RunResult> {
        let arm = |(arm, us): (usize, &f64)| {
            let udp = Counters { offered: PACKETS / 2, ..Counters::default() };
            let both = DirectionReport { udp, ..DirectionReport::default() };
            let link = LinkReport { emulator_cpu_ms: us * PACKETS as f64 / 1e3, ..report(both) };
            RunResult {
                order: Order::Beside,
                link: Some(link),
                ..RunResult::new(key(0, arm as u8), LoadResult::default())
            }
        };
        us_per_packet.iter().enumerate().map(arm).collect()
    }

    fn found(runs: &[RunResult]) -> Vec<(u32, u8)> {
        let all: Vec<&RunResult> = runs.iter().collect();
        outliers(&all).iter().map(|failure| (failure.key.repeat, failure.key.arm)).collect()
    }

    #[test]
    fn finds_rounds_in_another_mode() {
        let mut runs = rounds(0, &[2.0, 2.1, 1.0, 1.9, 2.0, 2.7, 2.5, 2.0]);
        assert_eq!(found(&runs), [(2, 0), (5, 0)], "half, and a third more");
        // The other arm has another usual number.
        runs.extend(rounds(1, &[1.0, 1.1, 0.9, 1.0, 2.0]));
        assert_eq!(found(&runs), [(2, 0), (5, 0), (4, 1)]);
        let all: Vec<&RunResult> = runs.iter().collect();
        let reason = &outliers(&all)[0].reason;
        assert!(
            reason.contains("1.00 context switches") && reason.contains("2.00 in the median"),
            "{reason}"
        );
    }

    #[test]
    fn busy_machine_repeats_nothing() {
        assert_eq!(found(&rounds(0, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0])).len(), 2);
        assert!(found(&rounds(0, &[1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0])).is_empty(), "three of eight");
    }

    #[test]
    fn few_rounds_tell_nothing() {
        assert!(found(&rounds(0, &[1.0, 1.0, 1.0, 9.0])).is_empty());
        assert!(found(&rounds(0, &[0.0, 0.0, 0.0, 0.0, 9.0])).is_empty(), "no usual number");
        let unknown: Vec<RunResult> = (rounds(0, &[1.0, 1.0, 1.0, 1.0, 9.0]).into_iter())
            .map(|run| RunResult { server: Usage::default(), ..run })
            .collect();
        assert!(found(&unknown).is_empty(), "this system does not count");
        let afresh: Vec<RunResult> = (rounds(0, &[1.0, 1.0, 1.0, 1.0, 9.0]).into_iter())
            .map(|run| RunResult { order: Order::Afresh, ..run })
            .collect();
        assert!(found(&afresh).is_empty(), "only rounds share a server");
    }

    #[test]
    fn finds_late_players_once() {
        let mut runs = beside(&[33.0, 35.0, 99.0, 33.0, 34.0]);
        for (arm, late_us) in [(0, 7_900), (1, 8_300), (2, 50_000)] {
            (0..1_000).for_each(|_| runs[arm].load.lateness.record(late_us));
        }
        assert_eq!(found(&runs), [(0, 2), (0, 1)]);
        let late: Vec<&RunResult> = runs.iter().collect();
        assert!(outliers(&late)[1].reason.contains("8.3 ms late"), "{}", outliers(&late)[1].reason);
    }

    #[test]
    fn finds_emulators_on_a_wrong_processor() {
        assert_eq!(found(&beside(&[33.0, 35.0, 66.0, 30.0, 40.0, 15.0, 34.0, 33.0])), [(0, 2), (0, 5)]);
        assert!(found(&beside(&[33.0, 35.0, 55.0, 25.0, 40.0])).is_empty());
        assert!(found(&beside(&[33.0, 35.0, 90.0])).is_empty(), "too few");
    }

    fn report(both: DirectionReport) -> LinkReport {
        LinkReport {
            second: None,
            spec: LinkSpec::symmetric("test", Default::default()),
            seed: 1,
            started_monotonic_ns: 0,
            elapsed_ms: 1_000.0,
            up: both,
            down: both,
            lateness: Histogram::default(),
            heartbeat: Histogram::default(),
            steal_share: 0.0,
            emulator_cpu_ms: 0.0,
            priority: Priority::RealTime,
            bound_to_cpu: None,
            drops: Vec::new(),
            drops_unlisted: 0,
        }
    }
}
