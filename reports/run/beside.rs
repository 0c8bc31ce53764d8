//! Runs beside one another: each run has a thread, a link, a server and players of its own, and all
//! windows open at once.

use std::sync::Barrier;

use netduel_link::Testbed;
use netduel_loadgen::Lane;

use crate::{
    data::run_result::RunResult,
    plan::scenario::{RunKey, Scenario},
    run::{
        evidence::Evidence,
        place::{Place, place_of},
        session::Session,
    },
};

/// Runs these runs at once, and returns their results in the same order.
pub(crate) fn run(
    scenario: &Scenario,
    keys: &[RunKey],
    testbed: Option<&Testbed>,
    lanes: &[Lane],
    evidence: Option<&Evidence>,
) -> Vec<anyhow::Result<RunResult>> {
    let gate = Barrier::new(keys.len());
    std::thread::scope(|scope| {
        let gate = &gate;
        let mut arms = Vec::with_capacity(keys.len());
        for (key, &lane) in keys.iter().zip(lanes.iter().cycle()) {
            arms.push(scope.spawn(move || arm(scenario, key, testbed, lane, evidence, gate)));
        }
        let join = |arm: std::thread::ScopedJoinHandle<'_, _>| {
            arm.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread of the run panicked")))
        };
        arms.into_iter().map(join).collect()
    })
}

/// Runs one of several runs. All wait for each other twice: before their windows, so that no start
/// disturbs a window, and after them, so that no end does.
fn arm(
    scenario: &Scenario,
    key: &RunKey,
    testbed: Option<&Testbed>,
    lane: Lane,
    evidence: Option<&Evidence>,
    gate: &Barrier,
) -> anyhow::Result<RunResult> {
    let start = |place: Place| Session::start(scenario, key, place, lane, evidence);
    let session = place_of(scenario, key, testbed, lane).and_then(start);
    gate.wait();
    let played = session.and_then(|mut session| {
        let run = session.window(key)?;
        Ok((session, run))
    });
    // An arm that failed keeps no other waiting.
    gate.wait();
    let (session, run) = played?;
    session.end_with(run)
}
