//! Rules for seats that outlive a connection: their keeping, resuming and expiry, and the notices
//! to both players.

use netduel_protocol::{CloseCode, LeaveReason, MatchId, MoveWithPayload, ResumeTicket, Resumed, clock};
use netduel_transport::{Close, CloseReason};

use super::{
    OracleState, SessionState,
    game::{Away, Game, Grace, Proof},
};

/// The verdict on a presented proof.
enum Verdict {
    /// The proof is invalid.
    No,
    /// The seat expires about now, or the server may be draining, so the proof may be accepted.
    Maybe(usize),
    /// The proof is valid for this seat.
    Yes(usize),
}

impl OracleState {
    /// Returns the grace period of a seat, in µs.
    pub(super) fn grace_us(&self) -> u64 {
        self.config.resume_grace.as_micros() as u64
    }

    /// Records a move of a player.
    pub(super) fn moves(&mut self, connection: usize, told: &MoveWithPayload<'_>) {
        let SessionState::Playing(id, number) = self.sessions[connection].state else { return };
        let Some(game) = self.games.get_mut(&id).filter(|_| told.update.match_id == id) else { return };
        let moved = game.moves(number, told, self.config.relay.payload_max_bytes());
        let opponent_is_away = game.seats[1 - number].away.is_some();
        self.counters.away += u64::from(moved && opponent_is_away);
        game.seats[number].unsent &= !opponent_is_away;
    }

    /// Records that the server detected the end of a connection. It processes the messages read
    /// before, and keeps the seat.
    pub(super) fn ended(&mut self, connection: usize, reason: &CloseReason) {
        let session = &mut self.sessions[connection];
        if reason.is_loss() {
            let timed_out = matches!(reason, CloseReason::IdleTimeout(_));
            let told = if timed_out { LeaveReason::TimedOut } else { LeaveReason::Disconnected };
            session.cut_off = Some(told);
        }
        let processes_more = session.processing;
        self.read_ahead(connection);
        let state = self.sessions[connection].state;
        self.keep_seat(connection);
        // The last message may expel the player without a notice to the opponent.
        if let SessionState::Playing(id, _) = state
            && processes_more
            && (self.models[connection].offended || self.flooded(connection))
            && let Some(game) = self.games.get_mut(&id)
        {
            game.unsure = true;
        }
    }

    /// Keeps the seat of a lost connection, if the server keeps seats.
    pub(super) fn keep_seat(&mut self, connection: usize) {
        let session = &mut self.sessions[connection];
        let (Some(reason), SessionState::Playing(id, number)) = (session.cut_off, session.state) else {
            return;
        };
        let Some(game) = self.games.get_mut(&id).filter(|_| !self.config.resume_grace.is_zero()) else {
            return;
        };
        session.state = SessionState::Idle;
        game.seats[number].away = Some(Away { since_us: clock::now_us(), reason });
        self.counters.seats_kept += 1;
    }

    /// Records that a player presents a proof for a seat.
    pub(super) fn presents(&mut self, connection: usize, proof: Proof) {
        self.drop_undecided();
        let verdict = self.verdict(&proof);
        let session = &mut self.sessions[connection];
        session.joined = true;
        session.may_be_refused = !matches!(verdict, Verdict::Yes(_));
        match verdict {
            Verdict::No => self.counters.seats_refused += 1,
            Verdict::Maybe(number) => self.undecided = Some((connection, number, proof)),
            Verdict::Yes(number) => self.takes(connection, number, proof),
        }
    }

    fn verdict(&self, proof: &Proof) -> Verdict {
        let game = self.games.get(&proof.match_id).filter(|game| !game.over && self.grace_us() > 0);
        let Some((game, number)) = game.and_then(|game| Some((game, game.seat_of(proof)?))) else {
            return Verdict::No;
        };
        match game.grace(self.grace_us(), clock::now_us()) {
            Some(Grace::Expired) => Verdict::No,
            Some(Grace::Expiring) => Verdict::Maybe(number),
            _ if self.draining || game.unsure => Verdict::Maybe(number),
            _ => Verdict::Yes(number),
        }
    }

