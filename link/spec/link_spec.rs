//! The spec of a link: [`LinkSpec`], its two [`DirectionSpec`]s, and the rules of a valid one.
//!
//! The types are plain data whose fields name their units. All of them are serde types, so that a
//! run can store the spec in effect beside its result.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    spec::trace::{Trace, TraceError},
    types::Direction,
};

/// The largest MTU of a link, bytes: a jumbo frame. It bounds the emulator's read buffer.
pub(crate) const MTU_BYTES_MAX: u16 = 9_000;
/// The smallest MTU of a link, bytes: every IPv4 host must accept packets of this size (RFC 791).
pub(crate) const MTU_BYTES_MIN: u16 = 576;
/// The longest delay of a direction, ms. It bounds the number of packets in flight, and no player
/// would stay on a path of ten seconds.
pub(crate) const DELAY_MS_MAX: f64 = 10_000.0;
/// The shortest correlation time of jitter, ms: each step of the process costs work even without
/// packets.
pub(crate) const CORRELATION_MS_MIN: f64 = 1.0;
/// The queue of a direction that sets a rate and no queue, bytes: 100 full packets.
pub(crate) const QUEUE_BYTES_DEFAULT: u64 = 150_000;

/// The spec of an emulated link, in both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Name of the link in reports.
    pub name: String,
    /// Size of the largest IP packet (MTU), bytes.
    #[serde(default = "default_mtu")]
    pub mtu_bytes: u16,
    /// The direction from the client to the server.
    #[serde(default)]
    pub up: DirectionSpec,
    /// The direction from the server to the client.
    #[serde(default)]
    pub down: DirectionSpec,
}

fn default_mtu() -> u16 {
    1_500
}

/// The spec of one direction of a link. The default adds no delay and loses nothing.
///
/// A packet meets the parts in this order: queue and rate, loss, then delay, jitter, reordering and
/// duplication. A real path has the same order: its bottleneck's queue is before the air or the
/// long haul.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectionSpec {
    /// One-way delay, ms.
    pub delay_ms: f64,
    /// Slow variation of the delay.
    pub jitter: Option<Jitter>,
    /// Model of packet loss.
    pub loss: Loss,
    /// Reordering of packets.
    pub reorder: Option<Reorder>,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate_share: f64,
    /// Capacity of the bottleneck; `None` is unlimited.
    pub rate: Option<Rate>,
    /// Size of the queue before the bottleneck, bytes of IP packets. A packet that does not fit is
    /// dropped. Without a rate the queue has no effect.
    pub queue_bytes: u64,
}

impl Default for DirectionSpec {
    fn default() -> Self {
        Self {
            delay_ms: 0.0,
            jitter: None,
            loss: Loss::None,
            reorder: None,
            duplicate_share: 0.0,
            rate: None,
            queue_bytes: QUEUE_BYTES_DEFAULT,
        }
    }
}

/// Time-correlated jitter: the delay follows an Ornstein–Uhlenbeck process.
///
/// Jitter is a function of time, not of packets, so a protocol that sends more packets does not
/// meet more jitter. Jitter never reorders packets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jitter {
    /// Standard deviation around `delay_ms`, ms; the process is cut at three standard deviations.
    pub sd_ms: f64,
    /// Time in which the correlation falls to 1/e, ms.
    pub correlation_ms: f64,
}

/// A model of packet loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// No loss.
    #[default]
    None,
    /// Independent loss of each packet.
    Iid {
        /// Probability that a packet is lost, 0 to 1.
        probability: f64,
    },
    /// Gilbert–Elliott with one step of the chain per packet (Gilbert 1960, Elliott 1963).
    ///
    /// Mean loss is `(p·loss_bad + r·loss_good) / (p + r)` with p = `good_to_bad`, r =
    /// `bad_to_good`. A protocol that sends more packets passes its bad periods sooner, so a
    /// comparison of protocols should use [`GilbertElliottTime`](Self::GilbertElliottTime).
    GilbertElliott {
        /// Probability of changing to the bad state at a packet, 0 to 1.
        good_to_bad: f64,
        /// Probability of changing to the good state at a packet, 0 to 1. The mean burst is `1 /
        /// bad_to_good` packets.
        bad_to_good: f64,
        /// Loss in the good state, 0 to 1.
        #[serde(default)]
        loss_good: f64,
        /// Loss in the bad state, 0 to 1.
        #[serde(default = "certain")]
        loss_bad: f64,
    },
    /// Gilbert–Elliott in time, with good and bad periods of exponential length.
    ///
    /// One seed gives every protocol the same periods. Mean loss is
    /// `(bad·loss_bad + good·loss_good) / (good + bad)`.
    GilbertElliottTime {
        /// Mean length of a good period, ms.
        good_ms: f64,
        /// Mean length of a bad period, ms.
        bad_ms: f64,
        /// Loss in the good state, 0 to 1.
        #[serde(default)]
        loss_good: f64,
        /// Loss in the bad state, 0 to 1.
        #[serde(default = "certain")]
        loss_bad: f64,
    },
    /// Total loss at set times.
    Outages {
        /// Outages, in order of time and without overlap.
        at: Vec<Outage>,
        /// Period after which the outages repeat, ms; `None` plays the outages once.
        #[serde(default)]
        repeat_every_ms: Option<f64>,
    },
}

