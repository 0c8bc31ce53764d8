//! A match: check a move, hold both positions, tell the peer. The hot path of the server.
//!
//! The task that read a move writes it to the peer itself: no channel, no second task, no lock across an await, no
//! allocation of ours.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netduel_protocol::{
    Correction, Ending, GameId, MAX_MESSAGE_BYTES, Move, ServerMessage, Started, clock,
    game::{self, Position},
};
use netduel_transport::Goodbye;
use serde::{Deserialize, Serialize};

use crate::{counters::Counters, lobby::Player};

/// How many moves against the rules a player may make in one match. A client of ours makes none; one with a bad
/// connection makes a few; one that ignores corrections is not playing this game.
pub(crate) const CORRECTIONS_MAX: u16 = 1_000;

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

/// Two players and where they are.
pub(crate) struct Match {
    pub(crate) game: GameId,
    pub(crate) players: [Arc<Player>; 2],
    started_us: u64,
    movers: [Mutex<Mover>; 2],
    policy: RelayPolicy,
}

/// What the server holds of one player in a match.
struct Mover {
    /// The newest legal move.
    last: Move,
    corrections: u16,
}

impl Match {
    pub(crate) fn new(game: GameId, players: [Arc<Player>; 2], policy: RelayPolicy) -> Self {
        let mover =
            |position| Mutex::new(Mover { last: Move { game, position, ..Move::default() }, corrections: 0 });
        Self { game, players, started_us: clock::now_us(), movers: game::START.map(mover), policy }
    }

    /// What player `number` is told at the start.
    pub(crate) fn started(&self, number: usize) -> ServerMessage {
        let peer = &self.players[1 - number];
        ServerMessage::Started(Started {
            game: self.game,
            player: number as u8,
            velocity: game::VELOCITY,
            tick_rate_hz: game::TICK_RATE_HZ,
            positions: game::START,
            started_us: self.started_us,
            peer_name: peer.name(),
            peer_transport: peer.sender.kind().name().to_owned(),
        })
    }

    /// Where both are, by player number.
    pub(crate) fn positions(&self) -> [Position; 2] {
        [0, 1].map(|number| self.mover(number).last.position)
    }

    /// Player `number` says where it is.
    pub(crate) fn on_move(&self, number: usize, update: Move, counters: &Counters) -> Result<(), Goodbye> {
        let mut mover = self.mover(number);
        if update.corrections > mover.corrections {
            return Err(Goodbye::new(
                Ending::Unexpected.code(),
                "a move quotes a correction that was never sent",
            ));
        }
        if update.corrections < mover.corrections || update.seq <= mover.last.seq {
            counters.moves_stale.increment();
            return Ok(());
        }
        if let Err(illegal) = game::check(&mover.last, &update) {
            return self.correct(number, &mut mover, update.seq, illegal, counters);
        }
        mover.last = update;
        drop(mover);
        match self.policy {
            RelayPolicy::Other => self.tell(1 - number, &ServerMessage::Moved(update), counters),
            RelayPolicy::Both => {
                let message = ServerMessage::MovedBoth([0, 1].map(|number| self.mover(number).last));
                self.tell(number, &message, counters);
                self.tell(1 - number, &message, counters);
            }
        }
        Ok(())
    }

    fn tell(&self, number: usize, message: &ServerMessage, counters: &Counters) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let sent = netduel_protocol::encode(message, &mut buffer)
            .ok()
            .and_then(|bytes| self.players[number].sender.send_state(bytes).ok());
        match sent {
            Some(superseded) => {
                counters.updates_relayed.increment();
                counters.updates_superseded.add(superseded as u64);
            }
            // Its own task finds out, and ends the match.
            None => counters.updates_undeliverable.increment(),
        }
    }

    fn correct(
        &self,
        number: usize,
        mover: &mut Mover,
        seq: u32,
        illegal: game::Illegal,
        counters: &Counters,
    ) -> Result<(), Goodbye> {
        counters.moves_illegal.increment();
        if mover.corrections == CORRECTIONS_MAX {
            return Err(Goodbye::new(
                Ending::TooManyCorrections.code(),
                format!("{CORRECTIONS_MAX} moves against the rules in one match; the last one: {illegal}"),
            ));
        }
        mover.corrections += 1;
        let (game, corrections, position) = (self.game, mover.corrections, mover.last.position);
        self.players[number].say(&ServerMessage::Corrected(Correction { game, corrections, seq, position }));
        Ok(())
    }

    fn mover(&self, number: usize) -> MutexGuard<'_, Mover> {
        self.movers[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
