//! Calibration: what a link really does, measured by plain UDP, beside what was asked.

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
    measure::flow::{self, Arrivals, Flow, HEADER_BYTES},
    spec::link_spec::{LinkSpec, Loss, Rate, SpecError},
};

/// How far the delay at p50 may be from what was asked, ms, before jitter's own uncertainty.
const DELAY_TOLERANCE_MS: f64 = 0.5;
/// How far the rate may be off, as a share.
const RATE_TOLERANCE: f64 = 0.05;
/// Standard deviations within which a measured loss is accepted: chance goes beyond once in 1,000 probes.
const LOSS_TOLERANCE_SD: f64 = 3.29;
/// Payload that fills a rate, bytes.
const FILL_PAYLOAD_BYTES: usize = 1_200;
/// How much faster than its rate a path is filled.
const FILL_FACTOR: f64 = 1.3;
/// Highest rate that is filled, Mbit/s: more would measure this machine, not the link.
const FILL_MBIT_PER_S_MAX: f64 = 200.0;

/// How to probe a link. Both directions are probed at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// Packets in each direction.
    pub packets: u32,
    /// How many a second.
    pub packets_per_s: f64,
    /// Their UDP payload, bytes; at least 12.
    pub payload_bytes: u16,
    /// How long to fill a path that has a rate, ms; 0 leaves the rate unmeasured.
    pub fill_ms: f64,
}

impl Default for ProbePlan {
    /// Two seconds of small packets, then one second of as many as go through.
    fn default() -> Self {
        Self { packets: 1_000, packets_per_s: 500.0, payload_bytes: 64, fill_ms: 1_000.0 }
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// How it was probed.
    pub plan: ProbePlan,
    /// From the client to the server.
    pub up: DirectionProbe,
    /// From the server to the client.
    pub down: DirectionProbe,
    /// What the emulator did meanwhile: a probe of a late one says nothing.
    pub link: LinkReport,
}

/// One direction of a [`ProbeReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectionProbe {
    /// What a perfect emulator would show.
    pub asked: Asked,
    /// One-way delays.
    pub delay: Histogram,
    /// Packets sent.
    pub sent: u32,
    /// Packets lost.
    pub lost: u32,
    /// Packets that came after one sent later (RFC 4737).
    pub reordered: u32,
    /// Second copies.
    pub duplicated: u32,
    /// Rate when filled, Mbit/s of IP packets, corrected for the mean loss asked for.
    pub mbit_per_s: Option<f64>,
}

/// What a probe of a perfect link would show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Median delay, ms: the path's delay and the time a probe packet takes at its rate.
    pub delay_ms: f64,
    /// Standard deviation of the delay, ms.
    pub jitter_sd_ms: f64,
    /// Uncertainty of a median over the probe's time that jitter's correlation leaves, ms (one standard
    /// deviation; about two correlation times make one independent sample).
    pub delay_uncertainty_ms: f64,
    /// Mean loss, 0 to 1; `None` where it depends on the time.
    pub loss_share: Option<f64>,
    /// Losses are independent, so that a short probe can judge their share.
    pub loss_independent: bool,
    /// Mean rate, Mbit/s.
    pub mbit_per_s: Option<f64>,
}

/// Where a link is not what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// The median delay, ms.
    Delay {
        /// Which way.
        direction: Direction,
        /// Asked for, ms.
        asked_ms: f64,
        /// Measured, ms.
        measured_ms: f64,
    },
    /// The share of packets lost, 0 to 1.
    Loss {
        /// Which way.
        direction: Direction,
        /// Asked for.
        asked: f64,
        /// Measured.
        measured: f64,
    },
    /// The rate, Mbit/s.
    Rate {
        /// Which way.
        direction: Direction,
        /// Asked for, Mbit/s.
        asked_mbit_per_s: f64,
        /// Measured, Mbit/s.
        measured_mbit_per_s: f64,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay { direction, asked_ms, measured_ms } => {
                write!(f, "{direction}: delay {measured_ms:.2} ms at p50, asked for {asked_ms:.2} ms")
            }
            Self::Loss { direction, asked, measured } => {
                let (measured, asked) = (measured * 100.0, asked * 100.0);
                write!(f, "{direction}: loss {measured:.2} %, asked for {asked:.2} %")
            }
            Self::Rate { direction, asked_mbit_per_s, measured_mbit_per_s } => {
                write!(f, "{direction}: {measured_mbit_per_s:.2} Mbit/s, asked for {asked_mbit_per_s:.2}")
            }
        }
    }
}

