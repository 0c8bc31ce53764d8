//! The self-test of runs beside one another: what a transport does on a link does not depend on the
//! runs beside it.

use netduel_transport::TransportKind;

use crate::{
    analysis::{
        metrics::Metric,
        place::Place,
        verdict::comparison::{Effect, Finding},
    },
    commands::selftest::shared::{conclude, describe, effect, measured, runs_of},
    plan::{
        presets::Preset,
        sampling::Sampling,
        scenario::{Network, Scenario},
    },
};

/// The transports that run alone: one of each way to lose and to repeat.
const ALONE: [TransportKind; 4] =
    [TransportKind::Tcp, TransportKind::QuicStream, TransportKind::QuicDatagram, TransportKind::Udp];
/// The link of the runs alone.
const LINK: &str = "wifi-busy";
/// The window, in ms.
const WINDOW_MS: u64 = 20_000;
/// The differences that may be called by chance, of a dozen.
const WRONG_MAX: u32 = 1;

/// Runs the default comparison's links with all arms at once, then some of its contenders alone
/// with the same seeds, and compares the two.
pub(crate) fn beside(repeats: u32) -> anyhow::Result<()> {
    let quick = Preset::ALL[0].scenario();
    let on_links = Sampling { repeats, duration_ms: WINDOW_MS, ..quick.on_links.clone() };
    let links: Vec<Network> = quick.links.iter().filter(|link| link.spec().is_some()).cloned().collect();
    let together = Scenario { preset: "selftest".into(), links, on_links, ..quick };
    let one_link: Vec<Network> = together.links.iter().filter(|link| link.name() == LINK).cloned().collect();
    let alone = Scenario {
        transports: ALONE.to_vec(),
        tuned: vec![false],
        links: one_link,
        controls: 0,
        afresh: true,
        ..together.clone()
    };
    let (together, alone) = (measured(together)?, measured(alone)?);
    let (mut alike, mut tried) = (0, 0);
    for contender in alone.scenario.contenders() {
        for &metric in Metric::judged(alone.scenario.workload, Place::Link) {
            let [beside, by_itself] = [&together, &alone].map(|it| runs_of(&it.runs, LINK, contender, 0));
            let compared = effect(metric, beside, by_itself, alone.scenario.seed);
            let differs = compared.as_ref().is_none_or(is_found);
            (alike, tried) = (alike + u32::from(!differs), tried + 1);
            let mark = if differs { "differs" } else { "alike" };
            let text = compared.map_or("too few units".into(), |it| describe(metric, &it));
            println!("{:<14} {mark}: {text}", contender.to_string());
        }
    }
    conclude("beside other runs and alone, the link's figures were alike", alike, tried, tried - WRONG_MAX)
}

fn is_found(effect: &Effect) -> bool {
    matches!(effect.finding(), Finding::Better | Finding::Worse)
}
