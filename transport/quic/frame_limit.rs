//! How many frames a peer sends a second, whatever they bring: some are QUIC's own, and reach nobody who would count them.

use quinn_proto::{Connection, FrameStats};

use crate::{FrameError, io::rate_limit::RateLimit};

/// Packets from one look to the next. A look copies all that quinn-proto counts, some 600 bytes; meanwhile a peer may send
/// as many frames as fit into so many packets, which is a few ms of work.
const LOOK_PACKETS: u32 = 64;

/// Of one connection. quinn-proto counts what it could decrypt, so nobody is held to what others send in its name.
pub(super) struct FrameLimit {
    limit: RateLimit,
    /// Since the last look.
    packets: u32,
    /// At the last look.
    frames: u64,
}

impl FrameLimit {
    pub(super) fn new(frames_per_s_max: u32) -> Self {
        Self { limit: RateLimit::new(frames_per_s_max), packets: 0, frames: 0 }
    }

    /// A packet was taken in.
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

/// Frames of every type; quinn-proto has no sum.
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
