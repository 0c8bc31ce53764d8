//! Runs in turns: every arm of a group has a session, and the sessions play short windows one after
//! the other while the others are connected and silent.

use netduel_loadgen::Lane;

use crate::{
    data::{results::ArmCounters, run_result::RunResult},
    plan::scenario::{RunKey, Scenario},
    run::{evidence::Evidence, place::place_of, session::Session, steps::arms_of},
};

/// The failures of an arm after which its further runs are not attempted. A failed start may take
/// half a minute, and an arm that failed three times would fail again.
const FAILURES_MAX: u32 = 3;

/// The sessions of the arms of one group.
pub(crate) struct Turns<'a> {
    scenario: &'a Scenario,
    lane: Lane,
    evidence: Option<&'a Evidence>,
    arms: Vec<Arm<'a>>,
}

/// One arm with its session.
struct Arm<'a> {
    key: RunKey,
    /// `None` before the start and after a failure.
    session: Option<Session<'a>>,
    failures: u32,
    /// The reason of the last failure.
    reason: String,
}

impl<'a> Turns<'a> {
    /// Starts a session for every arm of these runs, and plays a first round that is discarded. In
    /// it, caches, congestion windows and the memory of the processes settle. A failure shows in
    /// the first run of its arm.
    pub(crate) fn start(
        scenario: &'a Scenario,
        runs: &[RunKey],
        lane: Lane,
        evidence: Option<&'a Evidence>,
    ) -> Self {
        let arm = |key| Arm { key, session: None, failures: 0, reason: String::new() };
        let arms = arms_of(runs).into_iter().map(arm).collect();
        let mut turns = Self { scenario, lane, evidence, arms };
        let mut started = Vec::new();
        for arm in &mut turns.arms {
            started.push(arm.begin(scenario, lane, evidence).is_ok());
        }
        for (arm, _) in turns.arms.iter_mut().zip(started).filter(|(_, started)| *started) {
            // The next run of the arm starts it again, and reports why if that fails, too.
            let _ = arm.window(&arm.key.clone());
        }
        turns
    }

    /// Plays the window of a run. A session that ended by a failure starts again.
    ///
    /// # Errors
    /// The reason why the session could not start or play.
    pub(crate) fn play(&mut self, key: &RunKey) -> anyhow::Result<RunResult> {
        let (scenario, lane, evidence) = (self.scenario, self.lane, self.evidence);
        let arm = self.arms.iter_mut().find(|arm| arm.key == key.combination());
        let arm = arm.ok_or_else(|| anyhow::anyhow!("the run belongs to no session of its group"))?;
        if arm.session.is_none() {
            anyhow::ensure!(arm.failures < FAILURES_MAX, "not attempted after {}", arm.reason);
            arm.begin(scenario, lane, evidence)?;
        }
        arm.window(key)
    }

    /// Ends all sessions, and returns the counters of each arm's server.
    ///
    /// # Errors
    /// A server or players that did not end in order.
    pub(crate) fn end(self) -> anyhow::Result<Vec<ArmCounters>> {
        let mut all = Vec::new();
        for Arm { key: arm, session, .. } in self.arms {
            let counters = session.map(Session::end).transpose()?.flatten();
            all.extend(counters.map(|counters| ArmCounters { arm, counters }));
        }
        Ok(all)
    }
}

impl<'a> Arm<'a> {
    fn begin(
        &mut self,
        scenario: &'a Scenario,
        lane: Lane,
        evidence: Option<&'a Evidence>,
    ) -> anyhow::Result<()> {
        let place = place_of(scenario, &self.key, None, lane);
        let started = place.and_then(|place| Session::start(scenario, &self.key, place, lane, evidence));
        self.session = Some(started.inspect_err(|error| self.failed(error))?);
        Ok(())
    }

    fn window(&mut self, key: &RunKey) -> anyhow::Result<RunResult> {
        let session = self.session.as_mut();
        let session = session.ok_or_else(|| anyhow::anyhow!("the session did not start"))?;
        session.window(key).inspect_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.session = None;
        self.failures += 1;
        self.reason = format!("{error:#}");
    }
}
