//! Rules for the server's messages: matchmaking, isolation and order of updates, and justified
//! closes.

use netduel_protocol::{
    CloseCode, Correction, LeaveReason, MatchId, MoveWithPayload, ServerMessage, Started, clock,
    game::Position,
};
use netduel_server::RelayPolicy;
use netduel_transport::Close;

use super::{
    OracleState, SessionState,
    game::{Game, Grace},
};

impl OracleState {
    /// Checks a message that the server sends.
    pub(super) fn sent(&mut self, connection: usize, message: &ServerMessage<'_>) -> Result<(), String> {
        match message {
            ServerMessage::Waiting => {
                let code = self.answered(connection)?;
                if let Some(other) = self.waits_for(&code) {
                    return Err(format!("queued although {other} waits with the same code"));
                }
                let session = &mut self.sessions[connection];
                (session.state, session.code) = (SessionState::Waiting, code);
            }
            ServerMessage::Started(started) => self.started(connection, started)?,
            ServerMessage::Moved(told) => {
                self.counters.updates += 1;
                let (game, number) = self.plays(connection)?;
                self.relayed(game, 1 - number, told)?;
            }
            ServerMessage::MovedBoth(both) => {
                self.counters.updates += 1;
                let (game, _) = self.plays(connection)?;
                for (number, told) in both.iter().enumerate() {
                    self.relayed(game, number, told)?;
                }
            }
            ServerMessage::Corrected(correction) => self.corrected(connection, correction)?,
            ServerMessage::OpponentLeft { match_id, reason, positions } => {
                self.opponent_left(connection, *match_id, *reason, positions)?;
            }
            ServerMessage::Resumed(resumed) => self.resumed(connection, resumed)?,
            ServerMessage::OpponentReconnecting { match_id, grace_ms } => {
                self.opponent_reconnecting(connection, *match_id, *grace_ms)?;
            }
            ServerMessage::OpponentBack { match_id, .. } => self.opponent_back(connection, *match_id)?,
            ServerMessage::Draining { .. } if !self.draining => {
                return Err("a drain notice without a drain".into());
            }
            ServerMessage::Draining { .. } | ServerMessage::Welcome { .. } | ServerMessage::Pong(_) => {}
        }
        Ok(())
    }

    /// Returns the match code of the join that the server answers now.
    fn answered(&mut self, connection: usize) -> Result<Option<String>, String> {
        let session = &mut self.sessions[connection];
        session.joined = true;
        let code = session.asked.take().ok_or("the player did not join")?;
        if session.state == SessionState::Idle {
            Ok(code)
        } else {
            Err(format!("the session is {:?}", session.state))
        }
    }

    /// Returns the connection that waits with this match code.
    fn waits_for(&self, code: &Option<String>) -> Option<usize> {
        let waits = |&number: &usize| {
            let session = &self.sessions[number];
            session.state == SessionState::Waiting && session.code == *code
        };
        self.live.iter().copied().find(waits)
    }

    /// Checks a match start. The waiting player is notified first, then the joining one, unless it
    /// is gone already.
    fn started(&mut self, connection: usize, started: &Started) -> Result<(), String> {
        let (id, number) = (started.match_id, usize::from(started.player));
        let opponent: usize = started.opponent_name.parse().map_err(|_| "the opponent has no name")?;
        if opponent == connection {
            return Err("a match with itself".into());
        }
        if number == 1 {
            let agreed = self.sessions[connection].state == SessionState::Playing(id, 1)
                && self.games[&id].seats[0].holder() == opponent;
            return if agreed {
                self.tells_token(id, 1, &started.resume_ticket)
            } else {
                Err("the opponent was not notified".into())
            };
        }
        let session = &self.sessions[connection];
        if session.state != SessionState::Waiting || self.waits_for(&session.code) != Some(connection) {
            return Err(format!("the session was {:?}, or another player has waited longer", session.state));
        }
        let code = session.code.clone();
        if self.answered(opponent)? != code {
            return Err(format!("{opponent} gave another match code"));
        }
        if self.games.insert(id, Game::of([connection, opponent], started.started_us)).is_some() {
            return Err("the number of another match".into());
        }
        for (number, player) in [connection, opponent].into_iter().enumerate() {
            self.sessions[player].state = SessionState::Playing(id, number);
            self.keep_seat(player);
        }
        self.tells_token(id, 0, &started.resume_ticket)
    }

    /// Returns the match and the seat number of a playing connection.
    pub(super) fn plays(&self, connection: usize) -> Result<(MatchId, usize), String> {
        match self.sessions[connection].state {
            SessionState::Playing(game, number) => Ok((game, number)),
            state => Err(format!("the session is {state:?}")),
        }
    }

    /// Whether the relay policy sends both positions to both players.
    pub(super) fn tells_both(&self) -> bool {
        self.config.relay == RelayPolicy::Both
    }