fn certain() -> f64 {
    1.0
}

/// A period of total loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Start, ms after the schedule's start.
    pub start_ms: f64,
    /// Length, ms.
    pub length_ms: f64,
}

/// Reordering: a share of the packets is held back while later packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// Share of packets held back, 0 to 1.
    pub share: f64,
    /// Time for which a packet is held back, ms. Only packets sent within this time overtake it.
    pub hold_ms: f64,
}

/// The capacity of a direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rate {
    /// A constant rate, Mbit/s (10⁶ bits of IP packets a second).
    MbitPerS(f64),
    /// A recorded trace in mahimahi's format; see [`Trace`].
    Trace(PathBuf),
}

/// The reason why a spec is invalid.
#[derive(Debug, Error)]
pub enum SpecError {
    /// A probability or share outside 0 to 1.
    #[error("{field} is {value}: it must be a share from 0 to 1 (0 % to 100 %)")]
    NotAShare {
        /// Name of the field.
        field: &'static str,
        /// Value of the field.
        value: f64,
    },
    /// A time, rate or length that is negative, zero, not a number or too large.
    #[error("{field} is {value}: it must be {rule}")]
    OutOfRange {
        /// Name of the field.
        field: &'static str,
        /// Value of the field.
        value: f64,
        /// Rule that the value must follow.
        rule: &'static str,
    },
    /// The queue holds less than one packet, so no packet would pass.
    #[error("queue_bytes is {queue_bytes}, below one packet of {mtu_bytes} bytes: no packet would pass")]
    QueueBelowPacket {
        /// Size of the queue, bytes.
        queue_bytes: u64,
        /// Size of the largest packet, bytes.
        mtu_bytes: u16,
    },
    /// Three standard deviations of jitter exceed the delay.
    #[error(
        "jitter sd_ms {sd_ms} needs a delay of at least {}: packets cannot arrive before they are sent",
        3.0 * sd_ms
    )]
    JitterOverDelay {
        /// Standard deviation of the jitter, ms.
        sd_ms: f64,
    },
    /// The outages are not in order of time, overlap, or end after their period.
    #[error("outage {index} starts before the one before it ended, or ends after repeat_every_ms")]
    OutagesOverlap {
        /// Index of the outage, counted from 0.
        index: usize,
    },
    /// The trace of the rate is invalid.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

impl LinkSpec {
    /// Makes a link with the same spec in both directions.
    pub fn symmetric(name: impl Into<String>, both: DirectionSpec) -> Self {
        Self { name: name.into(), mtu_bytes: default_mtu(), up: both.clone(), down: both }
    }

