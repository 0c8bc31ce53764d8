//! A row for each move of a window, on request: the evidence behind the figures.

use std::collections::HashMap;

use netduel_client::stats::supersedes_on_arrival;
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// The most rows in the result of a window: what 28 players send in a minute. As JSON they take
/// about 10 MB.
pub const MOVES_KEPT_MAX: usize = 100_000;

/// The moves that were meant to be sent within a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// A row for each move, by player and number.
    pub rows: Vec<MoveRow>,
    /// The moves beyond the largest number of rows, the last ones of each player.
    pub left_out: u64,
}

/// One move. All times are µs since the window opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRow {
    /// The sender, by its place in the plan: opponents have the numbers 2k and 2k + 1.
    pub player: u32,
    /// The move's number.
    pub seq: u32,
    /// The time for which the move was meant.
    pub intended_us: u64,
    /// The time at which the transport had taken the move.
    pub sent_us: u64,
    /// The time at which the opponent had the move, if it arrived until the end of the drain.
    pub arrived_us: Option<u64>,
    /// The move's fate.
    pub fate: Fate,
}

/// The fate of a move. A file of moves has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The move arrived, newer than all before it, and remained the newest for a while.
    Fresh,
    /// A newer move replaced it before it left the player.
    SupersededBeforeLeaving,
    /// A newer move arrived at the same time.
    SupersededOnArrival,
    /// A newer move arrived before it.
    Late,
    /// The move did not arrive until the end of the drain: the link lost it, a newer one replaced
    /// it at the relay, or it was still on its way.
    NotArrived,
}

impl Fate {
    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::SupersededBeforeLeaving => "superseded_before_leaving",
            Self::SupersededOnArrival => "superseded_on_arrival",
            Self::Late => "late",
            Self::NotArrived => "not_arrived",
        }
    }
}

/// The notes of one player about its own moves and its opponent's.
#[derive(Debug, Default)]
pub(crate) struct MoveLog {
    sent_max: usize,
    sent: Vec<Sent>,
    arrivals: Vec<Arrival>,
    left_out: u64,
}

#[derive(Debug)]
struct Sent {
    seq: u32,
    intended_us: u64,
    sent_us: u64,
    superseded: bool,
}

#[derive(Debug)]
struct Arrival {
    seq: u32,
    arrived_us: u64,
    /// Whether the move was newer than all before it.
    newer: bool,
}

impl MoveLog {
    /// Creates the log of one of `players` players.
    pub(crate) fn new(players: usize) -> Self {
        Self { sent_max: MOVES_KEPT_MAX / players.max(1), ..Self::default() }
    }

    /// Notes a move of this player that replaced `replaced` unsent ones.
    pub(crate) fn on_sent(
        &mut self,
        window: &Window,
        seq: u32,
        replaced: usize,
        intended_us: u64,
        sent_us: u64,
    ) {
        let first_replaced = seq.saturating_sub(u32::try_from(replaced).unwrap_or(u32::MAX));
        let newest_first = self.sent.iter_mut().rev();
        newest_first.take_while(|sent| sent.seq >= first_replaced).for_each(|sent| sent.superseded = true);
        if !window.contains(intended_us) {
            return;
        }
        if self.sent.len() == self.sent_max {
            self.left_out += 1;
            return;
        }
        self.sent.push(Sent { seq, intended_us, sent_us, superseded: false });
    }

    /// Notes a move of the opponent.
    pub(crate) fn on_arrival(&mut self, window: &Window, seq: u32, newer: bool, arrived_us: u64) {
        // No move of the window arrives before it opens. Some of the first arrivals are older, and
        // some moves arrive twice, so there is room for more than are sent.
        if arrived_us >= window.open_us && self.arrivals.len() < 2 * self.sent_max {
            self.arrivals.push(Arrival { seq, arrived_us, newer });
        }
    }
}

