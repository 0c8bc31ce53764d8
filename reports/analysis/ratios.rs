//! Ratios of each contender to the bare relay of its wire, within each repeat, if baselines were
//! measured. Pure.
//!
//! The two runs of a ratio lie a few seconds apart, so drift of the machine cancels out. The median
//! over the repeats leaves out a repeat that something else disturbed.

use netduel_loadgen::Baseline;

use crate::{
    analysis::{
        statistics::median,
        traffic::{bytes_in, bytes_out},
    },
    data::{results::Results, run_result::RunResult},
    plan::{
        contender::Contender,
        scenario::{Group, RunKey},
    },
};

/// A figure by which a relay is judged.
pub(crate) struct Measure {
    pub(crate) heading: &'static str,
    pub(crate) meaning: &'static str,
    /// Reads the figure from a run with a window of so many seconds.
    read: fn(&RunResult, f64) -> Option<f64>,
    pub(crate) digits: usize,
    /// Whether the figure is meaningful in open-loop groups, which send moves at a fixed rate.
    on_beat: bool,
}

const MEASURES: [Measure; 5] = [
    Measure {
        heading: "p50 µs",
        meaning: "one-way delay from player to player through the relay, from the intended send \
            time; half of the moves took less",
        read: |run, _| Some(run.load.stats.one_way.quantile_us(0.5)? as f64),
        digits: 0,
        on_beat: true,
    },
    Measure {
        heading: "p99 µs",
        meaning: "99 of 100 moves took less",
        read: |run, _| Some(run.load.stats.one_way.quantile_us(0.99)? as f64),
        digits: 0,
        on_beat: true,
    },
    Measure {
        heading: "CPU µs",
        meaning: "server CPU time per update that arrived as news",
        read: |run, _| per_update(run, run.server.cpu_us?),
        digits: 1,
        on_beat: true,
    },
    Measure {
        heading: "updates/s",
        meaning: "updates per second that arrived as news, both directions together; more is \
            better; the players take a part of the processor",
        read: |run, seconds| Some(run.load.stats.fresh as f64 / seconds),
        digits: 0,
        on_beat: false,
    },
    Measure {
        heading: "wire B",
        meaning: "bytes that the server received and sent per update, headers and acknowledgements included",
        read: |run, _| per_update(run, bytes_in(run)? + bytes_out(run)?),
        digits: 0,
        on_beat: true,
    },
];

fn per_update(run: &RunResult, amount: u64) -> Option<f64> {
    let fresh = run.load.stats.fresh;
    (fresh > 0).then(|| amount as f64 / fresh as f64)
}

/// The ratios of all contenders in one group.
#[derive(Clone, Debug)]
pub struct Ratios {
    /// The group.
    pub group: Group,
    /// The contenders by wire: the bare relay first, then Netduel's transports, then other
    /// baselines.
    pub rows: Vec<RatioRow>,
}

/// The measures of a contender and their ratios to the bare relay.
#[derive(Clone, Debug)]
pub struct RatioRow {
    /// The contender.
    pub contender: Contender,
    /// 0 for the contender itself; from 1 on, the number of the A/A control.
    pub arm: u8,
    /// The bare relay of the same wire; `None` for a bare relay itself.
    pub floor: Option<Baseline>,
    /// The measures of the group, in the order of their columns.
    pub ratios: Vec<Ratio>,
}

/// A measure of a contender.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// The heading of the column.
    pub measure: &'static str,
    /// The median of the repeats.
    pub value: Option<f64>,
    /// The ratios to the bare relay, one for each repeat that both have, in rising order.
    pub to_floor: Vec<f64>,
}

impl Ratio {
    /// Returns the median of the ratios.
    pub fn median(&self) -> Option<f64> {
        median(&self.to_floor)
    }
}

/// Returns the measures of a group.
pub(crate) fn measures(group: &Group) -> impl Iterator<Item = &'static Measure> {
    let on_beat = group.in_flight == 0;
    MEASURES.iter().filter(move |measure| measure.on_beat || !on_beat)
}

impl Ratios {
    /// Computes the ratios of every group; empty without baselines.
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

/// Orders by wire; within a wire the bare relay, Netduel's transports with their control, and other
/// baselines.
fn place(contender: Contender, arm: u8) -> impl Ord {
    let subject = contender.transport;
    let wire = subject.bare_relay().or(subject.baseline());
    let wire = Baseline::ALL.iter().position(|baseline| Some(*baseline) == wire);
    let kind = match (subject.bare_relay(), subject.baseline()) {
        (None, _) => 0,
        (Some(_), None) => 1,
        (Some(_), Some(_)) => 2,
    };
    (wire, kind, subject.name(), arm)
}

impl RatioRow {
    fn from_results(results: &Results, group: &Group, contender: Contender, arm: u8) -> Self {
        let floor =
            contender.transport.bare_relay().filter(|floor| results.scenario.baselines.contains(floor));
        let sampling = results.scenario.sampling_of(group);
        let seconds = sampling.duration_ms as f64 / 1e3;
        let run =
            |contender, arm, repeat| results.run(&RunKey { contender, group: group.clone(), repeat, arm });
        let ratios = measures(group).map(|measure| {
            let of = |contender, arm, repeat| (measure.read)(run(contender, arm, repeat)?, seconds);
            let repeats = || 0..sampling.repeats;
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
