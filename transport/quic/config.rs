//! The configuration of a QUIC connection: windows, buffers and acknowledgements, with their
//! reasons.

use std::sync::Arc;

use quinn_proto::{
    AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt,
    congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig},
};

use super::timer_grid;
use crate::{Congestion, MAX_STATE_BYTES, Options, Setting, TransportKind};

/// The largest number of updates in flight as streams of their own that we let a remote open. At
/// 240 updates a second they last a quarter of a second, more than most round trips; beyond it
/// updates are superseded. quinn-proto allocates a table of this size. The number that a remote
/// lets *us* open is the remote's, and `state_lane.rs` bounds it.
pub(super) const MAX_UNI_STREAMS: u32 = 64;
/// The flow-control window of a stream, in bytes: the largest updates at 240 Hz over 60 ms, or some
/// 600 small ones.
///
/// The window is large on purpose. A smaller one would leave more updates to the outbox, where they
/// can be superseded. That was tried, and it made the opponent's position *older*. Data sent during
/// an outage is what finds the path again, because a blocked stream waits for QUIC's probe timeout,
/// which doubles. A second of small updates fits a packet or two. Over 20 ms with an outage of 1 s,
/// age at p99 was 1.07 s with this window and 1.42 s with ten updates.
const STREAM_WINDOW_BYTES: u32 = 16 * 1024;
/// The flow-control window of a connection, in bytes, for its control and state streams together.
const CONNECTION_WINDOW_BYTES: u32 = 4 * STREAM_WINDOW_BYTES;
/// The buffer of unsent datagrams, in bytes, with quinn-proto's 32 bytes of bookkeeping each. It
/// holds what leaves in one packet once congestion control allows, so that a queued update delays
/// no newer one. The stock 1 MiB would be minutes of stale updates.
const DATAGRAM_SEND_BUFFER_BYTES: usize = MAX_STATE_BYTES + 64;
/// The buffer of received and unread datagrams, in bytes: a few dozen small updates, or seven of
/// the largest. When it is full, quinn-proto drops the oldest.
const DATAGRAM_RECEIVE_BUFFER_BYTES: usize = 8 * 1024;
/// The smallest packet that every QUIC path carries (RFC 9000, 14). quinn-proto begins with it,
/// too.
const INITIAL_MTU_BYTES: u16 = 1200;
/// The number of packets after which a receiver acknowledges without the extension (RFC 9000,
/// 13.2.2).
const RFC_9000_ACK_PACKETS: u32 = 2;
/// The reordering threshold of 1: a gap is acknowledged at once, as without the extension. The
/// sender of a stream must hear of a loss when the next packet shows it, and not when the third one
/// does.
const ACK_REORDERING: VarInt = VarInt::from_u32(1);

/// The configuration that a connection is made with.
#[derive(Clone)]
pub(super) struct ConnectionConfig {
    pub(super) lane: StateLane,
    pub(super) options: Options,
}

/// The carrier of the state lane.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StateLane {
    /// One long stream.
    Stream,
    /// A stream for each update.
    Uni,
    /// Unreliable datagrams.
    Datagram,
}

impl StateLane {
    pub(super) fn kind(self) -> TransportKind {
        match self {
            Self::Stream => TransportKind::QuicStream,
            Self::Uni => TransportKind::QuicUni,
            Self::Datagram => TransportKind::QuicDatagram,
        }
    }
}

impl ConnectionConfig {
    /// Returns quinn-proto's form of the configuration.
    pub(super) fn transport(&self) -> TransportConfig {
        let Self { lane, options } = self;
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(1u8.into())
            .max_concurrent_uni_streams(match lane {
                StateLane::Stream => 1u8.into(),
                StateLane::Uni => MAX_UNI_STREAMS.into(),
                StateLane::Datagram => 0u8.into(),
            })
            .stream_receive_window(STREAM_WINDOW_BYTES.into())
            .receive_window(CONNECTION_WINDOW_BYTES.into())
            .send_window(CONNECTION_WINDOW_BYTES.into())
            .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER_BYTES)
            .datagram_receive_buffer_size(
                (*lane == StateLane::Datagram).then_some(DATAGRAM_RECEIVE_BUFFER_BYTES),
            )
            .max_idle_timeout(IdleTimeout::try_from(options.idle_timeout).ok())
            .keep_alive_interval(Some(options.keep_alive))
            // Every message fits the smallest packet, so larger packets are not probed for.
            .initial_mtu(INITIAL_MTU_BYTES)
            .mtu_discovery_config(None)
            // A message fills one packet, and few need two, so the system has nothing to segment.
            .enable_segmentation_offload(false)
            .ack_frequency_config(acknowledgements(options))
            .congestion_controller_factory(controller(options.congestion));
        config
    }

    /// Returns the settings of a connection, for [`crate::PathStats::settings`].
    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![
            Setting::InitialMtuBytes(INITIAL_MTU_BYTES),
            Setting::MtuDiscovery(false),
            Setting::AckPackets(self.options.ack_packets),
            Setting::TimerGridMs(timer_grid::GRID_US / 1000),
            Setting::StreamWindowBytes(STREAM_WINDOW_BYTES),
            Setting::ConnectionWindowBytes(CONNECTION_WINDOW_BYTES),
        ];
        match self.lane {
            StateLane::Stream => {}
            StateLane::Uni => settings.push(Setting::ConcurrentStreams(MAX_UNI_STREAMS)),
            StateLane::Datagram => settings.extend([
                Setting::DatagramSendBufferBytes(DATAGRAM_SEND_BUFFER_BYTES),
                Setting::DatagramReceiveBufferBytes(DATAGRAM_RECEIVE_BUFFER_BYTES),
            ]),
        }
        settings
    }
}

fn controller(congestion: Congestion) -> Arc<dyn ControllerFactory + Send + Sync> {
    match congestion {
        Congestion::Cubic => Arc::new(CubicConfig::default()),
        Congestion::Bbr => Arc::new(BbrConfig::default()),
        Congestion::Reno => Arc::new(NewRenoConfig::default()),
    }
}

/// Returns the parameters of the acknowledgement frequency extension
/// (draft-ietf-quic-ack-frequency), which both sides have.
fn acknowledgements(options: &Options) -> Option<AckFrequencyConfig> {
    if options.ack_packets == RFC_9000_ACK_PACKETS {
        return None;
    }
    let mut config = AckFrequencyConfig::default();
    // The extension counts the packets that may pass without one.
    let threshold = options.ack_packets.saturating_sub(1);
    config.ack_eliciting_threshold(threshold.into()).reordering_threshold(ACK_REORDERING);
    Some(config)
}
