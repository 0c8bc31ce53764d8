//! The delay self-test: compares two links of which one is slower by a known time, which must be found.

use anyhow::{Context, ensure};
use netduel_transport::TransportKind;

use crate::{
    analysis::statistics,
    commands::selftest::shared::{measured, scenario},
    plan::scenario::{Network, RunKey, Scenario},
};

/// The links of the delay's self-test, and how much longer a move takes over the second: 1 ms more up, and 1 ms down.
const DELAY_LINKS: [&str; 2] = ["delay=10ms", "delay=11ms"];
const DELAY_ADDED_US: f64 = 2_000.0;
/// How far from that what is measured may lie.
const DELAY_ERROR_MAX_US: f64 = 200.0;

/// One transport at a time, repeat by repeat: the mean delay over the slower link less that over the other.
pub(crate) fn delay(repeat: u32) -> anyhow::Result<()> {
    let links = DELAY_LINKS.map(str::parse).into_iter().collect::<Result<Vec<Network>, _>>()?;
    let scenario = Scenario { links, ..scenario(TransportKind::ALL.to_vec(), repeat, 0) };
    let results = measured(scenario)?;
    let mut worst_us: f64 = 0.0;
    for kind in TransportKind::ALL {
        let mean_us = |link: &Network, repeat: u32| {
            let of = |key: &RunKey| {
                key.contender.transport == kind.into()
                    && key.group.link == link.name()
                    && key.repeat == repeat
            };
            results.runs.iter().find(|run| of(&run.key))?.load.stats.one_way.mean_us()
        };
        let [near, far] = &results.scenario.links[..] else { anyhow::bail!("two links were asked for") };
        let added_us: Vec<f64> =
            (0..repeat).filter_map(|it| Some(mean_us(far, it)? - mean_us(near, it)?)).collect();
        let found_us = statistics::mean(&added_us).with_context(|| format!("no two runs of {kind}"))?;
        let spread = statistics::mean_interval(&added_us, results.scenario.seed)
            .map_or(String::new(), |it| format!(" ({:.3} to {:.3})", it.low / 1_000.0, it.high / 1_000.0));
        println!(
            "{kind}: {:.3} ms{spread} of an added {:.3} ms",
            found_us / 1_000.0,
            DELAY_ADDED_US / 1_000.0
        );
        worst_us = worst_us.max((found_us - DELAY_ADDED_US).abs());
    }
    println!("at most {:.3} ms off", worst_us / 1_000.0);
    ensure!(
        worst_us <= DELAY_ERROR_MAX_US,
        "an added delay was not recovered: delays mean nothing on this machine now"
    );
    Ok(())
}
