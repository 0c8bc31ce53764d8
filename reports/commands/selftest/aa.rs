//! The A/A self-test: compares transports with themselves and expects no difference.

use netduel_transport::TransportKind;

use crate::{
    analysis::verdict::{Verdict, comparison::Finding},
    commands::selftest::shared::{conclude, describe, measured, nineteen_of_twenty, of_repeats, scenario},
    data::results::Results,
    plan::{
        presets::Preset,
        sampling::Sampling,
        scenario::{Network, Scenario},
    },
};

/// Carries out many comparisons of the default form, and counts those in which the A/A control
/// differs from the reference in any metric on any network.
pub(crate) fn aa(comparisons: u32, transports: Vec<TransportKind>) -> anyhow::Result<()> {
    let quick = Preset::ALL[0].scenario();
    let rounds = quick.off_links.repeats;
    // Repeats of links and rounds of loopback become comparisons, each with seeds of its own.
    let all = Scenario {
        links: quick.links.clone(),
        on_links: Sampling { repeats: comparisons, ..quick.on_links.clone() },
        ..scenario(transports, comparisons * rounds, 1)
    };
    let results = measured(all)?;
    let mut alike = 0;
    for comparison in 0..comparisons {
        let one = one_comparison(&results, comparison, rounds);
        let found = differences(&one);
        alike += u32::from(found.is_empty());
        let text = if found.is_empty() { "no difference".into() } else { found.join("; ") };
        println!("A/A {:>3}: {text}", comparison + 1);
    }
    conclude("no difference between equal transports", alike, comparisons, nineteen_of_twenty(comparisons))
}

/// Returns one of the comparisons: a repeat of each link, and a comparison's worth of rounds.
fn one_comparison(results: &Results, comparison: u32, rounds: u32) -> Results {
    let scenario = &results.scenario;
    let mut one = results.clone();
    one.scenario.on_links.repeats = 1;
    one.scenario.off_links.repeats = rounds;
    one.scenario.seed = scenario.seed_of(comparison);
    one.runs.clear();
    for network in &scenario.links {
        let of_network: Vec<_> =
            results.runs.iter().filter(|run| run.key.group.link == network.name()).cloned().collect();
        let first = if *network == Network::Loopback { comparison * rounds } else { comparison };
        let count = if *network == Network::Loopback { rounds } else { 1 };
        one.runs.extend(of_repeats(&of_network, first..first + count));
    }
    one
}

/// Returns the differences that a comparison finds between the control and the reference.
fn differences(results: &Results) -> Vec<String> {
    let Some(verdict) = Verdict::from_results(results) else { return Vec::new() };
    let mut found = Vec::new();
    for group in &verdict.groups {
        for comparison in &group.figures.control {
            if let (Finding::Better | Finding::Worse, Some(effect)) = (comparison.finding, &comparison.effect)
            {
                found.push(format!("{} on {}", describe(comparison.metric, effect), group.group.link));
            }
        }
    }
    found
}
