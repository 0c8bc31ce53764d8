//! The metrics that verdicts are about: what each is of a run, and from where on a difference in it matters to anybody.

use netduel_loadgen::Workload;

use crate::{
    analysis::traffic::{bytes_in, bytes_out},
    data::run_result::RunResult,
};

/// A figure of a run. Of all of them less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Age of information at p99 of the time, in µs.
    AgeP99,
    /// Age of information, mean over time, in µs.
    AgeMean,
    /// One-way delay of fresh moves at p99, from the intended send time, in µs. Moves that were lost are not in it: read
    /// it beside an age, which they are in.
    OneWayP99,
    /// Server CPU per fresh move, in µs.
    ServerCpu,
    /// Bytes that the server received and sent per fresh move, headers and acknowledgements included.
    Bytes,
    /// From the beginning of a connect until the match starts, at p50, in µs.
    Paired,
    /// From there until the other's first move is there, at p50, from the beginning, in µs.
    FirstMove,
    /// Server CPU for each connection that came and went, in µs.
    ConnectCpu,
}

/// Differences of a delay below this matter to no player: a hundredth of a frame of a 60 Hz display, and what timers and
/// wake-ups of this harness make of it, in µs.
const DELAY_FLOOR_US: f64 = 200.0;
/// Nor do those below this share of the delay; twice the grain of the histograms.
const DELAY_FLOOR_SHARE: f64 = 0.02;
/// CPU per move moves by so much with the placement of code and memory alone (Mytkowicz et al., ASPLOS 2009).
const CPU_FLOOR_SHARE: f64 = 0.05;
/// Bytes per move depend on when acknowledgements can ride along.
const BYTES_FLOOR_SHARE: f64 = 0.02;

impl Metric {
    /// All of them, the most important first.
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

    /// Those that these results can have, the most important first.
    pub fn all_for(workload: Workload) -> &'static [Self] {
        match workload {
            Workload::Moves => &Self::ALL[..5],
            Workload::Connects => &Self::ALL[5..],
        }
    }

    /// What a player feels, and what it costs the server: by these two a transport is chosen.
    pub fn deciding(workload: Workload) -> [Self; 2] {
        match workload {
            Workload::Moves => [Self::AgeP99, Self::ServerCpu],
            Workload::Connects => [Self::FirstMove, Self::ConnectCpu],
        }
    }

    /// Below this a difference is not even indicated without a test. As [`Self::practical_floor`], but for CPU: with
    /// nothing changed, three repeats of a second differed by 17 to 43 % here, and once by 85 % (`selftest aa`), since which
    /// core wakes which decides what a move costs. Twice this floor is asked for, as of any.
    pub fn indication_floor(self, reference: f64) -> f64 {
        match self {
            Self::ServerCpu | Self::ConnectCpu => reference * 0.25,
            _ => self.practical_floor(reference),
        }
    }

    /// Whether the link's schedule decides it, so that runs of one repeat, which meet the same schedule, are alike in
    /// it. CPU is decided by the machine's scheduler, which knows no repeats.
    pub fn follows_schedule(self) -> bool {
        matches!(self, Self::AgeP99 | Self::AgeMean | Self::OneWayP99)
    }

    /// What it is called in reports.
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

    /// Of one run; `None` where the run has too few samples or the system does not say.
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

    /// A difference smaller than this is none that matters, where the reference is at `reference`; in the metric's unit.
    pub fn practical_floor(self, reference: f64) -> f64 {
        match self {
            Self::AgeP99 | Self::AgeMean | Self::OneWayP99 | Self::Paired | Self::FirstMove => {
                DELAY_FLOOR_US.max(reference * DELAY_FLOOR_SHARE)
            }
            Self::ServerCpu | Self::ConnectCpu => reference * CPU_FLOOR_SHARE,
            Self::Bytes => reference * BYTES_FLOOR_SHARE,
        }
    }

    /// The unit in which reports show it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::AgeP99 | Self::AgeMean | Self::OneWayP99 | Self::Paired | Self::FirstMove => "ms",
            Self::ServerCpu | Self::ConnectCpu => "µs",
            Self::Bytes => "B",
        }
    }

    /// A value as reports show it, without its unit.
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

    /// A difference as reports show it: with its sign, without its unit.
    pub fn signed(self, difference: f64) -> String {
        let sign = if difference < 0.0 { "−" } else { "+" };
        format!("{sign}{}", self.number(difference.abs()))
    }
}
