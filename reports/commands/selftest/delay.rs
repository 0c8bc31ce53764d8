//! The delay self-test: compares two links whose delays differ by a known time, and expects to find
//! it.

use anyhow::{Context, ensure};
use netduel_loadgen::Quantiles;
use netduel_transport::TransportKind;

use crate::{
    analysis::{metrics::Metric, verdict::comparison::Finding},
    commands::selftest::shared::{
        conclude, describe, effect, measured, nineteen_of_twenty, of_repeats, runs_of, scenario,
    },
    plan::{
        contender::Contender,
        sampling::Sampling,
        scenario::{Network, Scenario},
    },
};

/// The two links. A move takes 2 ms longer over the second: 1 ms more up and 1 ms more down.
const DELAY_LINKS: [&str; 2] = ["delay=10ms", "delay=11ms"];
/// The added delay of a move, in µs.
const DELAY_ADDED_US: f64 = 2_000.0;
/// The largest error of the median of all measured differences, in µs. A single difference may be
/// further off: its interval says by how much.
const MEDIAN_ERROR_MAX_US: f64 = 200.0;
/// The window, in ms: enough seconds for an interval.
const WINDOW_MS: u64 = 8_000;

/// Compares the age over the slower link with the age over the faster one, once in each repeat and
/// for each transport.
pub(crate) fn delay(comparisons: u32) -> anyhow::Result<()> {
    let links = DELAY_LINKS.map(str::parse).into_iter().collect::<Result<Vec<Network>, _>>()?;
    let plan = Scenario {
        links,
        on_links: Sampling { repeats: comparisons, duration_ms: WINDOW_MS, ..Sampling::LINK.of(&[1]) },
        ..scenario(TransportKind::ALL.to_vec(), 1, 0)
    };
    let results = measured(plan)?;
    let metric = Metric::AgeMean;
    let (mut found, mut differences_us) = (0, Vec::new());
    for kind in TransportKind::ALL {
        let contender = Contender::plain(kind);
        for comparison in 0..comparisons {
            let runs = of_repeats(&results.runs, comparison..comparison + 1);
            let [near, far] = DELAY_LINKS.map(|link| runs_of(&runs, link, contender, 0));
            let effect = effect(metric, far, near, results.scenario.seed)
                .with_context(|| format!("{kind} did not finish a run on both links"))?;
            let interval = effect.simultaneous;
            let covers = interval.low <= DELAY_ADDED_US && DELAY_ADDED_US <= interval.high;
            let right = effect.finding() == Finding::Worse && covers;
            found += u32::from(right);
            differences_us.push(effect.difference);
            let mark = if right { "found" } else { "missed" };
            println!("{kind:<14} {:>3}: {mark}: {}", comparison + 1, describe(metric, &effect));
        }
    }
    let tried = differences_us.len() as u32;
    let median_us = differences_us.into_iter().collect::<Quantiles>().median();
    println!("the median of the differences is {:+.2} ms", median_us / 1e3);
    ensure!(
        (median_us - DELAY_ADDED_US).abs() <= MEDIAN_ERROR_MAX_US,
        "the median of the differences is {:+.2} ms, and 2 ms were added",
        median_us / 1e3
    );
    conclude(
        "an added delay of 2 ms was found, inside its interval,",
        found,
        tried,
        nineteen_of_twenty(tried),
    )
}
