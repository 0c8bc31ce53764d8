//! The report of the emulator: [`LinkReport`], and the validity of a run ([`LinkReport::valid`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    emulator::histogram::Histogram,
    spec::link_spec::LinkSpec,
    types::{Direction, DropCause, Protocol},
};

/// The largest number of drops in the list: an hour of 1 % of 2,700 packets a second. It bounds
/// memory; the counters have no bound.
pub const DROPS_MAX: usize = 100_000;

/// The report of a link, from its start or its last rewind to the time of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// Spec in effect.
    pub spec: LinkSpec,
    /// Seed of the schedule.
    pub seed: u64,
    /// Start of the schedule, ns on CLOCK_MONOTONIC. Every time in the report counts from it.
    pub started_monotonic_ns: u64,
    /// Time since the start, ms.
    pub elapsed_ms: f64,
    /// The direction from the client to the server.
    pub up: DirectionReport,
    /// The direction from the server to the client.
    pub down: DirectionReport,
    /// Lateness of each delivered packet against its schedule. The time between the sending of a
    /// packet and the emulator's read is not part of it; [`heartbeat`](Self::heartbeat) bounds that
    /// time.
    pub lateness: Histogram,
    /// Lateness of each scheduled wake-up of the emulator, with or without traffic.
    pub heartbeat: Histogram,
    /// Share of all CPUs' time that the hypervisor stole, 0 to 1.
    pub steal_share: f64,
    /// CPU time of the emulator, ms.
    pub emulator_cpu_ms: f64,
    /// Processor that the emulator was bound to; `None` if it could use several.
    pub bound_to_cpu: Option<usize>,
    /// Priority of the emulator.
    pub priority: Priority,
    /// Dropped packets, in order of time; only the final report lists them.
    pub drops: Vec<DroppedPacket>,
    /// Number of drops beyond [`DROPS_MAX`], which are not listed.
    pub drops_unlisted: u64,
    /// Report of the second player's link, if that player has another one.
    pub second: Option<Box<Self>>,
}

/// The counters of one direction in a [`LinkReport`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DirectionReport {
    /// Counters of TCP packets.
    pub tcp: Counters,
    /// Counters of UDP packets.
    pub udp: Counters,
    /// Counters of other IP packets.
    pub other: Counters,
    /// Packets that the kernel dropped before the emulator could read them. The spec did not ask
    /// for them.
    pub device_dropped: u64,
    /// Packets dropped because the emulator held too many, or because the kernel refused them. The
    /// spec did not ask for them.
    pub overflowed: u64,
    /// Separate bad periods in which packets were lost by the spec's `loss`. Where the spec has no
    /// bad periods, a loss is separate if none came in the 100 ms before it.
    pub loss_periods: u64,
}

/// The counts of packets and bytes. Bytes are those of whole IP packets, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that entered the link.
    pub offered: u64,
    /// Bytes that entered the link.
    pub offered_bytes: u64,
    /// Packets that left the link, duplicates included.
    pub delivered: u64,
    /// Bytes that left the link, duplicates included.
    pub delivered_bytes: u64,
    /// Packets lost by the spec's `loss`.
    pub lost: u64,
    /// Packets dropped by a full queue.
    pub queue_dropped: u64,
    /// Packets delivered twice.
    pub duplicated: u64,
    /// Packets held back so that later packets overtake them.
    pub held: u64,
}

/// A dropped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedPacket {
    /// Time of the drop, ns after the schedule's start.
    pub at_ns: u64,
    /// Direction of the packet.
    pub direction: Direction,
    /// Protocol of the packet.
    pub protocol: Protocol,
    /// Length of the IP packet, bytes.
    pub bytes: u16,
    /// Reason of the drop.
    pub cause: DropCause,
}

/// The scheduling priority that the system granted to the emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// SCHED_FIFO, ahead of every process that is not real-time.
    RealTime,
    /// A negative nice value.
    Raised,
    /// The default. Expect late packets whenever the machine is busy.
    Normal,
}

/// The smallest number of times whose p99 is judged. Below it, the p99 is the single worst time.
const P99_COUNT_MIN: u64 = 100;

