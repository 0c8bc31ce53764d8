//! What can be set on a connection. The same for every transport, so that none is favoured by its defaults.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::kind::TransportKind;

/// Settings of a connection, the same on all kinds.
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
    /// The name of the application's protocol, for [`Self::alpn`]. At most [`Self::PROTOCOL_MAX_BYTES`] long.
    #[serde(default = "neutral_protocol")]
    pub protocol: Cow<'static, str>,
    /// Congestion control asked for; what took effect stands in [`crate::PathStats::congestion`].
    pub congestion: Congestion,
    /// TCP_NODELAY. Off shows what Nagle's algorithm does to small updates; QUIC has no such delay.
    pub nodelay: bool,
    /// On QUIC: every how many packets the peer is asked to acknowledge, by the acknowledgement frequency extension. A gap
    /// is acknowledged at once however many it is, and anything after 25 ms; 2 is RFC 9000's habit, and asks for nothing.
    /// More spares packets where updates follow each other in less than that, and slows nothing but the growth of the
    /// congestion window. TCP's kernel decides for itself.
    pub ack_packets: u32,
    /// How long a connect or accept may take until it has failed.
    pub handshake_timeout: Duration,
    /// How long a frame that was begun may stay unfinished.
    pub read_deadline: Duration,
    /// A side that sent nothing for this long says that it is alive. RFC 9000 (10.1.2) wants it well below the
    /// idle timeout: three may be lost.
    pub keep_alive: Duration,
    /// A peer silent for this long is gone. Ten seconds: what game servers use (Mirror, GameNetworkingSockets).
    pub idle_timeout: Duration,
    /// On kinds over UDP: datagrams a second that a peer may send, whether they bring a message or not; on QUIC the frames in
    /// them, since hundreds fit into one. Many of them are a protocol's own (acknowledgements, pings, streams that are taken
    /// back), reach nobody who counts messages, and cost as much. What is not authentic does not count. Unlimited by
    /// default, since how many messages there are is the application's to say; the server's program limits both.
    pub packets_per_s_max: u32,
    /// Whether encrypted kinds resume TLS sessions: a server issues tickets, each good for one connection, and a client
    /// keeps them in its [`crate::Trust`] and leaves the certificate out of its next handshake. It saves bytes and
    /// signatures, not a round trip: data in the first flight (0-RTT) stays off, since whoever recorded it could play
    /// it again, and a join or a move that happens twice is not what the player did. Off by default on every kind.
    pub resumption: bool,
    /// Whether several listeners may have one address, and the system spreads newcomers over them (SO_REUSEPORT): one for
    /// each thread of a server. Linux spreads by both addresses, so a connection stays where it began for as long as
    /// neither changes. Elsewhere it is refused.
    #[serde(default)]
    pub share_port: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            protocol: neutral_protocol(),
            congestion: Congestion::Cubic,
            nodelay: true,
            ack_packets: 10,
            handshake_timeout: Duration::from_secs(5),
            read_deadline: Duration::from_secs(5),
            keep_alive: Duration::from_millis(2500),
            idle_timeout: Duration::from_secs(10),
            packets_per_s_max: u32::MAX,
            resumption: false,
            share_port: false,
        }
    }
}

const fn neutral_protocol() -> Cow<'static, str> {
    Cow::Borrowed("two-lanes")
}

impl Options {
    /// The longest [`Self::protocol`], in bytes: what fits into the first datagram of the `udp` kind.
    pub const PROTOCOL_MAX_BYTES: usize = 20;

    /// Returns the protocol name that both sides must agree on in the handshake of `kind`, such as `two-lanes-tls/1`: the
    /// ALPN of TLS and QUIC. Each kind has its own, so that two sides that disagree find out at once.
    pub fn alpn(&self, kind: TransportKind) -> String {
        let protocol = &self.protocol[..self.protocol.floor_char_boundary(Self::PROTOCOL_MAX_BYTES)];
        format!("{protocol}-{kind}/1")
    }
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
    /// Every algorithm there is to choose from.
    pub const ALL: [Self; 3] = [Self::Cubic, Self::Bbr, Self::Reno];

    /// The name, as Linux has it.
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
