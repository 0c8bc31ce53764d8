//! The next steps of a comparison: runs beside one another, runs in turns, or one run alone. Pure:
//! the steps follow from the remaining runs.

use std::time::Duration;

use netduel_link::Direction;
use netduel_loadgen::Workload;

use crate::plan::{
    sampling::Order,
    scenario::{Group, Network, RunKey, Scenario},
};

/// The moves per second that may cross the emulators of one lane at once. The emulator's processor
/// is then busy for less than half of the time, so that its packets are not late.
pub(crate) const MOVES_PER_S_AT_ONCE: f64 = 4_900.0;
/// The moves that cost as much CPU time as one connection with its handshake.
const MOVES_PER_CONNECTION: f64 = 50.0;
/// The packets of a move on a link: up to the server, down to the opponent, and as many that
/// acknowledge them.
const PACKETS_PER_MOVE: f64 = 4.0;
/// The bits of a full packet of a bulk transfer.
const BULK_PACKET_BITS: f64 = 1_500.0 * 8.0;
/// The acknowledgements of a bulk transfer, as a share of its packets.
const BULK_ACKNOWLEDGED: f64 = 0.5;

/// The time in which a session starts or ends alone: two processes, the handshakes, the close.
const SESSION_TIME: Duration = Duration::from_millis(300);
/// The additional time for each session that starts beside others: its processes share a processor.
const SESSION_TIME_BESIDE: Duration = Duration::from_millis(120);
/// The time of a window beyond its plan: the messages between the runner and the players.
const WINDOW_OVERHEAD: Duration = Duration::from_millis(8);

/// One step of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// These runs go on at once.
    Beside(Vec<RunKey>),
    /// These runs of one group share sessions, and play in this order.
    InTurns(Vec<RunKey>),
    /// This run goes on alone, with a server and players of its own.
    Afresh(RunKey),
}

impl Step {
    /// Returns the runs of the step.
    pub(crate) fn runs(&self) -> &[RunKey] {
        match self {
            Self::Beside(runs) | Self::InTurns(runs) => runs,
            Self::Afresh(run) => std::slice::from_ref(run),
        }
    }

    /// Returns the estimated time of the step.
    pub(crate) fn time(&self, scenario: &Scenario) -> Duration {
        let window = |run: &RunKey| scenario.sampling_of(&run.group).window_time() + WINDOW_OVERHEAD;
        match self {
            Self::Beside(runs) => {
                let longest = runs.iter().map(window).max().unwrap_or_default();
                SESSION_TIME + SESSION_TIME_BESIDE * runs.len() as u32 + longest
            }
            Self::InTurns(runs) => {
                let arms = arms_of(runs).len() as u32;
                let one = runs.first().map(window).unwrap_or_default();
                // The first round is discarded.
                SESSION_TIME * arms + one * (runs.len() as u32 + arms)
            }
            Self::Afresh(run) => SESSION_TIME + window(run),
        }
    }

    /// Returns the step in a few words for the progress bar.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Beside(runs) => {
                let mut links: Vec<&str> = runs.iter().map(|run| run.group.link.as_str()).collect();
                links.dedup();
                format!("{} runs beside one another on {}", runs.len(), links.join(", "))
            }
            Self::InTurns(runs) => {
                let group = runs.first().map_or(String::new(), |run| run.group.to_string());
                format!("{} runs in turns on {group}", runs.len())
            }
            Self::Afresh(run) => format!("{run} on {}, repeat {}", run.group, run.repeat + 1),
        }
    }
}

/// Returns the steps of the remaining runs. `at_once_max` limits the load of runs that go on at
/// once, in moves per second.
///
/// Runs on links come in the order of their repeats. All arms of a group and repeat stay together
/// where the limit allows it, and groups share a step where both fit.
pub(crate) fn steps(scenario: &Scenario, pending: &[RunKey], at_once_max: f64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut beside: Vec<RunKey> = Vec::new();
    let mut in_turns: Vec<RunKey> = Vec::new();
    for run in pending {
        match scenario.order_of(&run.group) {
            Order::Beside => beside.push(run.clone()),
            Order::InTurns => in_turns.push(run.clone()),
            Order::Afresh => steps.push(Step::Afresh(run.clone())),
        }
    }
    // A stable sort keeps the groups and the shuffled arms in order.
    beside.sort_by_key(|run| run.repeat);
    let together = |a: &RunKey, b: &RunKey| a.repeat == b.repeat && a.group == b.group;
    let mut chunks: Vec<Vec<RunKey>> = Vec::new();
    for arms in beside.chunk_by(together) {
        for part in split(scenario, arms, at_once_max) {
            match chunks.last_mut() {
                Some(chunk) if load_of(scenario, chunk) + load_of(scenario, part) <= at_once_max => {
                    chunk.extend_from_slice(part);
                }
                _ => chunks.push(part.to_vec()),
            }
        }
    }
    let turns = in_turns.chunk_by(|a, b| a.group == b.group).map(|runs| Step::InTurns(runs.to_vec()));
    chunks.into_iter().map(Step::Beside).chain(turns).chain(steps).collect()
}