/// The bounds of a valid run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest lateness of packets at p99, ms.
    pub late_p99_ms_max: f64,
    /// Largest lateness of heartbeats at p99, ms.
    pub heartbeat_p99_ms_max: f64,
    /// Largest share of stolen CPU time, 0 to 1.
    pub steal_share_max: f64,
}

impl Default for Limits {
    /// Returns bounds of 2 ms and 5 % of CPU time.
    ///
    /// 2 ms is a tenth of the time between two moves at 50 a second, and an eighth of a round trip
    /// over good Wi-Fi. An emulator at real-time priority stays well below it.
    fn default() -> Self {
        Self { late_p99_ms_max: 2.0, heartbeat_p99_ms_max: 2.0, steal_share_max: 0.05 }
    }
}

/// A reason to reject a run on a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Packets were delivered too late.
    Late {
        /// Measured lateness at p99, ms.
        p99_ms: f64,
        /// Bound, ms.
        max_ms: f64,
    },
    /// The system did not run the emulator at its scheduled times.
    Stalled {
        /// Measured lateness at p99, ms.
        p99_ms: f64,
        /// Bound, ms.
        max_ms: f64,
    },
    /// The hypervisor took too much CPU time.
    Steal {
        /// Measured share, 0 to 1.
        share: f64,
        /// Bound, 0 to 1.
        max_share: f64,
    },
    /// Packets were lost outside the spec.
    UnaskedLoss {
        /// Packets that the kernel dropped before the emulator read them.
        device_dropped: u64,
        /// Packets dropped because the emulator held too many, or because the kernel refused them.
        overflowed: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { p99_ms, max_ms } => {
                write!(f, "packets were {p99_ms:.2} ms late at p99 (bound {max_ms} ms)")
            }
            Self::Stalled { p99_ms, max_ms } => {
                write!(f, "the emulator woke {p99_ms:.2} ms late at p99 (bound {max_ms} ms)")
            }
            Self::Steal { share, max_share } => write!(
                f,
                "the hypervisor stole {:.1} % of the CPU time (bound {:.1} %)",
                share * 100.0,
                max_share * 100.0
            ),
            Self::UnaskedLoss { device_dropped, overflowed } => write!(
                f,
                "{} packets were lost outside the spec ({device_dropped} before the emulator, \
                 {overflowed} in the emulator)",
                device_dropped + overflowed
            ),
        }
    }
}

/// The error of an invalid run, with every reason.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("the link did not keep to its spec: {}; run again with less load on the machine", join(problems))]
pub struct Invalid {
    /// Reasons to reject the run.
    pub problems: Vec<Problem>,
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

impl LinkReport {
    /// Returns the report of a link that has carried nothing.
    pub fn new(spec: LinkSpec, seed: u64) -> Self {
        Self {
            spec,
            seed,
            started_monotonic_ns: 0,
            elapsed_ms: 0.0,
            up: DirectionReport::default(),
            down: DirectionReport::default(),
            lateness: Histogram::default(),
            heartbeat: Histogram::default(),
            steal_share: 0.0,
            emulator_cpu_ms: 0.0,
            bound_to_cpu: None,
            priority: Priority::Normal,
            drops: Vec::new(),
            drops_unlisted: 0,
            second: None,
        }
    }

    /// Checks that the run is valid.
    ///
    /// # Errors
    /// Returns every reason to reject the run.
    pub fn valid(&self, limits: &Limits) -> Result<(), Invalid> {
        let problems = self.problems(limits);
        if problems.is_empty() { Ok(()) } else { Err(Invalid { problems }) }
    }

    /// Returns every reason to reject the run.
    pub fn problems(&self, limits: &Limits) -> Vec<Problem> {
        let mut problems = self.second.as_ref().map_or_else(Vec::new, |second| second.problems(limits));
        let p99_over = |times: &Histogram, max_ms: f64| {
            let p99_ms = times.quantile_ms(0.99);
            (times.count() >= P99_COUNT_MIN && p99_ms > max_ms).then_some(p99_ms)
        };
        if let Some(p99_ms) = p99_over(&self.lateness, limits.late_p99_ms_max) {
            problems.push(Problem::Late { p99_ms, max_ms: limits.late_p99_ms_max });
        }
        if let Some(p99_ms) = p99_over(&self.heartbeat, limits.heartbeat_p99_ms_max) {
            problems.push(Problem::Stalled { p99_ms, max_ms: limits.heartbeat_p99_ms_max });
        }
        if self.steal_share > limits.steal_share_max {
            problems.push(Problem::Steal { share: self.steal_share, max_share: limits.steal_share_max });
        }
        let device_dropped = self.up.device_dropped + self.down.device_dropped;
        let overflowed = self.up.overflowed + self.down.overflowed;
        if device_dropped + overflowed > 0 {
            problems.push(Problem::UnaskedLoss { device_dropped, overflowed });
        }
        problems
    }

