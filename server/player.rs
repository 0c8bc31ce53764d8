//! A connected player: the hot object between a session and its match.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use netduel_protocol::{CloseCode, MoveWithPayload};
use netduel_transport::{Close, Sender};
use parking_lot::Mutex;

use crate::{
    counters::Counters,
    player_sender::{PlayerId, PlayerSender},
    relay::Match,
};

/// A connected player, as its own session and the lobby see it.
///
/// A player that reconnects is a new [`Player`] in the same seat.
pub(crate) struct Player {
    pub(crate) to: PlayerSender,
    pub(crate) name: Mutex<String>,
    pub(crate) playing: Mutex<Option<Playing>>,
    /// The newest match that the player was in; 0 before the first.
    latest_match: AtomicU64,
}

/// The seat of a player in a match.
pub(crate) struct Playing {
    pub(crate) game: Arc<Match>,
    pub(crate) number: usize,
}

impl Player {
    pub(crate) fn new(id: PlayerId, sender: Sender) -> Self {
        Self {
            to: PlayerSender::new(id, sender),
            name: Mutex::default(),
            playing: Mutex::default(),
            latest_match: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.name.lock().clone()
    }

    /// Makes the player's moves those of seat `number` in `game`.
    pub(crate) fn sit(&self, game: &Arc<Match>, number: usize) {
        self.latest_match.store(game.match_id, Relaxed);
        *self.playing.lock() = Some(Playing { game: game.clone(), number });
    }

    /// Relays a move that the player sent as `bytes`. This is the hot path.
    ///
    /// A move that is part of a batch may wait for [`Self::flush`]. Returns the units that the move
    /// costs beside the one of every message.
    pub(crate) fn on_move(
        &self,
        received: &MoveWithPayload<'_>,
        bytes: &[u8],
        batched: bool,
        counters: &Counters,
    ) -> Result<u32, Close> {
        counters.moves_received.increment();
        let match_id = received.update.match_id;
        match &*self.playing.lock() {
            Some(playing) if playing.game.match_id == match_id => {
                playing.game.on_move(playing.number, received, bytes, batched, counters)
            }
            _ if match_id != 0 && match_id <= self.latest_match.load(Relaxed) => {
                counters.moves_stale.increment(); // The move was under way when the match ended.
                Ok(0)
            }
            _ => Err(Close::new(
                CloseCode::Unexpected.code(),
                "received a move for a match that the player is not in: wait for the start of the match",
            )),
        }
    }

    /// Sends everything that a batch queued for this player and for its opponent.
    pub(crate) fn flush(&self, counters: &Counters) {
        match &*self.playing.lock() {
            Some(playing) => playing.game.flush(counters),
            None => drop(self.to.sender.flush()), // Without a match, no updates are queued.
        }
    }
}
