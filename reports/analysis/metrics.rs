//! The metrics of verdicts: the evidence for each in runs, the smallest difference that matters,
//! and the largest that nobody notices.

use netduel_client::stats::Samples;
use netduel_loadgen::{ConnectBlock, Workload};

use crate::{
    analysis::{
        place::Place,
        statistics::{
            evidence::{Evidence, UnitId},
            interval::Method,
        },
        traffic::{bytes_in, bytes_out},
    },
    data::run_result::RunResult,
};

/// A metric of a run. Less is better in every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Age of information at p99 of the time, in µs.
    AgeP99,
    /// Age of information, mean over time, in µs.
    AgeMean,
    /// Freezes by player and minute.
    Freezes,
    /// Server CPU time per fresh move, in µs.
    ServerCpu,
    /// Bytes that the server received and sent per fresh move, headers and acknowledgements
    /// included.
    Bytes,
    /// Time from the beginning of a connect until the opponent's first move, at p50, in µs.
    FirstMoveP50,
    /// Time until the opponent's first move, at p99, in µs.
    FirstMoveP99,
    /// Time from the beginning of a connect until the match starts, at p50, in µs.
    PairedP50,
    /// Time until the match starts, at p99, in µs.
    PairedP99,
    /// Server CPU time per connection, in µs.
    ConnectCpu,
}

/// The smallest difference of an age that matters, in µs: what timers and wake-ups of the harness
/// vary by, and a thirtieth of a frame of a 60 Hz display.
const AGE_FLOOR_US: f64 = 500.0;
/// The smallest difference of a time that matters, as a share of it: twice the resolution of the
/// histograms.
const TIME_FLOOR_SHARE: f64 = 0.02;
/// The largest difference of an age that a player does not notice, in µs: a frame of a 60 Hz
/// display, before which nothing can show.
const AGE_MARGIN_US: f64 = 16_667.0;
/// The smallest difference of a connection time that matters, in µs.
const CONNECT_FLOOR_US: f64 = 1_000.0;
/// The largest difference of an age that a player does not notice, as a share of the age. Deep
/// stalls vary by more than this from one minute to the next.
const AGE_MARGIN_SHARE: f64 = 0.2;
/// The largest difference of a connection time that a player does not notice, in µs: up to it an
/// answer seems to come at once (Nielsen, Usability Engineering, 1993, ch. 5).
const CONNECT_MARGIN_US: f64 = 100_000.0;
/// The largest difference of a time, a count or a cost by which nobody would choose, as a share of
/// it.
const MARGIN_SHARE: f64 = 0.1;
/// The smallest difference of freezes that matters, by player and minute: one.
const FREEZES_FLOOR: f64 = 1.0;
/// The largest difference of freezes that a player does not notice, by player and minute.
const FREEZES_MARGIN: f64 = 2.0;
/// The share by which CPU time per move varies with the placement of code and memory alone
/// (Mytkowicz et al., ASPLOS 2009).
const CPU_FLOOR_SHARE: f64 = 0.05;
/// The share by which bytes per move vary: an acknowledgement can travel with data or alone.
const BYTES_FLOOR_SHARE: f64 = 0.02;
/// The largest share of bytes by which nobody would choose.
const BYTES_MARGIN_SHARE: f64 = 0.05;
/// The observations that must lie beyond a quantile, as for [`Samples::quantile_us`].
const BEYOND_MIN: f64 = 10.0;

impl Metric {
    /// All metrics, the most important first.
    pub const ALL: [Self; 10] = [
        Self::AgeP99,
        Self::AgeMean,
        Self::Freezes,
        Self::ServerCpu,
        Self::Bytes,
        Self::FirstMoveP50,
        Self::FirstMoveP99,
        Self::PairedP50,
        Self::PairedP99,
        Self::ConnectCpu,
    ];

