//! The spec of a link: [`LinkSpec`], its two [`DirectionSpec`]s, and the rules of a valid one.
//!
//! The types are plain data whose fields name their units. All of them are serde types, so that a
//! run can store the spec in effect beside its result.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    spec::{
        loss::Loss,
        path_trace::PathTrace,
        spec_error::{SpecError, in_range, positive, share},
        trace::{Trace, TraceError},
    },
    types::Direction,
};

/// The largest MTU of a link, bytes: a jumbo frame. It bounds the emulator's read buffer.
pub(crate) const MTU_BYTES_MAX: u16 = 9_000;
/// The smallest MTU of a link, bytes: every IPv4 host must accept packets of this size (RFC 791).
pub(crate) const MTU_BYTES_MIN: u16 = 576;
/// The smallest MTU of a link over IPv6, bytes (RFC 8200).
pub(crate) const MTU_BYTES_MIN_IPV6: u16 = 1_280;
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
    /// Whether the programs at the ends talk over IPv6.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether both directions share their bad periods, as on one radio channel. A bad period then
    /// hits data and acknowledgements at once.
    #[serde(default)]
    pub shared_periods: bool,
    /// The direction from the client to the server.
    #[serde(default)]
    pub up: DirectionSpec,
    /// The direction from the server to the client.
    #[serde(default)]
    pub down: DirectionSpec,
    /// Link of the second player of each match; `None` lets both players share this one.
    #[serde(default)]
    pub second: Option<Box<Self>>,
}

fn default_mtu() -> u16 {
    1_500
}

/// The spec of one direction of a link. The default adds no delay and loses nothing.
///
/// A packet meets the parts in this order: loss, queue and rate, then delay, jitter, reordering and
/// duplication. A real path has the same order: its bottleneck's queue is before the air or the
/// long haul. A packet that is lost takes its turn in the queue before that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectionSpec {
    /// One-way delay, ms.
    pub delay_ms: f64,
    /// File with a recording of delay and loss, see [`PathTrace`]; both are added to those here.
    pub trace: Option<PathBuf>,
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
    /// Discipline of the queue.
    pub queue: QueueDiscipline,
}

impl Default for DirectionSpec {
    fn default() -> Self {
        Self {
            delay_ms: 0.0,
            trace: None,
            jitter: None,
            loss: Loss::None,
            reorder: None,
            duplicate_share: 0.0,
            rate: None,
            queue_bytes: QUEUE_BYTES_DEFAULT,
            queue: QueueDiscipline::DropTail,
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

/// Reordering: a share of the packets is held back while later packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// Share of packets held back, 0 to 1.
    pub share: f64,
    /// Time for which a packet is held back, ms. Only packets sent within this time overtake it.
    pub hold_ms: f64,
}

/// The discipline of a queue, which decides when it drops packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueDiscipline {
    /// First in, first out; a packet that does not fit is dropped.
    #[default]
    DropTail,
    /// CoDel (RFC 8289): drops packets while they wait longer than 5 ms for 100 ms on end.
    Codel,
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

impl LinkSpec {
    /// Makes a link with the same spec in both directions.
    pub fn symmetric(name: impl Into<String>, both: DirectionSpec) -> Self {
        Self {
            name: name.into(),
            mtu_bytes: default_mtu(),
            ipv6: false,
            shared_periods: false,
            up: both.clone(),
            down: both,
            second: None,
        }
    }

    /// Returns the spec of one direction.
    pub fn direction(&self, direction: Direction) -> &DirectionSpec {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Returns the long-run share of packets that a direction loses, 0 to 1; `None` if it depends
    /// on the time of sending.
    ///
    /// # Errors
    /// Returns the error of reading a trace.
    pub fn mean_loss_share(&self, direction: Direction) -> Result<Option<f64>, SpecError> {
        let spec = self.direction(direction);
        let traced = match &spec.trace {
            Some(file) => PathTrace::read(file)?.mean_loss_share(),
            None => 0.0,
        };
        Ok(spec.loss.mean_share().map(|share| 1.0 - (1.0 - share) * (1.0 - traced)))
    }

    /// Returns the expected number of separate bad periods that a window meets on this link; 0 if
    /// the link loses nothing. `None` if single packets decide about losses.
    pub fn expected_bad_periods(&self, window_ms: f64) -> Option<f64> {
        if self.up.trace.is_some() || self.down.trace.is_some() {
            return None;
        }
        let [up, down] = [&self.up, &self.down].map(|way| way.loss.expected_bad_periods(window_ms));
        Some(if self.shares_periods() { up?.max(down?) } else { up? + down? })
    }

    /// Whether a bad period hits both directions: they share their periods, or have outages at the
    /// same times.
    pub fn shares_periods(&self) -> bool {
        let outages = matches!(self.up.loss, Loss::Outages { .. }) && self.up.loss == self.down.loss;
        self.shared_periods || outages
    }

    /// Checks that the spec can be emulated, and reads its trace files.
    ///
    /// # Errors
    /// Returns the first rule that the spec breaks.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.ipv6 {
            let (mtu_bytes, min) = (f64::from(self.mtu_bytes), f64::from(MTU_BYTES_MIN_IPV6));
            in_range("mtu_bytes", mtu_bytes, min, f64::from(MTU_BYTES_MAX), "from 1280 to 9000 over IPv6")?;
        }
        if self.shared_periods && !self.up.loss.has_periods_of(&self.down.loss) {
            return Err(SpecError::PeriodsDiffer);
        }
        if let Some(second) = &self.second {
            if second.ipv6 != self.ipv6 || second.second.is_some() {
                return Err(SpecError::SecondDiffers);
            }
            second.validate()?;
        }
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
        if let Some(file) = &self.trace {
            PathTrace::read(file)?;
        }
        if self.queue == QueueDiscipline::Codel && self.rate.is_none() {
            return Err(SpecError::QueueWithoutRate);
        }
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
                    stalls: true,
                },
                reorder: Some(Reorder { share: 0.01, hold_ms: 3.0 }),
                rate: Some(Rate::MbitPerS(20.0)),
                ..DirectionSpec::default()
            },
        );
        let json = serde_json::to_string(&spec).expect("serialises");
        assert_eq!(serde_json::from_str::<LinkSpec>(&json).expect("parses"), spec);
        let spec = LinkSpec { second: Some(Box::new(spec.clone())), ..spec };
        let toml = toml::to_string(&spec).expect("serialises");
        assert_eq!(toml::from_str::<LinkSpec>(&toml).expect("parses"), spec);
    }
}
