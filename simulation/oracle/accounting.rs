//! What must hold of the whole at one moment: liveness, who does what, and that every message is accounted for.

use netduel_protocol::clock;
use netduel_server::{Census, Snapshot};
use netduel_transport::simulation::Side;

use super::{OracleState, SessionState};
use crate::player_model::Intent;

impl OracleState {
    /// Liveness: who is lost is let go in time.
    pub(super) fn in_time(&self, connection: usize) -> Result<(), String> {
        let session = &self.sessions[connection];
        let Some(lost_us) = session.lost_us else { return Ok(()) };
        let silent_us = clock::now_us().saturating_sub(lost_us.max(session.accepted_us));
        if silent_us > self.silence_max_us {
            return Err(format!("nothing could be heard of {connection} for {silent_us} µs"));
        }
        Ok(())
    }

    /// What must hold between any two things that happen: nobody plays alone, and the server counts as we do.
    pub(crate) fn check(&mut self, census: &Census) {
        self.end_what_nobody_came_back_to(census.draining);
        let outcome =
            self.live.iter().try_for_each(|&it| self.in_time(it)).and_then(|()| self.agrees(census));
        if let Err(what) = outcome {
            self.violated(what);
        }
    }

    fn agrees(&self, census: &Census) -> Result<(), String> {
        self.live.iter().try_for_each(|&it| self.knows_its_peer(it))?;
        let waiting =
            self.live.iter().filter(|&&it| self.sessions[it].state == SessionState::Waiting).count();
        let connected: usize = census.connections.iter().map(|(_, count)| count).sum();
        let going = self.going();
        let [(games, away), (games_max, away_max)] = going;
        let agrees = (census.waiting, connected) == (waiting, self.live.len())
            && (games..=games_max).contains(&census.matches)
            && (away..=away_max).contains(&census.away);
        if !agrees {
            let connected = self.live.len();
            return Err(format!(
                "{connected} connected, {waiting} wait, {going:?} matches and away; {census:?}"
            ));
        }
        Ok(())
    }

    /// Once all is calm, players and server agree on who does what. Returns who plays.
    pub(crate) fn agree_with_players(&self) -> Result<Vec<[usize; 2]>, String> {
        for &it in &self.live {
            let (session, model) = (&self.sessions[it], &self.models[it]);
            let started = model.playing.as_ref().map(|playing| &playing.started);
            let game = started.map(|started| (started.game, usize::from(started.player)));
            let agree = model.offended
                || match session.state {
                    SessionState::Playing(id, number) => {
                        model.intent == Intent::Game && game == Some((id, number))
                    }
                    SessionState::Waiting => model.intent == Intent::Match,
                    SessionState::Idle => model.intent == Intent::Nothing,
                    SessionState::Gone => false,
                };
            if !agree {
                return Err(format!(
                    "{it} is {:?} to the server, and about {:?}",
                    session.state, model.intent
                ));
            }
            if let Some(side) = [Side::Client, Side::Server]
                .into_iter()
                .find(|side| !session.control[*side as usize].is_empty())
            {
                return Err(format!("control messages of the {side:?} of {it} did not arrive"));
            }
        }
        let pairs = self.live.iter().filter_map(|&it| match self.sessions[it].state {
            SessionState::Playing(id, 0) => Some([0, 1].map(|number| self.games[&id].seats[number].sitter())),
            _ => None,
        });
        Ok(pairs.collect())
    }

    /// The peer of that player was told of that move.
    pub(crate) fn is_told(&self, mover: usize, seq: u32) -> bool {
        let Ok((id, number)) = self.plays(mover) else { return false };
        self.games[&id].seats[1 - number].reached[number] == seq
    }

    /// Conservation: every move and update is accounted for.
    pub(crate) fn balance(&self, counted: &Snapshot) -> Result<(), String> {
        let equal = |what: &str, theirs: u64, ours: u64| {
            (theirs == ours).then_some(()).ok_or(format!("{what}: the server counts {theirs}, we {ours}"))
        };
        equal("updates relayed", counted.updates_relayed, self.counters.updates)?;
        equal("updates superseded", counted.updates_superseded, self.counters.superseded)?;
        equal("idle timeouts", counted.idle_timeouts, self.counters.idle_timeouts)?;
        equal("matches started", counted.matches_started, self.games.len() as u64)?;
        equal("matches ended", counted.matches_ended, self.games.len() as u64)?;
        equal("panics", counted.panics, 0)?;
        // The one move too many of a flood is read and not relayed.
        let too_many = self.counters.away.checked_sub(counted.updates_away);
        if too_many.is_none_or(|too_many| too_many > counted.expelled_flooding) {
            equal("updates for nobody", counted.updates_away, self.counters.away)?;
        }
        // A drain ends what waits and refuses who comes back, in a moment that is not seen.
        if !self.draining && !self.counters.unsure {
            equal("seats kept", counted.seats_kept, self.counters.seats_kept)?;
            equal("seats resumed", counted.seats_resumed, self.counters.seats_resumed)?;
            equal("seats expired", counted.seats_expired, self.counters.seats_expired)?;
            equal("refusals of seats", counted.refused_resume, self.counters.seats_refused)?;
        }
        let handshakes = counted.accepted - counted.handshakes_failed;
        // Those under way are not waited for at the end of a drain.
        equal("handshakes", handshakes, if self.draining { handshakes } else { self.counters.accepted })?;
        // Of who is sent away, those that came too often, too early or behind the offence are not even counted.
        let moves = |closing| -> u64 {
            self.sessions.iter().filter(|it| it.closing == closing).map(|it| it.moves).sum()
        };
        let received = moves(false)..=moves(false) + moves(true);
        if !received.contains(&counted.moves_received) {
            return Err(format!("{received:?} moves were read: {counted:?}"));
        }
        let told = if self.tells_both() { 2 } else { 1 };
        let legal = (counted.updates_relayed + counted.updates_undeliverable + counted.updates_away) / told;
        let refused = counted.moves_received.checked_sub(legal + counted.moves_stale + counted.moves_illegal);
        if refused.is_none_or(|refused| refused > counted.expelled) {
            return Err(format!("moves vanish: {counted:?}"));
        }
        Ok(())
    }
}