    /// Returns the report of the window between `earlier` and this report.
    ///
    /// `earlier` is a former report on the same link without a rewind between. Drops are those
    /// within the window; times still count from the schedule's start.
    pub fn since(&self, earlier: &Self) -> Self {
        let window_ms = self.elapsed_ms - earlier.elapsed_ms;
        let stolen_ms = self.steal_share * self.elapsed_ms - earlier.steal_share * earlier.elapsed_ms;
        let from_ns = (earlier.elapsed_ms * 1e6) as u64;
        Self {
            elapsed_ms: window_ms,
            up: self.up.since(&earlier.up),
            down: self.down.since(&earlier.down),
            lateness: self.lateness.since(&earlier.lateness),
            heartbeat: self.heartbeat.since(&earlier.heartbeat),
            steal_share: if window_ms > 0.0 { stolen_ms.max(0.0) / window_ms } else { 0.0 },
            emulator_cpu_ms: self.emulator_cpu_ms - earlier.emulator_cpu_ms,
            drops: self.drops.iter().copied().filter(|drop| drop.at_ns >= from_ns).collect(),
            second: self
                .second
                .as_ref()
                .zip(earlier.second.as_ref())
                .map(|(it, earlier)| Box::new(it.since(earlier))),
            ..self.clone()
        }
    }

    /// Returns the number of separate bad periods in which this link lost packets, in either
    /// direction. A period that both directions share counts once.
    pub fn loss_periods(&self) -> u64 {
        let second = self.second.as_ref().map_or(0, |second| second.loss_periods());
        let (up, down) = (self.up.loss_periods, self.down.loss_periods);
        second + if self.spec.shares_periods() { up.max(down) } else { up + down }
    }

    /// Returns the CPU time of the emulator for each packet that entered the link, µs; `None`
    /// without packets.
    pub fn emulator_us_per_packet(&self) -> Option<f64> {
        let packets = self.up.total().offered + self.down.total().offered;
        (packets > 0).then(|| self.emulator_cpu_ms * 1e3 / packets as f64)
    }

    /// Returns the counters of one direction.
    pub fn direction(&self, direction: Direction) -> &DirectionReport {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

impl DirectionReport {
    /// Returns the counters of one protocol.
    pub fn protocol(&self, protocol: Protocol) -> &Counters {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Other => &self.other,
        }
    }

    pub(crate) fn protocol_mut(&mut self, protocol: Protocol) -> &mut Counters {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
            Protocol::Other => &mut self.other,
        }
    }

    /// Returns the sum over all protocols.
    pub fn total(&self) -> Counters {
        self.tcp.zip(&self.udp, |a, b| a + b).zip(&self.other, |a, b| a + b)
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            tcp: self.tcp.zip(&earlier.tcp, u64::saturating_sub),
            udp: self.udp.zip(&earlier.udp, u64::saturating_sub),
            other: self.other.zip(&earlier.other, u64::saturating_sub),
            device_dropped: self.device_dropped.saturating_sub(earlier.device_dropped),
            overflowed: self.overflowed.saturating_sub(earlier.overflowed),
            loss_periods: self.loss_periods.saturating_sub(earlier.loss_periods),
        }
    }
}

impl Counters {
    fn zip(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            offered: with(self.offered, other.offered),
            offered_bytes: with(self.offered_bytes, other.offered_bytes),
            delivered: with(self.delivered, other.delivered),
            delivered_bytes: with(self.delivered_bytes, other.delivered_bytes),
            lost: with(self.lost, other.lost),
            queue_dropped: with(self.queue_dropped, other.queue_dropped),
            duplicated: with(self.duplicated, other.duplicated),
            held: with(self.held, other.held),
        }
    }
}
