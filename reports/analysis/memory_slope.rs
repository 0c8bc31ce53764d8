//! Memory per connection: the slope of the server's memory over the number of connections. Pure.
//!
//! Resident memory and the kernel's memory for sockets have a slope each. A slope is used since
//! most of a small server's memory exists before the first connection. A division would count that
//! part again for each size.

use std::collections::BTreeSet;

use netduel_loadgen::Workload;

use crate::{
    analysis::capacity::{Fate, capacities},
    data::{results::Results, run_result::RunResult},
    plan::{contender::Contender, scenario::Group},
};

/// The smallest number of sizes for a fit. A line fits any two sizes.
const SIZES_MIN: usize = 3;
/// The spread of a fit in standard errors of its slope: about 95 % confidence.
const SPREAD_ERRORS: f64 = 2.0;
/// The connections of a match.
const CONNECTIONS_PER_PAIR: u32 = 2;

/// A line through runs of several sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The memory of one more connection, in bytes.
    pub per_connection: f64,
    /// The uncertainty of `per_connection`, in bytes: two standard errors.
    pub spread: f64,
    /// The memory before the first connection, in bytes.
    pub base: f64,
}

/// The slope of the server's memory for one contender in one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Slope {
    /// The transport with its settings.
    pub contender: Contender,
    /// The group, with 0 as its number of matches.
    pub group: Group,
    /// The smallest and the largest number of connections.
    pub connections: (u32, u32),
    /// The fit of resident memory.
    pub resident: Option<Fit>,
    /// The fit of the kernel's memory for sockets.
    pub kernel: Option<Fit>,
}

/// Fits a line of bytes over connections by least squares. `None` with fewer than [`SIZES_MIN`]
/// sizes.
fn fit(points: &[(u32, u64)]) -> Option<Fit> {
    let sizes: BTreeSet<u32> = points.iter().map(|(connections, _)| *connections).collect();
    if sizes.len() < SIZES_MIN {
        return None;
    }
    let count = points.len() as f64;
    let points: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (f64::from(x), y as f64)).collect();
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let (mean_x, mean_y) = (sum(&|it| it.0) / count, sum(&|it| it.1) / count);
    let spread_x = sum(&|it| (it.0 - mean_x).powi(2));
    let slope = sum(&|it| (it.0 - mean_x) * (it.1 - mean_y)) / spread_x;
    let base = mean_y - slope * mean_x;
    let unexplained = sum(&|it| (it.1 - base - slope * it.0).powi(2));
    let error = (unexplained / (count - 2.0) / spread_x).sqrt();
    Some(Fit { per_connection: slope, spread: SPREAD_ERRORS * error, base })
}

/// Returns the slopes of these results, in the order of groups and contenders. Of a search only
/// values that held count: beyond them the server queues unsent data.
pub fn slopes(results: &Results) -> Vec<Slope> {
    let scenario = &results.scenario;
    if scenario.workload == Workload::Connects {
        return Vec::new();
    }
    let held = capacities(results);
    let counts = |run: &&RunResult| {
        let tries = held
            .iter()
            .filter(|it| it.contender == run.key.contender && it.arm == 0)
            .flat_map(|it| it.tries.iter().filter(move |_| it.group.link == run.key.group.link));
        let is_it = |value: u32| value == run.key.group.pairs;
        run.key.arm == 0
            && (scenario.search.is_none()
                || tries.into_iter().any(|it| is_it(it.value) && it.fate == Fate::Held))
    };
    let runs: Vec<&RunResult> = results.runs.iter().filter(counts).collect();
    let mut groups: Vec<Group> = Vec::new();
    for group in scenario.groups() {
        let group = Group { pairs: 0, ..group };
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let mut slopes = Vec::new();
    for group in groups {
        slopes.extend(scenario.contenders().into_iter().filter_map(|it| slope(&runs, it, &group)));
    }
    slopes
}

fn slope(runs: &[&RunResult], contender: Contender, group: &Group) -> Option<Slope> {
    let alike = |run: &&&RunResult| {
        run.key.contender == contender && Group { pairs: 0, ..run.key.group.clone() } == *group
    };
    let runs: Vec<&RunResult> = runs.iter().filter(alike).copied().collect();
    let connections = |run: &RunResult| run.key.group.pairs * CONNECTIONS_PER_PAIR;
    let of = |bytes: fn(&RunResult) -> Option<u64>| {
        fit(&runs.iter().filter_map(|run| Some((connections(run), bytes(run)?))).collect::<Vec<_>>())
    };
    let (resident, kernel) = (of(|run| run.server.resident_bytes), of(|run| run.server.kernel_bytes));
    let sizes = runs.iter().map(|run| connections(run));
    let connections = (sizes.clone().min()?, sizes.max()?);
    (resident.is_some() || kernel.is_some()).then(|| Slope {
        contender,
        group: group.clone(),
        connections,
        resident,
        kernel,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fit_finds_line_and_spread() {
        let exact: Vec<(u32, u64)> =
            [20, 100, 200].map(|it| (it, 5_000_000 + 3_000 * u64::from(it))).to_vec();
        let found = fit(&exact).expect("three sizes");
        assert!((found.per_connection - 3_000.0).abs() < 1e-6 && found.spread < 1e-6, "{found:?}");
        assert!((found.base - 5e6).abs() < 1e-3);
        // Anscombe's first set (The American Statistician 27, 1973), times 100: the slope is 0.5
        // and its standard error 0.118.
        let x = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5];
        let y = [804, 695, 758, 881, 833, 996, 724, 426, 1084, 482, 568];
        let found = fit(&x.into_iter().zip(y).collect::<Vec<_>>()).expect("many sizes");
        assert!((found.per_connection - 50.0).abs() < 0.1, "{found:?}");
        assert!((found.spread - 2.0 * 11.8).abs() < 0.1, "{found:?}");
        assert!((found.base - 300.0).abs() < 0.1, "{found:?}");
        assert_eq!(fit(&[(20, 1), (20, 2), (40, 3), (40, 4)]), None, "two sizes are too few");
    }
}
