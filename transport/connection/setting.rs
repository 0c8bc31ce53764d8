//! The settings of one side of a connection that are in effect.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A setting of one side of a connection. Serialized as a pair of texts: its name and its value.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub enum Setting {
    /// Whether TCP_NODELAY is on.
    TcpNodelay(bool),
    /// TCP_NOTSENT_LOWAT in bytes.
    TcpNotsentLowatBytes(u32),
    /// The shortest retransmission timeout of TCP in µs, beside the round trip.
    TcpRtoMinUs(u32),
    /// The longest delay of an acknowledgement of TCP in µs.
    TcpDelackMaxUs(u32),
    /// Whether the timeouts of a thin TCP stream grow by no factor.
    TcpThinLinearTimeouts(bool),
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
    /// The time without an acknowledgement after which ENet pings, in ms.
    EnetPingMs(u64),
    /// The interval at which ENet's throttle sets its limits anew, in ms.
    EnetThrottleMs(u32),
    /// Whether every datagram has a checksum of the protocol's own.
    Checksum(bool),
    /// The largest number of unacknowledged bytes of the control lane.
    ControlWindowBytes(usize),
    /// The shortest retransmission timeout of the control lane in ms.
    ControlTimeoutMinMs(u64),
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
            Self::TcpRtoMinUs(_) => "TCP_RTO_MIN_US",
            Self::TcpDelackMaxUs(_) => "TCP_DELACK_MAX_US",
            Self::TcpThinLinearTimeouts(_) => "TCP_THIN_LINEAR_TIMEOUTS",
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
            Self::EnetPingMs(_) => "ping after ms",
            Self::EnetThrottleMs(_) => "throttle interval ms",
            Self::Checksum(_) => "checksum",
            Self::ControlWindowBytes(_) => "control window B",
            Self::ControlTimeoutMinMs(_) => "control timeout from ms",
            Self::Other(name, _) => name,
        }
    }

    /// Returns the value as text.
    pub fn value(&self) -> String {
        match self {
            Self::TcpNodelay(on)
            | Self::MtuDiscovery(on)
            | Self::TcpThinLinearTimeouts(on)
            | Self::Checksum(on) => switch(*on).into(),
            Self::SendBufferBytes(bytes)
            | Self::ReceiveBufferBytes(bytes)
            | Self::DatagramSendBufferBytes(bytes)
            | Self::DatagramReceiveBufferBytes(bytes)
            | Self::ControlWindowBytes(bytes) => bytes.to_string(),
            Self::TcpNotsentLowatBytes(number)
            | Self::TcpRtoMinUs(number)
            | Self::TcpDelackMaxUs(number)
            | Self::StreamWindowBytes(number)
            | Self::ConnectionWindowBytes(number)
            | Self::ConcurrentStreams(number) => number.to_string(),
            Self::InitialMtuBytes(bytes) => bytes.to_string(),
            Self::AckPackets(packets) => format!("every {packets} packets, or after 25 ms"),
            Self::TimerGridMs(ms) | Self::EnetPingMs(ms) | Self::ControlTimeoutMinMs(ms) => ms.to_string(),
            Self::EnetThrottleMs(ms) => ms.to_string(),
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
            "TCP_RTO_MIN_US" => Self::TcpRtoMinUs(value.parse().ok()?),
            "TCP_DELACK_MAX_US" => Self::TcpDelackMaxUs(value.parse().ok()?),
            "TCP_THIN_LINEAR_TIMEOUTS" => Self::TcpThinLinearTimeouts(on()?),
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
            "ping after ms" => Self::EnetPingMs(value.parse().ok()?),
            "throttle interval ms" => Self::EnetThrottleMs(value.parse().ok()?),
            "checksum" => Self::Checksum(on()?),
            "control window B" => Self::ControlWindowBytes(value.parse().ok()?),
            "control timeout from ms" => Self::ControlTimeoutMinMs(value.parse().ok()?),
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
            Setting::TcpRtoMinUs(20_000),
            Setting::TcpDelackMaxUs(8_000),
            Setting::TcpThinLinearTimeouts(true),
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
            Setting::EnetPingMs(500),
            Setting::EnetThrottleMs(5_000),
            Setting::Checksum(true),
            Setting::ControlWindowBytes(11),
            Setting::ControlTimeoutMinMs(20),
            Setting::Other("window".into(), "3 datagrams".into()),
        ];
        for setting in settings {
            let text: (String, String) = setting.clone().into();
            assert_eq!(Setting::from(text), setting);
        }
        let odd = Setting::from(("acknowledgements".into(), "every 2".into()));
        assert_eq!(odd, Setting::Other("acknowledgements".into(), "every 2".into()));
    }
}