    /// Returns the spec of one direction.
    pub fn direction(&self, direction: Direction) -> &DirectionSpec {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Checks that the spec can be emulated, and reads its trace files.
    ///
    /// # Errors
    /// Returns the first rule that the spec breaks.
    pub fn validate(&self) -> Result<(), SpecError> {
        in_range(
            "mtu_bytes",
            f64::from(self.mtu_bytes),
            f64::from(MTU_BYTES_MIN),
            f64::from(MTU_BYTES_MAX),
            "from 576 to 9000",
        )?;
        self.up.validate(self.mtu_bytes)?;
        self.down.validate(self.mtu_bytes)
    }
}

impl DirectionSpec {
    fn validate(&self, mtu_bytes: u16) -> Result<(), SpecError> {
        in_range("delay_ms", self.delay_ms, 0.0, DELAY_MS_MAX, "from 0 to 10000 ms")?;
        share("duplicate_share", self.duplicate_share)?;
        if let Some(jitter) = self.jitter {
            in_range("jitter.sd_ms", jitter.sd_ms, 0.0, DELAY_MS_MAX, "from 0 to 10000 ms")?;
            in_range(
                "jitter.correlation_ms",
                jitter.correlation_ms,
                CORRELATION_MS_MIN,
                f64::MAX,
                "1 ms or more",
            )?;
            // The small allowance is for decimal fractions: in binary, 3 × 0.3 exceeds 0.9.
            if 3.0 * jitter.sd_ms > self.delay_ms + 1e-9 {
                return Err(SpecError::JitterOverDelay { sd_ms: jitter.sd_ms });
            }
        }
        if let Some(reorder) = self.reorder {
            share("reorder.share", reorder.share)?;
            positive("reorder.hold_ms", reorder.hold_ms)?;
        }
        self.loss.validate()?;
        match &self.rate {
            None => return Ok(()),
            Some(Rate::MbitPerS(rate)) => positive("rate.mbit_per_s", *rate)?,
            Some(Rate::Trace(file)) => drop(Trace::read(file)?),
        }
        if self.queue_bytes < u64::from(mtu_bytes) {
            return Err(SpecError::QueueBelowPacket { queue_bytes: self.queue_bytes, mtu_bytes });
        }
        Ok(())
    }
}

impl Rate {
    /// Returns the mean rate, Mbit/s, and reads the trace if there is one.
    ///
    /// # Errors
    /// Returns the error of reading the trace.
    pub fn mean_mbit_per_s(&self) -> Result<f64, TraceError> {
        match self {
            Self::MbitPerS(rate) => Ok(*rate),
            Self::Trace(file) => Ok(Trace::read(file)?.mean_mbit_per_s()),
        }
    }
}

impl Loss {
    /// Returns the long-run share of lost packets, 0 to 1, for packets at an even pace.
    ///
    /// The share is `None` if it depends on the time of sending (outages played once).
    pub fn mean_share(&self) -> Option<f64> {
        match *self {
            Self::None => Some(0.0),
            Self::Iid { probability } => Some(probability),
            Self::GilbertElliott { good_to_bad: p, bad_to_good: r, loss_good, loss_bad } => {
                Some((p * loss_bad + r * loss_good) / (p + r))
            }
            Self::GilbertElliottTime { good_ms, bad_ms, loss_good, loss_bad } => {
                Some((bad_ms * loss_bad + good_ms * loss_good) / (good_ms + bad_ms))
            }
            Self::Outages { ref at, repeat_every_ms } => {
                let out_ms: f64 = at.iter().map(|outage| outage.length_ms).sum();
                repeat_every_ms.map(|every_ms| out_ms / every_ms)
            }
        }
    }

    fn validate(&self) -> Result<(), SpecError> {
        match self {
            Self::None => Ok(()),
            Self::Iid { probability } => share("loss.iid.probability", *probability),
            Self::GilbertElliott { good_to_bad, bad_to_good, loss_good, loss_bad } => {
                share("loss.gilbert_elliott.good_to_bad", *good_to_bad)?;
                share("loss.gilbert_elliott.bad_to_good", *bad_to_good)?;
                positive("loss.gilbert_elliott.bad_to_good", *bad_to_good)?;
                share("loss.gilbert_elliott.loss_good", *loss_good)?;
                share("loss.gilbert_elliott.loss_bad", *loss_bad)
            }
            Self::GilbertElliottTime { good_ms, bad_ms, loss_good, loss_bad } => {
                in_range("loss.gilbert_elliott_time.good_ms", *good_ms, 1.0, f64::MAX, "1 ms or more")?;
                in_range("loss.gilbert_elliott_time.bad_ms", *bad_ms, 1.0, f64::MAX, "1 ms or more")?;
                share("loss.gilbert_elliott_time.loss_good", *loss_good)?;
                share("loss.gilbert_elliott_time.loss_bad", *loss_bad)
            }
            Self::Outages { at, repeat_every_ms } => validate_outages(at, *repeat_every_ms),
        }
    }
}

fn validate_outages(at: &[Outage], repeat_every_ms: Option<f64>) -> Result<(), SpecError> {
    if let Some(every_ms) = repeat_every_ms {
        positive("loss.outages.repeat_every_ms", every_ms)?;
    }
    let mut free_from_ms = 0.0;
    for (index, outage) in at.iter().enumerate() {
        in_range("loss.outages.start_ms", outage.start_ms, 0.0, f64::MAX, "0 ms or more")?;
        positive("loss.outages.length_ms", outage.length_ms)?;
        let end_ms = outage.start_ms + outage.length_ms;
        if outage.start_ms < free_from_ms || repeat_every_ms.is_some_and(|every_ms| end_ms > every_ms) {
            return Err(SpecError::OutagesOverlap { index });
        }
        free_from_ms = end_ms;
    }
    Ok(())
}

fn share(field: &'static str, value: f64) -> Result<(), SpecError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(SpecError::NotAShare { field, value }) }
}

fn positive(field: &'static str, value: f64) -> Result<(), SpecError> {
    in_range(field, value, f64::MIN_POSITIVE, f64::MAX, "more than 0")
}

fn in_range(
    field: &'static str,
    value: f64,
    min: f64,
    max: f64,
    rule: &'static str,
) -> Result<(), SpecError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SpecError::OutOfRange { field, value, rule }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(both: DirectionSpec) -> String {
        LinkSpec::symmetric("test", both).validate().expect_err("the spec is invalid").to_string()
    }

