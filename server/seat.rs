//! A player's seat in a match: where the player is, who sits there, and what brings a lost one back.
//!
//! A seat outlives its connection: while nobody sits there, the match goes on, and a timer ends it after a while.

use std::time::Duration;

use netduel_protocol::{
    CloseCode, GameId, LeaveReason, Move, MoveWithPayload, ResumeTicket, SeatToken, ServerMessage,
    game::Position,
};
use netduel_transport::{Close, TransportKind};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::player_sender::PlayerSender;

/// A seat and whoever sits there.
pub(crate) struct Seat {
    /// The newest legal move.
    pub(crate) last: Move,
    /// What came with it, where both moves are told together; empty otherwise. It grows once to the longest that came.
    pub(crate) payload: Vec<u8>,
    pub(crate) corrections: u16,
    pub(crate) occupant: Occupant,
    /// Of whoever sits there, or sat there last.
    pub(crate) kind: TransportKind,
    /// Takes the player back; none if seats are not kept.
    token: Option<SeatToken>,
    /// What took it back the last time, until it moves. The answer with the next token may have been lost, or the try was
    /// given up when it came through; then the same token is shown again, in a later try.
    pub(crate) last_proof: Option<Proof>,
}

/// What a player shows for its seat.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) token: SeatToken,
    pub(crate) attempt: u32,
}

/// Who sits in a seat.
pub(crate) enum Occupant {
    /// A connected player.
    Here(PlayerSender),
    /// Nobody, since the connection was lost.
    Away(Away),
    /// Nobody, since the match is over.
    Gone,
}

/// A seat that is kept.
pub(crate) struct Away {
    /// How the connection was lost: what the opponent is told if nobody comes back.
    pub(crate) reason: LeaveReason,
    pub(crate) until: Instant,
    /// Ends the match then. Dropped with the rest of this when the player is back.
    pub(crate) _expiry: AbortOnDropHandle<()>,
}

impl Seat {
    pub(crate) fn new(
        game: GameId,
        position: Position,
        player: PlayerSender,
        token: Option<SeatToken>,
    ) -> Self {
        let last = Move { game, position, ..Move::default() };
        let kind = player.sender.kind();
        Self {
            last,
            payload: Vec::new(),
            corrections: 0,
            occupant: Occupant::Here(player),
            kind,
            token,
            last_proof: None,
        }
    }

    /// Who sits there, if somebody does.
    pub(crate) fn player(&self) -> Option<&PlayerSender> {
        match &self.occupant {
            Occupant::Here(player) => Some(player),
            Occupant::Away(_) | Occupant::Gone => None,
        }
    }

    /// How the connection was lost, while the seat waits for its player.
    pub(crate) fn away(&self) -> Option<LeaveReason> {
        match &self.occupant {
            Occupant::Away(away) => Some(away.reason),
            Occupant::Here(_) | Occupant::Gone => None,
        }
    }

    /// The same, once its time is over.
    pub(crate) fn expired(&self, now: Instant) -> Option<LeaveReason> {
        match &self.occupant {
            Occupant::Away(away) if away.until <= now => Some(away.reason),
            _ => None,
        }
    }

    pub(crate) fn send(&self, message: &ServerMessage<'_>) {
        if let Some(player) = self.player() {
            player.send(message);
        }
    }

    pub(crate) fn told(&self) -> MoveWithPayload<'_> {
        MoveWithPayload { update: self.last, payload: &self.payload }
    }

    /// Whether `proof` is of this seat and was not shown before.
    pub(crate) fn is_proved_by(&self, proof: &Proof) -> bool {
        let again = |before: &Proof| before.token == proof.token && before.attempt < proof.attempt;
        self.token.as_ref() == Some(&proof.token) || self.last_proof.as_ref().is_some_and(again)
    }

    /// How its player comes back, if seats are kept.
    pub(crate) fn resume_ticket(&self, grace: Duration) -> Option<ResumeTicket> {
        Some(ResumeTicket { token: self.token.clone()?, grace_ms: milliseconds(grace) })
    }

    /// Seats `player`, who showed `proof`, with `next` for the next time.
    pub(crate) fn resume(&mut self, player: PlayerSender, proof: Proof, next: SeatToken) {
        (self.last_proof, self.token, self.kind) = (Some(proof), Some(next), player.sender.kind());
        self.occupant = Occupant::Here(player);
    }

    /// Nobody sits there any more. Returns who did.
    pub(crate) fn vacate(&mut self) -> Occupant {
        std::mem::replace(&mut self.occupant, Occupant::Gone)
    }
}

/// A token that nobody knows yet, of the system's random numbers.
///
/// # Errors
/// The system has none to give; nothing that needs them can be done.
pub(crate) fn fresh_token() -> Result<SeatToken, Close> {
    let mut secret = [0; SeatToken::BYTES];
    SystemRandom::new().fill(&mut secret).map_err(|_| {
        Close::new(CloseCode::ServerFault.code(), "the server's system has no random numbers: try later")
    })?;
    Ok(SeatToken::new(secret))
}

pub(crate) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