    /// Gives a seat to a connection, and replaces the previous one.
    fn takes(&mut self, connection: usize, number: usize, proof: Proof) {
        let id = proof.match_id;
        let Some(game) = self.games.get_mut(&id) else { return };
        let seat = &game.seats[number];
        if seat.away.is_none() {
            let before = &mut self.sessions[seat.holder()];
            (before.state, before.replaced) = (SessionState::Idle, true);
        }
        game.take(number, connection, proof);
        self.sessions[connection].state = SessionState::Playing(id, number);
        self.counters.seats_resumed += 1;
    }

    /// Decides an undecided proof as accepted, because the server sent a message that follows only
    /// a resume of that match.
    fn take_undecided(&mut self, id: MatchId) {
        if let Some((connection, number, proof)) = self.undecided.take_if(|(.., proof)| proof.match_id == id)
        {
            self.takes(connection, number, proof);
        }
    }

    /// Drops an undecided proof whose answer had no receiver.
    pub(super) fn drop_undecided(&mut self) {
        if let Some((.., proof)) = self.undecided.take()
            && let Some(game) = self.games.get_mut(&proof.match_id)
        {
            (game.unsure, self.counters.unsure) = (true, true);
        }
    }

    /// Decides an undecided proof by a close, which may be the answer to it.
    pub(super) fn settle_undecided(&mut self, connection: usize, close: &Close) {
        match CloseCode::from_code(close.code) {
            Some(CloseCode::Replaced) => {
                if let SessionState::Playing(id, _) = self.sessions[connection].state {
                    self.take_undecided(id);
                }
            }
            Some(CloseCode::NoSuchSeat) => {
                // The refusal means that the grace period was over.
                if let Some((.., proof)) = self.undecided.take_if(|(asker, ..)| *asker == connection) {
                    self.counters.seats_refused += 1;
                    self.counters.seats_expired += 1;
                    self.ends(proof.match_id);
                }
            }
            _ => drop(self.undecided.take_if(|(asker, ..)| *asker == connection)),
        }
    }

    /// Checks the notice to a player who resumed: both positions, and the next token.
    pub(super) fn resumed(&mut self, connection: usize, resumed: &Resumed) -> Result<(), String> {
        self.take_undecided(resumed.match_id);
        let (id, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).ok_or("no such match")?;
        let positions = game.positions();
        let seat = &mut game.seats[number];
        if !std::mem::take(&mut seat.is_back) {
            return Err("the player did not resume, or was notified already".into());
        }
        let known = (id, number, positions, seat.last.seq, seat.corrections);
        let Resumed { match_id, player, positions, seq, corrections, resume_ticket, .. } = resumed;
        if known != (*match_id, usize::from(*player), *positions, *seq, *corrections) {
            return Err(format!("expected a resume at {known:?}"));
        }
        self.tells_token(id, number, &Some(resume_ticket.clone()))
    }

    /// Records the next token of a seat, and checks that it is new.
    pub(super) fn tells_token(
        &mut self,
        id: MatchId,
        number: usize,
        resume_ticket: &Option<ResumeTicket>,
    ) -> Result<(), String> {
        let grace_ms = self.config.resume_grace.as_millis() as u32;
        if resume_ticket.as_ref().map_or(0, |resume_ticket| resume_ticket.grace_ms) != grace_ms {
            return Err(format!("expected a grace period of {grace_ms} ms"));
        }
        let token = resume_ticket.as_ref().map(|resume_ticket| resume_ticket.token.clone());
        let is_known = |token| self.games.values().flat_map(|game| &game.seats).any(|seat| seat.knows(token));
        if token.as_ref().is_some_and(is_known) {
            return Err("the token was issued before".into());
        }
        if let Some(game) = self.games.get_mut(&id) {
            game.seats[number].token = token;
        }
        Ok(())
    }

