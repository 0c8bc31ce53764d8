//! What the server may say, and to whom: pairing, isolation, order, and that nobody is sent away for nothing.

use netduel_protocol::{
    Correction, Ending, GameId, LeaveReason, MoveWithPayload, ServerMessage, Started, clock,
    game::{self, Position},
};
use netduel_server::RelayPolicy;
use netduel_transport::Goodbye;

use super::{Books, Game, Stand};

impl Books {
    /// Pairing, isolation and order, where the server speaks.
    pub(super) fn said(&mut self, connection: usize, message: &ServerMessage<'_>) -> Result<(), String> {
        match message {
            ServerMessage::Waiting => {
                let code = self.answered(connection)?;
                if let Some(other) = self.waits_for(&code) {
                    return Err(format!("waits although {other} waits for the same"));
                }
                let session = &mut self.sessions[connection];
                (session.stand, session.code) = (Stand::Waiting, code);
            }
            ServerMessage::Started(started) => self.started(connection, started)?,
            ServerMessage::Moved(told) => {
                self.tally.updates += 1;
                let (game, number) = self.plays(connection)?;
                self.relayed(game, 1 - number, told)?;
            }
            ServerMessage::MovedBoth(both) => {
                self.tally.updates += 1;
                let (game, _) = self.plays(connection)?;
                for (number, told) in both.iter().enumerate() {
                    self.relayed(game, number, told)?;
                }
            }
            ServerMessage::Corrected(correction) => self.corrected(connection, correction)?,
            ServerMessage::PeerLeft { game, reason, positions } => {
                self.peer_left(connection, *game, *reason, positions)?;
            }
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
        if session.stand == Stand::Idle { Ok(code) } else { Err(format!("it is {:?}", session.stand)) }
    }

    fn waits_for(&self, code: &Option<String>) -> Option<usize> {
        let waits = |&number: &usize| {
            let session = &self.sessions[number];
            session.stand == Stand::Waiting && session.code == *code
        };
        self.live.iter().copied().find(waits)
    }

    /// Who waited is told first, then who came; or not any more, if that one is gone already.
    fn started(&mut self, connection: usize, started: &Started) -> Result<(), String> {
        let (id, number) = (started.game, usize::from(started.player));
        let peer: usize = started.peer_name.parse().map_err(|_| "the peer has no name")?;
        if peer == connection {
            return Err("a match with itself".into());
        }
        if number == 1 {
            let agreed = self.sessions[connection].stand == Stand::Playing(id, 1)
                && self.games[&id].players == [peer, connection];
            return if agreed { Ok(()) } else { Err("its peer was not told".into()) };
        }
        let session = &self.sessions[connection];
        if session.stand != Stand::Waiting || self.waits_for(&session.code) != Some(connection) {
            return Err(format!("it was {:?}, or somebody has waited longer", session.stand));
        }
        let code = session.code.clone();
        if self.answered(peer)? != code {
            return Err(format!("{peer} asked for another code"));
        }
        if self.games.insert(id, Game::of([connection, peer])).is_some() {
            return Err("the number of another match".into());
        }
        for (number, player) in [connection, peer].into_iter().enumerate() {
            self.sessions[player].stand = Stand::Playing(id, number);
        }
        Ok(())
    }

    pub(super) fn plays(&self, connection: usize) -> Result<(GameId, usize), String> {
        match self.sessions[connection].stand {
            Stand::Playing(game, number) => Ok((game, number)),
            stand => Err(format!("it is {stand:?}")),
        }
    }

    pub(super) fn tells_both(&self) -> bool {
        self.config.relay == RelayPolicy::Both
    }

    /// What is told of a player in a match is what that player said last, and legal; or what was told before.
    fn relayed(&mut self, id: GameId, number: usize, told: &MoveWithPayload<'_>) -> Result<(), String> {
        let tells_both = self.tells_both();
        let game = self.games.get_mut(&id).ok_or("no such match")?;
        let (player, last) = (game.players[number], game.relayed[number]);
        let update = told.update;
        if update.game != id {
            return Err("a move of another match".into());
        }
        // Who is told of both hears what it has heard.
        if tells_both && (update == last || update.seq == 0 && last.seq == 0) {
            return Ok(());
        }
        let said = self.sessions[player].moved.as_ref();
        if !said.is_some_and(|(moved, payload)| *moved == update && payload == told.payload) {
            return Err(format!("player {player} said {:?}", said.map(|(moved, _)| moved)));
        }
        if update.seq <= last.seq {
            return Err(format!("after move {}", last.seq));
        }
        game::check(&last, &update).map_err(|illegal| illegal.to_string())?;
        game.relayed[number] = update;
        Ok(())
    }

    fn corrected(&mut self, connection: usize, correction: &Correction) -> Result<(), String> {
        let (id, number) = self.plays(connection)?;
        let game = &self.games[&id];
        let (peer, last) = (game.players[1 - number], game.relayed[number]);
        let Some((moved, _)) = &self.sessions[connection].moved else { return Err("it did not move".into()) };
        // What cannot be relayed any more is not seen here.
        if self.sessions[peer].closing {
            return Ok(());
        }
        if correction.game != id || moved.seq != correction.seq || correction.position != last.position {
            return Err(format!("after {moved:?}; it was at {:?}", last.position));
        }
        if game::check(&last, moved).is_ok() {
            return Err(format!("{moved:?} was legal after {last:?}"));
        }
        Ok(())
    }

    fn peer_left(
        &mut self,
        connection: usize,
        id: GameId,
        reason: LeaveReason,
        positions: &[Position; 2],
    ) -> Result<(), String> {
        let (game_id, number) = self.plays(connection)?;
        let game = &self.games[&id];
        let (peer, last) = (game.players[1 - number], game.relayed[1 - number]);
        if game_id != id || positions[1 - number] != last.position {
            return Err(format!("it plays {game_id}, its peer was at {:?}", last.position));
        }
        let fair =
            self.seats[peer].offended || self.flooded(peer) || self.sessions[peer].closing || self.draining;
        if reason == LeaveReason::Expelled && !fair {
            return Err(format!("player {peer} did nothing wrong"));
        }
        // Whoever left is seen to leave in the same poll: `check` holds them against each other.
        self.sessions[connection].stand = Stand::Idle;
        Ok(())
    }

    fn flooded(&self, connection: usize) -> bool {
        self.sessions[connection].read >= self.config.messages_per_s_max
    }

    /// Nobody is sent away for nothing.
    pub(super) fn may_close(&self, connection: usize, goodbye: &Goodbye) -> Result<(), String> {
        let session = &self.sessions[connection];
        let fair = match Ending::from_code(goodbye.code) {
            Some(Ending::ServerFull) => self.live.len() > self.config.connections_max,
            // Handshakes count, too, and are not seen here.
            Some(Ending::TooManyFromAddress) => self.sessions.len() > self.config.connections_per_address_max,
            Some(Ending::TooManyMatches) => self.games_going() >= self.config.matches_max,
            Some(Ending::ShuttingDown) => self.draining,
            Some(Ending::JoinTimeout) => {
                let waited_us = clock::now_us() - session.accepted_us;
                !session.joined && waited_us >= self.config.join_timeout.as_micros() as u64
            }
            Some(Ending::TooManyMessages) => self.flooded(connection),
            Some(Ending::ServerFault | Ending::Done) => false,
            Some(_) => self.seats[connection].offended,
            None => goodbye.code == Goodbye::CONTROL_LANE_FULL && session.lost_us.is_some(),
        };
        if fair { Ok(()) } else { Err("for nothing that it did".into()) }
    }

    pub(super) fn games_going(&self) -> usize {
        self.games.values().filter(|game| !game.over).count()
    }
}