    /// Checks a relayed move: it is the newest legal move of that seat, sent once.
    fn relayed(&mut self, id: MatchId, number: usize, told: &MoveWithPayload<'_>) -> Result<(), String> {
        let tells_both = self.tells_both();
        let game = self.games.get_mut(&id).ok_or("no such match")?;
        let match_us = game.match_us();
        let seat = &mut game.seats[number];
        // A player who has not moved yet is relayed without an update.
        let is_last = (told.update, told.payload) == (seat.last, &seat.payload)
            || tells_both && told.update.seq == 0 && seat.last.seq == 0;
        if !is_last {
            return Err(format!("player {number} of {:?} is at {:?}", seat.holders, seat.last));
        }
        if !std::mem::take(&mut seat.unsent) && !tells_both {
            return Err("the move was sent already".into());
        }
        if told.update.seq == 0 { Ok(()) } else { seat.relayed.add(&told.update, match_us) }
    }

    fn corrected(&mut self, connection: usize, correction: &Correction) -> Result<(), String> {
        let (id, number) = self.plays(connection)?;
        let seat = &mut self.games.get_mut(&id).ok_or("no such match")?.seats[number];
        let Correction { match_id, corrections, seq, position } = *correction;
        let known = (id, seat.corrections, seat.illegal.take(), seat.last.position);
        if known != (match_id, corrections, Some(seq), position) {
            return Err(format!("expected {known:?}"));
        }
        let fair = seat.holders.iter().any(|holder| self.models[*holder].may_be_corrected(id));
        if fair { Ok(()) } else { Err(format!("a legal move was corrected: {seat:?}")) }
    }

    fn opponent_left(
        &mut self,
        connection: usize,
        id: MatchId,
        reason: LeaveReason,
        positions: &[Position; 2],
    ) -> Result<(), String> {
        let (game_id, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).ok_or("no such match")?;
        game.unsure = false;
        let game = &self.games[&id];
        let seat = &game.seats[1 - number];
        let opponent = seat.holder();
        let mut known = game.positions();
        // The server read the first excess move of a flood but did not process it.
        if self.flooded(opponent) && positions[1 - number] == seat.before {
            known[1 - number] = seat.before;
        }
        if game_id != id || *positions != known {
            return Err(format!("it plays {game_id}, with the positions {known:?}"));
        }
        let may_be_expelled = self.models[opponent].offended || self.flooded(opponent);
        let fair = may_be_expelled || self.sessions[opponent].closing || self.draining;
        if reason == LeaveReason::Expelled && !fair {
            return Err(format!("player {opponent} did nothing wrong"));
        }
        if let Some(away) = seat.away {
            let now_us = clock::now_us();
            let grace = game.grace(self.grace_us(), now_us);
            let at_once = away.since_us == now_us && reason == LeaveReason::Expelled && may_be_expelled;
            let in_time = match grace {
                Some(Grace::Expiring) => reason == away.reason,
                _ => self.draining && reason == away.reason || at_once,
            };
            if !in_time {
                return Err(format!(
                    "the opponent's seat is kept: {away:?}, with the grace period {grace:?}"
                ));
            }
            self.counters.seats_expired += u64::from(grace == Some(Grace::Expiring));
            self.counters.seats_kept -= u64::from(at_once);
            self.ends(id);
        }
        // The opponent's leaving is observed in the same poll. `check` compares the two.
        self.sessions[connection].state = SessionState::Idle;
        Ok(())
    }

    /// Whether the connection reached the message rate limit.
    pub(super) fn flooded(&self, connection: usize) -> bool {
        self.sessions[connection].units >= self.config.messages_per_s_max
    }

    /// Checks that the server has a reason to close a connection.
    pub(super) fn may_close(&mut self, connection: usize, close: &Close) -> Result<(), String> {
        self.settle_undecided(connection, close);
        let session = &self.sessions[connection];
        let fair = match CloseCode::from_code(close.code) {
            Some(CloseCode::ServerFull) => self.live.len() > self.config.connections_max,
            // The limit also counts handshakes, which the oracle cannot observe.
            Some(CloseCode::TooManyFromAddress) => {
                self.sessions.len() > self.config.connections_per_address_max
            }
            Some(CloseCode::TooManyMatches) => self.running_games() >= self.config.matches_max,
            Some(CloseCode::ShuttingDown) => self.draining,
            Some(CloseCode::JoinTimeout) => {
                let waited_us = clock::now_us() - session.accepted_us;
                !session.joined && waited_us >= self.config.join_timeout.as_micros() as u64
            }
            Some(CloseCode::TooManyMessages) => self.flooded(connection),
            Some(CloseCode::Replaced) => session.replaced,
            Some(CloseCode::NoSuchSeat) => session.may_be_refused,
            Some(CloseCode::ServerFault | CloseCode::Done) => false,
            Some(_) => self.models[connection].offended,
            None => close.code == Close::CONTROL_LANE_FULL && session.lost_us.is_some(),
        };
        if fair { Ok(()) } else { Err("the server had no reason to close".into()) }
    }

    /// Returns the number of running matches.
    pub(super) fn running_games(&self) -> usize {
        self.games.values().filter(|game| !game.over).count()
    }
}
