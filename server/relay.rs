//! A match: check a move, hold both positions, tell the peer. The hot path of the server.
//!
//! The task that read a move writes it to the peer itself: no channel, no second task, no lock across an await, no
//! allocation of ours. A payload is borrowed from the frame it came in; only the policy that tells of both keeps one.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netduel_protocol::{
    CodecError, Correction, Ending, GameId, MAX_MESSAGE_BYTES, Move, MoveWithPayload, PAYLOAD_MAX_BYTES,
    PAYLOAD_MAX_BYTES_OF_BOTH, ServerMessage, Started, clock,
    game::{self, Position},
};
use netduel_transport::{Goodbye, MAX_STATE_BYTES};
use serde::{Deserialize, Serialize};

use crate::{counters::Counters, lobby::Player};

/// How many moves against the rules a player may make in one match. A client of ours makes none; one with a bad
/// connection makes a few; one that ignores corrections is not playing this game.
pub(crate) const CORRECTIONS_MAX: u16 = 1_000;

// Whatever the players send along, telling of it fits the lane.
const _: () = assert!(MAX_MESSAGE_BYTES <= MAX_STATE_BYTES);

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
    /// What came with it, where both moves are told together; empty otherwise. It grows once to the longest that came.
    payload: Vec<u8>,
    corrections: u16,
}

impl Mover {
    fn told(&self) -> MoveWithPayload<'_> {
        MoveWithPayload { update: self.last, payload: &self.payload }
    }
}

impl Match {
    pub(crate) fn new(game: GameId, players: [Arc<Player>; 2], policy: RelayPolicy) -> Self {
        let mover = |position| {
            let last = Move { game, position, ..Move::default() };
            Mutex::new(Mover { last, payload: Vec::new(), corrections: 0 })
        };
        Self { game, players, started_us: clock::now_us(), movers: game::START.map(mover), policy }
    }

    /// What player `number` is told at the start.
    pub(crate) fn started(&self, number: usize) -> ServerMessage<'static> {
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

    /// Player `number` says where it is. Where that is one of a batch, [`Self::flush`] ends it.
    pub(crate) fn on_move(
        &self,
        number: usize,
        told: &MoveWithPayload<'_>,
        batched: bool,
        counters: &Counters,
    ) -> Result<(), Goodbye> {
        let MoveWithPayload { update, payload } = *told;
        if payload.len() > self.policy.payload_max_bytes() {
            return Err(payload_too_long(payload.len(), self.policy));
        }
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
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        match self.policy {
            RelayPolicy::Other => {
                drop(mover);
                let bytes = netduel_protocol::encode(&ServerMessage::Moved(*told), &mut buffer);
                self.tell(1 - number, bytes, batched, counters);
            }
            RelayPolicy::Both => {
                mover.payload.clear();
                mover.payload.extend_from_slice(payload);
                drop(mover);
                let bytes = self.encode_both(&mut buffer);
                self.tell(number, bytes.clone(), batched, counters);
                self.tell(1 - number, bytes, batched, counters);
            }
        }
        Ok(())
    }

    /// Both movers are locked together here and nowhere else, player 0 first.
    fn encode_both<'a>(&self, buffer: &'a mut [u8; MAX_MESSAGE_BYTES]) -> Result<&'a [u8], CodecError> {
        let (first, second) = (self.mover(0), self.mover(1));
        netduel_protocol::encode(&ServerMessage::MovedBoth([first.told(), second.told()]), buffer)
    }

    fn tell(&self, number: usize, bytes: Result<&[u8], CodecError>, batched: bool, counters: &Counters) {
        let sender = &self.players[number].sender;
        let send = |bytes| if batched { sender.queue_state(bytes) } else { sender.send_state(bytes) };
        match bytes.ok().and_then(|bytes| send(bytes).ok()) {
            Some(superseded) => {
                counters.updates_relayed.increment();
                counters.updates_superseded.add(superseded as u64);
            }
            // Its own task finds out, and ends the match.
            None => counters.updates_undeliverable.increment(),
        }
    }

    /// Sends what a batch of moves has left to be sent.
    pub(crate) fn flush(&self, counters: &Counters) {
        for player in &self.players {
            let superseded = player.sender.flush().unwrap_or(0);
            counters.updates_superseded.add(superseded as u64);
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

fn payload_too_long(size: usize, policy: RelayPolicy) -> Goodbye {
    let max = policy.payload_max_bytes();
    Goodbye::new(
        Ending::PayloadTooLong.code(),
        format!("a payload of {size} bytes: this server relays to {policy}, so {max} are the most"),
    )
}