/// Returns the rows of all players' logs, which are in the order of the plan.
pub(crate) fn rows(window: &Window, logs: &[MoveLog], period_us: u64) -> Moves {
    let mut moves = Moves::default();
    for (player, log) in logs.iter().enumerate() {
        let arrivals = logs.get(player ^ 1).map_or_else(HashMap::new, |opponent| fates(opponent, period_us));
        moves.left_out += log.left_out;
        moves.rows.extend(log.sent.iter().map(|sent| {
            let arrived = arrivals.get(&sent.seq).copied();
            let unseen = if sent.superseded { Fate::SupersededBeforeLeaving } else { Fate::NotArrived };
            MoveRow {
                player: player as u32,
                seq: sent.seq,
                intended_us: sent.intended_us - window.open_us,
                sent_us: sent.sent_us.saturating_sub(window.open_us),
                arrived_us: arrived.map(|(arrived_us, _)| arrived_us.saturating_sub(window.open_us)),
                fate: arrived.map_or(unseen, |(_, fate)| fate),
            }
        }));
    }
    moves
}

/// Returns the time of the first arrival of each move, and its fate.
fn fates(log: &MoveLog, period_us: u64) -> HashMap<u32, (u64, Fate)> {
    let mut fates: HashMap<u32, (u64, Fate)> = HashMap::with_capacity(log.arrivals.len());
    let mut newest: Option<&Arrival> = None;
    for arrival in &log.arrivals {
        let fate = if arrival.newer { Fate::Fresh } else { Fate::Late };
        fates.entry(arrival.seq).or_insert((arrival.arrived_us, fate));
        if !arrival.newer {
            continue;
        }
        if let Some(before) = newest
            && supersedes_on_arrival(arrival.arrived_us - before.arrived_us, period_us)
        {
            fates.insert(before.seq, (before.arrived_us, Fate::SupersededOnArrival));
        }
        newest = Some(arrival);
    }
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window =
        Window { begin_us: 0, open_us: 1_000_000, close_us: 2_000_000, end_us: 3_000_000, keep_moves: true };

    #[test]
    fn rows_tell_each_fate() {
        let [mut ours, mut theirs] = [MoveLog::new(2), MoveLog::new(2)];
        ours.on_sent(&WINDOW, 1, 0, 990_000, 990_010);
        // Moves 3 and 4 are replaced by move 5, and move 9 by a move of the drain.
        for (seq, replaced) in [(2, 0), (3, 0), (4, 0), (5, 2), (6, 0), (7, 0), (8, 0), (9, 0)] {
            let due_us = 1_000_000 + u64::from(seq) * 10_000;
            ours.on_sent(&WINDOW, seq, replaced, due_us, due_us + 20);
        }
        ours.on_sent(&WINDOW, 10, 1, 2_000_000, 2_000_010);
        for (seq, newer, arrived_us) in [
            (1, true, 999_999),
            (2, true, 1_030_000),
            (6, true, 1_080_000),
            (7, true, 1_080_900),
            (5, false, 1_081_000),
            (5, false, 1_082_000),
        ] {
            theirs.on_arrival(&WINDOW, seq, newer, arrived_us);
        }
        let moves = rows(&WINDOW, &[ours, theirs], 10_000);
        let told: Vec<_> = moves.rows.iter().map(|row| (row.seq, row.arrived_us, row.fate)).collect();
        let wanted = [
            (2, Some(30_000), Fate::Fresh),
            (3, None, Fate::SupersededBeforeLeaving),
            (4, None, Fate::SupersededBeforeLeaving),
            (5, Some(81_000), Fate::Late),
            (6, Some(80_000), Fate::SupersededOnArrival),
            (7, Some(80_900), Fate::Fresh),
            (8, None, Fate::NotArrived),
            (9, None, Fate::SupersededBeforeLeaving),
        ];
        assert_eq!(told, wanted);
        assert_eq!((moves.rows[0].intended_us, moves.rows[0].sent_us), (20_000, 20_020));
        assert!(moves.rows.iter().all(|row| row.player == 0) && moves.left_out == 0);
    }

    #[test]
    fn rows_are_bounded() {
        let mut logs = [MoveLog::new(2), MoveLog::new(2)];
        for log in &mut logs {
            for seq in 1..=MOVES_KEPT_MAX as u32 {
                log.on_sent(&WINDOW, seq, 0, 1_000_000 + u64::from(seq), 1_000_001 + u64::from(seq));
                log.on_arrival(&WINDOW, seq, true, 1_000_100 + u64::from(seq) * 9);
            }
        }
        let moves = rows(&WINDOW, &logs, 9);
        assert_eq!((moves.rows.len(), moves.left_out), (MOVES_KEPT_MAX, MOVES_KEPT_MAX as u64));
        assert!(moves.rows.iter().all(|row| row.fate == Fate::Fresh));
    }
}
