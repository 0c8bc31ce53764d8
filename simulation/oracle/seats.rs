//! Seats that outlive a connection: who leaves one, who may take it back, and what both players are told of it.

use netduel_protocol::{CloseCode, GameId, LeaveReason, MoveWithPayload, ResumeTicket, Resumed, clock};
use netduel_transport::{Close, CloseReason};

use super::{
    OracleState, SessionState,
    game::{Away, Game, Grace, Proof},
};

/// Whether what a player shows takes it back.
enum Verdict {
    No,
    /// Its seat's time runs out about now, or the server may be draining.
    Maybe(usize),
    Yes(usize),
}

impl OracleState {
    /// How long a seat is kept.
    pub(super) fn grace_us(&self) -> u64 {
        self.config.resume_grace.as_micros() as u64
    }

    /// A player says where it is.
    pub(super) fn moves(&mut self, connection: usize, told: &MoveWithPayload<'_>) {
        let SessionState::Playing(id, number) = self.sessions[connection].state else { return };
        let Some(game) = self.games.get_mut(&id).filter(|_| told.update.game == id) else { return };
        let moved = game.moves(number, told, self.config.relay.payload_max_bytes());
        let nobody_hears = game.seats[1 - number].away.is_some();
        self.counters.away += u64::from(moved && nobody_hears);
        game.seats[number].untold &= !nobody_hears;
    }

    /// The server learns that a connection is over, deals with what it has read before, and keeps the seat.
    pub(super) fn ended(&mut self, connection: usize, reason: &CloseReason) {
        let session = &mut self.sessions[connection];
        if reason.is_loss() {
            let timed_out = matches!(reason, CloseReason::IdleTimeout(_));
            let told = if timed_out { LeaveReason::TimedOut } else { LeaveReason::Disconnected };
            session.cut_off = Some(told);
        }
        let deals_with_more = session.dealing;
        self.read_ahead(connection);
        let state = self.sessions[connection].state;
        self.leaves_its_seat(connection);
        // What it did last may have it sent away, and nobody be told.
        if let SessionState::Playing(id, _) = state
            && deals_with_more
            && (self.models[connection].offended || self.flooded(connection))
            && let Some(game) = self.games.get_mut(&id)
        {
            game.unsure = true;
        }
    }

