//! The scenario, the runs and the output that the self-tests share.

use netduel_transport::TransportKind;

use crate::{
    analysis::{
        old_metrics::Metric,
        old_verdict::{Effect, Outcome},
    },
    data::results::Results,
    plan::{sampling::Sampling, scenario::Scenario},
    render::verdict_text::outcome_label,
    run::{
        provenance,
        runner::{enter_testbed, measure},
    },
};

/// Windows of 0.6 s.
const WINDOW: Sampling =
    Sampling { pairs: Vec::new(), repeats: 1, warmup_ms: 150, duration_ms: 600, drain_ms: 50 };

/// Returns a scenario with short windows that still hold a p99: 20 players × 120 Hz × 0.6 s = 1,440
/// moves.
pub(crate) fn scenario(transports: Vec<TransportKind>, repeats: u32, controls: u8) -> Scenario {
    Scenario {
        preset: "selftest".into(),
        transports,
        rates_hz: vec![120],
        on_links: Sampling { repeats, ..WINDOW.of(&[10]) },
        off_links: Sampling { repeats, ..WINDOW.of(&[10]) },
        controls,
        ..Scenario::default()
    }
}

/// Runs a scenario without writing to disk.
pub(crate) fn measured(scenario: Scenario) -> anyhow::Result<Results> {
    let testbed = enter_testbed(&scenario.links)?;
    let mut results = Results::empty(scenario, provenance::collect());
    measure(&mut results, testbed.as_ref(), None)?;
    for failure in &results.failures {
        eprintln!("warning: {} failed: {}", failure.key, failure.reason);
    }
    Ok(results)
}

/// Returns the numbers of a comparison in one line.
pub(crate) fn describe(metric: Metric, effect: &Effect, outcome: Outcome) -> String {
    format!(
        "{} against {} {} ({} to {}, floor {}, p = {:.3}): {}",
        metric.number(effect.candidate),
        metric.number(effect.against),
        metric.unit(),
        metric.signed(effect.interval.low),
        metric.signed(effect.interval.high),
        metric.number(effect.floor),
        effect.p,
        outcome_label(outcome),
    )
}