    /// Returns the metrics that are judged in a place, the most important first.
    ///
    /// CPU time is not judged on emulated links: there the kernel charges the receiving of packets
    /// to the emulator, and runs lie beside one another. Freezes are judged there alone, since
    /// short rounds cut them off.
    pub fn judged(workload: Workload, place: Place) -> &'static [Self] {
        match (workload, place) {
            (Workload::Moves, Place::Link) => &Self::ALL[..3],
            (Workload::Moves, _) => &[Self::ServerCpu, Self::Bytes, Self::AgeP99, Self::AgeMean],
            (Workload::Connects, Place::Link) => &Self::ALL[5..9],
            (Workload::Connects, _) => &Self::ALL[5..],
        }
    }

    /// Returns the metric of what a player feels, by which a transport is chosen first.
    pub fn felt(workload: Workload) -> Self {
        match workload {
            Workload::Moves => Self::AgeP99,
            Workload::Connects => Self::FirstMoveP50,
        }
    }

    /// Returns the metric of the server's cost, by which a transport is chosen among equals.
    pub fn paid(workload: Workload) -> Self {
        match workload {
            Workload::Moves => Self::ServerCpu,
            Workload::Connects => Self::ConnectCpu,
        }
    }

    /// Returns the two metrics by which a transport is chosen: the effect on the player and the
    /// cost to the server.
    pub fn deciding(workload: Workload) -> [Self; 2] {
        [Self::felt(workload), Self::paid(workload)]
    }

    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::AgeP99 => "age p99",
            Self::AgeMean => "age mean",
            Self::Freezes => "freezes",
            Self::ServerCpu => "CPU per fresh move",
            Self::Bytes => "bytes per fresh move",
            Self::FirstMoveP50 => "time to first move p50",
            Self::FirstMoveP99 => "time to first move p99",
            Self::PairedP50 => "time to pair p50",
            Self::PairedP99 => "time to pair p99",
            Self::ConnectCpu => "CPU per connection",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::AgeP99 | Self::AgeMean => Kind::Age,
            Self::FirstMoveP50 | Self::FirstMoveP99 | Self::PairedP50 | Self::PairedP99 => Kind::Connect,
            Self::Freezes => Kind::Freezes,
            Self::ServerCpu | Self::ConnectCpu => Kind::Cpu,
            Self::Bytes => Kind::Bytes,
        }
    }

    /// Returns the smallest difference that matters if the other side is at `against`, in the
    /// metric's unit.
    pub fn floor(self, against: f64) -> f64 {
        match self.kind() {
            Kind::Age => AGE_FLOOR_US.max(against * TIME_FLOOR_SHARE),
            Kind::Connect => CONNECT_FLOOR_US.max(against * TIME_FLOOR_SHARE),
            Kind::Freezes => FREEZES_FLOOR.max(against * TIME_FLOOR_SHARE),
            Kind::Cpu => against * CPU_FLOOR_SHARE,
            Kind::Bytes => against * BYTES_FLOOR_SHARE,
        }
    }

    /// Returns the largest difference by which nobody would choose if the other side is at
    /// `against`: a player does not notice it, and no server is dimensioned by it.
    pub fn margin(self, against: f64) -> f64 {
        match self.kind() {
            Kind::Age => AGE_MARGIN_US.max(against * AGE_MARGIN_SHARE),
            Kind::Connect => CONNECT_MARGIN_US.max(against * MARGIN_SHARE),
            Kind::Freezes => FREEZES_MARGIN.max(against * MARGIN_SHARE),
            Kind::Cpu => against * MARGIN_SHARE,
            Kind::Bytes => against * BYTES_MARGIN_SHARE,
        }
    }

    /// Whether intervals are those of ratios. Counts, which may be 0, have none.
    pub(crate) fn is_ratio_scaled(self) -> bool {
        self.kind() != Kind::Freezes
    }

    /// Whether differences are told as ratios.
    pub fn by_ratio(self) -> bool {
        matches!(self.kind(), Kind::Cpu | Kind::Bytes)
    }

    /// Returns the unit in reports.
    pub fn unit(self) -> &'static str {
        match self.kind() {
            Kind::Age | Kind::Connect => "ms",
            Kind::Freezes => "a minute",
            Kind::Cpu => "µs",
            Kind::Bytes => "B",
        }
    }

    /// Formats a value for reports, without its unit. ∞ is the age of a player that hears nothing.
    pub fn number(self, value: f64) -> String {
        if !value.is_finite() {
            return "∞".into();
        }
        match self.kind() {
            Kind::Age | Kind::Connect if value.abs() >= Samples::VALUE_MAX_US as f64 * 0.99 => "∞".into(),
            Kind::Age | Kind::Connect => {
                let digits = if value.abs() < 10_000.0 { 2 } else { 1 };
                format!("{:.digits$}", value / 1_000.0)
            }
            Kind::Freezes => format!("{value:.1}"),
            Kind::Cpu if self == Self::ServerCpu => format!("{value:.1}"),
            Kind::Cpu | Kind::Bytes => format!("{value:.0}"),
        }
    }

    /// Formats a difference for reports, with its sign and without its unit.
    pub fn signed(self, difference: f64) -> String {
        let sign = if difference < 0.0 { "−" } else { "+" };
        format!("{sign}{}", self.number(difference.abs()))
    }

    /// Returns the method by which evidence for this metric becomes an interval.
    pub(crate) fn method(self, evidence: &[&Evidence]) -> Method {
        match self.kind() {
            Kind::Age if self == Self::AgeMean => Method::MEANS,
            Kind::Age | Kind::Connect => Method::QUANTILES,
            // The resolution of a count is one event in the contender that was watched least.
            Kind::Freezes => {
                let exposures = evidence.iter().map(|it| it.exposure());
                Method::events(1.0 / exposures.fold(f64::INFINITY, f64::min).max(f64::MIN_POSITIVE))
            }
            Kind::Cpu | Kind::Bytes => Method::COSTS,
        }
    }

    /// Returns the evidence of one contender's runs; `None` if they hold too few samples or the
    /// system does not report them.
    pub(crate) fn evidence(self, runs: &[&RunResult]) -> Option<Evidence> {
        match self {
            Self::AgeP99 => quantile(0.99, ages(runs)),
            Self::AgeMean => Evidence::of_rate(ages(runs).filter_map(|(id, age)| {
                let time_us = weight(age);
                Some((id, age.mean_us()? * time_us, time_us))
            })),
            Self::Freezes => Evidence::of_rate(runs.iter().flat_map(|run| {
                (0..).zip(&run.load.stats.blocks).map(|(block, it)| {
                    ((run.key.repeat, block), it.freezes as f64, weight(&it.age) / US_PER_MINUTE)
                })
            })),
            Self::ServerCpu => by_run(runs, |run| per_fresh(run, run.server.cpu_us?)),
            Self::Bytes => by_run(runs, |run| per_fresh(run, bytes_in(run)? + bytes_out(run)?)),
            Self::FirstMoveP50 => quantile(0.5, connects(runs, |it| &it.first_move)),
            Self::FirstMoveP99 => quantile(0.99, connects(runs, |it| &it.first_move)),
            Self::PairedP50 => quantile(0.5, connects(runs, |it| &it.paired)),
            Self::PairedP99 => quantile(0.99, connects(runs, |it| &it.paired)),
            Self::ConnectCpu => by_run(runs, |run| {
                let connects = run.load.connects.as_ref().filter(|it| it.count > 0)?;
                Some(run.server.cpu_us? as f64 / connects.count as f64)
            }),
        }
    }
}

