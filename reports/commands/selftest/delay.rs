//! The delay self-test: compares two links whose delays differ by a known time, and expects to find
//! it.

use anyhow::{Context, ensure};
use netduel_transport::TransportKind;

use crate::{
    analysis::statistics,
    commands::selftest::shared::{measured, scenario},
    plan::scenario::{Network, RunKey, Scenario},
};

/// The two links. A move takes 2 ms longer over the second: 1 ms more up and 1 ms more down.
const DELAY_LINKS: [&str; 2] = ["delay=10ms", "delay=11ms"];
/// The added delay of a move, in µs.
const DELAY_ADDED_US: f64 = 2_000.0;
/// The largest error of the measured difference, in µs.
const DELAY_ERROR_MAX_US: f64 = 200.0;

/// Measures, for each transport and repeat, the mean delay over the slower link minus the mean over
/// the faster link.
pub(crate) fn delay(repeat: u32) -> anyhow::Result<()> {
    let links = DELAY_LINKS.map(str::parse).into_iter().collect::<Result<Vec<Network>, _>>()?;
    let scenario = Scenario { links, ..scenario(TransportKind::ALL.to_vec(), repeat, 0) };
    let results = measured(scenario)?;
    let mut worst_us: f64 = 0.0;
    for kind in TransportKind::ALL {
        let mean_us = |link: &Network, repeat: u32| {
            let matches = |key: &RunKey| {
                key.contender.transport == kind.into()
                    && key.group.link == link.name()
                    && key.repeat == repeat
            };
            results.runs.iter().find(|run| matches(&run.key))?.load.stats.one_way.mean_us()
        };
        let [near, far] = &results.scenario.links[..] else {
            anyhow::bail!("the scenario must have two links")
        };
        let added_us: Vec<f64> =
            (0..repeat).filter_map(|it| Some(mean_us(far, it)? - mean_us(near, it)?)).collect();
        let found_us = statistics::mean(&added_us)
            .with_context(|| format!("{kind} did not finish a run on both links"))?;
        let spread = statistics::mean_interval(&added_us, results.scenario.seed)
            .map_or(String::new(), |it| format!(" ({:.3} to {:.3})", it.low / 1_000.0, it.high / 1_000.0));
        println!(
            "{kind}: found {:.3} ms{spread} of {:.3} ms added",
            found_us / 1_000.0,
            DELAY_ADDED_US / 1_000.0
        );
        worst_us = worst_us.max((found_us - DELAY_ADDED_US).abs());
    }
    println!("largest error: {:.3} ms", worst_us / 1_000.0);
    ensure!(
        worst_us <= DELAY_ERROR_MAX_US,
        "the added delay was not found: measured delays are not reliable on this machine now"
    );
    Ok(())
}
