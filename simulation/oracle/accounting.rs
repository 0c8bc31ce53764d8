//! Invariants of the whole world at one moment: liveness, agreement, and conservation of messages.

use netduel_protocol::clock;
use netduel_server::{Census, Snapshot};
use netduel_transport::simulation::Side;

use super::{OracleState, SessionState};
use crate::player_model::Intent;

impl OracleState {
    /// Checks liveness: the server releases a lost player in time.
    pub(super) fn in_time(&self, connection: usize) -> Result<(), String> {
        let session = &self.sessions[connection];
        let Some(lost_us) = session.lost_us else { return Ok(()) };
        let silent_us = clock::now_us().saturating_sub(lost_us.max(session.accepted_us));
        if silent_us > self.silence_max_us {
            return Err(format!("the server kept {connection} after {silent_us} µs of silence"));
        }
        Ok(())
    }

    /// Checks the invariants between two events: no player plays alone, and the server's census
    /// agrees with the oracle.
    pub(crate) fn check(&mut self, census: &Census) {
        self.expire_seats(census.draining);
        let outcome =
            self.live.iter().try_for_each(|&it| self.in_time(it)).and_then(|()| self.agrees(census));
        if let Err(what) = outcome {
            self.violated(what);
        }
    }

    /// Checks that the server's census agrees with the oracle.
    fn agrees(&self, census: &Census) -> Result<(), String> {
        self.live.iter().try_for_each(|&it| self.knows_opponent(it))?;
        let waiting =
            self.live.iter().filter(|&&it| self.sessions[it].state == SessionState::Waiting).count();
        let connected: usize = census.connections.iter().map(|(_, count)| count).sum();
        let running = self.running();
        let [(games, away), (games_max, away_max)] = running;
        let agrees = (census.waiting, connected) == (waiting, self.live.len())
            && (games..=games_max).contains(&census.matches)
            && (away..=away_max).contains(&census.away);
        if !agrees {
            let connected = self.live.len();
            return Err(format!(
                "expected {connected} connected, {waiting} waiting, {running:?} matches and away; {census:?}"
            ));
        }
        Ok(())
    }

    /// Checks, in a calm world, that players and server agree on every player's state. Returns the
    /// pairs that play.
    pub(crate) fn agree_with_players(&self) -> Result<Vec<[usize; 2]>, String> {
        for &it in &self.live {
            let (session, model) = (&self.sessions[it], &self.models[it]);
            let started = model.playing.as_ref().map(|playing| &playing.started);
            let game = started.map(|started| (started.match_id, usize::from(started.player)));
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
                    "{it} is {:?} to the server, and its intent is {:?}",
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
            SessionState::Playing(id, 0) => Some([0, 1].map(|number| self.games[&id].seats[number].holder())),
            _ => None,
        });
        Ok(pairs.collect())
    }

    /// Whether the opponent received the move `seq` of `mover`.
    pub(crate) fn has_received(&self, mover: usize, seq: u32) -> bool {
        let Ok((id, number)) = self.plays(mover) else { return false };
        self.games[&id].seats[1 - number].reached[number] == seq
    }

    /// Checks conservation: every move and update is accounted for.
    pub(crate) fn balance(&self, counted: &Snapshot) -> Result<(), String> {
        let equal = |what: &str, theirs: u64, ours: u64| {
            (theirs == ours)
                .then_some(())
                .ok_or(format!("{what}: the server counts {theirs}, the oracle {ours}"))
        };
        equal("updates relayed", counted.updates_relayed, self.counters.updates)?;
        equal("updates superseded", counted.updates_superseded, self.counters.superseded)?;
        equal("idle timeouts", counted.idle_timeouts, self.counters.idle_timeouts)?;
        equal("matches started", counted.matches_started, self.games.len() as u64)?;
        equal("matches ended", counted.matches_ended, self.games.len() as u64)?;
        equal("panics", counted.panics, 0)?;
        // The server reads the first excess move of a flood but does not relay it.
        let excess = self.counters.away.checked_sub(counted.updates_away);
        if excess.is_none_or(|excess| excess > counted.expelled_flooding) {
            equal("updates for an absent opponent", counted.updates_away, self.counters.away)?;
        }
        // A drain ends waiting matches and refuses resumes at a moment that the oracle cannot
        // observe.
        if !self.draining && !self.counters.unsure {
            equal("seats kept", counted.seats_kept, self.counters.seats_kept)?;
            equal("seats resumed", counted.seats_resumed, self.counters.seats_resumed)?;
            equal("seats expired", counted.seats_expired, self.counters.seats_expired)?;
            equal("refused resumes", counted.refused_resume, self.counters.seats_refused)?;
        }
        let handshakes = counted.accepted - counted.handshakes_failed;
        // The end of a drain does not wait for handshakes in progress.
        equal("handshakes", handshakes, if self.draining { handshakes } else { self.counters.accepted })?;
        // The server does not count the moves of an expelled player that were too many, too early,
        // or after the offence.
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
            return Err(format!("moves are unaccounted for: {counted:?}"));
        }
        Ok(())
    }
}
