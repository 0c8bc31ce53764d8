//! The account of a transport's loss recovery, [`Recovery`].

use serde::{Deserialize, Serialize};

/// Declares the account, and its sums and differences field by field.
macro_rules! recovery {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// The account of a transport's loss recovery since the connection began. A figure is
        /// `None` where the transport does not have it.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Recovery {
            $($(#[$doc])* pub $field: Option<u64>,)*
        }

        impl Recovery {
            /// Returns the account since an earlier one of the same connection.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                let grown = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
                Self { $($field: grown(self.$field, earlier.$field),)* }
            }

            /// Returns the account of both connections together. A figure that one of them lacks is
            /// lacking.
            #[must_use]
            pub fn plus(&self, other: &Self) -> Self {
                let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
                Self { $($field: sum(self.$field, other.$field),)* }
            }
        }
    };
}

recovery! {
    /// The number of retransmission timeouts that expired (TCP).
    timeouts,
    /// The number of recoveries that a timeout began, however many timeouts they took (TCP).
    timeout_recoveries,
    /// The time spent in these recoveries, in µs. The kernel counts it in ms (TCP).
    timeout_recovery_us,
    /// The number of times that the congestion control reacted to loss (QUIC).
    congestion_events,
    /// The number of packets sent again in vain, by the remote's word (TCP, by D-SACK).
    spurious_retransmissions,
    /// The number of times that packets were found to have been reordered (TCP).
    reorderings,
    /// The time with bytes unacknowledged, in µs (TCP).
    busy_us,
    /// The part of that time in which the remote's receive window held bytes back, in µs (TCP).
    receive_window_limited_us,
    /// The part of that time in which the send buffer was too small, in µs (TCP).
    send_buffer_limited_us,
    /// The time in which messages waited since the transport took no more, in µs: a congestion
    /// window that is used up, or a recovery (byte streams such as TCP).
    blocked_us,
    /// The number of state messages that the transport dropped itself instead of sending, to spare
    /// the path (ENet's throttle).
    throttled_messages,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_need_both_sides() {
        let one = Recovery { timeouts: Some(5), busy_us: Some(1), ..Recovery::default() };
        let other = Recovery { timeouts: Some(3), ..Recovery::default() };
        assert_eq!(one.since(&other), Recovery { timeouts: Some(2), ..Recovery::default() });
        assert_eq!(one.plus(&other), Recovery { timeouts: Some(8), ..Recovery::default() });
    }
}
