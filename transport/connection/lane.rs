//! The two lanes of a connection and the largest message of each.

/// The largest message on the control lane, in bytes. It fits one datagram, too, so that no kind
/// must put a message together from parts whose places the remote names.
pub const MAX_CONTROL_BYTES: usize = MAX_STATE_BYTES;
/// The largest message on the state lane, in bytes, on every kind.
///
/// It fits one QUIC datagram in a packet of 1,200 bytes, the smallest that every QUIC path carries
/// (RFC 9000, 14). Such a packet has room for 1,162 bytes when its headers are at their longest.
pub const MAX_STATE_BYTES: usize = 1120;

/// One of the two lanes that a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Reliable and ordered, for messages that must arrive.
    Control,
    /// Latest wins, for updates that the next update makes worthless.
    State,
}

impl Lane {
    /// Returns the largest message on this lane, in bytes.
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Control => MAX_CONTROL_BYTES,
            Self::State => MAX_STATE_BYTES,
        }
    }
}
