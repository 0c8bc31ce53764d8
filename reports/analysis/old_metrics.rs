//! The metrics of verdicts: the value of each in a run, and the smallest difference that matters.

use netduel_loadgen::Workload;

use crate::{
    analysis::traffic::{bytes_in, bytes_out},
    data::run_result::RunResult,
};

/// A metric of a run. Less is better in every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Age of information at p99 of the time, in µs.
    AgeP99,
    /// Age of information, mean over time, in µs.
    AgeMean,
    /// One-way delay of fresh moves at p99, from the intended send time, in µs. Lost moves have no
    /// delay, so this metric is read beside an age, which includes them.
    OneWayP99,
    /// Server CPU time per fresh move, in µs.
    ServerCpu,
    /// Bytes that the server received and sent per fresh move, headers and acknowledgements
    /// included.
    Bytes,
    /// Time from the beginning of a connect until the match starts, at p50, in µs.
    Paired,
    /// Time from the beginning of a connect until the opponent's first move, at p50, in µs.
    FirstMove,
    /// Server CPU time per connection, in µs.
    ConnectCpu,
}

/// The smallest difference of a delay that matters to a player, in µs: about a hundredth of a frame
/// of a 60 Hz display. Timers and wake-ups of this harness vary by as much.
const DELAY_FLOOR_US: f64 = 200.0;
/// The smallest difference of a delay that matters, as a share of the delay: twice the resolution
/// of the histograms.
const DELAY_FLOOR_SHARE: f64 = 0.02;
/// The share by which CPU time per move varies with the placement of code and memory alone
/// (Mytkowicz et al., ASPLOS 2009).
const CPU_FLOOR_SHARE: f64 = 0.05;
/// The share by which bytes per move vary: an acknowledgement can travel with data or alone.
const BYTES_FLOOR_SHARE: f64 = 0.02;

impl Metric {
    /// All metrics, the most important first.
    pub const ALL: [Self; 8] = [
        Self::AgeP99,
        Self::AgeMean,
        Self::OneWayP99,
        Self::ServerCpu,
        Self::Bytes,
        Self::Paired,
        Self::FirstMove,
        Self::ConnectCpu,
    ];

    /// Returns the metrics of a workload, the most important first.
    pub fn all_for(workload: Workload) -> &'static [Self] {
        match workload {
            Workload::Moves => &Self::ALL[..5],
            Workload::Connects => &Self::ALL[5..],
        }
    }

    /// Returns the two metrics by which a transport is chosen: the effect on the player and the
    /// cost to the server.
    pub fn deciding(workload: Workload) -> [Self; 2] {
        match workload {
            Workload::Moves => [Self::AgeP99, Self::ServerCpu],
            Workload::Connects => [Self::FirstMove, Self::ConnectCpu],
        }
    }

    /// Returns the floor of an indication without a test, before the factor
    /// [`crate::analysis::old_verdict::INDICATION_FLOORS`].
    ///
    /// The floor is [`Self::practical_floor`], except for CPU time. With nothing changed, three
    /// repeats of a second differed by 17 to 43 %, and once by 85 % (`selftest aa`): the cost of a
    /// move depends on which core wakes which.
    pub fn indication_floor(self, reference: f64) -> f64 {
        match self {
            Self::ServerCpu | Self::ConnectCpu => reference * 0.25,
            _ => self.practical_floor(reference),
        }
    }

    /// Whether the link's schedule decides the metric, so that runs of one repeat are alike in it.
    /// CPU time depends on the machine's scheduler, which does not repeat.
    pub fn follows_schedule(self) -> bool {
        matches!(self, Self::AgeP99 | Self::AgeMean | Self::OneWayP99)
    }

    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::AgeP99 => "age p99",
            Self::AgeMean => "age mean",
            Self::OneWayP99 => "one-way p99",
            Self::ServerCpu => "CPU per fresh move",
            Self::Bytes => "bytes per fresh move",
            Self::Paired => "time to pair p50",
            Self::FirstMove => "time to first move p50",
            Self::ConnectCpu => "CPU per connection",
        }
    }

    /// Returns the value in one run; `None` if the run has too few samples or the system does not
    /// report it.
    pub fn measure(self, run: &RunResult) -> Option<f64> {
        let stats = &run.load.stats;
        let per_fresh = |amount: u64| (stats.fresh > 0).then(|| amount as f64 / stats.fresh as f64);
        match self {
            Self::AgeP99 => Some(stats.age.quantile_us(0.99)? as f64),
            Self::AgeMean => stats.age.mean_us(),
            Self::OneWayP99 => Some(stats.one_way.quantile_us(0.99)? as f64),
            Self::ServerCpu => per_fresh(run.server.cpu_us?),
            Self::Bytes => per_fresh(bytes_in(run)? + bytes_out(run)?),
            Self::Paired => Some(run.load.connects.as_ref()?.paired.quantile_us(0.5)? as f64),
            Self::FirstMove => Some(run.load.connects.as_ref()?.first_move.quantile_us(0.5)? as f64),
            Self::ConnectCpu => {
                let connects = run.load.connects.as_ref().filter(|it| it.count > 0)?;
                Some(run.server.cpu_us? as f64 / connects.count as f64)
            }
        }
    }

    /// Returns the smallest difference that matters if the reference is at `reference`, in the
    /// metric's unit.
    pub fn practical_floor(self, reference: f64) -> f64 {
        match self {
            Self::AgeP99 | Self::AgeMean | Self::OneWayP99 | Self::Paired | Self::FirstMove => {
                DELAY_FLOOR_US.max(reference * DELAY_FLOOR_SHARE)
            }
            Self::ServerCpu | Self::ConnectCpu => reference * CPU_FLOOR_SHARE,
            Self::Bytes => reference * BYTES_FLOOR_SHARE,
        }
    }

    /// Returns the unit in reports.
    pub fn unit(self) -> &'static str {
        match self {
            Self::AgeP99 | Self::AgeMean | Self::OneWayP99 | Self::Paired | Self::FirstMove => "ms",
            Self::ServerCpu | Self::ConnectCpu => "µs",
            Self::Bytes => "B",
        }
    }

    /// Formats a value for reports, without its unit.
    pub fn number(self, value: f64) -> String {
        match self {
            Self::AgeP99 | Self::AgeMean | Self::OneWayP99 | Self::Paired | Self::FirstMove => {
                let digits = if value.abs() < 10_000.0 { 2 } else { 1 };
                format!("{:.digits$}", value / 1_000.0)
            }
            Self::ServerCpu => format!("{value:.1}"),
            Self::ConnectCpu | Self::Bytes => format!("{value:.0}"),
        }
    }

    /// Formats a difference for reports, with its sign and without its unit.
    pub fn signed(self, difference: f64) -> String {
        let sign = if difference < 0.0 { "−" } else { "+" };
        format!("{sign}{}", self.number(difference.abs()))
    }
}
