//! Runs a comparison. The finished runs decide the next runs, so that a comparison can be resumed
//! after any interruption.

use std::time::Duration;

use netduel_link::{Invalid, LinkError, LinkSpec, Privilege, ProbePlan, Side, Testbed};
use netduel_loadgen::{Lane, affinity};
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
    run::{
        baselines, beside,
        evidence::Evidence,
        in_turns::Turns,
        outliers::outliers,
        place::place_of,
        progress::Progress,
        provenance,
        session::run_once,
        steps::{MOVES_PER_S_AT_ONCE, Step, steps},
    },
};

/// The probe of each link before its use: long enough for its delay and rate, too short for rare
/// losses.
const PROBE: ProbePlan = ProbePlan { packets: 400, packets_per_s: 500.0, payload_bytes: 64, fill_ms: 300.0 };
/// The seed of the link during its probe. The probe measures the link and not a schedule.
const PROBE_SEED: u64 = 0;
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
    // Server and players have another processor. Left to the scheduler, the emulator settles there
    // or elsewhere, and their CPU time differs by a factor of two between the two.
    testbed.bind_emulators(affinity::lanes().first().and_then(|lane| lane.emulator));
    Ok(Some(testbed))
}

/// Returns the lanes of the runs of a scenario. A search binds the emulator alone, since server and
/// players carry more on several processors.
fn lanes_of(scenario: &Scenario) -> Vec<Lane> {
    let lanes = affinity::lanes();
    if scenario.search.is_none() {
        return lanes;
    }
    lanes.first().map(|lane| Lane { run: None, ..*lane }).into_iter().collect()
}

/// Returns the estimated time of a comparison; the longest time for a search.
pub(crate) fn estimate(scenario: &Scenario) -> Duration {
    let probed = scenario.links.iter().filter(|link| link.spec().is_some()).count() as u32;
    let at_once_max = MOVES_PER_S_AT_ONCE * lanes_of(scenario).len() as f64;
    let tries = scenario.search.map_or(1, |search| search.tries_max());
    time_of(scenario, &steps(scenario, &scenario.runs(), at_once_max)) * tries + PROBE_TIME * probed
}

fn time_of(scenario: &Scenario, steps: &[Step]) -> Duration {
    steps.iter().map(|step| step.time(scenario)).sum()
}

/// Returns the number of runs; the largest number for a search, which ends sooner.
pub(crate) fn runs_at_most(scenario: &Scenario) -> u32 {
    scenario.runs().len() as u32 * scenario.search.map_or(1, |search| search.tries_max())
}

/// Runs the remaining runs of a comparison, and adds each to the journal as it ends. The runs leave
/// `evidence`, if it is asked for.
pub(crate) fn measure(
    results: &mut Results,
    testbed: Option<&Testbed>,
    journal: Option<&mut Journal>,
    evidence: Option<&Evidence>,
) -> anyhow::Result<()> {
    results.left_out = baselines::ready(&mut results.scenario.baselines)?;
    let scenario = results.scenario.clone();
    let lanes = lanes_of(&scenario);
    results.provenance.lanes.clone_from(&lanes);
    let _kept_off = affinity::keep_off_runs(&lanes);
    let mut record = Record { results, journal };
    let mut progress = Progress::new(estimate(&scenario));
    for link in &scenario.links {
        let (Some(spec), Some(testbed)) = (link.spec(), testbed) else { continue };
        if record.results.calibrations.iter().all(|it| it.link != spec.name) {
            let what = format!("probing {}", spec.name);
            let calibration = progress.during(&what, PROBE_TIME, || calibrate(testbed, spec))?;
            record.add(Entry::Calibration(Box::new(calibration)))?;
        }
    }
    let bench = Bench { scenario: &scenario, testbed, lanes: &lanes, evidence };
    let mut at_once_max = MOVES_PER_S_AT_ONCE * lanes.len() as f64;
    loop {
        let steps = steps(&scenario, &pending(record.results), at_once_max);
        if steps.is_empty() {
            break;
        }
        let mut mostly_late = false;
        for (at, step) in steps.iter().enumerate() {
            progress.plan(time_of(&scenario, &steps[at..]));
            let planned = step.time(&scenario);
            progress.during(&step.describe(), planned, || bench.carry_out(step, &mut record))?;
            mostly_late |=
                matches!(step, Step::Beside(_)) && record.left(step.runs()).len() * 2 > step.runs().len();
        }
        // Fewer at once may be on time. All steps of a pass had the same number, so it halves once.
        if mostly_late {
            at_once_max /= 2.0;
        }
    }
    progress.finish();
    Ok(())
}

