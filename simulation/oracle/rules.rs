//! What the server may say, and to whom: pairing, isolation, order, and that nobody is sent away for nothing.

use netduel_protocol::{
    CloseCode, Correction, GameId, LeaveReason, MoveWithPayload, ServerMessage, Started, clock,
    game::Position,
};
use netduel_server::RelayPolicy;
use netduel_transport::Close;

use super::{
    OracleState, SessionState,
    game::{Game, Grace},
};

impl OracleState {
    /// Pairing, isolation and order, where the server speaks.
    pub(super) fn said(&mut self, connection: usize, message: &ServerMessage<'_>) -> Result<(), String> {
        match message {
            ServerMessage::Waiting => {
                let code = self.answered(connection)?;
                if let Some(other) = self.waits_for(&code) {
                    return Err(format!("waits although {other} waits for the same"));
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
            ServerMessage::OpponentLeft { game, reason, positions } => {
                self.peer_left(connection, *game, *reason, positions)?;
            }
            ServerMessage::Resumed(resumed) => self.resumed(connection, resumed)?,
            ServerMessage::OpponentReconnecting { game, grace_ms } => {
                self.peer_reconnecting(connection, *game, *grace_ms)?;
            }
            ServerMessage::OpponentBack { game, .. } => self.peer_back(connection, *game)?,
            ServerMessage::Draining { .. } if !self.draining => return Err("it does not drain".into()),
            ServerMessage::Draining { .. } | ServerMessage::Welcome { .. } | ServerMessage::Pong(_) => {}
        }
        Ok(())
    }

    /// The code of the join that is answered now.
    fn answered(&mut self, connection: usize) -> Result<Option<String>, String> {
        let session = &mut self.sessions[connection];
        session.joined = true;
        let code = session.asked.take().ok_or("it did not ask for a match")?;
        if session.state == SessionState::Idle { Ok(code) } else { Err(format!("it is {:?}", session.state)) }
    }

    fn waits_for(&self, code: &Option<String>) -> Option<usize> {
        let waits = |&number: &usize| {
            let session = &self.sessions[number];
            session.state == SessionState::Waiting && session.code == *code
        };
        self.live.iter().copied().find(waits)
    }

    /// Who waited is told first, then who came; or not any more, if that one is gone already.
    fn started(&mut self, connection: usize, started: &Started) -> Result<(), String> {
        let (id, number) = (started.game, usize::from(started.player));
        let peer: usize = started.opponent_name.parse().map_err(|_| "the peer has no name")?;
        if peer == connection {
            return Err("a match with itself".into());
        }
        if number == 1 {
            let agreed = self.sessions[connection].state == SessionState::Playing(id, 1)
                && self.games[&id].seats[0].sitter() == peer;
            return if agreed {
                self.tells_token(id, 1, &started.resume_ticket)
            } else {
                Err("its peer was not told".into())
            };
        }
        let session = &self.sessions[connection];
        if session.state != SessionState::Waiting || self.waits_for(&session.code) != Some(connection) {
            return Err(format!("it was {:?}, or somebody has waited longer", session.state));
        }
        let code = session.code.clone();
        if self.answered(peer)? != code {
            return Err(format!("{peer} asked for another code"));
        }
        if self.games.insert(id, Game::of([connection, peer])).is_some() {
            return Err("the number of another match".into());
        }
        for (number, player) in [connection, peer].into_iter().enumerate() {
            self.sessions[player].state = SessionState::Playing(id, number);
            self.leaves_its_seat(player);
        }
        self.tells_token(id, 0, &started.resume_ticket)
    }

    pub(super) fn plays(&self, connection: usize) -> Result<(GameId, usize), String> {
        match self.sessions[connection].state {
            SessionState::Playing(game, number) => Ok((game, number)),
            state => Err(format!("it is {state:?}")),
        }
    }

    pub(super) fn tells_both(&self) -> bool {
        self.config.relay == RelayPolicy::Both
    }

    /// What is told of a player in a match is the last that it said and may: whoever sits there, and nobody else.
    fn relayed(&mut self, id: GameId, number: usize, told: &MoveWithPayload<'_>) -> Result<(), String> {
        let tells_both = self.tells_both();
        let seat = &mut self.games.get_mut(&id).ok_or("no such match")?.seats[number];
        // Of who has not moved yet, who is told of both hears nothing.
        let is_last = (told.update, told.payload) == (seat.last, &seat.payload)
            || tells_both && told.update.seq == 0 && seat.last.seq == 0;
        if !is_last {
            return Err(format!("player {number} of {:?} is at {:?}", seat.sat, seat.last));
        }
        if !std::mem::take(&mut seat.untold) && !tells_both {
            return Err("it was told already".into());
        }
        Ok(())
    }

    fn corrected(&mut self, connection: usize, correction: &Correction) -> Result<(), String> {
        let (id, number) = self.plays(connection)?;
        let seat = &mut self.games.get_mut(&id).ok_or("no such match")?.seats[number];
        let Correction { game, corrections, seq, position } = *correction;
        let known = (id, seat.corrections, seat.illegal.take(), seat.last.position);
        if known == (game, corrections, Some(seq), position) {
            Ok(())
        } else {
            Err(format!("it is {known:?}"))
        }
    }

    fn peer_left(
        &mut self,
        connection: usize,
        id: GameId,
        reason: LeaveReason,
        positions: &[Position; 2],
    ) -> Result<(), String> {
        let (game_id, number) = self.plays(connection)?;
        let game = self.games.get_mut(&id).ok_or("no such match")?;
        game.unsure = false;
        let game = &self.games[&id];
        let seat = &game.seats[1 - number];
        let peer = seat.sitter();
        let mut known = game.positions();
        // The move that was one too many was read and not dealt with.
        if self.flooded(peer) && positions[1 - number] == seat.before {
            known[1 - number] = seat.before;
        }
        if game_id != id || *positions != known {
            return Err(format!("it plays {game_id}, and they were at {known:?}"));
        }
        let may_be_expelled = self.models[peer].offended || self.flooded(peer);
        let fair = may_be_expelled || self.sessions[peer].closing || self.draining;
        if reason == LeaveReason::Expelled && !fair {
            return Err(format!("player {peer} did nothing wrong"));
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
                return Err(format!("its peer's seat is kept: {away:?}, and its time {grace:?}"));
            }
            self.counters.seats_expired += u64::from(grace == Some(Grace::Expiring));
            self.counters.seats_kept -= u64::from(at_once);
            self.ends(id);
        }
        // Whoever left is seen to leave in the same poll: `check` holds them against each other.
        self.sessions[connection].state = SessionState::Idle;
        Ok(())
    }

    pub(super) fn flooded(&self, connection: usize) -> bool {
        self.sessions[connection].read >= self.config.messages_per_s_max
    }

    /// Nobody is sent away for nothing.
    pub(super) fn may_close(&mut self, connection: usize, goodbye: &Close) -> Result<(), String> {
        self.answered_asking(connection, goodbye);
        let session = &self.sessions[connection];
        let fair = match CloseCode::from_code(goodbye.code) {
            Some(CloseCode::ServerFull) => self.live.len() > self.config.connections_max,
            // Handshakes count, too, and are not seen here.
            Some(CloseCode::TooManyFromAddress) => {
                self.sessions.len() > self.config.connections_per_address_max
            }
            Some(CloseCode::TooManyMatches) => self.games_going() >= self.config.matches_max,
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
            None => goodbye.code == Close::CONTROL_LANE_FULL && session.lost_us.is_some(),
        };
        if fair { Ok(()) } else { Err("for nothing that it did".into()) }
    }

    pub(super) fn games_going(&self) -> usize {
        self.games.values().filter(|game| !game.over).count()
    }
}
