//! The deeds of an emulated link: the evidence that a verdict about loss rests on. Pure.

use netduel_link::LinkReport;

use crate::{
    analysis::traffic::lost,
    data::run_result::RunResult,
    plan::scenario::{Group, Network, Scenario},
};

/// The separate bad periods with losses below which a verdict says nothing about loss: the tail of
/// an age rests on one stall a bad period, and fewer stalls lack the rare ones.
pub(crate) const BAD_PERIODS_MIN: u64 = 10;
/// The factor by which a proposed window is longer than the mean time to enough bad periods. Their
/// number in a window varies; with 50 % more, 9 of 10 windows hold enough.
const WINDOW_RESERVE: f64 = 1.5;

/// The length of a window from which the mean number of bad periods is taken, in ms: so long that
/// its edges do not count.
pub(crate) const PACE_MS: f64 = 1e8;

/// The losses and bad periods that the contenders of a group met on an emulated link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkMet {
    /// The link time of each contender, in s.
    pub seconds: f64,
    /// Whether the link was asked to lose anything.
    pub asked_loss: bool,
    /// The lost packets of the contender that lost fewest. Drops of a full queue do not count.
    pub lost_packets: u64,
    /// The separate bad periods in which packets were lost, of the contender that met fewest.
    pub bad_periods: u64,
    /// The number of bad periods that a verdict about loss needs.
    pub bad_periods_wanted: u64,
    /// The window that is expected to meet enough, in s; `None` if enough were met, or nobody
    /// knows.
    pub seconds_wanted: Option<u64>,
}

impl LinkMet {
    /// Whether a verdict about loss is possible, or none is needed.
    pub fn enough(&self) -> bool {
        !self.asked_loss || self.bad_periods >= self.bad_periods_wanted
    }

    /// Returns what the link of a group did; `None` without an emulated link or without a run.
    pub(crate) fn of_group(scenario: &Scenario, group: &Group, runs: &[&RunResult]) -> Option<Self> {
        let network = scenario.links.iter().find(|link| link.name() == group.link)?;
        let (Network::Emulated(spec) | Network::Shared(spec)) = network else { return None };
        let mut arms: Vec<_> = runs.iter().map(|run| (run.key.contender, run.key.arm)).collect();
        arms.sort_by_key(|(contender, arm)| (contender.to_string(), *arm));
        arms.dedup();
        // The sum over the repeats of the contender with the smallest.
        let fewest = |count: fn(&LinkReport) -> u64| {
            let of_arm = |arm: &(_, u8)| {
                let links = runs.iter().filter(|run| (run.key.contender, run.key.arm) == *arm);
                links.filter_map(|run| run.link.as_ref()).map(count).sum::<u64>()
            };
            arms.iter().map(of_arm).min()
        };
        let seconds = {
            let of_arm = |arm: &(_, u8)| {
                let links = runs.iter().filter(|run| (run.key.contender, run.key.arm) == *arm);
                links.filter_map(|run| run.link.as_ref()).map(|link| link.elapsed_ms / 1e3).sum::<f64>()
            };
            arms.iter().map(of_arm).reduce(f64::min)?
        };
        let asked_loss = [&spec.up, &spec.down].iter().any(|way| way.loss != netduel_link::Loss::None);
        let met = Self {
            seconds,
            asked_loss,
            lost_packets: fewest(lost)?,
            bad_periods: fewest(LinkReport::loss_periods)?,
            bad_periods_wanted: BAD_PERIODS_MIN,
            seconds_wanted: None,
        };
        let wanted = || {
            // Of a link without a schedule the losses so far tell the pace.
            let each_second = match spec.expected_bad_periods(PACE_MS) {
                Some(periods) => periods / (PACE_MS / 1e3),
                None => met.bad_periods as f64 / met.seconds,
            };
            window_for_enough(each_second)
        };
        Some(Self { seconds_wanted: if met.enough() { None } else { wanted() }, ..met })
    }
}

/// Returns the window that is expected to meet enough bad periods, in s, if so many come each
/// second; `None` if none come.
pub(crate) fn window_for_enough(bad_periods_each_second: f64) -> Option<u64> {
    let wanted = (BAD_PERIODS_MIN as f64 / bad_periods_each_second * WINDOW_RESERVE).ceil();
    wanted.is_finite().then_some(wanted as u64)
}
