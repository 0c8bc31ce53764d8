//! The rate limit on a remote's QUIC frames. Some frames are QUIC's own and carry no message, so
//! no other limit counts them.

use quinn_proto::{Connection, FrameStats};

use crate::{FrameError, io::rate_limit::RateLimit};

/// The number of packets between two looks at quinn-proto's counters. A look copies all of them,
/// some 600 bytes. In between, a remote may send as many frames as fit into so many packets, which
/// is a few ms of work.
const LOOK_PACKETS: u32 = 64;

/// The rate limit of one connection. quinn-proto counts only what it could decrypt, so a remote is
/// not blamed for forged packets.
pub(super) struct FrameLimit {
    limit: RateLimit,
    /// The number of packets since the last look.
    packets: u32,
    /// The number of frames at the last look.
    frames: u64,
}

impl FrameLimit {
    pub(super) fn new(frames_per_s_max: u32) -> Self {
        Self { limit: RateLimit::new(frames_per_s_max), packets: 0, frames: 0 }
    }

    /// Counts a packet that was taken in.
    pub(super) fn count_packet(&mut self, proto: &Connection) -> Result<(), FrameError> {
        self.packets += 1;
        if self.packets < LOOK_PACKETS {
            return Ok(());
        }
        self.packets = 0;
        let frames = total(&proto.stats().frame_rx);
        let more = frames - std::mem::replace(&mut self.frames, frames);
        self.limit.count(u32::try_from(more).unwrap_or(u32::MAX), "QUIC frames")
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
