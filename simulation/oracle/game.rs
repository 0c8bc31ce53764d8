//! A match as the oracle knows it: its two seats, who sits there, where its player is, and what brings a lost one back.

use netduel_protocol::{
    GameId, LeaveReason, Move, MoveWithPayload, SeatToken,
    game::{self, Position, START},
};

/// When a timer of the server's was due and when it fired differ by this at most, in µs: two beats of tokio's clock.
const LATE_MAX_US: u64 = 2_000;

#[derive(Debug)]
pub(super) struct Game {
    pub(super) seats: [Seat; 2],
    pub(super) over: bool,
    /// It may be over: who was to be sent away lost the connection in the same moment, and no opponent was told.
    pub(super) unsure: bool,
}

#[derive(Debug)]
pub(super) struct Seat {
    /// The connections that sat here, one after the other. The last one does, unless it is away.
    pub(super) sat: Vec<usize>,
    pub(super) away: Option<Away>,
    /// The newest legal move, at first where the player begins; and what came with it.
    pub(super) last: Move,
    pub(super) payload: Vec<u8>,
    /// Where the player was before that.
    pub(super) before: Position,
    /// The peer was not told of it yet.
    pub(super) untold: bool,
    pub(super) corrections: u16,
    /// The number of an illegal move that nobody was told of.
    pub(super) illegal: Option<u32>,
    /// The numbers of the newest moves of both that have reached who sits here.
    pub(super) reached: [u32; 2],
    /// What it was told of its peer.
    pub(super) knows_peer_away: bool,
    /// Its peer is back, and it was not told.
    pub(super) peer_is_back: bool,
    /// Who sits here came back, and was not told.
    pub(super) is_back: bool,
    /// Takes its player back; `None` if the newest was told to nobody.
    pub(super) token: Option<SeatToken>,
    /// What led here the last time, as long as nobody has moved since.
    led_here: Option<Proof>,
}

/// A seat is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) since_us: u64,
    /// What its peer is told if nobody comes back.
    pub(super) reason: LeaveReason,
}

/// What a player shows for its seat.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) game: GameId,
    pub(super) token: SeatToken,
    pub(super) attempt: u32,
}

/// Whether the time of a match that waits for a player is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grace {
    Running,
    /// The timer fires about now.
    Expiring,
    Expired,
}

impl Game {
    /// The first player waited, the second came.
    pub(super) fn of(players: [usize; 2]) -> Self {
        let [first, second] = players;
        let seats = [Seat::new(first, START[0]), Seat::new(second, START[1])];
        Self { seats, over: false, unsure: false }
    }

    /// Where both are.
    pub(super) fn positions(&self) -> [Position; 2] {
        [0, 1].map(|number| self.seats[number].last.position)
    }

    /// A player of it said where it is. Returns whether it is there now.
    pub(super) fn moves(&mut self, number: usize, told: &MoveWithPayload<'_>, payload_max: usize) -> bool {
        let MoveWithPayload { update, payload } = *told;
        let seat = &mut self.seats[number];
        let is_fresh = update.corrections == seat.corrections && update.seq > seat.last.seq;
        if !is_fresh || payload.len() > payload_max {
            return false;
        }
        if game::check(&seat.last, &update).is_err() {
            seat.corrections += 1;
            seat.illegal = Some(update.seq);
            return false;
        }
        (seat.before, seat.last, seat.payload) = (seat.last.position, update, payload.to_vec());
        (seat.untold, seat.led_here) = (true, None);
        true
    }

    /// Whose seat `proof` is of.
    pub(super) fn seat_of(&self, proof: &Proof) -> Option<usize> {
        self.seats.iter().position(|seat| seat.is_proved_by(proof))
    }

    /// `connection` sits in seat `number` from now on.
    pub(super) fn take(&mut self, number: usize, connection: usize, proof: Proof) {
        let seat = &mut self.seats[number];
        seat.sat.push(connection);
        (seat.away, seat.token, seat.led_here) = (None, None, Some(proof));
        (seat.illegal, seat.knows_peer_away, seat.peer_is_back, seat.is_back) = (None, false, false, true);
        self.unsure = false;
        let peer = &mut self.seats[1 - number];
        peer.peer_is_back = peer.away.is_none();
    }

    /// Somebody is away, and how much of `grace_us` is left for who went first.
    pub(super) fn grace(&self, grace_us: u64, now_us: u64) -> Option<Grace> {
        let since_us = self.seats.iter().filter_map(|seat| Some(seat.away?.since_us)).min()?;
        let until_us = since_us + grace_us;
        Some(match now_us {
            now_us if now_us < until_us => Grace::Running,
            now_us if now_us <= until_us + LATE_MAX_US => Grace::Expiring,
            _ => Grace::Expired,
        })
    }

    pub(super) fn away(&self) -> usize {
        self.seats.iter().filter(|seat| seat.away.is_some()).count()
    }
}

impl Seat {
    fn new(player: usize, position: Position) -> Self {
        Self {
            sat: vec![player],
            away: None,
            last: Move { position, ..Move::default() },
            payload: Vec::new(),
            before: position,
            untold: false,
            corrections: 0,
            illegal: None,
            reached: [0; 2],
            knows_peer_away: false,
            peer_is_back: false,
            is_back: false,
            token: None,
            led_here: None,
        }
    }

    /// Who sits here, or sat here last.
    pub(super) fn sitter(&self) -> usize {
        self.sat[self.sat.len() - 1]
    }

    /// A token is good until another is given out, and then for later tries until a move came from who has that.
    fn is_proved_by(&self, proof: &Proof) -> bool {
        let again = |before: &Proof| before.token == proof.token && before.attempt < proof.attempt;
        self.token.as_ref() == Some(&proof.token) || self.led_here.as_ref().is_some_and(again)
    }

    /// Whether that token is, or was just before, good for this seat.
    pub(super) fn knows(&self, token: &SeatToken) -> bool {
        self.token.as_ref() == Some(token) || self.led_here.as_ref().is_some_and(|it| it.token == *token)
    }
}
