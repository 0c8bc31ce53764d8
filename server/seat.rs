//! A player's seat in a match: the player's state, its connection, and the token that resumes it.
//!
//! A seat outlives its connection: while it is kept for its player, the match continues, and a
//! timer ends the match after the grace.

use std::time::Duration;

use netduel_protocol::{
    CloseCode, LeaveReason, MatchId, Move, MoveWithPayload, ResumeTicket, SeatToken, ServerMessage,
    WayBudget, game::Position,
};
use netduel_transport::{Close, TransportKind};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::Instant;

use crate::player_sender::PlayerSender;

/// A seat, and its occupant.
pub(crate) struct Seat {
    /// The player's newest legal move, as others are told it.
    pub(crate) last: Move,
    /// The way that the player may still walk.
    pub(crate) way: WayBudget,
    /// The payload of the newest move, where both moves are sent together; empty otherwise. Grows
    /// once to the longest payload.
    pub(crate) payload: Vec<u8>,
    /// The newest update for the player of those that the opponent's burst holds, as bytes. Empty
    /// unless the server relays only the newest of a burst. Grows once to the longest update.
    pub(crate) held: Vec<u8>,
    pub(crate) corrections: u16,
    pub(crate) occupant: Occupant,
    /// The transport of the occupant, or of the last one.
    pub(crate) kind: TransportKind,
    /// The token that resumes the seat; `None` if seats are not kept.
    token: Option<SeatToken>,
    /// The proof that resumed the seat last, until the player moves. The answer with the next token
    /// may have been lost, or the client may have given up the attempt when it succeeded; then the
    /// client shows the same token again, in a later attempt.
    pub(crate) last_proof: Option<Proof>,
}

/// The proof that a connection shows to resume a seat.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) token: SeatToken,
    pub(crate) attempt: u32,
}

/// The occupant of a seat.
pub(crate) enum Occupant {
    /// A connected player.
    Here(PlayerSender),
    /// No player: the connection was lost.
    Away(Away),
    /// No player: the match has ended.
    Gone,
}

/// A seat that is kept for its player.
pub(crate) struct Away {
    /// The cause of the loss, for the opponent if the player does not come back.
    pub(crate) reason: LeaveReason,
    pub(crate) until: Instant,
}

impl Seat {
    pub(crate) fn new(
        match_id: MatchId,
        position: Position,
        player: PlayerSender,
        token: Option<SeatToken>,
    ) -> Self {
        let last = Move { match_id, position, ..Move::default() };
        let kind = player.sender.kind();
        Self {
            last,
            way: WayBudget::default(),
            payload: Vec::new(),
            held: Vec::new(),
            corrections: 0,
            occupant: Occupant::Here(player),
            kind,
            token,
            last_proof: None,
        }
    }

    /// Returns the connected occupant.
    pub(crate) fn player(&self) -> Option<&PlayerSender> {
        match &self.occupant {
            Occupant::Here(player) => Some(player),
            Occupant::Away(_) | Occupant::Gone => None,
        }
    }

    /// Returns the cause of the loss while the seat is kept.
    pub(crate) fn away(&self) -> Option<LeaveReason> {
        match &self.occupant {
            Occupant::Away(away) => Some(away.reason),
            Occupant::Here(_) | Occupant::Gone => None,
        }
    }

    /// Returns the cause of the loss once the seat's time is over.
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

    pub(crate) fn update(&self) -> MoveWithPayload<'_> {
        MoveWithPayload { update: self.last, payload: &self.payload }
    }

    /// Whether `proof` belongs to this seat and was not shown before.
    pub(crate) fn is_proved_by(&self, proof: &Proof) -> bool {
        let again = |before: &Proof| before.token == proof.token && before.attempt < proof.attempt;
        self.token.as_ref() == Some(&proof.token) || self.last_proof.as_ref().is_some_and(again)
    }

    /// Returns the ticket that resumes this seat, if seats are kept.
    pub(crate) fn resume_ticket(&self, grace: Duration) -> Option<ResumeTicket> {
        Some(ResumeTicket { token: self.token.clone()?, grace_ms: milliseconds(grace) })
    }

    /// Seats `player`, who showed `proof`, with the token `next` for the next resume.
    pub(crate) fn resume(&mut self, player: PlayerSender, proof: Proof, next: SeatToken) {
        (self.last_proof, self.token, self.kind) = (Some(proof), Some(next), player.sender.kind());
        self.occupant = Occupant::Here(player);
    }

    /// Empties the seat for good. Returns the occupant.
    pub(crate) fn vacate(&mut self) -> Occupant {
        std::mem::replace(&mut self.occupant, Occupant::Gone)
    }
}

/// Makes a token from the system's random numbers.
///
/// # Errors
/// The system has no random numbers, so nothing that needs a token can be done.
pub(crate) fn fresh_token() -> Result<SeatToken, Close> {
    let mut secret = [0; SeatToken::BYTES];
    SystemRandom::new().fill(&mut secret).map_err(|_| {
        Close::new(
            CloseCode::ServerFault.code(),
            "the server's system has no random numbers: try again later",
        )
    })?;
    Ok(SeatToken::new(secret))
}

pub(crate) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
