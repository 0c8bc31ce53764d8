//! Calibration of a link: plain UDP measures it, and the result is compared with its spec.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    emulator::{histogram::Histogram, report::LinkReport},
    error::LinkError,
    testbed::Link,
    types::Direction,
};

#[cfg(target_os = "linux")]
use std::{thread, time::Duration};

#[cfg(target_os = "linux")]
use crate::{
    measure::{
        flow::{self, Arrivals, Flow, header_bytes},
        scheduled::{Pace, scheduled_delay},
    },
    spec::{
        link_spec::{LinkSpec, Rate},
        loss::Loss,
        spec_error::SpecError,
    },
};

/// The largest deviation of the delay at p50 from the schedule, ms.
const DELAY_TOLERANCE_MS: f64 = 0.5;
/// The largest deviation of the rate from the spec, as a share.
const RATE_TOLERANCE: f64 = 0.05;
/// The largest deviation of a measured loss, standard deviations. Chance exceeds it once in 1,000
/// probes.
const LOSS_TOLERANCE_SD: f64 = 3.29;
/// The payload of the packets that fill a rate, bytes.
const FILL_PAYLOAD_BYTES: usize = 1_200;
/// The ratio of the offered rate to the rate of the direction.
const FILL_FACTOR: f64 = 1.3;
/// The highest rate that is filled, Mbit/s. A higher rate would measure this machine, not the link.
const FILL_MBIT_PER_S_MAX: f64 = 200.0;

/// The plan of a probe. It probes both directions at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// Number of packets in each direction.
    pub packets: u32,
    /// Packets per second.
    pub packets_per_s: f64,
    /// UDP payload of a packet, bytes; at least 12.
    pub payload_bytes: u16,
    /// Time for which a direction with a rate is filled, ms; 0 leaves the rate unmeasured.
    pub fill_ms: f64,
}

impl Default for ProbePlan {
    /// Returns a plan of two seconds of small packets and one second at the full rate.
    fn default() -> Self {
        Self { packets: 1_000, packets_per_s: 500.0, payload_bytes: 64, fill_ms: 1_000.0 }
    }
}

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Plan of the probe.
    pub plan: ProbePlan,
    /// The direction from the client to the server.
    pub up: DirectionProbe,
    /// The direction from the server to the client.
    pub down: DirectionProbe,
    /// Report of the emulator over the probe. A probe of a late emulator is not valid.
    pub link: LinkReport,
}

/// The result of one direction of a [`ProbeReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectionProbe {
    /// Values that a perfect emulator would show.
    pub asked: Asked,
    /// One-way delays.
    pub delay: Histogram,
    /// Packets sent.
    pub sent: u32,
    /// Packets lost.
    pub lost: u32,
    /// Packets that arrived after a packet sent later (RFC 4737).
    pub reordered: u32,
    /// Duplicates.
    pub duplicated: u32,
    /// Rate when filled, Mbit/s of IP packets, corrected for the mean loss of the spec.
    pub mbit_per_s: Option<f64>,
}

/// The values that a probe of a perfect link would show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Median delay, ms, that the schedule gives to the packets of the probe.
    pub delay_ms: f64,
    /// Delay, ms, that the schedule gives to nine tenths of the packets at most.
    pub delay_p90_ms: f64,
    /// Delay, ms, that the schedule gives to 99 % of the packets at most.
    pub delay_p99_ms: f64,
    /// Mean loss, 0 to 1; `None` if the loss depends on the time.
    pub loss_share: Option<f64>,
    /// Whether losses are independent, so that a short probe can judge their share.
    pub loss_independent: bool,
    /// Mean rate, Mbit/s.
    pub mbit_per_s: Option<f64>,
}

/// A deviation of a link from its spec.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// A deviation of the median delay.
    Delay {
        /// Direction of the packets.
        direction: Direction,
        /// Delay of the spec, ms.
        asked_ms: f64,
        /// Measured delay, ms.
        measured_ms: f64,
    },
    /// A deviation of the share of lost packets.
    Loss {
        /// Direction of the packets.
        direction: Direction,
        /// Share of the spec, 0 to 1.
        asked: f64,
        /// Measured share, 0 to 1.
        measured: f64,
    },
    /// A deviation of the rate.
    Rate {
        /// Direction of the packets.
        direction: Direction,
        /// Rate of the spec, Mbit/s.
        asked_mbit_per_s: f64,
        /// Measured rate, Mbit/s.
        measured_mbit_per_s: f64,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay { direction, asked_ms, measured_ms } => {
                write!(
                    f,
                    "{direction}: the delay is {measured_ms:.2} ms at p50; the spec says {asked_ms:.2} ms"
                )
            }
            Self::Loss { direction, asked, measured } => {
                let (measured, asked) = (measured * 100.0, asked * 100.0);
                write!(f, "{direction}: the loss is {measured:.2} %; the spec says {asked:.2} %")
            }
            Self::Rate { direction, asked_mbit_per_s, measured_mbit_per_s } => {
                write!(
                    f,
                    "{direction}: the rate is {measured_mbit_per_s:.2} Mbit/s; the spec says {asked_mbit_per_s:.2}"
                )
            }
        }
    }
}

impl ProbeReport {
    /// Returns the deviations of the link from its spec.
    ///
    /// A link with bursts is judged by its delay alone, because a probe sees too few bursts to
    /// judge their loss, and a stall takes from the rate.
    pub fn mismatches(&self) -> Vec<Mismatch> {
        [(Direction::Up, &self.up), (Direction::Down, &self.down)]
            .into_iter()
            .flat_map(|(direction, probe)| probe.mismatches(direction))
            .collect()
    }
}

impl DirectionProbe {
    /// Returns the measured loss, 0 to 1.
    pub fn loss_share(&self) -> f64 {
        f64::from(self.lost) / f64::from(self.sent.max(1))
    }