    /// A player's connection is lost: its seat is kept, where seats are.
    pub(super) fn leaves_its_seat(&mut self, connection: usize) {
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

    /// A player shows what takes it back, or does not.
    pub(super) fn shows(&mut self, connection: usize, proof: Proof) {
        self.never_answered();
        let verdict = self.verdict(&proof);
        let session = &mut self.sessions[connection];
        session.joined = true;
        session.may_be_refused = !matches!(verdict, Verdict::Yes(_));
        match verdict {
            Verdict::No => self.counters.seats_refused += 1,
            Verdict::Maybe(number) => self.asking = Some((connection, number, proof)),
            Verdict::Yes(number) => self.takes(connection, number, proof),
        }
    }

    fn verdict(&self, proof: &Proof) -> Verdict {
        let game = self.games.get(&proof.game).filter(|game| !game.over && self.grace_us() > 0);
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

    /// A connection sits in a seat from now on, and whoever sat there does no more.
    fn takes(&mut self, connection: usize, number: usize, proof: Proof) {
        let id = proof.game;
        let Some(game) = self.games.get_mut(&id) else { return };
        let seat = &game.seats[number];
        if seat.away.is_none() {
            let before = &mut self.sessions[seat.sitter()];
            (before.state, before.replaced) = (SessionState::Idle, true);
        }
        game.take(number, connection, proof);
        self.sessions[connection].state = SessionState::Playing(id, number);
        self.counters.seats_resumed += 1;
    }

    /// Something was said that is only said once a seat in that match was taken back.
    fn took_what_it_asked(&mut self, id: GameId) {
        if let Some((connection, number, proof)) = self.asking.take_if(|(.., proof)| proof.game == id) {
            self.takes(connection, number, proof);
        }
    }

    /// Nobody was there to be told whether a token was good.
    pub(super) fn never_answered(&mut self) {
        if let Some((.., proof)) = self.asking.take()
            && let Some(game) = self.games.get_mut(&proof.game)
        {
            (game.unsure, self.counters.unsure) = (true, true);
        }
    }

    /// The server closes a connection, which may be an answer to the token that was shown last.
    pub(super) fn answered_asking(&mut self, connection: usize, goodbye: &Close) {
        match CloseCode::from_code(goodbye.code) {
            Some(CloseCode::Replaced) => {
                if let SessionState::Playing(id, _) = self.sessions[connection].state {
                    self.took_what_it_asked(id);
                }
            }
            Some(CloseCode::NoSuchSeat) => {
                // Then its time was over.
                if let Some((.., proof)) = self.asking.take_if(|(asker, ..)| *asker == connection) {
                    self.counters.seats_refused += 1;
                    self.counters.seats_expired += 1;
                    self.ends(proof.game);
                }
            }
            _ => drop(self.asking.take_if(|(asker, ..)| *asker == connection)),
        }
    }

    /// What a player is told who came back: where it and its peer are, and the next token.
    pub(super) fn resumed(&mut self, connection: usize, resumed: &Resumed) -> Result<(), String> {
        self.took_what_it_asked(resumed.game);
        let (id, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).ok_or("no such match")?;
        let positions = game.positions();
        let seat = &mut game.seats[number];
        if !std::mem::take(&mut seat.is_back) {
            return Err("it did not come back, or was told".into());
        }
        let known = (id, number, positions, seat.last.seq, seat.last.at_us, seat.corrections);
        let Resumed { game, player, positions, seq, at_us, corrections, resume_ticket, .. } = resumed;
        if known != (*game, usize::from(*player), *positions, *seq, *at_us, *corrections) {
            return Err(format!("it is back at {known:?}"));
        }
        self.tells_token(id, number, &Some(resume_ticket.clone()))
    }

    /// The token that a seat is good for from now on. It is a new one.
    pub(super) fn tells_token(
        &mut self,
        id: GameId,
        number: usize,
        resume_ticket: &Option<ResumeTicket>,
    ) -> Result<(), String> {
        let grace_ms = self.config.resume_grace.as_millis() as u32;
        if resume_ticket.as_ref().map_or(0, |resume_ticket| resume_ticket.grace_ms) != grace_ms {
            return Err(format!("seats are kept for {grace_ms} ms"));
        }
        let token = resume_ticket.as_ref().map(|resume_ticket| resume_ticket.token.clone());
        let is_known = |token| self.games.values().flat_map(|game| &game.seats).any(|seat| seat.knows(token));
        if token.as_ref().is_some_and(is_known) {
            return Err("a token that was given out before".into());
        }
        if let Some(game) = self.games.get_mut(&id) {
            game.seats[number].token = token;
        }
        Ok(())
    }

    /// Who plays is told that its peer is away: once, and only then.
    pub(super) fn peer_reconnecting(
        &mut self,
        connection: usize,
        id: GameId,
        grace_ms: u32,
    ) -> Result<(), String> {
        let (plays, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).filter(|_| plays == id).ok_or("another match")?;
        game.unsure = false;
        if game.seats[1 - number].away.is_none()
            || std::mem::replace(&mut game.seats[number].knows_peer_away, true)
        {
            return Err(format!("its peer is there, or it was told: {game:?}"));
        }
        let right_ms = self.config.resume_grace.as_millis() as u32;
        if grace_ms == right_ms { Ok(()) } else { Err(format!("it waits for {right_ms} ms")) }
    }

    /// The same, once the peer is back.
    pub(super) fn peer_back(&mut self, connection: usize, id: GameId) -> Result<(), String> {
        self.took_what_it_asked(id);
        let (plays, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).filter(|_| plays == id).ok_or("another match")?;
        let seat = &mut game.seats[number];
        seat.knows_peer_away = false;
        if std::mem::take(&mut seat.peer_is_back) { Ok(()) } else { Err("its peer did not come back".into()) }
    }

    /// Matches whose players did not come back in time are over, and in a drain all that wait for one.
    pub(super) fn end_what_nobody_came_back_to(&mut self, draining: bool) {
        self.never_answered();
        let (grace_us, now_us) = (self.grace_us(), clock::now_us());
        for game in self.games.values_mut().filter(|game| !game.over) {
            let expired = game.grace(grace_us, now_us) == Some(Grace::Expired);
            game.over = expired || draining && game.away() > 0;
            self.counters.seats_expired += u64::from(expired);
            self.counters.unsure |= game.unsure;
        }
    }

    /// How many matches go on, and seats in them wait for their players: at least and at most, since the time of some may
    /// run out just now.
    pub(super) fn going(&self) -> [(usize, usize); 2] {
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

    /// Who plays knows who is away and who is back, and who was replaced is let go.
    pub(super) fn knows_its_peer(&self, connection: usize) -> Result<(), String> {
        let session = &self.sessions[connection];
        if session.replaced && !session.closing {
            return Err(format!("{connection} was not told that another took its seat"));
        }
        let SessionState::Playing(id, number) = session.state else { return Ok(()) };
        let game = &self.games[&id];
        let (seat, peer) = (&game.seats[number], &game.seats[1 - number]);
        let there = self.sessions[peer.sitter()].state == SessionState::Playing(id, 1 - number);
        let knows = !game.over
            && seat.sitter() == connection
            && (there || peer.away.is_some())
            && (seat.knows_peer_away == peer.away.is_some() || game.unsure)
            && !seat.peer_is_back
            && !seat.is_back;
        if knows || session.closing {
            return Ok(());
        }
        Err(format!("{connection} was not told of {} in match {id}: {game:?}", peer.sitter()))
    }

    /// A match is over, and its seats are nobody's.
    pub(super) fn ends(&mut self, id: GameId) {
        if let Some(game) = self.games.get_mut(&id) {
            game.over = true;
            self.counters.unsure |= game.unsure;
        }
    }
}
