//! The validity of results: self-checks with their bounds, and threats to validity, both from the
//! measurements. Pure.

use netduel_link::{Limits, LinkReport, Problem};
use netduel_loadgen::Workload;

use crate::{
    analysis::{
        summary::{LATENESS_P99_MAX_US, SERVER_CPU_SHARE_MAX, Summary},
        traffic::dropped,
        units::milliseconds,
    },
    data::{results::Results, run_result::RunResult},
    plan::scenario::Network,
};

/// The largest acceptable share of the window that the players compute. Beyond it, the players may
/// be late themselves.
const PLAYERS_CPU_SHARE_MAX: f64 = 0.8;
/// The number of repeats below which their spread predicts little about another repeat.
const REPEATS_FEW: u32 = 5;
/// The number of lost packets below which the tails of a link are single events.
const LOSSES_FEW: u64 = 50;

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

/// Returns the check that an event never happened. It tells of the comparison, and does not decide.
fn never(what: &'static str, count: u64) -> Check {
    Check { what, found: count.to_string(), bound: "0".into(), passed: count == 0, decides: false }
}

/// Returns every self-check that these results allow.
pub(crate) fn checks(results: &Results, summary: &Summary) -> Vec<Check> {
    let share = |run: &RunResult, us: Option<u64>| {
        Some(us? as f64 / (results.scenario.sampling_of(&run.key.group).duration_ms as f64 * 1e3))
    };
    let limits = Limits::default();
    let on_link = |read: fn(&LinkReport) -> f64| move |run: &RunResult| run.link.as_ref().map(read);
    let ms = |us: f64| format!("{} ms", milliseconds(us));
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let measured = [
        below(results, "Lateness of sending, p99", LATENESS_P99_MAX_US as f64, ms, |run| {
            run.load.lateness.quantile_us(0.99).map(|us| us as f64)
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
    let mut checks: Vec<Check> = measured.into_iter().flatten().collect();
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

/// Returns the threats to validity that these results contain.
pub(crate) fn threats(results: &Results) -> Vec<String> {
    let scenario = &results.scenario;
    let mut threats = Vec::new();
    let sampling = scenario.main_sampling();
    if sampling.repeats < REPEATS_FEW {
        threats.push(format!(
            "{} repeats: the spread between them is no confidence interval, and a small \
             difference between two rows may be chance.",
            sampling.repeats
        ));
    }
    for network in &scenario.links {
        let runs = || results.runs.iter().filter(|run| run.key.group.link == network.name());
        let lost: u64 = runs().filter_map(|run| run.link.as_ref()).map(dropped).sum();
        match network {
            Network::Loopback => threats.push(
                "Loopback has no delay, no loss, and packets of up to 64 KiB. It shows the cost \
                 of the software, not the effect of a network."
                    .into(),
            ),
            Network::Emulated(_) | Network::Shared(_) if runs().next().is_some() && lost < LOSSES_FEW => {
                threats.push(format!(
                    "{} lost {lost} packets in all runs together, so its tails rest on few events. \
                     Raise --duration or --repeat.",
                    network.name()
                ))
            }
            Network::Emulated(_) | Network::Shared(_) => {}
            Network::Remote(_) => threats.push(
                "The network to a remote server varies: repeats meet other conditions, and the \
                 server's load is unknown."
                    .into(),
            ),
        }
    }
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
    threats.push(format!(
        "Server, players and emulator share the {} CPUs of one machine. Delays below a millisecond depend on the \
         scheduler as much as on the transport.",
        results.provenance.cpus
    ));
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
    let error_us = results.runs.iter().map(|run| run.load.stats.clock_error_us).max().unwrap_or(0);
    if error_us > 0 {
        threats.push(format!("The clocks of both ends, and so the delays, are accurate to {error_us} µs."));
    }
    threats
}
