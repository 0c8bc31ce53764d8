//! Figures over the repeats of one combination. Pure.

use netduel_client::stats::Samples;
use netduel_loadgen::Connects;
use serde::Serialize;

use crate::{
    analysis::statistics::median,
    data::{results::Results, run_result::RunResult},
    plan::scenario::RunKey,
};

/// The CPU time from which a split into user and system is shown, in µs. At 20 ticks of 10 ms, one
/// tick is 5 % of it.
const SPLIT_US_MIN: u64 = 20 * 10_000;

/// A figure over all repeats of a run together, with the spread of the single repeats.
///
/// The repeats are merged instead of taking their median. A rare event of the link, such as a burst
/// of losses, falls into some repeats and not into others, and a median would leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The value over all repeats together.
    pub value: f64,
    /// The smallest value of a single repeat.
    pub min: f64,
    /// The largest value of a single repeat.
    pub max: f64,
}

impl Figure {
    /// Combines the value over all repeats with their spread. `None` without a value. Repeats that
    /// do not know theirs are left out of the spread.
    fn from_repeats(value: Option<f64>, repeats: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let value = value?;
        let (min, max) =
            repeats.into_iter().flatten().fold((value, value), |(min, max), it| (min.min(it), max.max(it)));
        Some(Self { value, min, max })
    }
}

/// The completed runs of one combination, one for each repeat.
#[derive(Clone, Copy)]
pub(crate) struct Repeats<'a>(&'a [&'a RunResult]);

impl<'a> Repeats<'a> {
    pub(crate) const fn new(runs: &'a [&'a RunResult]) -> Self {
        Self(runs)
    }

    pub(crate) const fn runs(self) -> &'a [&'a RunResult] {
        self.0
    }

    /// Returns the samples of all repeats in one distribution.
    pub(crate) fn merged(self, pick: fn(&RunResult) -> &Samples) -> Samples {
        let mut all = Samples::default();
        self.0.iter().for_each(|run| all.merge(pick(run)));
        all
    }

    /// Reads a figure from the samples of all repeats together, with the spread of the single ones.
    pub(crate) fn samples(
        self,
        pick: fn(&RunResult) -> &Samples,
        read: impl Fn(&Samples) -> Option<f64>,
    ) -> Option<Figure> {
        Figure::from_repeats(read(&self.merged(pick)), self.0.iter().map(|run| read(pick(run))))
    }

    /// Returns a quantile of the samples, in µs.
    pub(crate) fn quantile(self, pick: fn(&RunResult) -> &Samples, quantile: f64) -> Option<Figure> {
        self.samples(pick, |it| it.quantile_us(quantile).map(|us| us as f64))
    }

    /// Returns a quantile of a connection time, in µs, if players come and go.
    pub(crate) fn connect_quantile(self, pick: fn(&Connects) -> &Samples, quantile: f64) -> Option<Figure> {
        let of = |run: &RunResult| Some(pick(run.load.connects.as_ref()?).quantile_us(quantile)? as f64);
        let mut all = Samples::default();
        self.0.iter().filter_map(|run| run.load.connects.as_ref()).for_each(|it| all.merge(pick(it)));
        Figure::from_repeats(all.quantile_us(quantile).map(|us| us as f64), self.0.iter().map(|run| of(run)))
    }

    /// Returns the ratio of two sums over the repeats. `None` if any repeat does not know its part.
    pub(crate) fn ratio(
        self,
        part: impl Fn(&RunResult) -> Option<u64>,
        whole: impl Fn(&RunResult) -> Option<u64>,
    ) -> Option<Figure> {
        let of =
            |part: Option<u64>, whole: Option<u64>| Some(part? as f64 / whole.filter(|&it| it > 0)? as f64);
        let parts = self.0.iter().map(|run| part(run)).sum();
        let wholes = self.0.iter().map(|run| whole(run)).sum();
        Figure::from_repeats(of(parts, wholes), self.0.iter().map(|run| of(part(run), whole(run))))
    }

    /// Returns the median over the repeats of the ratio of two counts. A repeat that something
    /// disturbed does not decide it. `None` if no repeat knows its part.
    pub(crate) fn median_ratio(
        self,
        part: impl Fn(&RunResult) -> Option<u64>,
        whole: impl Fn(&RunResult) -> Option<u64>,
    ) -> Option<Figure> {
        let of = |run: &&RunResult| Some(part(run)? as f64 / whole(run).filter(|&it| it > 0)? as f64);
        let known: Vec<f64> = self.0.iter().filter_map(of).collect();
        Figure::from_repeats(median(&known), known.iter().map(|it| Some(*it)))
    }

    /// Returns the sum of an amount over all repeats, over the sum of the times of all players in
    /// their windows, by minute.
    pub(crate) fn by_player_minute(self, amount: impl Fn(&RunResult) -> f64) -> Option<Figure> {
        let minutes = |run: &RunResult| {
            run.load.stats.age.buckets().map(|(_, time_us)| time_us as f64).sum::<f64>() / 60e6
        };
        let all: f64 = self.0.iter().map(|run| minutes(run)).sum();
        let value = (all > 0.0).then(|| self.0.iter().map(|run| amount(run)).sum::<f64>() / all);
        let of = |run: &&RunResult| Some(minutes(run)).filter(|it| *it > 0.0).map(|it| amount(run) / it);
        Figure::from_repeats(value, self.0.iter().map(of))
    }

    /// Returns a part of the server's CPU time per fresh move, in µs, by its share of the ticks.
    /// `None` with too few ticks.
    pub(crate) fn cpu_per_move(self, part: fn(&RunResult) -> Option<u64>) -> Option<Figure> {
        let ticks = |run: &RunResult| Some(run.server.user_us? + run.server.system_us?);
        let enough = self.0.iter().filter_map(|run| ticks(run)).sum::<u64>() >= SPLIT_US_MIN;
        let scaled = |run: &RunResult| Some(run.server.cpu_us? * part(run)? / ticks(run)?.max(1));
        self.ratio(scaled, |run| Some(run.load.stats.fresh)).filter(|_| enough)
    }

    /// Returns the amount of the run with the smallest.
    pub(crate) fn smallest(self, amount: impl Fn(&RunResult) -> Option<u64>) -> Option<Figure> {
        let of = |run: &&RunResult| Some(amount(run)? as f64);
        Figure::from_repeats(self.0.iter().filter_map(of).reduce(f64::min), self.0.iter().map(of))
    }

    /// Returns the amount of the run with the largest.
    pub(crate) fn largest(self, amount: impl Fn(&RunResult) -> Option<u64>) -> Option<Figure> {
        let of = |run: &&RunResult| Some(amount(run)? as f64);
        Figure::from_repeats(self.0.iter().filter_map(of).reduce(f64::max), self.0.iter().map(of))
    }
}

/// Returns the completed runs of one combination.
pub(crate) fn repeats_of<'a>(results: &'a Results, key: &RunKey) -> Vec<&'a RunResult> {
    results.runs.iter().filter(|run| run.key.combination() == key.combination()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_merge_repeats_and_keep_spread() {
        let repeats = [Some(1.0), None, Some(3.0)];
        assert_eq!(Figure::from_repeats(Some(2.5), repeats), Some(Figure { value: 2.5, min: 1.0, max: 3.0 }));
        assert_eq!(Figure::from_repeats(Some(4.0), repeats), Some(Figure { value: 4.0, min: 1.0, max: 4.0 }));
        assert_eq!(Figure::from_repeats(None, repeats), None);
    }
}
