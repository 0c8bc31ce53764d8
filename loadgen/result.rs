//! The result of a load: what its players measured within the window.

use netduel_client::stats::{MoveStats, Samples, block_us};
use netduel_transport::{PathStats, Recovery};
use serde::{Deserialize, Serialize};

/// The measurements of all players together within the window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadResult {
    /// Statistics of the received moves.
    pub stats: MoveStats,
    /// Number of moves that were meant to be sent within the window.
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
    /// The loss recovery of the players' transports.
    pub recovery: Recovery,
    /// Number of pings sent from the warm-up to the end of the drain.
    pub pings: u64,
    /// Number of those that were answered.
    pub pongs: u64,
    /// Statistics of one player's transport at the close.
    pub path: PathStats,
    /// Connection times, where players connected and left.
    pub connects: Option<Connects>,
    /// The figures of each player, in the order of the plan: opponents stand next to each other.
    pub players: Vec<PlayerFigures>,
}

/// The figures of one player within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerFigures {
    /// The median of the age of the opponent's position; infinite
    /// ([`Samples::VALUE_MAX_US`]) where the player heard nothing.
    pub age_p50_us: u64,
    /// The 99th percentile of the age.
    pub age_p99_us: u64,
    /// The freezes of the opponent.
    pub freezes: u64,
    /// The longest gap between two of the opponent's moves.
    pub longest_gap_us: u64,
    /// Fresh moves of the opponent.
    pub fresh: u64,
    /// Moves that the player sent.
    pub sent: u64,
}

impl PlayerFigures {
    /// Returns the figures of one player. They describe its window and claim nothing beyond it, so
    /// that any number of moves is enough.
    pub(crate) fn of(stats: &MoveStats, sent: u64) -> Self {
        let age_us = |quantile| stats.age.quantile_of_all_us(quantile).unwrap_or(Samples::VALUE_MAX_US);
        Self {
            age_p50_us: age_us(0.5),
            age_p99_us: age_us(0.99),
            freezes: stats.freezes,
            longest_gap_us: stats.longest_gap_us,
            fresh: stats.fresh,
            sent,
        }
    }
}

/// The time that connecting players took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connects {
    /// Number of connections made by players that met their opponent.
    pub count: u64,
    /// Number of those that resumed a TLS session.
    pub resumed: u64,
    /// Time from the intended beginning until a player learns of the match's start.
    pub paired: Samples,
    /// Time until the player has the opponent's first move, also from the intended beginning.
    pub first_move: Samples,
    /// Number of players that never met their opponent: their times are infinite.
    pub failed: u64,
    /// Number of further attempts to connect, after ones that failed.
    pub retries: u64,
    /// Number of players of meetings that could not begin, since too many were still going on.
    /// Their times are unknown.
    pub overflowed: u64,
    /// The length of a block in µs.
    pub block_us: u64,
    /// The same times in blocks of the window, by the intended beginning.
    pub blocks: Vec<ConnectBlock>,
}

/// The times that connecting players took within one stretch of the window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConnectBlock {
    /// Time from the intended beginning until a player learns of the match's start.
    pub paired: Samples,
    /// Time until the player has the opponent's first move.
    pub first_move: Samples,
}

impl Connects {
    /// Creates the figures of a window, without any connection.
    pub(crate) fn new(window_us: u64) -> Self {
        let block_us = block_us(window_us);
        let blocks = vec![ConnectBlock::default(); window_us.div_ceil(block_us) as usize];
        Self { block_us, blocks, ..Self::default() }
    }

    /// Records the times of a player whose intended beginning was `at_us` after the opening.
    pub(crate) fn record(&mut self, at_us: u64, paired_us: u64, first_move_us: u64) {
        self.paired.record(paired_us);
        self.first_move.record(first_move_us);
        if let Some(block) = self.blocks.get_mut((at_us / self.block_us.max(1)) as usize) {
            block.paired.record(paired_us);
            block.first_move.record(first_move_us);
        }
    }

    /// Adds the figures of other players.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.resumed += other.resumed;
        self.paired.merge(&other.paired);
        self.first_move.merge(&other.first_move);
        self.failed += other.failed;
        self.retries += other.retries;
        self.overflowed += other.overflowed;
        for (block, more) in self.blocks.iter_mut().zip(&other.blocks) {
            block.paired.merge(&more.paired);
            block.first_move.merge(&more.first_move);
        }
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
        self.recovery = self.recovery.plus(&other.recovery);
        if let (Some(connects), Some(more)) = (&mut self.connects, &other.connects) {
            connects.merge(more);
        }
        self.players.extend(other.players);
        self
    }
}
