//! The lobby: every connected player of a server, the queue, and the matches.
//!
//! The task that completes a pair, ends a match or stops the server notifies all players concerned
//! itself, since sending never waits. No session needs to be woken, and all messages about one
//! match leave in one order, under one lock. What is due at a known time waits in
//! `lobby/deadlines.rs` for the one task that runs [`Lobby::keep_deadlines`].

mod deadlines;
mod join_limits;
mod match_log;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::Histogram;
use netduel_protocol::{CloseCode, LeaveReason, MatchId, SeatToken, ServerMessage, clock};
use netduel_transport::{Close, Sender, TransportKind};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    admission::AdmissionControl,
    config::Config,
    counters::Counters,
    matchmaking::{JoinOutcome, Matchmaker},
    player::{Player, Playing},
    player_sender::PlayerId,
    relay::Match,
    relay_latency::RelayLatency,
    seat::{Away, Occupant, Proof, fresh_token},
};
use deadlines::{Deadline, Deadlines};
use join_limits::{JoinLimits, TooManyJoins};
use match_log::{MatchEvent, MatchLog, Place};

/// The counts of everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Handshakes in progress.
    pub handshakes: usize,
    /// Addresses with at least one connection or handshake.
    pub addresses: usize,
    /// Connected players, by transport. A transport without players is left out.
    pub connections: Vec<(TransportKind, usize)>,
    /// Players in the queue.
    pub waiting: usize,
    /// Matches in progress.
    pub matches: usize,
    /// Kept seats, whose player may come back.
    pub away: usize,
    /// Whether the server is shutting down and accepts no players.
    pub draining: bool,
}

/// The lobby. Locks are taken in this order: `state`, a player's `playing`, a seat of a match, and
/// the deadlines.
pub(crate) struct Lobby {
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) admission: Arc<AdmissionControl>,
    /// The histograms of the relay's latency, by transport; unset without a metrics endpoint.
    pub(crate) relay_latency: OnceLock<Vec<(TransportKind, Histogram)>>,
    state: Mutex<State>,
    deadlines: Deadlines,
}

#[derive(Default)]
struct State {
    matchmaker: Matchmaker,
    join_limits: JoinLimits,
    match_log: MatchLog,
    /// The players in order of arrival, which is the order of notifications, too.
    players: BTreeMap<PlayerId, Arc<Player>>,
    last_player: PlayerId,
    last_match: MatchId,
    matches: BTreeMap<MatchId, Arc<Match>>,
    draining: bool,
}

impl State {
    /// Takes a player out of its seat, so that its moves are ignored.
    fn stand_up(&self, player: PlayerId) {
        if let Some(player) = self.players.get(&player) {
            player.playing.lock().take();
        }
    }
}

