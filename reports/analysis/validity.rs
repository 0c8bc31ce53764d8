//! The validity of results: self-checks with their bounds, and threats to validity, both from the
//! measurements. Pure.

use netduel_link::{Limits, LinkReport, Problem, profile};
use netduel_loadgen::{Connects, Workload};

use crate::{
    analysis::{
        statistics::median,
        summary::{LATENESS_ON_LINK_P99_MAX_US, LATENESS_P99_MAX_US, SERVER_CPU_SHARE_MAX, Summary},
        units::milliseconds,
    },
    data::{results::Results, run_result::RunResult},
    plan::{sampling::Order, scenario::Network},
};

/// The largest acceptable share of the window that the players compute. Beyond it, the players may
/// be late themselves.
const PLAYERS_CPU_SHARE_MAX: f64 = 0.8;
/// The number of repeats below which a place off links gives no interval of a cost.
const REPEATS_FEW: u32 = 5;
/// The largest acceptable distance of a run's figure from the median of its like. An emulator that
/// wandered to another processor changed context switches and its own cost by a factor of two.
const APART_SHARE_MAX: f64 = 0.3;

/// A self-check with its bound and its result.
pub(crate) struct Check {
    pub(crate) what: &'static str,
    pub(crate) found: String,
    /// The largest acceptable value.
    pub(crate) bound: String,
    pub(crate) passed: bool,
    /// Whether a failure lowers the certainty of a verdict.
    pub(crate) decides: bool,
}

/// Returns the largest value of a measure over all runs, and the run that has it.
fn worst(results: &Results, measure: impl Fn(&RunResult) -> Option<f64>) -> Option<(f64, String)> {
    (results.runs.iter()).filter_map(|run| Some((measure(run)?, run))).max_by(|a, b| a.0.total_cmp(&b.0)).map(
        |(value, run)| (value, format!("{} on {}, repeat {}", run.key, run.key.group, run.key.repeat + 1)),
    )
}

/// Returns the check that a measure stays below its bound in every run; `None` if no run knows the
/// measure.
fn below(
    results: &Results,
    what: &'static str,
    bound: f64,
    format: fn(f64) -> String,
    measure: impl Fn(&RunResult) -> Option<f64>,
) -> Option<Check> {
    let (value, place) = worst(results, measure)?;
    let found = format!("{} at worst ({place})", format(value));
    Some(Check { what, found, bound: format(bound), passed: value <= bound, decides: true })
}