    #[test]
    fn invalid_specs_name_field_and_rule() {
        let cases = [
            (
                DirectionSpec { loss: Loss::Iid { probability: 1.5 }, ..DirectionSpec::default() },
                "0 % to 100 %",
            ),
            (DirectionSpec { delay_ms: -1.0, ..DirectionSpec::default() }, "delay_ms is -1"),
            (DirectionSpec { delay_ms: f64::NAN, ..DirectionSpec::default() }, "delay_ms is NaN"),
            (DirectionSpec { duplicate_share: 2.0, ..DirectionSpec::default() }, "duplicate_share is 2"),
            (
                DirectionSpec { rate: Some(Rate::MbitPerS(0.0)), ..DirectionSpec::default() },
                "rate.mbit_per_s is 0",
            ),
            (
                DirectionSpec {
                    rate: Some(Rate::MbitPerS(1.0)),
                    queue_bytes: 1_000,
                    ..DirectionSpec::default()
                },
                "below one packet of 1500 bytes",
            ),
            (
                DirectionSpec {
                    delay_ms: 5.0,
                    jitter: Some(Jitter { sd_ms: 2.0, correlation_ms: 50.0 }),
                    ..DirectionSpec::default()
                },
                "needs a delay of at least 6",
            ),
            (
                DirectionSpec { rate: Some(Rate::Trace("no-such-file".into())), ..DirectionSpec::default() },
                "no-such-file",
            ),
        ];
        for (both, expected) in cases {
            let error = error_of(both);
            assert!(error.contains(expected), "{error:?} should say {expected:?}");
        }
    }

    #[test]
    fn rejects_overlapping_outages() {
        let outage = |start_ms| Outage { start_ms, length_ms: 10.0 };
        let loss = |at, repeat_every_ms| Loss::Outages { at, repeat_every_ms };
        assert!(loss(vec![outage(0.0), outage(10.0)], Some(20.0)).validate().is_ok());
        assert!(loss(vec![outage(0.0), outage(9.0)], None).validate().is_err());
        assert!(loss(vec![outage(0.0), outage(10.0)], Some(19.0)).validate().is_err());
    }

    #[test]
    fn json_and_toml_round_trip() {
        let spec = LinkSpec::symmetric(
            "test",
            DirectionSpec {
                delay_ms: 9.0,
                jitter: Some(Jitter { sd_ms: 1.5, correlation_ms: 50.0 }),
                loss: Loss::GilbertElliottTime {
                    good_ms: 900.0,
                    bad_ms: 30.0,
                    loss_good: 0.0,
                    loss_bad: 0.5,
                },
                reorder: Some(Reorder { share: 0.01, hold_ms: 3.0 }),
                rate: Some(Rate::MbitPerS(20.0)),
                ..DirectionSpec::default()
            },
        );
        let json = serde_json::to_string(&spec).expect("serialises");
        assert_eq!(serde_json::from_str::<LinkSpec>(&json).expect("parses"), spec);
        let toml = toml::to_string(&spec).expect("serialises");
        assert_eq!(toml::from_str::<LinkSpec>(&toml).expect("parses"), spec);
    }
}
