//! The error of an invalid spec, and the checks of single values.

use thiserror::Error;

use crate::spec::{path_trace::PathTraceError, trace::TraceError};

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
    /// The trace of delay and loss is invalid.
    #[error(transparent)]
    PathTrace(#[from] PathTraceError),
    /// The directions cannot share their bad periods, because these differ in length.
    #[error(
        "periods=shared needs bursts in time or stalls with the same good and bad times in both directions"
    )]
    PeriodsDiffer,
    /// A queue with an active discipline, without a rate that could fill it.
    #[error("queue=codel needs a rate: without one, no packet waits")]
    QueueWithoutRate,
    /// The second player's link differs in a setting that both links must share.
    #[error("the second player's link must have the same ip, and no further link of its own")]
    SecondDiffers,
}

/// Checks that a value is a share.
pub(crate) fn share(field: &'static str, value: f64) -> Result<(), SpecError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(SpecError::NotAShare { field, value }) }
}

/// Checks that a value is more than 0.
pub(crate) fn positive(field: &'static str, value: f64) -> Result<(), SpecError> {
    in_range(field, value, f64::MIN_POSITIVE, f64::MAX, "more than 0")
}

/// Checks that a value is within bounds; `rule` says them.
pub(crate) fn in_range(
    field: &'static str,
    value: f64,
    min: f64,
    max: f64,
    rule: &'static str,
) -> Result<(), SpecError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SpecError::OutOfRange { field, value, rule }) }
}