/// Returns the check that no run's figure lies far from the median of its like; `None` if no run
/// knows the figure.
fn near_median(
    results: &Results,
    what: &'static str,
    alike: impl Fn(&RunResult, &RunResult) -> bool,
    measure: impl Fn(&RunResult) -> Option<f64>,
) -> Option<Check> {
    let apart = |run: &RunResult| {
        let like = results.runs.iter().filter(|other| alike(run, other));
        let usual = median(&like.filter_map(&measure).collect::<Vec<_>>()).filter(|it| *it > 0.0)?;
        Some((measure(run)? / usual - 1.0).abs())
    };
    below(results, what, APART_SHARE_MAX, percent, apart)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Returns the check that an event never happened. It tells of the comparison, and does not decide.
fn never(what: &'static str, count: u64) -> Check {
    Check { what, found: count.to_string(), bound: "0".into(), passed: count == 0, decides: false }
}

/// Returns every self-check that these results allow.
pub(crate) fn checks(results: &Results, summary: &Summary) -> Vec<Check> {
    let mut checks = measured(results);
    checks.extend(placed(results));
    checks.extend(counted(results, summary));
    checks
}

/// Returns the checks that no measure of a run exceeds its bound.
fn measured(results: &Results) -> Vec<Check> {
    let share = |run: &RunResult, us: Option<u64>| {
        Some(us? as f64 / (results.scenario.sampling_of(&run.key.group).duration_ms as f64 * 1e3))
    };
    let limits = Limits::default();
    let on_link = |read: fn(&LinkReport) -> f64| move |run: &RunResult| run.link.as_ref().map(read);
    let ms = |us: f64| format!("{} ms", milliseconds(us));
    let measured = [
        below(results, "Lateness of sending off links, p99", LATENESS_P99_MAX_US as f64, ms, |run| {
            run.load.lateness.quantile_us(0.99).map(|us| us as f64).filter(|_| run.link.is_none())
        }),
        below(results, "Lateness of sending on links, p99", LATENESS_ON_LINK_P99_MAX_US as f64, ms, |run| {
            run.load.lateness.quantile_us(0.99).map(|us| us as f64).filter(|_| run.link.is_some())
        }),
        below(results, "Server's CPU time, of one processor", SERVER_CPU_SHARE_MAX, percent, |run| {
            share(run, run.server.cpu_us).filter(|_| run.key.group.in_flight == 0)
        }),
        below(results, "Players' CPU time, of one processor", PLAYERS_CPU_SHARE_MAX, percent, |run| {
            share(run, run.players.cpu_us).filter(|_| run.key.group.in_flight == 0)
        }),
        below(
            results,
            "Lateness of packets on the link, p99",
            limits.late_p99_ms_max * 1e3,
            ms,
            on_link(|link| link.lateness.quantile_ms(0.99) * 1e3),
        ),
        below(
            results,
            "Lateness of the emulator waking, p99",
            limits.heartbeat_p99_ms_max * 1e3,
            ms,
            on_link(|link| link.heartbeat.quantile_ms(0.99) * 1e3),
        ),
        below(
            results,
            "CPU time stolen by the hypervisor",
            limits.steal_share_max,
            percent,
            on_link(|link| link.steal_share),
        ),
    ];
    measured.into_iter().flatten().collect()
}

/// Returns the checks that server and emulator stayed on their processors.
fn placed(results: &Results) -> Vec<Check> {
    let in_turns = |run: &RunResult| run.order == Order::InTurns;
    let placed = [
        near_median(
            results,
            "Server's context switches per move, from the median of its rounds",
            |run, other| run.key.combination() == other.key.combination(),
            |run| {
                let switches = run.server.context_switches.filter(|_| in_turns(run) && run.load.sent > 0)?;
                Some(switches as f64 / run.load.sent as f64)
            },
        ),
        near_median(
            results,
            "Emulator's CPU time per packet, from the median of its link",
            |run, other| run.key.group == other.key.group,
            |run| run.link.as_ref()?.emulator_us_per_packet(),
        ),
    ];
    placed.into_iter().flatten().collect()
}

/// Returns the checks that events never happened.
fn counted(results: &Results, summary: &Summary) -> Vec<Check> {
    let limits = Limits::default();
    let mut checks = Vec::new();
    if !results.calibrations.is_empty() {
        let mismatches = results.calibrations.iter().map(|link| link.probe.mismatches().len() as u64).sum();
        let differ = never("Links that differ from their specification", mismatches);
        checks.push(Check { decides: true, ..differ });
        let unasked = |run: &RunResult| {
            let problems = run.link.as_ref().map(|link| link.problems(&limits)).unwrap_or_default();
            problems.iter().any(|problem| matches!(problem, Problem::UnaskedLoss { .. }))
        };
        let runs = results.runs.iter().filter(|run| unasked(run)).count() as u64;
        checks.push(Check { decides: true, ..never("Runs with losses that were not specified", runs) });
    }
    checks.push(never(
        "Legal moves corrected by the server",
        results.runs.iter().map(|run| run.load.corrected).sum(),
    ));
    checks.extend(meetings_begin(results));
    if results.scenario.workload == Workload::Moves && results.scenario.search.is_none() {
        let on_beat = summary.rows.iter().filter(|row| row.key.group.in_flight == 0);
        let few = on_beat.filter(|row| row.one_way_p99_us.is_none()).count();
        checks.push(never("Rows with too few samples for a p99", few as u64));
    }
    if !results.scenario.in_flight.is_empty() {
        checks.push(never(
            "Stalls and restarts of a closed loop",
            results.runs.iter().map(|run| run.load.stalls).sum(),
        ));
    }
    checks.push(never("Runs that were discarded and repeated", results.rejected.len() as u64));
    checks.push(never("Runs that failed", results.failures.len() as u64));
    checks
}

/// Returns the check that every meeting of connecting players began when it was due.
fn meetings_begin(results: &Results) -> Option<Check> {
    let overflowed = connects(results, |connects| connects.overflowed);
    let check = never("Players whose meeting could not begin when due", overflowed);
    (results.scenario.workload == Workload::Connects).then_some(Check { decides: true, ..check })
}

/// Returns the threat of connections that took more than one attempt, or never succeeded.
fn meetings_failed(results: &Results) -> Option<String> {
    let retries = connects(results, |connects| connects.retries);
    let failed = connects(results, |connects| connects.failed);
    let said = format!(
        "Players had to begin the connection again {retries} times, and {failed} never met their \
         opponent. Their times count from the first beginning; those of a player that never met \
         are infinite."
    );
    (retries > 0 || failed > 0).then_some(said)
}

/// Returns the sum of a figure of connecting players.
fn connects(results: &Results, read: fn(&Connects) -> u64) -> u64 {
    results.runs.iter().filter_map(|run| run.load.connects.as_ref()).map(read).sum()
}

/// Returns the threats to validity that these results contain.
pub(crate) fn threats(results: &Results) -> Vec<String> {
    let scenario = &results.scenario;
    let mut threats = Vec::new();
    let repeats = scenario.off_links.repeats;
    if repeats < REPEATS_FEW && scenario.links.iter().any(|link| link.spec().is_none()) {
        threats.push(format!(
            "{repeats} repeats off links: a cost has no interval, and a small difference between two \
             rows may be chance."
        ));
    }
    threats.extend(scenario.links.iter().filter_map(of_network));
    if !results.provenance.resumed_unix_s.is_empty() {
        threats.push(
            "The comparison was interrupted and resumed: the machine may have changed in between.".into(),
        );
    }
    if results.provenance.lanes.iter().any(|lane| lane.run.is_some()) {
        threats.push(
            "Server and players were bound to one processor, so that the CPU time per move does \
             not depend on which core wakes which. On separate machines, every move also pays for \
             waking an idle core."
                .into(),
        );
    }
    if scenario.keep.any() {
        threats.push(
            "Evidence was kept while the runs went on. The writing of packets, logs and rows took time of the \
             same machine, so the CPU time and the lateness are those of such runs."
                .into(),
        );
    }
    threats.push(format!(
        "Server, players and emulator share the {} CPUs of one machine. Delays below a millisecond depend on the \
         scheduler as much as on the transport.",
        results.provenance.cpus
    ));
    if results.runs.iter().any(|run| run.link.is_some()) {
        threats.push(
            "On emulated links the kernel charges the receiving of a packet, acknowledgements of TCP \
             included, to the emulator that hands it over. CPU time is therefore judged on loopback, \
             where the sender pays for it instead."
                .into(),
        );
    }
    threats.push(
        "Delays cover only moves that arrived as news. A lost move has no delay; its absence \
         shows in the age and in the fresh share."
            .into(),
    );
    if let Some(why) = &results.provenance.no_kernel_memory {
        threats.push(format!(
            "Resident memory leaves out the kernel's memory for sockets, of which TCP uses more. \
             The kernel's memory is unknown here: {why}."
        ));
    }
    threats.extend(meetings_failed(results));
    let error_us = results.runs.iter().map(|run| run.load.stats.clock_error_us).max().unwrap_or(0);
    if error_us > 0 {
        threats.push(format!("The clocks of both ends, and so the delays, are accurate to {error_us} µs."));
    }
    threats
}

/// Returns the threat that a network brings.
fn of_network(network: &Network) -> Option<String> {
    match network {
        Network::Loopback => Some(
            "Loopback has no delay, no loss, and packets of up to 64 KiB. It shows the cost of the \
             software, not the effect of a network."
                .into(),
        ),
        Network::Emulated(spec) | Network::Shared(spec) => {
            let assumed = profile(&spec.name).map_or(&[] as &[&str], |it| it.assumed);
            (!assumed.is_empty()).then(|| {
                format!(
                    "{} is a profile. These of its figures have no source and are assumed: {}. A \
                     ranking that they decide holds as far as they do.",
                    network.name(),
                    assumed.join("; ")
                )
            })
        }
        Network::Remote(_) => Some(
            "The network to a remote server varies: rounds meet other conditions, and the server's \
             load is unknown."
                .into(),
        ),
    }
}