/// The kinds of metrics, which share floors, units and methods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Age,
    Connect,
    Freezes,
    Cpu,
    Bytes,
}

const US_PER_MINUTE: f64 = 60e6;

fn per_fresh(run: &RunResult, amount: u64) -> Option<f64> {
    let fresh = run.load.stats.fresh;
    (fresh > 0).then(|| amount as f64 / fresh as f64)
}

/// Returns the ages of every block of every run.
fn ages<'a>(runs: &'a [&'a RunResult]) -> impl Iterator<Item = (UnitId, &'a Samples)> {
    runs.iter().flat_map(|run| {
        (0..).zip(&run.load.stats.blocks).map(|(block, it)| ((run.key.repeat, block), &it.age))
    })
}

/// Returns a time of the connects of every block of every run.
fn connects<'a>(
    runs: &'a [&'a RunResult],
    pick: fn(&ConnectBlock) -> &Samples,
) -> impl Iterator<Item = (UnitId, &'a Samples)> {
    let known = runs.iter().filter_map(|run| Some((run.key.repeat, run.load.connects.as_ref()?)));
    known.flat_map(move |(repeat, connects)| {
        (0..).zip(&connects.blocks).map(move |(block, it)| ((repeat, block), pick(it)))
    })
}

/// Returns the time of all players in a block, in µs: the weight of their ages.
fn weight(age: &Samples) -> f64 {
    age.buckets().map(|(_, weight)| weight as f64).sum()
}

/// Returns the evidence for a quantile of samples; `None` with too few samples beyond it.
fn quantile<'a>(quantile: f64, blocks: impl Iterator<Item = (UnitId, &'a Samples)>) -> Option<Evidence> {
    let blocks: Vec<(UnitId, &Samples)> = blocks.collect();
    let observations: u64 = blocks.iter().map(|(_, samples)| samples.count()).sum();
    // The slack is for rounding: 1 − 0.99 is not exactly 0.01.
    let enough = observations as f64 * quantile.min(1.0 - quantile) + 1e-6 >= BEYOND_MIN;
    let weighted = |(id, samples): (UnitId, &'a Samples)| {
        (id, samples.buckets().map(|(value, weight)| (value as f64, weight as f64)).collect::<Vec<_>>())
    };
    Evidence::of_quantile(quantile, blocks.into_iter().map(weighted)).filter(|_| enough)
}

/// Returns the evidence for the median of one value a run.
fn by_run(runs: &[&RunResult], value: impl Fn(&RunResult) -> Option<f64>) -> Option<Evidence> {
    Evidence::of_median(runs.iter().filter_map(|run| Some(((run.key.repeat, 0), value(run)?))))
}
