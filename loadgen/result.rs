//! The result of a load: what its players measured within the window.

use netduel_client::stats::{MoveStats, Samples};
use netduel_transport::PathStats;
use serde::{Deserialize, Serialize};

/// The measurements of all players together within the window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadResult {
    /// Statistics of the received moves.
    pub stats: MoveStats,
    /// Number of moves sent.
    pub sent: u64,
    /// Number of moves that a newer one replaced before they left the player.
    pub superseded: u64,
    /// Number of moves that the server corrected. The players keep to the rules, so that there
    /// should be none.
    pub corrected: u64,
    /// Lateness of each move's hand-over to the transport, after its intended time.
    pub lateness: Samples,
    /// Number of times that a closed loop had lost its moves and was restarted.
    pub stalls: u64,
    /// Bytes that the players sent, headers included, by the transports' own count; `None` where
    /// they do not count.
    pub sent_bytes: Option<u64>,
    /// Bytes that the players received.
    pub received_bytes: Option<u64>,
    /// Packets that the players sent.
    pub sent_packets: Option<u64>,
    /// Packets that the players received.
    pub received_packets: Option<u64>,
    /// Packets that the players' transports sent again or declared lost.
    pub lost_packets: Option<u64>,
    /// Number of pings sent over the whole run.
    pub pings: u64,
    /// Number of pings answered in order.
    pub pongs: u64,
    /// Statistics of one player's transport at the end.
    pub path: PathStats,
    /// Connection times, where players connected and left.
    pub connects: Option<Connects>,
}

/// The time that connecting players took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connects {
    /// Number of connections made.
    pub count: u64,
    /// Number of those that resumed a TLS session.
    pub resumed: u64,
    /// Time from the intended beginning until a player learns of the match's start.
    pub paired: Samples,
    /// Time until the player has the opponent's first move, also from the intended beginning.
    pub first_move: Samples,
}

impl Connects {
    /// Adds the figures of other players.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.resumed += other.resumed;
        self.paired.merge(&other.paired);
        self.first_move.merge(&other.first_move);
    }
}

impl LoadResult {
    /// Returns the figures of both sets of players together.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        let add =
            |sum: &mut Option<u64>, count: Option<u64>| *sum = sum.zip(count).map(|(sum, count)| sum + count);
        self.stats.merge(&other.stats);
        self.lateness.merge(&other.lateness);
        self.sent += other.sent;
        self.superseded += other.superseded;
        self.corrected += other.corrected;
        self.stalls += other.stalls;
        self.pings += other.pings;
        self.pongs += other.pongs;
        add(&mut self.sent_bytes, other.sent_bytes);
        add(&mut self.received_bytes, other.received_bytes);
        add(&mut self.sent_packets, other.sent_packets);
        add(&mut self.received_packets, other.received_packets);
        add(&mut self.lost_packets, other.lost_packets);
        if let (Some(connects), Some(more)) = (&mut self.connects, &other.connects) {
            connects.merge(more);
        }
        self
    }
}
