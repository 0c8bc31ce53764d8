//! The runs and the output that the self-tests share.

use std::ops::Range;

use anyhow::ensure;
use netduel_transport::TransportKind;

use crate::{
    analysis::{
        metrics::Metric,
        verdict::comparison::{Effect, effects},
    },
    data::{results::Results, run_result::RunResult},
    plan::{contender::Contender, sampling::Sampling, scenario::Scenario},
    run::{
        provenance,
        runner::{enter_testbed, estimate, measure},
    },
};

/// Returns a comparison of these transports on loopback in rounds, with A/A controls.
pub(crate) fn scenario(transports: Vec<TransportKind>, rounds: u32, controls: u8) -> Scenario {
    Scenario {
        preset: "selftest".into(),
        transports,
        off_links: Sampling { repeats: rounds, ..Sampling::ROUNDS.of(&[14]) },
        controls,
        ..Scenario::default()
    }
}

/// Runs a scenario without writing to disk.
pub(crate) fn measured(scenario: Scenario) -> anyhow::Result<Results> {
    eprintln!("{} runs, about {} s", scenario.runs().len(), estimate(&scenario).as_secs());
    let testbed = enter_testbed(&scenario.links)?;
    let mut results = Results::empty(scenario, provenance::collect());
    measure(&mut results, testbed.as_ref(), None, None)?;
    for failure in &results.failures {
        eprintln!("warning: {} failed: {}", failure.key, failure.reason);
    }
    Ok(results)
}

/// Returns the runs of some repeats alone, numbered from 0 like those of a comparison of its own.
pub(crate) fn of_repeats(runs: &[RunResult], repeats: Range<u32>) -> Vec<RunResult> {
    let of = runs.iter().filter(|run| repeats.contains(&run.key.repeat));
    let renumbered = of.map(|run| {
        let mut run = run.clone();
        run.key.repeat -= repeats.start;
        run
    });
    renumbered.collect()
}

/// Returns the runs of an arm of a contender on a link.
pub(crate) fn runs_of<'a>(
    runs: &'a [RunResult],
    link: &str,
    contender: Contender,
    arm: u8,
) -> Vec<&'a RunResult> {
    let is_it = |run: &&RunResult| {
        (run.key.group.link.as_str(), run.key.contender, run.key.arm) == (link, contender, arm)
    };
    runs.iter().filter(is_it).collect()
}

/// Compares runs that met the same schedule or machine; `None` with too few units.
pub(crate) fn effect(
    metric: Metric,
    candidate: Vec<&RunResult>,
    against: Vec<&RunResult>,
    seed: u64,
) -> Option<Effect> {
    effects(metric, &[[candidate, against]], true, seed).into_iter().next().flatten()
}

/// Returns the numbers of a comparison in one line.
pub(crate) fn describe(metric: Metric, effect: &Effect) -> String {
    format!(
        "{} {} against {} {} ({} to {}, floor {})",
        metric.name(),
        metric.number(effect.candidate),
        metric.number(effect.against),
        metric.unit(),
        metric.signed(effect.simultaneous.low),
        metric.signed(effect.simultaneous.high),
        metric.number(effect.floor),
    )
}

/// Prints how many of the tries succeeded, and fails if too few did.
pub(crate) fn conclude(what: &str, succeeded: u32, of: u32, at_least: u32) -> anyhow::Result<()> {
    println!("{what} in {succeeded} of {of}");
    ensure!(
        succeeded >= at_least,
        "{what} in {succeeded} of {of} and not in at least {at_least}: such differences are not reliable on this \
         machine now"
    );
    Ok(())
}

/// Returns how many of these tries must succeed: 19 of 20.
pub(crate) fn nineteen_of_twenty(tries: u32) -> u32 {
    tries - tries.div_ceil(20)
}
