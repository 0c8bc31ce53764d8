//! The server's limits and policy, each with its reason. The flags of `cli.rs` set them.

use std::{fmt, str::FromStr, time::Duration};

use netduel_protocol::{PAYLOAD_MAX_BYTES, PAYLOAD_MAX_BYTES_OF_BOTH};
use serde::{Deserialize, Serialize};

/// The server's limits and policy.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is told of a move.
    pub relay: RelayPolicy,
    /// Connected players at most. The default takes about 40 MB if all of them come over QUIC.
    pub connections_max: usize,
    /// Connections of one address at most, handshakes included; of IPv6, one /64, since that is what one customer gets.
    /// Room for a school behind one address; eight such addresses fill the default server, so that nobody does alone.
    ///
    /// Where the address was not verified yet (QUIC before its Retry, which is asked for above a few dozen handshakes),
    /// a forger could use up another's share. Well below a hundred this limit makes that cheap.
    pub connections_per_address_max: usize,
    /// Connections that one address may open a second, over and over; at once it may open as many as are heard of it, which
    /// is twice the limit above. A handshake takes up to a millisecond of the server's one thread, so this is less than a
    /// hundredth of it, and a match's slowest hundredth of moves is not another customer's doing. A school behind one
    /// address comes at once, and then a few at a time.
    pub connections_per_address_per_s: u32,
    /// Handshakes under way at most. One takes up to half a millisecond of the server's one thread for its signature, in turns
    /// with the matches (`low_priority.rs`), so this many are an eighth of a second that a newcomer waits; real players come a few at
    /// a time. More than one address may have, so that no single one takes them all.
    pub handshakes_max: usize,
    /// Matches at most. The default is what the default connections can form; lower it to bound the relay's work.
    pub matches_max: usize,
    /// From the connection to the first join. Ours takes a round trip; ten seconds is a very bad link's.
    pub join_timeout: Duration,
    /// Messages that a player may send a second, all kinds together; who sends more is expelled. Five times what the fastest
    /// client of ours sends (240 moves), since what an outage held up comes at once. All that one address may connect, at
    /// that, take some fifth of the server's one thread.
    pub messages_per_s_max: u32,
    /// Bytes that a player may send along with a move; of the policy that tells of both, half of what the protocol carries
    /// is the most ([`Self::payload_limit_bytes`]). The default is all that fits a datagram; less bounds what a player can have
    /// sent to the other, which is this times the messages.
    pub payload_max_bytes: usize,
    /// How long a seat is kept for a player whose connection was lost, from when the server knows; zero keeps none. Long
    /// enough to walk out of a Wi-Fi's reach and be back over the telephone network, short enough for the opponent to wait.
    /// A kept seat is one of [`Self::matches_max`]' matches, so there are twice as many of them at most.
    pub resume_grace: Duration,
    /// How long matches may go on after the server was told to end.
    pub drain_timeout: Duration,
}

impl Config {
    /// What [`Self::payload_max_bytes`] comes to under the relay policy.
    pub fn payload_limit_bytes(&self) -> usize {
        self.payload_max_bytes.min(self.relay.payload_max_bytes())
    }

    /// Sessions at most: those above the limit of connections are let in to be told so; beyond twice that, a connection is
    /// dropped unheard.
    pub(crate) fn sessions_max(&self) -> usize {
        self.connections_max.saturating_mul(2)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            relay: RelayPolicy::Other,
            connections_max: 1_000,
            connections_per_address_max: 128,
            connections_per_address_per_s: 8,
            handshakes_max: 256,
            matches_max: 500,
            join_timeout: Duration::from_secs(10),
            messages_per_s_max: 1_200,
            payload_max_bytes: PAYLOAD_MAX_BYTES,
            resume_grace: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Who is told of a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayPolicy {
    /// The player that did not move.
    #[default]
    Other,
    /// Both players, of both positions: the ancestor's first version, kept so that the saving can be measured.
    Both,
}

impl RelayPolicy {
    /// Longest payload of a move in bytes: a message that tells of both players' moves carries two.
    pub const fn payload_max_bytes(self) -> usize {
        match self {
            Self::Other => PAYLOAD_MAX_BYTES,
            Self::Both => PAYLOAD_MAX_BYTES_OF_BOTH,
        }
    }
}

impl fmt::Display for RelayPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "other",
            Self::Both => "both",
        })
    }
}

impl FromStr for RelayPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "other" => Ok(Self::Other),
            "both" => Ok(Self::Both),
            _ => Err(format!("unknown relay policy '{text}': there are other and both")),
        }
    }
}
