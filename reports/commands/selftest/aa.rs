//! The A/A self-test: compares a transport with itself and expects no difference.

use std::ops::Range;

use anyhow::ensure;
use netduel_loadgen::Workload;
use netduel_transport::TransportKind;

use crate::{
    analysis::{
        old_metrics::Metric,
        old_verdict::{Contest, Effect, Observations, Outcome, Series, judge},
    },
    commands::selftest::shared::{describe, measured, scenario},
    data::results::Results,
};

/// The largest number of A/A comparisons that may find a difference: at 5 % each, 1 of 20 is
/// expected.
const WRONG_MAX: u32 = 1;

/// Runs the A/A comparisons, each with repeats of its own. In each repeat the transport runs three
/// times: as the reference, as its control, and in place of another transport.
pub(crate) fn aa(comparisons: u32, repeat: u32, transport: TransportKind) -> anyhow::Result<()> {
    let scenario = scenario(vec![transport], comparisons * repeat, 2);
    let results = measured(scenario)?;
    let table = Observations::from_results(&results);
    let mut wrong = 0;
    for comparison in 0..comparisons {
        let repeats = comparison * repeat..(comparison + 1) * repeat;
        let mut called = Vec::new();
        for &metric in Metric::all_for(Workload::Moves) {
            let (effect, outcome) = against_itself(&results, &table, metric, repeats.clone());
            match (outcome, effect) {
                (Outcome::Better(_) | Outcome::Worse(_), Some(effect)) => {
                    called.push(format!("{} {}", metric.name(), describe(metric, &effect, outcome)));
                }
                (Outcome::NotEnoughData, _) => called.push(format!("{} not enough data", metric.name())),
                _ => {}
            }
        }
        wrong += u32::from(!called.is_empty());
        let findings = if called.is_empty() { "no detectable difference".into() } else { called.join("; ") };
        println!("A/A {:>3}: {findings}", comparison + 1);
    }
    println!("{wrong} of {comparisons} A/A comparisons of {transport} found a difference");
    ensure!(
        wrong <= WRONG_MAX,
        "more than {WRONG_MAX} A/A comparison found a difference: small differences are not reliable on this machine \
         now"
    );
    Ok(())
}

/// Judges arm 2 against arm 0 with the noise of arm 1, within a range of repeats.
fn against_itself(
    results: &Results,
    table: &Observations,
    metric: Metric,
    repeats: Range<u32>,
) -> (Option<Effect>, Outcome) {
    let arm = |arm: u8| -> Series {
        let in_group = |group| table.series(&group, results.scenario.reference()?, arm, metric);
        let all = results.scenario.groups().into_iter().find_map(in_group);
        all.into_iter()
            .flat_map(|series| series.range(repeats.clone()))
            .map(|(&at, &value)| (at, value))
            .collect()
    };
    let (against, control, candidate) = (arm(0), arm(1), arm(2));
    let seed = results.scenario.seed;
    let noise = Contest { candidate: &control, against: &against, controls: Vec::new() }.noise(seed);
    let contest = Contest { candidate: &candidate, against: &against, controls: vec![&control] };
    judge(metric, &[contest], noise, seed).remove(0)
}
