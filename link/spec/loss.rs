//! [`Loss`]: the models of packet loss, their mean, and the number of bad periods to expect.

use serde::{Deserialize, Serialize};

use crate::spec::spec_error::{SpecError, in_range, positive, share};

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
    /// One seed gives every protocol the same periods, and the same lost slots in them. Mean loss
    /// is `(bad·loss_bad + good·loss_good) / (good + bad)`.
    GilbertElliottTime {
        /// Mean length of a good period, ms.
        good_ms: f64,
        /// Mean length of a bad period, ms.
        bad_ms: f64,
        /// Loss in the good state, 0 to 1.
        #[serde(default)]
        loss_good: f64,
        /// Loss in the bad state, 0 to 1: the share of slots of 5 ms in which every packet is lost.
        #[serde(default = "certain")]
        loss_bad: f64,
        /// Whether a bad period stalls the link: a packet that is not lost waits for its end.
        #[serde(default)]
        stalls: bool,
    },
    /// Total loss at set times.
    Outages {
        /// Outages, in order of time and without overlap.
        at: Vec<Outage>,
        /// Period after which the outages repeat, ms; the seed draws the phase in which the
        /// schedule starts. `None` plays the outages once, at their times.
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
            Self::GilbertElliottTime { good_ms, bad_ms, loss_good, loss_bad, .. } => {
                Some((bad_ms * loss_bad + good_ms * loss_good) / (good_ms + bad_ms))
            }
            Self::Outages { ref at, repeat_every_ms } => {
                let out_ms: f64 = at.iter().map(|outage| outage.length_ms).sum();
                repeat_every_ms.map(|every_ms| out_ms / every_ms)
            }
        }
    }

    /// Returns the expected number of bad periods that a window meets, from the first to the last
    /// moment of each; `None` if single packets decide about losses.
    pub fn expected_bad_periods(&self, window_ms: f64) -> Option<f64> {
        match self {
            Self::None => Some(0.0),
            Self::Iid { .. } | Self::GilbertElliott { .. } => None,
            Self::GilbertElliottTime { good_ms, bad_ms, .. } => {
                Some((window_ms + bad_ms) / (good_ms + bad_ms))
            }
            Self::Outages { at, repeat_every_ms: None } => {
                Some(at.iter().filter(|outage| outage.start_ms < window_ms).count() as f64)
            }
            Self::Outages { at, repeat_every_ms: Some(every_ms) } => {
                Some(at.iter().map(|outage| (window_ms + outage.length_ms) / every_ms).sum())
            }
        }
    }

    /// Whether the bad periods of both losses are of the same lengths, so that they can coincide.
    pub(crate) fn has_periods_of(&self, other: &Self) -> bool {
        let lengths = |loss: &Self| match *loss {
            Self::GilbertElliottTime { good_ms, bad_ms, .. } => Some((good_ms, bad_ms)),
            _ => None,
        };
        lengths(self).is_some() && lengths(self) == lengths(other)
    }

    pub(crate) fn validate(&self) -> Result<(), SpecError> {
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
            Self::GilbertElliottTime { good_ms, bad_ms, loss_good, loss_bad, .. } => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_overlapping_outages() {
        let outage = |start_ms| Outage { start_ms, length_ms: 10.0 };
        let loss = |at, repeat_every_ms| Loss::Outages { at, repeat_every_ms };
        assert!(loss(vec![outage(0.0), outage(10.0)], Some(20.0)).validate().is_ok());
        assert!(loss(vec![outage(0.0), outage(9.0)], None).validate().is_err());
        assert!(loss(vec![outage(0.0), outage(10.0)], Some(19.0)).validate().is_err());
    }

    #[test]
    fn expects_bad_periods_by_length() {
        let bursts = Loss::GilbertElliottTime {
            good_ms: 900.0,
            bad_ms: 100.0,
            loss_good: 0.0,
            loss_bad: 0.5,
            stalls: false,
        };
        assert_eq!(bursts.expected_bad_periods(29_900.0), Some(30.0));
        assert_eq!(bursts.mean_share(), Some(0.05));
        let outage = Outage { start_ms: 500.0, length_ms: 100.0 };
        let loss = |repeat_every_ms| Loss::Outages { at: vec![outage], repeat_every_ms };
        assert_eq!(loss(None).expected_bad_periods(400.0), Some(0.0));
        assert_eq!(loss(None).expected_bad_periods(9e9), Some(1.0));
        assert_eq!(loss(Some(1_000.0)).expected_bad_periods(9_900.0), Some(10.0));
        assert_eq!(loss(Some(1_000.0)).mean_share(), Some(0.1));
        assert_eq!(Loss::None.expected_bad_periods(1e3), Some(0.0));
        assert_eq!(Loss::Iid { probability: 0.1 }.expected_bad_periods(1e3), None);
    }
}
