//! Runs a comparison. The finished runs decide the next runs, so that a comparison can be resumed
//! after any interruption.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use netduel_link::{Invalid, LinkError, Privilege, ProbePlan, Testbed};
use netduel_loadgen::affinity;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    analysis::capacity::{capacities, group_at},
    data::{
        journal::Journal,
        results::{Calibration, Entry, Failure, Results},
        run_result::RunResult,
    },
    plan::scenario::{Network, RunKey, Scenario},
    run::{baselines, place::Place, run_once},
};

/// The estimated time of a run beyond its window: starting two processes, pairing, settling and
/// ending.
const RUN_OVERHEAD: Duration = Duration::from_millis(300);
/// The probe of each link before its use: long enough for its delay and rate, too short for rare
/// losses.
const PROBE: ProbePlan = ProbePlan { packets: 400, packets_per_s: 500.0, payload_bytes: 64, fill_ms: 300.0 };
/// The estimated time of a probe.
const PROBE_TIME: Duration = Duration::from_millis(1_800);

/// Enters the testbed if any link is emulated. Call it before any thread starts: a user namespace
/// is entered by the whole process or not at all.
pub(crate) fn enter_testbed<'a>(
    links: impl IntoIterator<Item = &'a Network>,
) -> Result<Option<Testbed>, LinkError> {
    let emulated = links.into_iter().any(|link| link.spec().is_some());
    if !emulated {
        return Ok(None);
    }
    let mut testbed = Testbed::enter(Privilege::Auto)?;
    // Server and players have `run_cpu`. Left to the scheduler, the emulator settles there or
    // elsewhere, and their CPU time differs by a factor of two between the two.
    testbed.bind_emulators(affinity::run_cpu().and_then(affinity::another_cpu));
    Ok(Some(testbed))
}

/// Returns the estimated time of a comparison; the longest time for a search.
pub(crate) fn estimate(scenario: &Scenario) -> Duration {
    let emulated = scenario.links.iter().filter(|link| link.spec().is_some()).count() as u32;
    (RUN_OVERHEAD + Duration::from_millis(scenario.run_ms())) * runs_at_most(scenario) + PROBE_TIME * emulated
}

/// Returns the number of runs; the largest number for a search, which ends sooner.
pub(crate) fn runs_at_most(scenario: &Scenario) -> u32 {
    let tries = scenario.search.map_or(1, |search| search.tries_max());
    (scenario.groups().len() * scenario.arms().len()) as u32 * scenario.repeats * tries
}

/// Runs the remaining runs of a comparison, and adds each to the journal as it ends.
pub(crate) fn measure(
    results: &mut Results,
    testbed: Option<&Testbed>,
    mut journal: Option<&mut Journal>,
) -> anyhow::Result<()> {
    let mut record = |results: &mut Results, entry: Entry| -> anyhow::Result<()> {
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
            progress.set_message(format!("probing {}", spec.name));
            let probe = testbed.link(spec, results.scenario.seed)?.probe(&PROBE)?;
            record(results, Entry::Calibration(Box::new(Calibration { link: spec.name.clone(), probe })))?;
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
                record(results, entry)?;
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Returns the progress bar of a comparison.
fn progress(results: &Results) -> ProgressBar {
    let progress = ProgressBar::new(u64::from(runs_at_most(&results.scenario)));
    // The template is a constant, and parses.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({eta} left)") {
        progress.set_style(style);
    }
    progress.set_position((results.runs.len() + results.failures.len()) as u64);
    progress.enable_steady_tick(Duration::from_millis(200));
    progress
}

/// Returns the next runs in order: every remaining run, or one more value of every search.
fn pending(results: &Results) -> Vec<RunKey> {
    let scenario = &results.scenario;
    let Some(search) = scenario.search else {
        return scenario.runs().into_iter().filter(|key| !results.is_done(key)).collect();
    };
    let mut batch = Vec::new();
    for capacity in capacities(results) {
        let Some(value) = capacity.next else { continue };
        let group = group_at(&capacity.group, search.of, value);
        let key = |repeat| RunKey {
            contender: capacity.contender,
            arm: capacity.arm,
            group: group.clone(),
            repeat,
        };
        batch.extend((0..scenario.repeats).map(key).filter(|key| !results.is_done(key)));
    }
    // Every round has another order.
    batch.shuffle(&mut ChaCha8Rng::seed_from_u64(scenario.seed.wrapping_add(results.runs.len() as u64)));
    batch
}

/// Attempts a run, and returns its result, failure or rejection.
fn attempt(scenario: &Scenario, key: &RunKey, testbed: Option<&Testbed>) -> Entry {
    match run(scenario, key, testbed) {
        Ok(run) => Entry::Run(Box::new(run)),
        Err(error) => {
            let failure = Failure { key: key.clone(), reason: format!("{error:#}") };
            // Only a late link is the fault of the machine. Any other failure may be that of the
            // transport, and counts.
            if error.is::<Invalid>() { Entry::Rejected(failure) } else { Entry::Failure(failure) }
        }
    }
}

/// Runs one combination at the place that its group names.
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