    /// Checks the notice that the opponent is away, which a player receives once.
    pub(super) fn opponent_reconnecting(
        &mut self,
        connection: usize,
        id: MatchId,
        grace_ms: u32,
    ) -> Result<(), String> {
        let (plays, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).filter(|_| plays == id).ok_or("another match")?;
        game.unsure = false;
        if game.seats[1 - number].away.is_none()
            || std::mem::replace(&mut game.seats[number].knows_opponent_away, true)
        {
            return Err(format!("the opponent is connected, or the player was notified already: {game:?}"));
        }
        let right_ms = self.config.resume_grace.as_millis() as u32;
        if grace_ms == right_ms { Ok(()) } else { Err(format!("expected a grace period of {right_ms} ms")) }
    }

    /// Checks the notice that the opponent is back, which a player receives once.
    pub(super) fn opponent_back(&mut self, connection: usize, id: MatchId) -> Result<(), String> {
        self.take_undecided(id);
        let (plays, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).filter(|_| plays == id).ok_or("another match")?;
        let seat = &mut game.seats[number];
        seat.knows_opponent_away = false;
        if std::mem::take(&mut seat.opponent_is_back) {
            Ok(())
        } else {
            Err("the opponent did not resume".into())
        }
    }

    /// Ends the matches whose grace period is over. In a drain, ends all matches that wait for a
    /// player.
    pub(super) fn expire_seats(&mut self, draining: bool) {
        self.drop_undecided();
        let (grace_us, now_us) = (self.grace_us(), clock::now_us());
        for game in self.games.values_mut().filter(|game| !game.over) {
            let expired = game.grace(grace_us, now_us) == Some(Grace::Expired);
            game.over = expired || draining && game.away() > 0;
            self.counters.seats_expired += u64::from(expired);
            self.counters.unsure |= game.unsure;
        }
    }

    /// Returns the numbers of running matches and of absent players, at least and at most, because
    /// some grace periods may end just now.
    pub(super) fn running(&self) -> [(usize, usize); 2] {
        let (grace_us, now_us) = (self.grace_us(), clock::now_us());
        let add = |(games, away): (usize, usize), game: &Game| (games + 1, away + game.away());
        let (mut least, mut most) = ((0, 0), (0, 0));
        for game in self.games.values().filter(|game| !game.over) {
            most = add(most, game);
            if !game.unsure && game.grace(grace_us, now_us) != Some(Grace::Expiring) {
                least = add(least, game);
            }
        }
        [least, most]
    }

    /// Checks that a player was notified of the opponent's state, and that a replaced connection is
    /// closed.
    pub(super) fn knows_opponent(&self, connection: usize) -> Result<(), String> {
        let session = &self.sessions[connection];
        if session.replaced && !session.closing {
            return Err(format!("{connection} was not told of its replacement"));
        }
        let SessionState::Playing(id, number) = session.state else { return Ok(()) };
        let game = &self.games[&id];
        let (seat, opponent) = (&game.seats[number], &game.seats[1 - number]);
        let there = self.sessions[opponent.holder()].state == SessionState::Playing(id, 1 - number);
        let knows = !game.over
            && seat.holder() == connection
            && (there || opponent.away.is_some())
            && (seat.knows_opponent_away == opponent.away.is_some() || game.unsure)
            && !seat.opponent_is_back
            && !seat.is_back;
        if knows || session.closing {
            return Ok(());
        }
        Err(format!("{connection} was not notified of {} in match {id}: {game:?}", opponent.holder()))
    }

    /// Ends a match.
    pub(super) fn ends(&mut self, id: MatchId) {
        if let Some(game) = self.games.get_mut(&id) {
            game.over = true;
            self.counters.unsure |= game.unsure;
        }
    }
}