impl ProbeReport {
    /// Where the link is not what was asked; empty for a true one. Losses in bursts are not judged: a probe
    /// sees too few.
    pub fn mismatches(&self) -> Vec<Mismatch> {
        [(Direction::Up, &self.up), (Direction::Down, &self.down)]
            .into_iter()
            .flat_map(|(direction, probe)| probe.mismatches(direction))
            .collect()
    }
}

impl DirectionProbe {
    /// Measured loss, 0 to 1.
    pub fn loss_share(&self) -> f64 {
        f64::from(self.lost) / f64::from(self.sent.max(1))
    }

    fn mismatches(&self, direction: Direction) -> impl Iterator<Item = Mismatch> + use<> {
        let asked = self.asked;
        let measured_ms = self.delay.quantile_ms(0.5);
        let tolerance_ms = DELAY_TOLERANCE_MS + LOSS_TOLERANCE_SD * asked.delay_uncertainty_ms;
        let delay = ((measured_ms - asked.delay_ms).abs() > tolerance_ms).then_some(Mismatch::Delay {
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
        let rate = asked.mbit_per_s.zip(self.mbit_per_s).and_then(|(asked, measured)| {
            ((measured / asked - 1.0).abs() > RATE_TOLERANCE).then_some(Mismatch::Rate {
                direction,
                asked_mbit_per_s: asked,
                measured_mbit_per_s: measured,
            })
        });
        delay.into_iter().chain(loss).chain(rate)
    }
}

#[cfg(target_os = "linux")]
impl Link {
    /// Measures the link with plain UDP, then rewinds it, so that a run starts at the schedule's beginning.
    pub fn probe(&mut self, plan: &ProbePlan) -> Result<ProbeReport, LinkError> {
        let (up, down) = thread::scope(|scope| {
            let up = scope.spawn(|| probe_path(self, Direction::Up, plan));
            let down = probe_path(self, Direction::Down, plan);
            (up.join().expect("the probe does not panic"), down)
        });
        let report = ProbeReport { plan: *plan, up: up?, down: down?, link: self.snapshot()? };
        self.rewind()?;
        Ok(report)
    }
}

#[cfg(not(target_os = "linux"))]
impl Link {
    /// Cannot be reached: this system has no link.
    pub fn probe(&mut self, _plan: &ProbePlan) -> Result<ProbeReport, LinkError> {
        match self.0 {}
    }
}

#[cfg(target_os = "linux")]
fn probe_path(link: &Link, direction: Direction, plan: &ProbePlan) -> Result<DirectionProbe, LinkError> {
    let asked = Asked::of(link.spec(), direction, plan)?;
    let spec = link.spec().direction(direction);
    // A full queue drains within its length at its rate; a trace may pause, so twice that.
    let queue_ms = asked.mbit_per_s.map_or(0.0, |rate| spec.queue_bytes as f64 * 8e-3 / rate);
    let hold_ms = spec.reorder.map_or(0.0, |reorder| reorder.hold_ms);
    let drain = Duration::from_secs_f64((200.0 + 2.0 * (spec.delay_ms + hold_ms + queue_ms)) / 1e3);
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
        let packet_bits = (FILL_PAYLOAD_BYTES + HEADER_BYTES) as f64 * 8.0;
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
    fn of(spec: &LinkSpec, direction: Direction, plan: &ProbePlan) -> Result<Self, LinkError> {
        let spec = spec.direction(direction);
        let rate = spec.rate.as_ref().map(Rate::mean_mbit_per_s).transpose();
        let mbit_per_s = rate.map_err(SpecError::from)?;
        let packet_bits = (usize::from(plan.payload_bytes) + HEADER_BYTES) as f64 * 8.0;
        let probe_ms = f64::from(plan.packets) / plan.packets_per_s * 1e3;
        let uncertainty_ms = spec
            .jitter
            .map_or(0.0, |jitter| jitter.sd_ms / (probe_ms / (2.0 * jitter.correlation_ms)).max(1.0).sqrt());
        Ok(Self {
            delay_ms: spec.delay_ms + mbit_per_s.map_or(0.0, |rate| packet_bits / (rate * 1e3)),
            jitter_sd_ms: spec.jitter.map_or(0.0, |jitter| jitter.sd_ms),
            delay_uncertainty_ms: uncertainty_ms,
            loss_share: spec.loss.mean_share(),
            loss_independent: matches!(spec.loss, Loss::None | Loss::Iid { .. }),
            mbit_per_s,
        })
    }
}
