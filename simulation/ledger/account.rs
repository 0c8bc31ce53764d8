//! What must hold of the whole at one moment: liveness, who does what, and that every message is accounted for.

use netduel_protocol::clock;
use netduel_server::{Census, Snapshot};
use netduel_transport::simulation::Side;

use super::{Books, Stand};
use crate::seat::Wish;

impl Books {
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
        let outcome =
            self.live.iter().try_for_each(|&it| self.in_time(it)).and_then(|()| self.agrees(census));
        if let Err(what) = outcome {
            self.violated(what);
        }
    }

    fn agrees(&self, census: &Census) -> Result<(), String> {
        for &it in &self.live {
            let Stand::Playing(id, number) = self.sessions[it].stand else { continue };
            let game = &self.games[&id];
            let peer = game.players[1 - number];
            let told = self.sessions[peer].stand == Stand::Playing(id, 1 - number) && !game.over;
            if !told && !self.sessions[it].closing {
                return Err(format!("{it} was not told that {peer} left match {id}"));
            }
        }
        let waiting = self.live.iter().filter(|&&it| self.sessions[it].stand == Stand::Waiting).count();
        let connected: usize = census.connections.iter().map(|(_, count)| count).sum();
        if (census.waiting, census.matches, connected) != (waiting, self.games_going(), self.live.len()) {
            let games = self.games_going();
            return Err(format!("{} connected, {waiting} wait, {games} play; {census:?}", self.live.len()));
        }
        Ok(())
    }

    /// Once all is calm, players and server agree on who does what. Returns who plays.
    pub(crate) fn agree_with_players(&self) -> Result<Vec<[usize; 2]>, String> {
        for &it in &self.live {
            let (session, seat) = (&self.sessions[it], &self.seats[it]);
            let game = seat.playing.as_ref().map(|playing| (playing.game, usize::from(playing.player)));
            let agree = seat.offended
                || match session.stand {
                    Stand::Playing(id, number) => seat.wish == Wish::Game && game == Some((id, number)),
                    Stand::Waiting => seat.wish == Wish::Match,
                    Stand::Idle => seat.wish == Wish::Nothing,
                    Stand::Gone => false,
                };
            if !agree {
                return Err(format!("{it} is {:?} to the server, and about {:?}", session.stand, seat.wish));
            }
            if let Some(side) = [Side::Client, Side::Server]
                .into_iter()
                .find(|side| !session.control[*side as usize].is_empty())
            {
                return Err(format!("control messages of the {side:?} of {it} did not arrive"));
            }
        }
        let pairs = self.live.iter().filter_map(|&it| match self.sessions[it].stand {
            Stand::Playing(id, 0) => Some(self.games[&id].players),
            _ => None,
        });
        Ok(pairs.collect())
    }

    /// The peer of that player was told of that move.
    pub(crate) fn is_told(&self, mover: usize, seq: u32) -> bool {
        let Ok((id, number)) = self.plays(mover) else { return false };
        self.games[&id].told[1 - number][number] == seq
    }

    /// Conservation: every move and update is accounted for.
    pub(crate) fn balance(&self, counted: &Snapshot) -> Result<(), String> {
        let equal = |what: &str, theirs: u64, ours: u64| {
            (theirs == ours).then_some(()).ok_or(format!("{what}: the server counts {theirs}, we {ours}"))
        };
        equal("updates relayed", counted.updates_relayed, self.tally.updates)?;
        equal("updates superseded", counted.updates_superseded, self.tally.superseded)?;
        equal("idle timeouts", counted.idle_timeouts, self.tally.idle_timeouts)?;
        equal("matches started", counted.matches_started, self.games.len() as u64)?;
        equal("matches ended", counted.matches_ended, self.games.len() as u64)?;
        equal("panics", counted.panics, 0)?;
        let handshakes = counted.accepted - counted.handshakes_failed;
        // Those under way are not waited for at the end of a drain.
        equal("handshakes", handshakes, if self.draining { handshakes } else { self.tally.accepted })?;
        // Of who is sent away, those that came too often, too early or behind the offence are not even counted.
        let moves = |closing| -> u64 {
            self.sessions.iter().filter(|it| it.closing == closing).map(|it| it.moves).sum()
        };
        let received = moves(false)..=moves(false) + moves(true);
        if !received.contains(&counted.moves_received) {
            return Err(format!("{received:?} moves were read: {counted:?}"));
        }
        let told = if self.tells_both() { 2 } else { 1 };
        let legal = (counted.updates_relayed + counted.updates_undeliverable) / told;
        let refused = counted.moves_received.checked_sub(legal + counted.moves_stale + counted.moves_illegal);
        if refused.is_none_or(|refused| refused > counted.expelled) {
            return Err(format!("moves vanish: {counted:?}"));
        }
        Ok(())
    }
}
