//! What the emulator did: [`LinkReport`], and whether a run on it may be believed ([`LinkReport::valid`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    emulator::histogram::Histogram,
    spec::link_spec::LinkSpec,
    types::{Direction, DropCause, Protocol},
};

/// Most drops remembered one by one: an hour of 1 % of 2,700 packets a second. It bounds memory; the
/// counters go on.
pub const DROPS_MAX: usize = 100_000;

/// All that the emulator knows of a link, from its start (or its last rewind) to the time of asking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The link as it was in effect.
    pub spec: LinkSpec,
    /// The seed of its schedule.
    pub seed: u64,
    /// When the schedule started, ns on CLOCK_MONOTONIC: what every time in here counts from.
    pub started_monotonic_ns: u64,
    /// How long it has run, ms.
    pub elapsed_ms: f64,
    /// From the client to the server.
    pub up: DirectionReport,
    /// From the server to the client.
    pub down: DirectionReport,
    /// How long after its time each packet was delivered. Time between a packet's sending and the
    /// emulator's reading it cannot be seen; [`heartbeat`](Self::heartbeat) shows it.
    pub lateness: Histogram,
    /// How late the emulator woke each time it meant to, traffic or not.
    pub heartbeat: Histogram,
    /// CPU time stolen by the hypervisor, as a share of all CPUs' time, 0 to 1.
    pub steal_share: f64,
    /// CPU time the emulator used, ms.
    pub emulator_cpu_ms: f64,
    /// The priority it ran at.
    pub priority: Priority,
    /// Each drop, in order of time; filled only by the final report.
    pub drops: Vec<DroppedPacket>,
    /// Drops beyond [`DROPS_MAX`], which are counted and not listed.
    pub drops_unlisted: u64,
}

/// One direction of a [`LinkReport`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DirectionReport {
    /// TCP packets.
    pub tcp: Counters,
    /// UDP packets.
    pub udp: Counters,
    /// Other IPv4 packets.
    pub other: Counters,
    /// Packets dropped by the kernel before the emulator could read them. Nobody asked for these.
    pub device_dropped: u64,
    /// Packets dropped because the emulator held too many, or the kernel refused them. Nobody asked for
    /// these either.
    pub overflowed: u64,
}

/// Counts of packets and bytes. Bytes are whole IP packets, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that came to the link.
    pub offered: u64,
    /// Bytes that came to the link.
    pub offered_bytes: u64,
    /// Packets that left it, second copies included.
    pub delivered: u64,
    /// Bytes that left it, second copies included.
    pub delivered_bytes: u64,
    /// Packets lost as the spec asks.
    pub lost: u64,
    /// Packets that found the queue full.
    pub queue_dropped: u64,
    /// Packets sent on twice.
    pub duplicated: u64,
    /// Packets held back so that others overtake them.
    pub held: u64,
}

/// One dropped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedPacket {
    /// When, ns after the schedule's start.
    pub at_ns: u64,
    /// Which way it was going.
    pub direction: Direction,
    /// What it carried.
    pub protocol: Protocol,
    /// Its length, bytes of IP packet.
    pub bytes: u16,
    /// Why.
    pub cause: DropCause,
}

/// What the system let the emulator have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// SCHED_FIFO: goes before everything that is not real-time.
    RealTime,
    /// A negative nice value.
    Raised,
    /// Like any process: expect late packets whenever the machine is busy.
    Normal,
}

/// Of fewer times the p99 is the single worst one, which no bound on the one in a hundred can judge.
const P99_COUNT_MIN: u64 = 100;

/// The bounds within which a run is believed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Lateness of packets at p99, ms.
    pub late_p99_ms_max: f64,
    /// Lateness of heartbeats at p99, ms.
    pub heartbeat_p99_ms_max: f64,
    /// Stolen CPU time, share of all.
    pub steal_share_max: f64,
}

impl Default for Limits {
    /// 2 ms is a tenth of the time between two moves at 50 a second, and an eighth of a round trip over good
    /// Wi-Fi; an emulator at real-time priority stays well below it.
    fn default() -> Self {
        Self { late_p99_ms_max: 2.0, heartbeat_p99_ms_max: 2.0, steal_share_max: 0.05 }
    }
}

/// Why a run on a link must not be believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Packets were delivered too late.
    Late {
        /// Measured at p99, ms.
        p99_ms: f64,
        /// The bound, ms.
        max_ms: f64,
    },
    /// The emulator was not run when it meant to.
    Stalled {
        /// Measured at p99, ms.
        p99_ms: f64,
        /// The bound, ms.
        max_ms: f64,
    },
    /// The hypervisor took too much CPU time.
    Steal {
        /// Measured share, 0 to 1.
        share: f64,
        /// The bound.
        max_share: f64,
    },
    /// Packets were lost that the spec did not ask to lose.
    UnaskedLoss {
        /// Dropped by the kernel before the emulator read them.
        device_dropped: u64,
        /// Dropped because the emulator was full, or the kernel refused them.
        overflowed: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { p99_ms, max_ms } => {
                write!(f, "packets were up to {p99_ms:.2} ms late at p99 (bound {max_ms} ms)")
            }
            Self::Stalled { p99_ms, max_ms } => {
                write!(f, "the emulator woke up to {p99_ms:.2} ms late at p99 (bound {max_ms} ms)")
            }
            Self::Steal { share, max_share } => write!(
                f,
                "{:.1} % of CPU time was stolen by the hypervisor (bound {:.1} %)",
                share * 100.0,
                max_share * 100.0
            ),
            Self::UnaskedLoss { device_dropped, overflowed } => write!(
                f,
                "{} packets were lost that nobody asked to lose ({device_dropped} before the emulator, \
                 {overflowed} in it)",
                device_dropped + overflowed
            ),
        }
    }
}

/// A run that must be rejected, with every reason.
#[derive(Clone, Debug, Error, PartialEq)]
#[error(
    "the link was not what it was asked to be: {}; run again with less load on the machine",
    join(problems)
)]
pub struct Invalid {
    /// All of them.
    pub problems: Vec<Problem>,
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

impl LinkReport {
    /// Accepts the run, or says why not.
    pub fn valid(&self, limits: &Limits) -> Result<(), Invalid> {
        let problems = self.problems(limits);
        if problems.is_empty() { Ok(()) } else { Err(Invalid { problems }) }
    }

    /// Every reason not to believe the run.
    pub fn problems(&self, limits: &Limits) -> Vec<Problem> {
        let mut problems = Vec::new();
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

    /// What happened after `earlier`, a former report on the same link without a rewind between: the
    /// measured window of a run. Drops are those within it; times still count from the schedule's start.
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
            ..self.clone()
        }
    }

    /// One direction.
    pub fn direction(&self, direction: Direction) -> &DirectionReport {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

impl DirectionReport {
    /// The counters of one protocol.
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

    /// The sum over all protocols.
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