    fn mismatches(&self, direction: Direction) -> impl Iterator<Item = Mismatch> + use<> {
        let asked = self.asked;
        let measured_ms = self.delay.quantile_ms(0.5);
        let delay = ((measured_ms - asked.delay_ms).abs() > DELAY_TOLERANCE_MS).then_some(Mismatch::Delay {
            direction,
            asked_ms: asked.delay_ms,
            measured_ms,
        });
        let measured = self.loss_share();
        let loss = asked.loss_share.filter(|_| asked.loss_independent).and_then(|asked| {
            let sd = (asked * (1.0 - asked) / f64::from(self.sent.max(1))).sqrt();
            ((measured - asked).abs() > LOSS_TOLERANCE_SD * sd).then_some(Mismatch::Loss {
                direction,
                asked,
                measured,
            })
        });
        let rate = asked.mbit_per_s.filter(|_| asked.loss_independent).zip(self.mbit_per_s).and_then(
            |(asked, measured)| {
                ((measured / asked - 1.0).abs() > RATE_TOLERANCE).then_some(Mismatch::Rate {
                    direction,
                    asked_mbit_per_s: asked,
                    measured_mbit_per_s: measured,
                })
            },
        );
        delay.into_iter().chain(loss).chain(rate)
    }
}

#[cfg(target_os = "linux")]
impl Link {
    /// Rewinds the link, measures it with plain UDP, and rewinds it again, so that a run starts at
    /// the schedule's beginning. Of two links it measures the first player's.
    ///
    /// # Errors
    /// Returns an error if the system refuses a step or the emulator does not answer.
    pub fn probe(&mut self, plan: &ProbePlan) -> Result<ProbeReport, LinkError> {
        let seed = self.rewind()?.seed;
        let (up, down) = thread::scope(|scope| {
            let up = scope.spawn(|| probe_path(self, seed, Direction::Up, plan));
            let down = probe_path(self, seed, Direction::Down, plan);
            (up.join().expect("the probe does not panic"), down)
        });
        let report = ProbeReport { plan: *plan, up: up?, down: down?, link: self.snapshot()? };
        self.rewind()?;
        Ok(report)
    }
}

#[cfg(not(target_os = "linux"))]
impl Link {
    /// Returns never: this system has no [`Link`] to call it on.
    pub fn probe(&mut self, _plan: &ProbePlan) -> Result<ProbeReport, LinkError> {
        match self.0 {}
    }
}

#[cfg(target_os = "linux")]
fn probe_path(
    link: &Link,
    seed: u64,
    direction: Direction,
    plan: &ProbePlan,
) -> Result<DirectionProbe, LinkError> {
    let asked = Asked::of(link.spec(), seed, direction, plan)?;
    let spec = link.spec().direction(direction);
    // A full queue drains within its length divided by its rate. A trace may pause, so the wait is
    // twice that.
    let queue_ms = asked.mbit_per_s.map_or(0.0, |rate| spec.queue_bytes as f64 * 8e-3 / rate);
    let hold_ms = spec.reorder.map_or(0.0, |reorder| reorder.hold_ms);
    // The longest scheduled delay holds every stall and every row of a trace.
    let delay_ms = asked.delay_ms.max(asked.delay_p99_ms);
    let drain = Duration::from_secs_f64((200.0 + 2.0 * (delay_ms + hold_ms + queue_ms)) / 1e3);
    let flow = Flow {
        packets: plan.packets,
        packets_per_s: plan.packets_per_s,
        payload_bytes: usize::from(plan.payload_bytes),
        drain,
    };
    let Arrivals { delay, lost, reordered, duplicated, .. } = flow::run(link, direction, flow)?;
    let mut probe =
        DirectionProbe { asked, delay, sent: plan.packets, lost, reordered, duplicated, mbit_per_s: None };
    if let Some(rate) = asked.mbit_per_s.filter(|rate| plan.fill_ms > 0.0 && *rate <= FILL_MBIT_PER_S_MAX) {
        let packet_bits = (FILL_PAYLOAD_BYTES + header_bytes(link.spec().ipv6)) as f64 * 8.0;
        let packets_per_s = FILL_FACTOR * rate * 1e6 / packet_bits;
        let packets = (packets_per_s * plan.fill_ms / 1e3).ceil() as u32;
        let fill = Flow { packets, packets_per_s, payload_bytes: FILL_PAYLOAD_BYTES, drain };
        let arrived = flow::run(link, direction, fill)?.mbit_per_s;
        probe.mbit_per_s = Some(arrived / (1.0 - asked.loss_share.unwrap_or(0.0)));
    }
    Ok(probe)
}

#[cfg(target_os = "linux")]
impl Asked {
    fn of(link: &LinkSpec, seed: u64, direction: Direction, plan: &ProbePlan) -> Result<Self, LinkError> {
        let spec = link.direction(direction);
        let rate = spec.rate.as_ref().map(Rate::mean_mbit_per_s).transpose();
        let pace = Pace {
            packets: plan.packets,
            packets_per_s: plan.packets_per_s,
            packet_bytes: usize::from(plan.payload_bytes) + header_bytes(link.ipv6),
        };
        let delay = scheduled_delay(link, seed, direction, pace)?;
        Ok(Self {
            delay_ms: delay.quantile_ms(0.5),
            delay_p90_ms: delay.quantile_ms(0.9),
            delay_p99_ms: delay.quantile_ms(0.99),
            loss_share: link.mean_loss_share(direction)?,
            loss_independent: matches!(spec.loss, Loss::None | Loss::Iid { .. }) && spec.trace.is_none(),
            mbit_per_s: rate.map_err(SpecError::from)?,
        })
    }
}
