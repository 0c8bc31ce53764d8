//! The server's limits and policies, each with its reason. The flags of `cli.rs` set them.

use std::{fmt, str::FromStr, time::Duration};

use netduel_protocol::{PAYLOAD_MAX_BYTES, PAYLOAD_MAX_BYTES_OF_BOTH};
use serde::{Deserialize, Serialize};

use crate::admission::{MemoryReading, read_memory};

/// The server's limits and policies.
#[derive(Clone, Debug)]
pub struct Config {
    /// The players that receive a move.
    pub relay: RelayPolicy,
    /// Whether only the newest move of a burst is relayed: of the moves that one read brought and
    /// that are handled together. A path delivers at once what an outage held up, and the receiver
    /// needs no stale moves. Off by default, since a game may need every move.
    pub newest_of_burst: bool,
    /// The most connected players. The default takes about 40 MB if all of them come over QUIC.
    pub connections_max: usize,
    /// The most connections of one address, handshakes included. An IPv6 address counts by its /64.
    /// A home may have a /56 and a firm a /48, so these have limits of their own: twice and eight
    /// times as many. The default has room for a school behind one address. Eight such addresses
    /// fill the default server, so that no single one does.
    pub connections_per_address_max: usize,
    /// The connections a second that one address may open. The burst is twice
    /// [`Self::connections_per_address_max`]. A handshake takes up to a millisecond of the server's
    /// one thread, so this rate is less than a hundredth of the thread, and does not delay the
    /// slowest hundredth of a match's moves. A school behind one address connects at once, and then
    /// a few at a time.
    pub connections_per_address_per_s: u32,
    /// The most handshakes in progress, three quarters of them of one customer. A handshake takes
    /// up to half a millisecond of the server's one thread for its signature, alternating with the
    /// matches (`low_priority.rs`). This many handshakes delay a newcomer by an eighth of a second;
    /// real players come a few at a time.
    pub handshakes_max: usize,
    /// The most matches. The default is the number that the default connections can form; lower it
    /// to bound the relay's work.
    pub matches_max: usize,
    /// The time from the connection to the first join. Our client takes a round trip; ten seconds
    /// is a very bad link's.
    pub join_timeout: Duration,
    /// The messages a second that a player may send, of all kinds together; a player that sends
    /// more is expelled. A join counts as 20 messages and an illegal move as 5, since they cost the
    /// server as much. The default is five times what our fastest client sends (240 moves), since
    /// a path delivers at once what an outage held up. At this rate all the connections of one
    /// address would fill a thread, which [`Self::capacity_messages_per_s`] prevents.
    pub messages_per_s_max: u32,
    /// The messages a second that the server can relay, on all its threads together. A fifth is one
    /// address's share. The sessions of an address that sends more wait behind all others, and are
    /// expelled from twice the share on. From four fifths on, the addresses that send more than the
    /// average one wait behind the others. The default is one thread's at 7.6 µs a move: the
    /// measured cost over `quic-uni`, the dearest kind.
    pub capacity_messages_per_s: u32,
    /// The bytes a second that a player may send in messages, after a burst of one second's. All of
    /// them go to the opponent, whose line must carry them. The default is what our fastest client
    /// (240 moves) sends with the longest payload, and a sixth more: 2.4 Mbit/s.
    pub bytes_per_s_max: u32,
    /// A leave within this time of the start of a match counts as early; zero counts none. After
    /// more than a few early leaves, the joins of a connection or an address are held back for 1,
    /// 2, 4… s (`lobby/join_limits.rs`). The default is less than a person needs to see who plays,
    /// and a player that leaves each match sooner keeps others from playing.
    pub early_leave: Duration,
    /// The match codes a second that one address may try without finding an opponent. The burst is
    /// half of [`Self::connections_per_address_max`], one for each pair. At the default, all codes
    /// of six digits take eleven days.
    pub code_guesses_per_address_per_s: u32,
    /// The longest payload of a move in bytes. [`RelayPolicy::Both`] halves what the protocol
    /// carries ([`Self::payload_limit_bytes`]). The default is all that fits a datagram. A lower
    /// value bounds the bytes that a player can make the server send to the opponent: this times
    /// [`Self::messages_per_s_max`].
    pub payload_max_bytes: usize,
    /// The time that a seat is kept for a player after the server knows that its connection is
    /// lost; zero keeps none. The default is long enough to leave a Wi-Fi's reach and return over
    /// the telephone network, and short enough for the opponent to wait. A kept seat belongs to one
    /// of [`Self::matches_max`] matches, so there are at most twice as many kept seats.
    pub resume_grace: Duration,
    /// The time that matches may continue after the shutdown began.
    pub drain_timeout: Duration,
    /// The reader of the memory in use, called once a second. From 80 % of the limit on, newcomers
    /// are refused; from 90 % on, the players for whom most bytes wait are expelled. `None` of it
    /// means no watch. The default reads the control group's memory, or else the process's.
    pub memory_reading: fn() -> Option<MemoryReading>,
}

impl Config {
    /// Returns [`Self::payload_max_bytes`] as the relay policy limits it.
    pub fn payload_limit_bytes(&self) -> usize {
        self.payload_max_bytes.min(self.relay.payload_max_bytes())
    }

    /// Returns the most sessions. A session above the limit of connections is accepted, to be
    /// refused with a reason; beyond twice that limit a connection is dropped.
    pub(crate) fn sessions_max(&self) -> usize {
        self.connections_max.saturating_mul(2)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            relay: RelayPolicy::Other,
            newest_of_burst: false,
            connections_max: 1_000,
            connections_per_address_max: 128,
            connections_per_address_per_s: 8,
            handshakes_max: 256,
            matches_max: 500,
            join_timeout: Duration::from_secs(10),
            messages_per_s_max: 1_200,
            capacity_messages_per_s: 130_000,
            bytes_per_s_max: 300_000,
            early_leave: Duration::from_secs(3),
            code_guesses_per_address_per_s: 1,
            payload_max_bytes: PAYLOAD_MAX_BYTES,
            resume_grace: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(10),
            memory_reading: read_memory,
        }
    }
}

/// The players that receive a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayPolicy {
    /// The player that did not move receives it.
    #[default]
    Other,
    /// Both players receive both positions: the first version of the ancestor, kept to measure the
    /// saving.
    Both,
}

impl RelayPolicy {
    /// Returns the longest payload of a move in bytes. A message with both players' moves carries
    /// two payloads.
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
            _ => Err(format!("unknown relay policy '{text}': expected `other` or `both`")),
        }
    }
}
