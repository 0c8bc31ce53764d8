//! What everything costs beside the bare relay of its wire, where baselines were measured: ratios within each repeat. Pure.
//!
//! The ratio of a repeat is of two runs a few seconds apart, so that what drifts on the machine falls out of it; the median
//! of the repeats' leaves out the one in which something else happened.

use netduel_loadgen::Baseline;

use crate::{
    analysis::{
        statistics::median,
        traffic::{bytes_in, bytes_out},
    },
    data::{results::Results, run_result::RunResult},
    plan::scenario::{Contender, Group, RunKey},
};

/// A figure of a run that a relay is judged by.
pub(crate) struct Measure {
    pub(crate) heading: &'static str,
    pub(crate) meaning: &'static str,
    /// Of a window of so many seconds.
    of: fn(&RunResult, f64) -> Option<f64>,
    pub(crate) digits: usize,
    /// Whether it says something where moves are sent on a beat.
    on_beat: bool,
}

const MEASURES: [Measure; 5] = [
    Measure {
        heading: "p50 µs",
        meaning: "one-way delay from player to player through the relay, from the intended send time; half of the moves took less",
        of: |run, _| Some(run.load.stats.one_way.quantile_us(0.5)? as f64),
        digits: 0,
        on_beat: true,
    },
    Measure {
        heading: "p99 µs",
        meaning: "99 of 100 took less",
        of: |run, _| Some(run.load.stats.one_way.quantile_us(0.99)? as f64),
        digits: 0,
        on_beat: true,
    },
    Measure {
        heading: "CPU µs",
        meaning: "server CPU time for each update that arrived as news",
        of: |run, _| per_update(run, run.server.cpu_us?),
        digits: 1,
        on_beat: true,
    },
    Measure {
        heading: "updates/s",
        meaning: "updates that arrived as news, both ways together; more is better, and players take their part of the processor",
        of: |run, seconds| Some(run.load.stats.fresh as f64 / seconds),
        digits: 0,
        on_beat: false,
    },
    Measure {
        heading: "wire B",
        meaning: "bytes that the server received and sent for each update, headers and acknowledgements included",
        of: |run, _| per_update(run, bytes_in(run)? + bytes_out(run)?),
        digits: 0,
        on_beat: true,
    },
];

fn per_update(run: &RunResult, amount: u64) -> Option<f64> {
    let fresh = run.load.stats.fresh;
    (fresh > 0).then(|| amount as f64 / fresh as f64)
}

/// What a group says of every contender.
#[derive(Clone, Debug)]
pub struct Ratios {
    /// Which group.
    pub group: Group,
    /// By wire: the bare relay first, then ours, then other baselines.
    pub rows: Vec<RatioRow>,
}

/// What a contender took, and what of the bare relay's that is.
#[derive(Clone, Debug)]
pub struct RatioRow {
    /// Which.
    pub contender: Contender,
    /// From 1 on, an A/A control.
    pub arm: u8,
    /// What it is compared with; `None` for a bare relay itself.
    pub floor: Option<Baseline>,
    /// One for each measure of the group, in the order of their columns.
    pub ratios: Vec<Ratio>,
}

/// A measure of a contender.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// Its column's heading.
    pub measure: &'static str,
    /// Median of the repeats.
    pub value: Option<f64>,
    /// The ratios to the bare relay, one for each repeat that both have, rising.
    pub to_floor: Vec<f64>,
}

impl Ratio {
    /// The median of the ratios.
    pub fn median(&self) -> Option<f64> {
        median(&self.to_floor)
    }
}

/// The measures of a group.
pub(crate) fn measures(group: &Group) -> impl Iterator<Item = &'static Measure> {
    let on_beat = group.in_flight == 0;
    MEASURES.iter().filter(move |measure| measure.on_beat || !on_beat)
}

impl Ratios {
    /// Of these results, group by group; nothing where there are no baselines.
    pub fn from_results(results: &Results) -> Vec<Self> {
        let scenario = &results.scenario;
        if scenario.baselines.is_empty() {
            return Vec::new();
        }
        let ran = |group: &Group| results.runs.iter().any(|run| run.key.group == *group);
        let groups = scenario.groups().into_iter().filter(ran);
        groups
            .map(|group| {
                let mut arms = scenario.arms();
                arms.sort_by_key(|(contender, arm)| place(*contender, *arm));
                let row = |(contender, arm)| RatioRow::from_results(results, &group, contender, arm);
                Self { rows: arms.into_iter().map(row).collect(), group: group.clone() }
            })
            .collect()
    }
}

/// By wire; in it the bare relay, ours with the control beside it, and other baselines.
fn place(contender: Contender, arm: u8) -> impl Ord {
    let subject = contender.transport;
    let wire = subject.floor().or(subject.baseline());
    let wire = Baseline::ALL.iter().position(|baseline| Some(*baseline) == wire);
    let kind = match (subject.floor(), subject.baseline()) {
        (None, _) => 0,
        (Some(_), None) => 1,
        (Some(_), Some(_)) => 2,
    };
    (wire, kind, subject.name(), arm)
}

impl RatioRow {
    fn from_results(results: &Results, group: &Group, contender: Contender, arm: u8) -> Self {
        let floor = contender.transport.floor().filter(|floor| results.scenario.baselines.contains(floor));
        let seconds = results.scenario.duration_ms as f64 / 1e3;
        let run =
            |contender, arm, repeat| results.run(&RunKey { contender, group: group.clone(), repeat, arm });
        let ratios = measures(group).map(|measure| {
            let of = |contender, arm, repeat| (measure.of)(run(contender, arm, repeat)?, seconds);
            let repeats = || 0..results.scenario.repeats;
            let mut values: Vec<f64> = repeats().filter_map(|repeat| of(contender, arm, repeat)).collect();
            let ratio = |repeat| Some(of(contender, arm, repeat)? / of(Contender::plain(floor?), 0, repeat)?);
            let mut to_floor: Vec<f64> = repeats().filter_map(ratio).filter(|it| it.is_finite()).collect();
            values.sort_by(f64::total_cmp);
            to_floor.sort_by(f64::total_cmp);
            Ratio { measure: measure.heading, value: median(&values), to_floor }
        });
        Self { contender, arm, floor, ratios: ratios.collect() }
    }
}
