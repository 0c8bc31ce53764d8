//! The transport's own statistics of a path, [`PathStats`].

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{options::Congestion, recovery::Recovery, setting::Setting};

/// A snapshot of the transport's own statistics of the path. A field is `None` where the transport
/// cannot know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStats {
    /// The smoothed round-trip time in µs, as the transport's own loss recovery uses it.
    pub rtt_us: Option<u64>,
    /// The lowest round-trip time seen, in µs.
    pub min_rtt_us: Option<u64>,
    /// The congestion window in bytes.
    pub congestion_window_bytes: Option<u64>,
    /// The congestion control in effect, read back from the stack. `None` where the kind has none
    /// to choose ([`crate::Capabilities::congestion`]).
    pub congestion: Option<CongestionInEffect>,
    /// The number of packets declared lost.
    pub lost_packets: Option<u64>,
    /// The number of packets sent again: TCP's segments and the datagrams of `udp`. QUIC sends
    /// frames again, never packets, and counts none.
    pub retransmitted_packets: Option<u64>,
    /// The account of loss recovery.
    pub recovery: Recovery,
    /// The number of packets sent (TCP segments, UDP datagrams), acknowledgements and
    /// retransmissions included.
    pub sent_packets: Option<u64>,
    /// The number of packets received.
    pub received_packets: Option<u64>,
    /// The number of bytes sent: the stack's payload (TCP's with retransmissions, UDP's), and the
    /// IP and TCP or UDP headers of [`Self::sent_packets`]. Link-layer headers are not included.
    pub sent_bytes: Option<u64>,
    /// The number of bytes received, counted like the sent ones. TCP does not count bytes that
    /// arrived twice.
    pub received_bytes: Option<u64>,
    /// The largest packet payload in bytes: TCP's MSS, QUIC's current MTU.
    pub max_packet_bytes: Option<u64>,
    /// The TLS version and cipher suite; `None` if unencrypted.
    pub tls: Option<TlsSuite>,
    /// The other settings of this side, read back from the socket where possible, otherwise as the
    /// library was told.
    pub settings: Vec<Setting>,
}

impl PathStats {
    /// Adds further settings.
    #[must_use]
    pub(crate) fn with_settings(mut self, settings: Vec<Setting>) -> Self {
        self.settings.extend(settings);
        self
    }

    /// Adds the headers of the packets to the bytes counted as payload. `transport_header_bytes` is
    /// the size of a TCP or UDP header.
    pub fn with_headers(mut self, remote: SocketAddr, transport_header_bytes: u64) -> Self {
        let ip_header_bytes = if remote.is_ipv4() { 20 } else { 40 };
        let header_bytes = ip_header_bytes + transport_header_bytes;
        let add = |bytes: Option<u64>, packets: Option<u64>| Some(bytes? + packets? * header_bytes);
        self.sent_bytes = add(self.sent_bytes, self.sent_packets);
        self.received_bytes = add(self.received_bytes, self.received_packets);
        self
    }
}

/// A congestion control algorithm that is in effect. Printed and serialized by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum CongestionInEffect {
    /// One of the algorithms that [`crate::Options::congestion`] can ask for.
    Known(Congestion),
    /// Another algorithm of the kernel, by its name.
    Other(String),
}

impl fmt::Display for CongestionInEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(algorithm) => f.pad(algorithm.name()),
            Self::Other(name) => f.pad(name),
        }
    }
}

impl From<String> for CongestionInEffect {
    fn from(name: String) -> Self {
        Congestion::from_str(&name).map_or(Self::Other(name), Self::Known)
    }
}

impl From<CongestionInEffect> for String {
    fn from(congestion: CongestionInEffect) -> Self {
        congestion.to_string()
    }
}

/// A TLS version and cipher suite. Printed and serialized as text, such as `TLSv1.3
/// TLS13_AES_128_GCM_SHA256`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TlsSuite {
    /// TLS 1.3 with AES-128 in GCM and SHA-256: the suite of all built-in kinds that encrypt.
    Tls13Aes128GcmSha256,
    /// Another version and suite, as text.
    Other(String),
}

impl fmt::Display for TlsSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls13Aes128GcmSha256 => f.pad("TLSv1.3 TLS13_AES_128_GCM_SHA256"),
            Self::Other(name) => f.pad(name),
        }
    }
}

impl From<String> for TlsSuite {
    fn from(text: String) -> Self {
        let known = Self::Tls13Aes128GcmSha256;
        if known.to_string() == text { known } else { Self::Other(text) }
    }
}

impl From<TlsSuite> for String {
    fn from(suite: TlsSuite) -> Self {
        suite.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_survives_its_text_form() {
        for name in ["cubic", "dctcp"] {
            assert_eq!(CongestionInEffect::from(name.to_owned()).to_string(), name);
        }
    }
}
