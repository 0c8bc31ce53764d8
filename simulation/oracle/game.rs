//! The oracle's record of a match: its two seats with their connections, positions and resume
//! tokens.

use netduel_protocol::{
    LeaveReason, MatchId, Move, MoveWithPayload, SeatToken, WayBudget, clock,
    game::{Position, START},
};

use super::way::RelayedWay;

/// The largest lateness of a server timer, in µs: two ticks of tokio's clock.
const LATE_MAX_US: u64 = 2_000;

#[derive(Debug)]
pub(super) struct Game {
    pub(super) seats: [Seat; 2],
    /// The server's clock at the start, in µs.
    started_us: u64,
    pub(super) over: bool,
    /// Whether the match may be over. A player who was about to be expelled lost the connection at
    /// the same moment, and no opponent was notified.
    pub(super) unsure: bool,
}

#[derive(Debug)]
pub(super) struct Seat {
    /// The connections that held the seat, in order. The last one holds it now, unless it is away.
    pub(super) holders: Vec<usize>,
    /// The absence of the player; `None` while it is connected.
    pub(super) away: Option<Away>,
    /// The newest legal move, or the start position before the first one.
    pub(super) last: Move,
    way: WayBudget,
    /// The way that the opponent was told of.
    pub(super) relayed: RelayedWay,
    /// The payload of the newest legal move.
    pub(super) payload: Vec<u8>,
    /// The position before the newest legal move.
    pub(super) before: Position,
    /// Whether the opponent has not been sent the newest move yet.
    pub(super) unsent: bool,
    pub(super) corrections: u16,
    /// The number of an illegal move that was not corrected yet.
    pub(super) illegal: Option<u32>,
    /// The numbers of the newest moves of both players that have reached this seat.
    pub(super) reached: [u32; 2],
    /// Whether the player was notified that the opponent is away.
    pub(super) knows_opponent_away: bool,
    /// Whether the opponent is back and the player was not notified yet.
    pub(super) opponent_is_back: bool,
    /// Whether the player resumed and was not notified yet.
    pub(super) is_back: bool,
    /// The token that resumes the seat; `None` if the newest one was never sent.
    pub(super) token: Option<SeatToken>,
    /// The last accepted proof, until the first move after it.
    last_proof: Option<Proof>,
}

/// The absence of a player whose seat is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) since_us: u64,
    /// The leave reason that the opponent receives if the player does not return.
    pub(super) reason: LeaveReason,
}

/// The proof that a player presents for its seat.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) match_id: MatchId,
    pub(super) token: SeatToken,
    pub(super) attempt: u32,
}

/// The state of the grace period of a match that waits for a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grace {
    /// The grace period runs.
    Running,
    /// The timer fires about now.
    Expiring,
    /// The grace period is over.
    Expired,
}

impl Game {
    /// Creates a match of the player who waited and the player who joined.
    pub(super) fn of(players: [usize; 2], started_us: u64) -> Self {
        let [first, second] = players;
        let seats = [Seat::new(first, START[0]), Seat::new(second, START[1])];
        Self { seats, started_us, over: false, unsure: false }
    }

    /// Returns the time since the start, in µs.
    pub(super) fn match_us(&self) -> u64 {
        clock::now_us() - self.started_us
    }

    /// Returns the positions of both players.
    pub(super) fn positions(&self) -> [Position; 2] {
        [0, 1].map(|number| self.seats[number].last.position)
    }

    /// Applies a move of player `number`. Returns whether the move is legal.
    pub(super) fn moves(&mut self, number: usize, told: &MoveWithPayload<'_>, payload_max: usize) -> bool {
        let MoveWithPayload { update, payload } = *told;
        let match_us = self.match_us();
        let seat = &mut self.seats[number];
        let is_fresh = update.corrections == seat.corrections && update.seq > seat.last.seq;
        if !is_fresh || payload.len() > payload_max {
            return false;
        }
        let Ok(update) = seat.way.take(&seat.last, &update, match_us) else {
            seat.corrections += 1;
            seat.illegal = Some(update.seq);
            return false;
        };
        (seat.before, seat.last, seat.payload) = (seat.last.position, update, payload.to_vec());
        (seat.unsent, seat.last_proof) = (true, None);
        true
    }

    /// Returns the seat that `proof` is valid for.
    pub(super) fn seat_of(&self, proof: &Proof) -> Option<usize> {
        self.seats.iter().position(|seat| seat.is_proved_by(proof))
    }

    /// Gives seat `number` to `connection`.
    pub(super) fn take(&mut self, number: usize, connection: usize, proof: Proof) {
        let seat = &mut self.seats[number];
        seat.holders.push(connection);
        (seat.away, seat.token, seat.last_proof) = (None, None, Some(proof));
        (seat.illegal, seat.knows_opponent_away, seat.opponent_is_back, seat.is_back) =
            (None, false, false, true);
        self.unsure = false;
        let opponent = &mut self.seats[1 - number];
        opponent.opponent_is_back = opponent.away.is_none();
    }

    /// Returns the state of the grace period, which starts with the first absence; `None` if both
    /// players are connected.
    pub(super) fn grace(&self, grace_us: u64, now_us: u64) -> Option<Grace> {
        let since_us = self.seats.iter().filter_map(|seat| Some(seat.away?.since_us)).min()?;
        let until_us = since_us + grace_us;
        Some(match now_us {
            now_us if now_us < until_us => Grace::Running,
            now_us if now_us <= until_us + LATE_MAX_US => Grace::Expiring,
            _ => Grace::Expired,
        })
    }

    /// Returns the number of absent players.
    pub(super) fn away(&self) -> usize {
        self.seats.iter().filter(|seat| seat.away.is_some()).count()
    }
}

impl Seat {
    fn new(player: usize, position: Position) -> Self {
        Self {
            holders: vec![player],
            away: None,
            last: Move { position, ..Move::default() },
            way: WayBudget::default(),
            relayed: RelayedWay::from(position),
            payload: Vec::new(),
            before: position,
            unsent: false,
            corrections: 0,
            illegal: None,
            reached: [0; 2],
            knows_opponent_away: false,
            opponent_is_back: false,
            is_back: false,
            token: None,
            last_proof: None,
        }
    }

    /// Returns the connection that holds the seat, or held it last.
    pub(super) fn holder(&self) -> usize {
        self.holders[self.holders.len() - 1]
    }

    /// Whether `proof` is valid. A token is valid until the next one is issued. After that it stays
    /// valid for later attempts, until a player with the next token moves.
    fn is_proved_by(&self, proof: &Proof) -> bool {
        let again = |before: &Proof| before.token == proof.token && before.attempt < proof.attempt;
        self.token.as_ref() == Some(&proof.token) || self.last_proof.as_ref().is_some_and(again)
    }

    /// Whether `token` is the current or the previous token of this seat.
    pub(super) fn knows(&self, token: &SeatToken) -> bool {
        self.token.as_ref() == Some(token) || self.last_proof.as_ref().is_some_and(|it| it.token == *token)
    }
}
