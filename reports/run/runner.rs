//! Carries out a comparison: what is to run follows from what has run, so that it can be interrupted anywhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use netduel_link::{Invalid, LinkError, Privilege, ProbePlan, Testbed};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    analysis::capacity::{at, capacities},
    data::{
        journal::Journal,
        results::{Calibration, Entry, Failure, Results},
        run_result::RunResult,
    },
    plan::scenario::{Network, RunKey, Scenario},
    run::{baselines, place::Place, run_once},
};

/// Starting two processes, pairing, settling and ending: what a run takes on top of its window, for the estimate.
const RUN_OVERHEAD: Duration = Duration::from_millis(300);
/// A look at each link before it is used: long enough for its delay and rate, too short for rare losses.
const PROBE: ProbePlan = ProbePlan { packets: 400, packets_per_s: 500.0, payload_bytes: 64, fill_ms: 300.0 };
/// What that takes, for the estimate.
const PROBE_TIME: Duration = Duration::from_millis(1_800);

/// The right to make links, if any are to be made. Comes before anything that starts a thread: a user namespace is entered
/// by the whole process or not at all.
pub(crate) fn enter_testbed<'a>(
    links: impl IntoIterator<Item = &'a Network>,
) -> Result<Option<Testbed>, LinkError> {
    let emulated = links.into_iter().any(|link| link.spec().is_some());
    if emulated { Testbed::enter(Privilege::Auto).map(Some) } else { Ok(None) }
}

/// How long a comparison takes, and at most for a search.
pub(crate) fn estimate(scenario: &Scenario) -> Duration {
    let emulated = scenario.links.iter().filter(|link| link.spec().is_some()).count() as u32;
    (RUN_OVERHEAD + Duration::from_millis(scenario.run_ms())) * runs_at_most(scenario) + PROBE_TIME * emulated
}

/// Exactly so many, but for a search, which ends sooner.
pub(crate) fn runs_at_most(scenario: &Scenario) -> u32 {
    let tries = scenario.search.map_or(1, |search| search.tries_max());
    (scenario.groups().len() * scenario.arms().len()) as u32 * scenario.repeats * tries
}

/// Carries out what is left of a comparison, and notes each run in the journal as it ends.
pub(crate) fn measure(
    results: &mut Results,
    testbed: Option<&Testbed>,
    mut journal: Option<&mut Journal>,
) -> anyhow::Result<()> {
    let mut note = |results: &mut Results, entry: Entry| -> anyhow::Result<()> {
        if let Some(journal) = &mut journal {
            journal.add(&entry)?;
        }
        results.add(entry);
        Ok(())
    };
    results.left_out = baselines::ready(&mut results.scenario.baselines)?;
    let progress = progress(results);
    for link in results.scenario.links.clone() {
        let (Some(spec), Some(testbed)) = (link.spec(), testbed) else { continue };
        if results.calibrations.iter().all(|it| it.link != spec.name) {
            progress.set_message(format!("measuring {}", spec.name));
            let probe = testbed.link(spec, results.scenario.seed)?.probe(&PROBE)?;
            note(results, Entry::Calibration(Box::new(Calibration { link: spec.name.clone(), probe })))?;
        }
    }
    loop {
        let batch = pending(results);
        if batch.is_empty() {
            break;
        }
        for key in batch {
            progress.set_message(format!("{key} on {}, repeat {}", key.group, key.repeat + 1));
            while !results.is_done(&key) {
                let entry = attempt(&results.scenario, &key, testbed);
                note(results, entry)?;
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

fn progress(results: &Results) -> ProgressBar {
    let progress = ProgressBar::new(u64::from(runs_at_most(&results.scenario)));
    // Fails only for a template that does not parse, which is a constant here.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({eta} left)") {
        progress.set_style(style);
    }
    progress.set_position((results.runs.len() + results.failures.len()) as u64);
    progress.enable_steady_tick(Duration::from_millis(200));
    progress
}

/// What is to run next, in this order: everything that is left; of searches, one more value each.
fn pending(results: &Results) -> Vec<RunKey> {
    let scenario = &results.scenario;
    let Some(search) = scenario.search else {
        return scenario.runs().into_iter().filter(|key| !results.is_done(key)).collect();
    };
    let mut batch = Vec::new();
    for capacity in capacities(results) {
        let Some(value) = capacity.next else { continue };
        let group = at(&capacity.group, search.of, value);
        let key = |repeat| RunKey {
            contender: capacity.contender,
            arm: capacity.arm,
            group: group.clone(),
            repeat,
        };
        batch.extend((0..scenario.repeats).map(key).filter(|key| !results.is_done(key)));
    }
    // Another order in every round.
    batch.shuffle(&mut ChaCha8Rng::seed_from_u64(scenario.seed.wrapping_add(results.runs.len() as u64)));
    batch
}

/// One attempt at a run, and what came of it.
fn attempt(scenario: &Scenario, key: &RunKey, testbed: Option<&Testbed>) -> Entry {
    match run(scenario, key, testbed) {
        Ok(run) => Entry::Run(Box::new(run)),
        Err(error) => {
            let failure = Failure { key: key.clone(), reason: format!("{error:#}") };
            // Only a late link is the machine's fault. Whatever else fails may be the transport's, and counts.
            if error.is::<Invalid>() { Entry::Rejected(failure) } else { Entry::Failure(failure) }
        }
    }
}

fn run(scenario: &Scenario, key: &RunKey, testbed: Option<&Testbed>) -> anyhow::Result<RunResult> {
    let network = scenario.links.iter().find(|link| link.name() == key.group.link);
    let place = match (network, testbed) {
        (Some(network @ (Network::Emulated(spec) | Network::Shared(spec))), Some(testbed)) => {
            let link = testbed.link(spec, scenario.seed_of(key.repeat))?;
            Place::on_link(link, matches!(network, Network::Shared(_)))?
        }
        (Some(Network::Remote(remote)), _) => Place::Elsewhere(remote.clone()),
        _ => Place::Loopback,
    };
    run_once::run(scenario, key, place)
}
