//! The result of a load: what its players measured within the window.

use netduel_client::stats::{MoveStats, Samples};
use netduel_transport::PathStats;
use serde::{Deserialize, Serialize};

/// What the players saw within the window, all of them together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadResult {
    /// Of the moves received.
    pub stats: MoveStats,
    /// Moves sent.
    pub sent: u64,
    /// Moves replaced by a newer one before they left the player.
    pub superseded: u64,
    /// Moves the server put back. The players keep to the rules, so there should be none.
    pub corrected: u64,
    /// How late after its intended time each move was handed to the transport.
    pub lateness: Samples,
    /// How often a closed loop had lost its moves and was begun again.
    pub stalls: u64,
    /// Bytes the players sent, headers included, by the transports' own count; `None` where they do not count.
    pub sent_bytes: Option<u64>,
    /// Bytes the players received.
    pub received_bytes: Option<u64>,
    /// Packets the players sent.
    pub sent_packets: Option<u64>,
    /// Packets the players received.
    pub received_packets: Option<u64>,
    /// Packets that the players' transports sent again or declared lost.
    pub lost_packets: Option<u64>,
    /// Pings sent over the whole run.
    pub pings: u64,
    /// Pings answered, in order.
    pub pongs: u64,
    /// What one player's transport says of itself at the end.
    pub path: PathStats,
    /// Where players came and went.
    pub connects: Option<Connects>,
}

/// How long it took those who came.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connects {
    /// Connections made.
    pub count: u64,
    /// Those of them that took a TLS session up again.
    pub resumed: u64,
    /// From the intended beginning until a player is told that the match starts.
    pub paired: Samples,
    /// From there on until it has the other's first move: counted from the intended beginning, too.
    pub first_move: Samples,
}

impl Connects {
    /// Adds those of other players.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.resumed += other.resumed;
        self.paired.merge(&other.paired);
        self.first_move.merge(&other.first_move);
    }
}

impl LoadResult {
    /// Of these and of other players.
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