/// Measures a link before its use.
fn calibrate(testbed: &Testbed, spec: &LinkSpec) -> Result<Calibration, LinkError> {
    let mut link = testbed.link(spec, PROBE_SEED)?;
    let sysctls = link.inside(Side::Server, provenance::sysctls)?;
    Ok(Calibration { link: spec.name.clone(), probe: link.probe(&PROBE)?, sysctls })
}

/// The growing results and their journal.
struct Record<'a> {
    results: &'a mut Results,
    journal: Option<&'a mut Journal>,
}

impl Record<'_> {
    fn add(&mut self, entry: Entry) -> anyhow::Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.add(&entry)?;
        }
        self.results.add(entry);
        Ok(())
    }

    /// Discards those of these runs that the machine disturbed. Each has one more attempt: a run
    /// that is unusual twice is usual for its arm, or for this machine.
    fn discard_outliers(&mut self, runs: &[RunKey]) -> anyhow::Result<()> {
        let of_these: Vec<&RunResult> =
            self.results.runs.iter().filter(|run| runs.contains(&run.key)).collect();
        for failure in outliers(&of_these) {
            if self.results.rejections(&failure.key) == 0 {
                self.add(Entry::Rejected(failure))?;
            }
        }
        Ok(())
    }

    /// Returns those of these runs that need another attempt.
    fn left(&self, runs: &[RunKey]) -> Vec<RunKey> {
        runs.iter().filter(|key| !self.results.is_done(key)).cloned().collect()
    }
}

/// All that a step needs to run.
struct Bench<'a> {
    scenario: &'a Scenario,
    testbed: Option<&'a Testbed>,
    lanes: &'a [Lane],
    evidence: Option<&'a Evidence>,
}

impl Bench<'_> {
    /// Carries out a step once. Runs that were late are left for another step.
    fn carry_out(&self, step: &Step, record: &mut Record<'_>) -> anyhow::Result<()> {
        let Self { scenario, testbed, lanes, evidence } = *self;
        let lane = lanes.first().copied().unwrap_or_default();
        match step {
            Step::Afresh(key) => {
                let result = place_of(scenario, key, testbed, lane)
                    .and_then(|place| run_once(scenario, key, place, lane, evidence));
                record.add(entry(key, result))
            }
            Step::Beside(keys) => {
                let results = beside::run(scenario, keys, testbed, lanes, evidence);
                for (key, result) in keys.iter().zip(results) {
                    record.add(entry(key, result))?;
                }
                record.discard_outliers(keys)
            }
            Step::InTurns(keys) => {
                let mut turns = Turns::start(scenario, keys, lane, evidence);
                let mut left = keys.clone();
                while !left.is_empty() {
                    for key in &left {
                        record.add(entry(key, turns.play(key)))?;
                    }
                    record.discard_outliers(keys)?;
                    left = record.left(keys);
                }
                match turns.end() {
                    Ok(counters) => counters
                        .into_iter()
                        .try_for_each(|of_arm| record.add(Entry::Counters(Box::new(of_arm)))),
                    // The windows are measured, so that an end out of order changes no result.
                    Err(error) => {
                        eprintln!("warning: {error:#}");
                        Ok(())
                    }
                }
            }
        }
    }
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
        let repeats = scenario.sampling_of(&group).repeats;
        batch.extend((0..repeats).map(key).filter(|key| !results.is_done(key)));
    }
    // Every round has another order.
    batch.shuffle(&mut ChaCha8Rng::seed_from_u64(scenario.seed.wrapping_add(results.runs.len() as u64)));
    batch
}

/// Returns the entry of a run. Only a late link is the fault of the machine. Any other failure may
/// be that of the transport, and counts.
fn entry(key: &RunKey, result: anyhow::Result<RunResult>) -> Entry {
    match result {
        Ok(run) => Entry::Run(Box::new(run)),
        Err(error) => {
            let failure = Failure { key: key.clone(), reason: format!("{error:#}") };
            if error.is::<Invalid>() { Entry::Rejected(failure) } else { Entry::Failure(failure) }
        }
    }
}
