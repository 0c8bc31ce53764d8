//! The limits on the work that a remote's QUIC packets cause, with or without a message in them.

use quinn_proto::{Connection, ConnectionStats, FrameStats};

use crate::{CloseReason, FrameError, io::rate_limit::RateLimit};

/// The number of packets between two looks at quinn-proto's counters. A look copies all of them,
/// some 600 bytes. In between, a remote may send as many frames as fit into so many packets, 4,000
/// of the smallest, which is less than a ms of work.
pub(super) const LOOK_PACKETS: u32 = 8;
/// The largest number of frames that name connection IDs, new or retired, in a connection's life.
/// quinn-proto queues an answer to each, and a remote that acknowledges nothing makes the queue
/// longer without a bound: 56 bytes for 3 of the remote's. An address that changes takes two
/// frames, so the limit lasts for five hundred changes.
pub(super) const CONNECTION_ID_FRAMES_MAX: u32 = 1024;

/// The limits of one connection.
///
/// Packets are limited before they are decrypted, since decrypting is most of their work, whatever
/// they hold. They may be forged by someone who sees the path, so those over the limit are dropped
/// and no one is blamed. Frames are counted by quinn-proto in what it could decrypt, so a remote
/// that sends too many is.
pub(super) struct WorkLimit {
    packets: RateLimit,
    frames: RateLimit,
    /// The number of packets since the last look.
    unlooked: u32,
    /// The number of frames at the last look.
    seen: u64,
}

impl WorkLimit {
    /// Returns the limits for as many packets a second, and as many frames.
    pub(super) fn new(per_s_max: u32) -> Self {
        Self { packets: RateLimit::new(per_s_max), frames: RateLimit::new(per_s_max), unlooked: 0, seen: 0 }
    }

    /// Whether the connection may take in another packet.
    pub(super) fn admits_packet(&mut self) -> bool {
        self.packets.take(1)
    }

    /// Counts a packet that was taken in.
    pub(super) fn count_packet(&mut self, proto: &Connection) -> Result<(), CloseReason> {
        self.unlooked += 1;
        if self.unlooked < LOOK_PACKETS {
            return Ok(());
        }
        self.unlooked = 0;
        let ConnectionStats { frame_rx: received, .. } = proto.stats();
        let frames = total(&received);
        let more = frames - std::mem::replace(&mut self.seen, frames);
        self.frames.count(u32::try_from(more).unwrap_or(u32::MAX), "QUIC frames")?;
        if received.new_connection_id + received.retire_connection_id > CONNECTION_ID_FRAMES_MAX.into() {
            return Err(FrameError::TooManyInAll {
                what: "QUIC connection IDs",
                max: CONNECTION_ID_FRAMES_MAX,
            }
            .into());
        }
        Ok(())
    }
}

/// Returns the number of frames of every type, since quinn-proto has no sum.
fn total(of: &FrameStats) -> u64 {
    [
        of.acks,
        of.ack_frequency,
        of.crypto,
        of.connection_close,
        of.data_blocked,
        of.datagram,
        of.handshake_done.into(),
        of.immediate_ack,
        of.max_data,
        of.max_stream_data,
        of.max_streams_bidi,
        of.max_streams_uni,
        of.new_connection_id,
        of.new_token,
        of.path_challenge,
        of.path_response,
        of.ping,
        of.reset_stream,
        of.retire_connection_id,
        of.stop_sending,
        of.stream,
        of.stream_data_blocked,
        of.streams_blocked_bidi,
        of.streams_blocked_uni,
    ]
    .into_iter()
    .sum()
}
