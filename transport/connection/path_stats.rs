//! The transport's own knowledge of its path: [`PathStats`].

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

/// What the transport itself knows of the path. `None` where it cannot know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStats {
    /// Smoothed round-trip time in µs, as the transport's own loss recovery uses it.
    pub rtt_us: Option<u64>,
    /// Lowest round-trip time seen, in µs.
    pub min_rtt_us: Option<u64>,
    /// Congestion window in bytes.
    pub congestion_window_bytes: Option<u64>,
    /// Which of [`crate::Congestion`] is in effect, read back from the stack; `None` where the kind has none of them
    /// ([`crate::Capabilities::congestion`]).
    pub congestion: Option<String>,
    /// Packets declared lost.
    pub lost_packets: Option<u64>,
    /// Packets (TCP's segments, `udp`'s) sent again. QUIC sends frames again, never packets, and counts none.
    pub retransmitted_packets: Option<u64>,
    /// State messages that the transport itself threw away instead of sending, to spare the path: ENet's throttle.
    #[serde(default)]
    pub throttled_messages: Option<u64>,
    /// Packets (TCP segments, UDP datagrams) sent, acknowledgements and retransmissions included.
    pub sent_packets: Option<u64>,
    /// Packets received.
    pub received_packets: Option<u64>,
    /// Bytes sent: what the stack counts as payload (TCP's with retransmissions, UDP's) and the IP and TCP or UDP
    /// headers of [`Self::sent_packets`]. Link-layer headers are not in it.
    pub sent_bytes: Option<u64>,
    /// Bytes received, counted like the sent ones; TCP does not count what arrived twice.
    pub received_bytes: Option<u64>,
    /// Largest packet payload: TCP's MSS, QUIC's current MTU.
    pub max_packet_bytes: Option<u64>,
    /// TLS version and cipher suite, such as `TLSv1.3 TLS13_AES_128_GCM_SHA256`; `None` if unencrypted.
    pub tls: Option<String>,
    /// What else is set on this side, each a name and a value in words: read back from the socket where that can be, else
    /// what the library was told.
    pub settings: Vec<(String, String)>,
}

/// One of [`PathStats::settings`].
pub(crate) fn setting(name: &str, value: impl fmt::Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// The buffers of a socket, as the kernel has them now; it counts its own bookkeeping in them, and TCP's grow by need.
pub(crate) fn buffers(socket: &socket2::SockRef<'_>) -> Vec<(String, String)> {
    let known =
        [("send buffer B", socket.send_buffer_size()), ("receive buffer B", socket.recv_buffer_size())];
    known.into_iter().filter_map(|(name, bytes)| Some(setting(name, bytes.ok()?))).collect()
}

impl PathStats {
    /// Adds the headers of the packets to the bytes counted as payload. `transport_header_bytes` is TCP's or UDP's.
    pub fn with_headers(mut self, remote: SocketAddr, transport_header_bytes: u64) -> Self {
        let ip_header_bytes = if remote.is_ipv4() { 20 } else { 40 };
        let header_bytes = ip_header_bytes + transport_header_bytes;
        let add = |bytes: Option<u64>, packets: Option<u64>| Some(bytes? + packets? * header_bytes);
        self.sent_bytes = add(self.sent_bytes, self.sent_packets);
        self.received_bytes = add(self.received_bytes, self.received_packets);
        self
    }
}
