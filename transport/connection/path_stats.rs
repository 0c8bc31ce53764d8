//! The transport's own statistics of a path, [`PathStats`], with the settings that are in effect.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::options::Congestion;

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
    /// The number of state messages that the transport dropped itself instead of sending, to spare
    /// the path: ENet's throttle.
    #[serde(default)]
    pub throttled_messages: Option<u64>,
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

/// A setting of one side of a connection. Serialized as a pair of texts: its name and its value.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub enum Setting {
    /// Whether TCP_NODELAY is on.
    TcpNodelay(bool),
    /// TCP_NOTSENT_LOWAT in bytes.
    TcpNotsentLowatBytes(u32),
    /// The socket's send buffer in bytes, as the kernel has it now. The kernel counts its own
    /// bookkeeping.
    SendBufferBytes(usize),
    /// The socket's receive buffer in bytes, as the kernel has it now. The kernel counts its own
    /// bookkeeping.
    ReceiveBufferBytes(usize),
    /// QUIC's initial packet size in bytes.
    InitialMtuBytes(u16),
    /// Whether QUIC probes for larger packets.
    MtuDiscovery(bool),
    /// The number of packets after which a QUIC acknowledgement is asked for. One comes after 25 ms
    /// in any case.
    AckPackets(u32),
    /// The distance of QUIC's timer ticks in ms.
    TimerGridMs(u64),
    /// The flow-control window of a QUIC stream in bytes.
    StreamWindowBytes(u32),
    /// The flow-control window of a QUIC connection in bytes.
    ConnectionWindowBytes(u32),
    /// The number of state streams that may be open at once.
    ConcurrentStreams(u32),
    /// The buffer of unsent QUIC datagrams in bytes.
    DatagramSendBufferBytes(usize),
    /// The buffer of unread QUIC datagrams in bytes.
    DatagramReceiveBufferBytes(usize),
    /// A setting of a transport from outside this crate: its name and its value.
    Other(String, String),
}

const fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl Setting {
    /// Returns the name, with the value's unit.
    pub fn name(&self) -> &str {
        match self {
            Self::TcpNodelay(_) => "TCP_NODELAY",
            Self::TcpNotsentLowatBytes(_) => "TCP_NOTSENT_LOWAT B",
            Self::SendBufferBytes(_) => "send buffer B",
            Self::ReceiveBufferBytes(_) => "receive buffer B",
            Self::InitialMtuBytes(_) => "initial MTU B",
            Self::MtuDiscovery(_) => "MTU discovery",
            Self::AckPackets(_) => "acknowledgements",
            Self::TimerGridMs(_) => "timer grid ms",
            Self::StreamWindowBytes(_) => "stream window B",
            Self::ConnectionWindowBytes(_) => "connection window B",
            Self::ConcurrentStreams(_) => "streams at once",
            Self::DatagramSendBufferBytes(_) => "datagrams to send B",
            Self::DatagramReceiveBufferBytes(_) => "datagrams to read B",
            Self::Other(name, _) => name,
        }
    }

    /// Returns the value as text.
    pub fn value(&self) -> String {
        match self {
            Self::TcpNodelay(on) | Self::MtuDiscovery(on) => switch(*on).into(),
            Self::SendBufferBytes(bytes)
            | Self::ReceiveBufferBytes(bytes)
            | Self::DatagramSendBufferBytes(bytes)
            | Self::DatagramReceiveBufferBytes(bytes) => bytes.to_string(),
            Self::TcpNotsentLowatBytes(number)
            | Self::StreamWindowBytes(number)
            | Self::ConnectionWindowBytes(number)
            | Self::ConcurrentStreams(number) => number.to_string(),
            Self::InitialMtuBytes(bytes) => bytes.to_string(),
            Self::AckPackets(packets) => format!("every {packets} packets, or after 25 ms"),
            Self::TimerGridMs(ms) => ms.to_string(),
            Self::Other(_, value) => value.clone(),
        }
    }

    /// Whether the kernel adjusts the setting by need, so that the two sides of a connection may
    /// differ in it: TCP's buffers grow with the path.
    pub const fn adjusts_itself(&self) -> bool {
        matches!(self, Self::SendBufferBytes(_) | Self::ReceiveBufferBytes(_))
    }

    fn parse(name: &str, value: &str) -> Option<Self> {
        let on = || match value {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        };
        Some(match name {
            "TCP_NODELAY" => Self::TcpNodelay(on()?),
            "TCP_NOTSENT_LOWAT B" => Self::TcpNotsentLowatBytes(value.parse().ok()?),
            "send buffer B" => Self::SendBufferBytes(value.parse().ok()?),
            "receive buffer B" => Self::ReceiveBufferBytes(value.parse().ok()?),
            "initial MTU B" => Self::InitialMtuBytes(value.parse().ok()?),
            "MTU discovery" => Self::MtuDiscovery(on()?),
            "acknowledgements" => Self::AckPackets(value.split(' ').nth(1)?.parse().ok()?),
            "timer grid ms" => Self::TimerGridMs(value.parse().ok()?),
            "stream window B" => Self::StreamWindowBytes(value.parse().ok()?),
            "connection window B" => Self::ConnectionWindowBytes(value.parse().ok()?),
            "streams at once" => Self::ConcurrentStreams(value.parse().ok()?),
            "datagrams to send B" => Self::DatagramSendBufferBytes(value.parse().ok()?),
            "datagrams to read B" => Self::DatagramReceiveBufferBytes(value.parse().ok()?),
            _ => return None,
        })
    }

    /// Returns the buffers of a socket, as the kernel has them now.
    pub(crate) fn buffers(socket: &socket2::SockRef<'_>) -> Vec<Self> {
        let send = socket.send_buffer_size().map(Self::SendBufferBytes);
        let receive = socket.recv_buffer_size().map(Self::ReceiveBufferBytes);
        [send, receive].into_iter().flatten().collect()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.value())
    }
}

impl From<(String, String)> for Setting {
    fn from((name, value): (String, String)) -> Self {
        // A text that says the same in other words stays as it is.
        let parsed = Self::parse(&name, &value).filter(|parsed| parsed.value() == value);
        parsed.unwrap_or(Self::Other(name, value))
    }
}

impl From<Setting> for (String, String) {
    fn from(setting: Setting) -> Self {
        (setting.name().to_owned(), setting.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_text_form() {
        let settings = [
            Setting::TcpNodelay(true),
            Setting::TcpNotsentLowatBytes(1),
            Setting::SendBufferBytes(2),
            Setting::ReceiveBufferBytes(3),
            Setting::InitialMtuBytes(1200),
            Setting::MtuDiscovery(false),
            Setting::AckPackets(10),
            Setting::TimerGridMs(5),
            Setting::StreamWindowBytes(6),
            Setting::ConnectionWindowBytes(7),
            Setting::ConcurrentStreams(8),
            Setting::DatagramSendBufferBytes(9),
            Setting::DatagramReceiveBufferBytes(10),
            Setting::Other("window".into(), "3 datagrams".into()),
        ];
        for setting in settings {
            let text: (String, String) = setting.clone().into();
            assert_eq!(Setting::from(text), setting);
        }
        let odd = Setting::from(("acknowledgements".into(), "every 2".into()));
        assert_eq!(odd, Setting::Other("acknowledgements".into(), "every 2".into()));
        for name in ["cubic", "dctcp"] {
            assert_eq!(CongestionInEffect::from(name.to_owned()).to_string(), name);
        }
    }
}
