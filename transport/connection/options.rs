//! The options of a connection, the same for every transport, so that no transport is favoured by
//! its defaults.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::kind::TransportKind;

/// The options of a connection, the same on all kinds.
///
/// ```
/// use std::time::Duration;
///
/// use netduel_transport::{Congestion, Options};
///
/// let options = Options {
///     congestion: Congestion::Bbr,
///     idle_timeout: Duration::from_secs(20),
///     ..Options::default()
/// };
/// assert!(options.keep_alive * 3 < options.idle_timeout);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The name of the application's protocol, for [`Self::alpn`]. At most
    /// [`Self::PROTOCOL_MAX_BYTES`] bytes count.
    #[serde(default = "neutral_protocol")]
    pub protocol: Cow<'static, str>,
    /// The congestion control asked for. [`crate::PathStats::congestion`] reports the one in
    /// effect.
    pub congestion: Congestion,
    /// Whether TCP_NODELAY is on. Off shows what Nagle's algorithm does to small updates. QUIC has
    /// no such delay.
    pub nodelay: bool,
    /// Whether TCP's timers are tuned for small updates, as far as the kernel allows. A stock Linux
    /// waits a fifth of a second and a round trip before it retransmits, and doubles that each
    /// time. Both sides should ask: a sender with short timeouts counts on early acknowledgements.
    /// [`crate::PathStats::settings`] reports what the kernel took.
    pub tcp_tuned: bool,
    /// The number of packets after which a QUIC remote is asked to acknowledge, by the
    /// acknowledgement frequency extension. A gap is acknowledged at once in any case, and
    /// everything after 25 ms. 2 is the default of RFC 9000 and asks for nothing. A larger number
    /// saves packets where updates follow each other within 25 ms. It slows only the growth of the
    /// congestion window. TCP leaves this to the kernel.
    pub ack_packets: u32,
    /// The time without an acknowledgement after which ENet pings, at most [`Self::keep_alive`].
    /// Its throttle learns of round trips from the answers. The default is ENet's own.
    pub enet_ping: Duration,
    /// The longest time that a connect or accept may take.
    pub handshake_timeout: Duration,
    /// The longest time that a begun frame may stay unfinished.
    pub read_deadline: Duration,
    /// The keep-alive interval: a side that sent nothing for this long sends a keep-alive. RFC 9000
    /// (10.1.2) wants it well below the idle timeout. By default three keep-alives may be lost.
    pub keep_alive: Duration,
    /// The idle timeout: a remote that is silent for this long is gone. Ten seconds is what game
    /// servers use (Mirror, GameNetworkingSockets).
    pub idle_timeout: Duration,
    /// The rate limit on datagrams a second that a remote may send on kinds over UDP, with or
    /// without a message. On QUIC it counts the frames in them, and on ENet the commands, since
    /// many fit into one datagram. On TLS it counts the records. Many of them are the protocol's
    /// own (acknowledgements, pings, stream resets, key updates). They carry no message, so a limit
    /// on messages does not count them, and they cost as much. Datagrams that are not authentic do
    /// not count. Unlimited by default, since the application knows how many messages it sends.
    pub packets_per_s_max: u32,
    /// Whether encrypted kinds resume TLS sessions. A server issues tickets, each good for one
    /// connection. A client keeps them in its [`crate::Trust`], and its next handshake needs no
    /// certificate. That saves bytes and signatures, not a round trip. Data in the first flight
    /// (0-RTT) stays off: an attacker who recorded it could replay it, and a message that arrives
    /// twice is not what the user sent. Off by default on every kind.
    pub resumption: bool,
    /// Whether several listeners may share one address, one for each thread of a server.
    #[serde(default)]
    pub port_sharing: PortSharing,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            protocol: neutral_protocol(),
            congestion: Congestion::Cubic,
            nodelay: true,
            tcp_tuned: false,
            ack_packets: 10,
            enet_ping: Duration::from_millis(500),
            handshake_timeout: Duration::from_secs(5),
            read_deadline: Duration::from_secs(5),
            keep_alive: Duration::from_millis(2500),
            idle_timeout: Duration::from_secs(10),
            packets_per_s_max: u32::MAX,
            resumption: false,
            port_sharing: PortSharing::Alone,
        }
    }
}

const fn neutral_protocol() -> Cow<'static, str> {
    Cow::Borrowed("two-lanes")
}

impl Options {
    /// The longest [`Self::protocol`] in bytes: what fits into the first datagram of the `udp`
    /// kind.
    pub const PROTOCOL_MAX_BYTES: usize = 20;

    /// Returns the protocol name that both sides must agree on in the handshake of `kind`, such as
    /// `two-lanes-tls/1`. It is the ALPN of TLS and QUIC. Each kind has its own name, so that two
    /// sides that disagree find out at once.
    pub fn alpn(&self, kind: TransportKind) -> String {
        let protocol = &self.protocol[..self.protocol.floor_char_boundary(Self::PROTOCOL_MAX_BYTES)];
        format!("{protocol}-{kind}/1")
    }
}

/// The sharing of one address by several listeners (SO_REUSEPORT), one for each thread of a server.
///
/// The system spreads new connections over them. Linux spreads by both addresses, so a connection
/// stays with its listener for as long as neither changes. Other systems refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortSharing {
    /// The listener has the address for itself.
    #[default]
    Alone,
    /// The listener takes the address, which must be free, and then shares it.
    First,
    /// The listener joins those that share the address already.
    Further,
}

/// A congestion control algorithm that both the kernel's TCP and QUIC have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Congestion {
    /// CUBIC, RFC 9438: the common default.
    #[default]
    Cubic,
    /// BBR: models the path instead of reacting to loss.
    Bbr,
    /// NewReno, RFC 6582.
    Reno,
}

impl Congestion {
    /// Every algorithm to choose from.
    pub const ALL: [Self; 3] = [Self::Cubic, Self::Bbr, Self::Reno];

    /// Returns the name that Linux uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Reno => "reno",
        }
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Congestion {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| format!("unknown congestion control '{name}': there are cubic, bbr and reno"))
    }
}