/// Splits the arms of a group into parts of about the same size that each keep the limit.
fn split<'a>(
    scenario: &Scenario,
    arms: &'a [RunKey],
    at_once_max: f64,
) -> impl Iterator<Item = &'a [RunKey]> {
    let parts = (load_of(scenario, arms) / at_once_max).ceil().max(1.0) as usize;
    arms.chunks(arms.len().div_ceil(parts).max(1))
}

fn load_of(scenario: &Scenario, runs: &[RunKey]) -> f64 {
    runs.iter().map(|run| moves_per_s(scenario, &run.group)).sum()
}

/// Returns the load of one run of a group, in moves per second.
fn moves_per_s(scenario: &Scenario, group: &Group) -> f64 {
    let per_player = match scenario.workload {
        Workload::Moves => 1.0,
        Workload::Connects => MOVES_PER_CONNECTION,
    };
    let of_game = f64::from(2 * group.pairs) * f64::from(group.rate_hz) * per_player;
    of_game + scenario.network(&group.link).map_or(0.0, bulk_moves_per_s)
}

/// Returns the load of the bulk transfer that shares a link, in moves per second.
fn bulk_moves_per_s(network: &Network) -> f64 {
    let Network::Shared(spec) = network else { return 0.0 };
    let rate = spec.direction(Direction::Down).rate.as_ref();
    // A transfer without a limit takes all that the machine has, and so do unreadable traces.
    let bit_per_s = rate.and_then(|rate| rate.mean_mbit_per_s().ok()).map_or(f64::INFINITY, |it| it * 1e6);
    bit_per_s / BULK_PACKET_BITS * (1.0 + BULK_ACKNOWLEDGED) / PACKETS_PER_MOVE
}

/// Returns the arms of these runs, in the order of their first runs.
pub(crate) fn arms_of(runs: &[RunKey]) -> Vec<RunKey> {
    let mut arms: Vec<RunKey> = Vec::new();
    for arm in runs.iter().map(RunKey::combination) {
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    arms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sampling::Sampling;

    fn scenario(links: &[&str]) -> Scenario {
        Scenario {
            links: links.iter().map(|link| link.parse().expect("a network")).collect(),
            on_links: Sampling { repeats: 2, ..Sampling::LINK.of(&[2]) },
            controls: 1,
            ..Scenario::default()
        }
    }

    /// Returns the link, the repeat and the number of runs of every step on links.
    fn chunks(scenario: &Scenario, at_once_max: f64) -> Vec<Vec<(String, u32)>> {
        let of = |step: Step| match step {
            Step::Beside(runs) => {
                let mut all: Vec<(String, u32)> =
                    runs.iter().map(|run| (run.group.link.clone(), run.repeat)).collect();
                all.dedup();
                Some(all)
            }
            Step::InTurns(_) | Step::Afresh(_) => None,
        };
        steps(scenario, &scenario.runs(), at_once_max).into_iter().filter_map(of).collect()
    }

    #[test]
    fn groups_share_steps_within_limit() {
        let scenario = scenario(&["wifi", "lte"]);
        let arms = scenario.arms().len() as f64;
        let of = |link: &str, repeat| (link.to_owned(), repeat);
        // Each arm plays 4 × 60 moves a second.
        let one_group = arms * 240.0;
        let apart = [of("wifi", 0), of("lte", 0), of("wifi", 1), of("lte", 1)].map(|it| vec![it]);
        assert_eq!(chunks(&scenario, one_group), apart);
        let paired = [vec![of("wifi", 0), of("lte", 0)], vec![of("wifi", 1), of("lte", 1)]];
        assert_eq!(chunks(&scenario, 2.0 * one_group), paired);
        // Half of a group at a time.
        let halves = chunks(&scenario, one_group / 2.0 + 120.0);
        assert_eq!(halves.len(), 8);
    }

    #[test]
    fn steps_hold_every_run_once() {
        for at_once_max in [1.0, 500.0, 2_000.0, 1e9] {
            let scenario = scenario(&["wifi", "loopback", "lte"]);
            let runs = scenario.runs();
            let steps = steps(&scenario, &runs, at_once_max);
            let mut found: Vec<RunKey> = steps.iter().flat_map(|step| step.runs().to_vec()).collect();
            assert_eq!(found.len(), runs.len());
            found.retain(|run| !runs.contains(run));
            assert!(found.is_empty());
            for step in &steps {
                let Step::Beside(chunk) = step else { continue };
                assert!(chunk.len() == 1 || load_of(&scenario, chunk) <= at_once_max);
            }
        }
    }

    #[test]
    fn runs_in_turns_share_one_step() {
        let scenario = scenario(&["loopback"]);
        let steps = steps(&scenario, &scenario.runs(), 1.0);
        let [Step::InTurns(runs)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(runs.len(), 20 * scenario.arms().len());
        assert_eq!(arms_of(runs).len(), scenario.arms().len());
        // 21 rounds of 8 windows of 278 ms, and the sessions.
        let time = steps[0].time(&scenario);
        assert!((48_000..51_000).contains(&time.as_millis()), "{time:?}");
    }

    #[test]
    fn bulk_transfers_count_as_load() {
        let scenario = scenario(&["lte", "lte+bulk"]);
        let loads: Vec<f64> = scenario.groups().iter().map(|group| moves_per_s(&scenario, group)).collect();
        assert_eq!(loads[0], 240.0);
        assert!(loads[1] > 600.0 && loads[1] < 2_000.0, "{loads:?}");
    }
}