impl Lobby {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            counters: Counters::default(),
            admission: Arc::default(),
            relay_latency: OnceLock::new(),
            state: Mutex::default(),
            deadlines: Deadlines::default(),
        }
    }

    /// Does what is due at the deadlines: ends the matches of kept seats, lets joins that were held
    /// back take effect, and sums up the log.
    pub(crate) async fn keep_deadlines(&self) -> Infallible {
        let act = |due| {
            crate::faults::strike("deadlines");
            match due {
                Deadline::Seat(match_id, number) => self.expire(match_id, number),
                Deadline::Join(player) => self.release(player),
                Deadline::Summary => {
                    if let Some(summary) = self.state.lock().match_log.summary() {
                        tracing::info!("{summary}");
                    }
                }
            }
        };
        self.deadlines.keep(act).await
    }

    /// Makes a connection from `address` a player.
    ///
    /// # Errors
    /// The server is full or shutting down.
    pub(crate) fn enter(&self, sender: Sender, address: IpAddr) -> Result<Arc<Player>, Close> {
        let mut state = self.state.lock();
        if state.draining {
            return Err(shutting_down());
        }
        if state.players.len() >= self.config.connections_max {
            self.counters.refused_full.increment();
            let reason = format!(
                "the server is full: {} players are connected; try again later",
                self.config.connections_max
            );
            return Err(Close::new(CloseCode::ServerFull.code(), reason));
        }
        state.last_player += 1;
        let player = Arc::new(Player::new(state.last_player, sender));
        state.players.insert(player.to.id, player.clone());
        state.join_limits.enter(player.to.id, address, Instant::now());
        Ok(player)
    }

    /// Returns a latency recorder for moves that arrive over `kind`.
    pub(crate) fn relay_latency(&self, kind: TransportKind) -> RelayLatency {
        let histograms = self.relay_latency.get().into_iter().flatten();
        RelayLatency::new(histograms.filter(|(of, _)| *of == kind).map(|(_, it)| it.clone()).next())
    }

    /// Queues a player for a match, or starts the match. Holds the join back after too many early
    /// leaves or wrong codes.
    ///
    /// # Errors
    /// The server is full or shutting down, the player waits or plays already, or the join would be
    /// held back for too long.
    pub(crate) fn join(&self, player: &Arc<Player>, name: String, code: Option<String>) -> Result<(), Close> {
        let mut state = self.state.lock();
        if state.draining {
            return Err(shutting_down());
        }
        let id = player.to.id;
        if player.playing.lock().is_some() || state.matchmaker.has(id) {
            let reason = "a join while the player waits or plays: leave first";
            return Err(Close::new(CloseCode::Unexpected.code(), reason));
        }
        let from = state.join_limits.join(id, code.is_some(), Instant::now(), &self.config);
        let from = from.map_err(|too_many| {
            self.counters.refused_joins.increment();
            too_many_joins(too_many)
        })?;
        *player.name.lock() = name;
        match from {
            None => {
                if !self.pair(&mut state, player, code)? {
                    player.to.send(&ServerMessage::Waiting);
                }
            }
            Some(from) => {
                self.counters.joins_held.increment();
                state.matchmaker.hold(id, code);
                self.deadlines.set(Deadline::Join(id), from);
                player.to.send(&ServerMessage::Waiting);
            }
        }
        Ok(())
    }

    /// Lets a join that was held back take effect. The player knows already that it waits.
    fn release(&self, player: PlayerId) {
        let mut state = self.state.lock();
        let Some(code) = state.matchmaker.release(player) else { return };
        let Some(player) = state.players.get(&player).cloned() else { return };
        if let Err(close) = self.pair(&mut state, &player, code) {
            player.to.sender.close(close);
        }
    }

    /// Starts the match of a player that joins, or queues the player. Returns whether the match has
    /// started.
    ///
    /// # Errors
    /// There are too many matches, or the system has no random numbers.
    fn pair(&self, state: &mut State, player: &Arc<Player>, code: Option<String>) -> Result<bool, Close> {
        if state.matches.len() >= self.config.matches_max {
            self.counters.refused_matches.increment();
            let reason = format!(
                "the server is full: {} matches are in progress; try again later",
                self.config.matches_max
            );
            return Err(Close::new(CloseCode::TooManyMatches.code(), reason));
        }
        // Random numbers may fail, so the tokens are made before anything changes.
        let begins = !self.config.resume_grace.is_zero() && state.matchmaker.somebody_waits(code.as_deref());
        let tokens = if begins { Some([fresh_token()?, fresh_token()?]) } else { None };
        let JoinOutcome::Matched(partner) = state.matchmaker.join(player.to.id, code) else {
            return Ok(false);
        };
        let Some(partner) = state.players.get(&partner).cloned() else { return Ok(false) };
        for player in [&partner, player] {
            state.join_limits.matched(player.to.id, &self.config);
        }
        self.start(state, &[partner, player.clone()], tokens);
        Ok(true)
    }

    fn start(&self, state: &mut State, players: &[Arc<Player>; 2], tokens: Option<[SeatToken; 2]>) {
        state.last_match += 1;
        let seated = [0, 1].map(|number: usize| (players[number].name(), players[number].to.clone()));
        let game = Arc::new(Match::new(state.last_match, seated, tokens, &self.config));
        state.matches.insert(game.match_id, game.clone());
        self.counters.matches_started.increment();
        self.mention(state, MatchEvent::Started, || {
            let [first, second] = [0, 1].map(|number: usize| players[number].to.sender.kind());
            tracing::info!(match_id = game.match_id, players = ?game.names, "a match over {first} and {second}");
        });
        for (number, player) in players.iter().enumerate() {
            player.sit(&game, number);
            player.to.send(&game.started(number));
        }
    }

    /// Takes a player out of the queue or its match. The player may join again.
    pub(crate) fn leave(&self, player: &Player, reason: LeaveReason) {
        let mut state = self.state.lock();
        self.leave_queue(&mut state, player.to.id);
        let playing = player.playing.lock().take();
        if let Some(Playing { game, number }) = playing {
            self.note_early_leave(&mut state, player.to.id, &game);
            self.end(&mut state, &game, number, reason);
        }
    }

    fn leave_queue(&self, state: &mut State, player: PlayerId) {
        if state.matchmaker.leave(player) {
            self.deadlines.cancel(Deadline::Join(player));
        }
    }

    /// Counts a leave right after the start of the match, which keeps others from playing.
    fn note_early_leave(&self, state: &mut State, player: PlayerId, game: &Match) {
        let played = Duration::from_micros(clock::now_us().saturating_sub(game.started_us));
        if played < self.config.early_leave {
            state.join_limits.left_early(player, Instant::now());
        }
    }

    /// Writes a line of the log about a match, unless there are too many.
    fn mention(&self, state: &mut State, event: MatchEvent, line: impl FnOnce()) {
        match state.match_log.place(event, Instant::now()) {
            Place::Line => line(),
            Place::NewSummary(at) => self.deadlines.set(Deadline::Summary, at),
            Place::Summary => {}
        }
    }

    /// Ends a match, since the player of seat `number` has left for good.
    fn end(&self, state: &mut State, game: &Match, number: usize, reason: LeaveReason) {
        state.matches.remove(&game.match_id);
        [0, 1].into_iter().for_each(|seat| self.deadlines.cancel(Deadline::Seat(game.match_id, seat)));
        // Flushes the moves of the batch that the end came in: the match alone knows
        // their receiver.
        game.flush(&self.counters);
        self.counters.matches_ended.increment();
        self.mention(state, MatchEvent::Ended, || {
            tracing::info!(match_id = game.match_id, player = ?game.names[number], "left: {reason:?}");
        });
        let positions = game.positions();
        for seat in [1 - number, number] {
            let Occupant::Here(player) = game.seat(seat).vacate() else { continue };
            state.stand_up(player.id);
            if seat != number {
                player.send(&ServerMessage::OpponentLeft { match_id: game.match_id, reason, positions });
            }
            if state.draining {
                player.sender.close(shutting_down());
            }
        }
    }

    /// Removes a player for good.
    pub(crate) fn remove(&self, player: &Player, reason: LeaveReason) {
        self.leave(player, reason);
        self.forget(&mut self.state.lock(), player);
    }

    fn forget(&self, state: &mut State, player: &Player) {
        state.players.remove(&player.to.id);
        state.join_limits.remove(player.to.id);
    }

    /// Removes a player whose connection was lost. If it played, its seat is kept for
    /// [`Config::resume_grace`].
    pub(crate) fn lose(&self, player: &Player, reason: LeaveReason) {
        let grace = self.config.resume_grace;
        let mut state = self.state.lock();
        if grace.is_zero() || state.draining {
            drop(state);
            return self.remove(player, reason);
        }
        self.leave_queue(&mut state, player.to.id);
        let playing = player.playing.lock().take();
        if let Some(Playing { game, number }) = playing {
            self.note_early_leave(&mut state, player.to.id, &game);
            self.counters.seats_kept.increment();
            self.mention(&mut state, MatchEvent::Seat, || {
                let player = &game.names[number];
                tracing::info!(match_id = game.match_id, ?player, "lost the connection: {reason:?}");
            });
            let until = Instant::now() + grace;
            self.deadlines.set(Deadline::Seat(game.match_id, number), until);
            game.keep(number, Away { reason, until });
        }
        self.forget(&mut state, player);
    }

    /// Ends the match of a kept seat whose player did not come back in time.
    fn expire(&self, match_id: MatchId, number: usize) {
        let mut state = self.state.lock();
        let Some(game) = state.matches.get(&match_id).cloned() else { return };
        // The player may have come back, and even have been lost again, while this task waited for
        // the lock.
        let reason = game.seat(number).expired(Instant::now());
        if let Some(reason) = reason {
            self.counters.seats_expired.increment();
            self.end(&mut state, &game, number, reason);
        }
    }

    /// Gives a seat of `game` to a new connection that proves its right. The server closes the
    /// seat's old connection, which may not know yet that it is dead.
    ///
    /// # Errors
    /// No seat matches the proof, or the server is shutting down.
    pub(crate) fn resume(&self, player: &Arc<Player>, match_id: MatchId, proof: &Proof) -> Result<(), Close> {
        let mut state = self.state.lock();
        if state.draining {
            return Err(shutting_down());
        }
        let seat = (state.matches.get(&match_id))
            .filter(|_| !self.config.resume_grace.is_zero())
            .and_then(|game| Some((game.clone(), game.seat_of(proof)?)));
        let Some((game, number)) = seat else {
            self.counters.refused_resume.increment();
            return Err(no_such_seat());
        };
        let next = fresh_token()?; // Random numbers may fail, so this comes before anything changes.
        let before = game.seat(number).player().cloned();
        if let Some(before) = before {
            // From here on the old connection's moves are ignored, so that the seat's first
            // move is the new connection's.
            state.stand_up(before.id);
            before.sender.close(replaced());
        }
        self.deadlines.cancel(Deadline::Seat(match_id, number));
        player.sit(&game, number);
        game.resume(number, player.to.clone(), proof.clone(), next);
        self.counters.seats_resumed.increment();
        self.mention(&mut state, MatchEvent::Seat, || {
            let kind = player.to.sender.kind();
            tracing::info!(match_id, player = ?game.names[number], "resumed its seat over {kind}");
        });
        Ok(())
    }

    /// Refuses new players and joins from now on. Matches may finish within `time_left`.
    pub(crate) fn drain(&self, time_left: Duration) {
        let mut state = self.state.lock();
        state.draining = true;
        // A player that is away could not come back any more.
        for game in state.matches.values().cloned().collect::<Vec<_>>() {
            let away = [0, 1].into_iter().find_map(|number| Some((number, game.seat(number).away()?)));
            if let Some((number, reason)) = away {
                self.end(&mut state, &game, number, reason);
            }
        }
        let seconds = u32::try_from(time_left.as_secs()).unwrap_or(u32::MAX);
        for player in state.players.values() {
            if player.playing.lock().is_some() {
                player.to.send(&ServerMessage::Draining { seconds });
            } else {
                player.to.sender.close(shutting_down());
            }
        }
    }

    /// Whether the server is shutting down.
    pub(crate) fn is_draining(&self) -> bool {
        self.state.lock().draining
    }

    /// Counts everything at this moment.
    pub(crate) fn census(&self) -> Census {
        let state = self.state.lock();
        let mut connections: Vec<(TransportKind, usize)> = Vec::new();
        for player in state.players.values() {
            let kind = player.to.sender.kind();
            match connections.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => connections.push((kind, 1)),
            }
        }
        Census {
            handshakes: self.admission.handshakes(),
            addresses: self.admission.addresses(),
            connections,
            waiting: state.matchmaker.waiting(),
            matches: state.matches.len(),
            away: (state.matches.values())
                .map(|game| [0, 1].into_iter().filter(|number| game.seat(*number).away().is_some()).count())
                .sum(),
            draining: state.draining,
        }
    }

    /// Expels the players for whom most bytes wait, `count` at most; of equals the newest ones.
    pub(crate) fn expel_largest(&self, count: usize) {
        let state = self.state.lock();
        let mut players: Vec<_> =
            state.players.values().map(|it| (it.to.sender.queued_bytes(), it.to.id, it)).collect();
        players.sort_unstable_by_key(|(queued_bytes, id, _)| std::cmp::Reverse((*queued_bytes, *id)));
        for (.., player) in players.into_iter().take(count) {
            player.to.sender.close(out_of_memory());
            self.counters.expelled.increment();
            self.counters.expelled_memory.increment();
        }
    }

    /// Closes every connection.
    pub(crate) fn close_all(&self) {
        self.state.lock().players.values().for_each(|player| player.to.sender.close(shutting_down()));
    }
}

/// Returns the one refusal for every bad token, so that the refusal does not reveal which matches
/// exist.
fn no_such_seat() -> Close {
    Close::new(CloseCode::NoSuchSeat.code(), "no seat is kept for this token: join to play another match")
}

fn too_many_joins(too_many: TooManyJoins) -> Close {
    let reason = match too_many {
        TooManyJoins::Leaves => {
            "this player or its address left too many matches right after their start: try again in a minute"
        }
        TooManyJoins::Codes => {
            "this address tried too many match codes that no other player gave: try again in a minute"
        }
    };
    Close::new(CloseCode::TooManyJoins.code(), reason)
}

fn replaced() -> Close {
    Close::new(CloseCode::Replaced.code(), "another connection resumed this player's seat")
}

fn out_of_memory() -> Close {
    Close::new(CloseCode::ServerFull.code(), "the server is short of memory: connect again later")
}

fn shutting_down() -> Close {
    Close::new(CloseCode::ShuttingDown.code(), "the server is shutting down: connect again in a moment")
}
