//! What the results say of their own trustworthiness: self-checks with their bounds, and threats to validity, both from
//! what was found. Pure.

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

/// Players that compute for more than this share of the window may be late themselves.
const PLAYERS_CPU_SHARE_MAX: f64 = 0.8;
/// With fewer repeats than this their spread says little of what another would bring.
const REPEATS_FEW: u32 = 5;
/// With fewer packets lost than this in all its runs, a link's tails are single events.
const LOSSES_FEW: u64 = 50;

/// Something that was looked at.
pub(crate) struct Check {
    pub(crate) what: &'static str,
    pub(crate) found: String,
    /// What it must not exceed.
    pub(crate) bound: String,
    pub(crate) passed: bool,
}

/// The largest of a measure over all runs, and where it was.
fn worst(results: &Results, measure: impl Fn(&RunResult) -> Option<f64>) -> Option<(f64, String)> {
    (results.runs.iter()).filter_map(|run| Some((measure(run)?, run))).max_by(|a, b| a.0.total_cmp(&b.0)).map(
        |(value, run)| (value, format!("{} on {}, repeat {}", run.key, run.key.group, run.key.repeat + 1)),
    )
}

/// A measure that must stay below its bound in every run; `None` if no run knows it.
fn below(
    results: &Results,
    what: &'static str,
    bound: f64,
    format: fn(f64) -> String,
    measure: impl Fn(&RunResult) -> Option<f64>,
) -> Option<Check> {
    let (value, place) = worst(results, measure)?;
    let found = format!("{} at worst ({place})", format(value));
    Some(Check { what, found, bound: format(bound), passed: value <= bound })
}

/// Something that must not have happened.
fn never(what: &'static str, count: u64) -> Check {
    Check { what, found: count.to_string(), bound: "0".into(), passed: count == 0 }
}

/// Every self-check that these results allow.
pub(crate) fn checks(results: &Results, summary: &Summary) -> Vec<Check> {
    let window_us = results.scenario.duration_ms as f64 * 1e3;
    let share = |us: Option<u64>| Some(us? as f64 / window_us);
    let limits = Limits::default();
    let on_link = |read: fn(&LinkReport) -> f64| move |run: &RunResult| run.link.as_ref().map(read);
    let ms = |us: f64| format!("{} ms", milliseconds(us));
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let measured = [
        below(results, "Moves handed to the transport late, p99", LATENESS_P99_MAX_US as f64, ms, |run| {
            run.load.lateness.quantile_us(0.99).map(|us| us as f64)
        }),
        below(results, "Server's CPU time, of one processor", SERVER_CPU_SHARE_MAX, percent, |run| {
            share(run.server.cpu_us).filter(|_| run.key.group.in_flight == 0)
        }),
        below(results, "Players' CPU time, of one processor", PLAYERS_CPU_SHARE_MAX, percent, |run| {
            share(run.players.cpu_us).filter(|_| run.key.group.in_flight == 0)
        }),
        below(
            results,
            "Packets late on the link, p99",
            limits.late_p99_ms_max * 1e3,
            ms,
            on_link(|link| link.lateness.quantile_ms(0.99) * 1e3),
        ),
        below(
            results,
            "Emulator woke late, p99",
            limits.heartbeat_p99_ms_max * 1e3,
            ms,
            on_link(|link| link.heartbeat.quantile_ms(0.99) * 1e3),
        ),
        below(
            results,
            "CPU stolen by the hypervisor",
            limits.steal_share_max,
            percent,
            on_link(|link| link.steal_share),
        ),
    ];
    let mut checks: Vec<Check> = measured.into_iter().flatten().collect();
    if !results.calibrations.is_empty() {
        let mismatches = results.calibrations.iter().map(|link| link.probe.mismatches().len() as u64).sum();
        checks.push(never("Links unlike what was asked for", mismatches));
        let unasked = |run: &RunResult| {
            let problems = run.link.as_ref().map(|link| link.problems(&limits)).unwrap_or_default();
            problems.iter().any(|problem| matches!(problem, Problem::UnaskedLoss { .. }))
        };
        checks.push(never(
            "Runs that lost packets unasked",
            results.runs.iter().filter(|run| unasked(run)).count() as u64,
        ));
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
            "Times that a closed loop stood still and was begun again",
            results.runs.iter().map(|run| run.load.stalls).sum(),
        ));
    }
    checks.push(never("Runs thrown away and run again", results.rejected.len() as u64));
    checks.push(never("Runs that failed", results.failures.len() as u64));
    checks
}

/// What a reader should keep in mind, where these results give reason to.
pub(crate) fn threats(results: &Results) -> Vec<String> {
    let scenario = &results.scenario;
    let mut threats = Vec::new();
    if scenario.repeats < REPEATS_FEW {
        threats.push(format!(
            "{} repeats: the spread between them is no confidence interval, and a small difference between two rows may \
             be chance.",
            scenario.repeats
        ));
    }
    for network in &scenario.links {
        let runs = || results.runs.iter().filter(|run| run.key.group.link == network.name());
        let lost: u64 = runs().filter_map(|run| run.link.as_ref()).map(dropped).sum();
        match network {
            Network::Loopback => threats.push(
                "loopback has no delay, no loss, and packets of up to 64 KiB: it shows what the software costs, not what a \
                 network does."
                    .into(),
            ),
            Network::Emulated(_) | Network::Shared(_) if runs().next().is_some() && lost < LOSSES_FEW => threats.push(format!(
                "{} lost {lost} packets in all its runs together: its tails rest on few events. Raise --duration or \
                 --repeat.",
                network.name()
            )),
            Network::Emulated(_) | Network::Shared(_) => {}
            Network::Remote(_) => threats.push(
                "The network to a server elsewhere is what it happens to be: repeats meet other conditions, and nothing is \
                 known of what the server computes."
                    .into(),
            ),
        }
    }
    if !results.provenance.resumed_unix_s.is_empty() {
        threats.push("It was interrupted and taken up again: the machine may have changed between.".into());
    }
    if results.provenance.run_cpu.is_some() {
        threats.push(
            "Server and players were bound to one processor, so that its CPU time per move does not depend on which core \
             wakes which. On machines of their own, every move also pays for the waking of an idle core."
                .into(),
        );
    }
    threats.push(format!(
        "Server, players and emulator share the {} CPUs of one machine: delays below a millisecond are the scheduler's as \
         much as the transport's.",
        results.provenance.cpus
    ));
    threats.push(
        "Delays are of the moves that arrived as news. One that was lost has none; its absence shows in the age and in the \
         share that was fresh."
            .into(),
    );
    if let Some(why) = &results.provenance.no_kernel_memory {
        threats.push(format!(
            "Resident memory leaves out what the kernel holds for sockets, of which TCP has more; here that could not be \
             had: {why}."
        ));
    }
    let error_us = results.runs.iter().map(|run| run.load.stats.clock_error_us).max().unwrap_or(0);
    if error_us > 0 {
        threats
            .push(format!("The clocks of both ends were known to within {error_us} µs; so are the delays."));
    }
    threats
}
