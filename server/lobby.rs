//! The players of a server: who is connected, who waits, who plays whom.
//!
//! Whoever completes a pair, leaves, or ends the server tells everybody concerned itself, since sending never waits. So no
//! session needs to be woken, and all messages about one match leave in one order, under one lock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::Histogram;
use netduel_protocol::{
    CloseCode, GameId, LeaveReason, MAX_MESSAGE_BYTES, MoveWithPayload, SeatToken, ServerMessage,
};
use netduel_transport::{Goodbye, Sender, TransportKind};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Config,
    counters::{Counters, kind_number},
    admission::AdmissionControl,
    lock,
    matchmaking::{JoinOutcome, Matchmaker, PlayerId},
    relay::Match,
    relay_latency::RelayLatency,
    seat::{Away, Occupant, Proof, fresh_token},
};

/// A connected player, as other players' tasks see it. Who comes back to a match is another one in the same seat.
pub(crate) struct Player {
    id: PlayerId,
    pub(crate) sender: Sender,
    /// Of its transport among those that are counted.
    pub(crate) kind_number: usize,
    name: Mutex<String>,
    playing: Mutex<Option<Playing>>,
    /// The newest match it was in; 0 before the first.
    latest_game: AtomicU64,
}

/// Where it sits.
struct Playing {
    game: Arc<Match>,
    number: usize,
}

impl Player {
    pub(crate) fn name(&self) -> String {
        lock(&self.name).clone()
    }

    /// Sends on the control lane. If the connection is over its own task finds out, so nobody needs to know here.
    pub(crate) fn say(&self, message: &ServerMessage<'_>) {
        self.say_in_batch(message, false);
    }

    /// The same; one of a batch may wait for [`Self::flush`].
    pub(crate) fn say_in_batch(&self, message: &ServerMessage<'_>, batched: bool) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        match netduel_protocol::encode(message, &mut buffer) {
            Ok(bytes) if batched => drop(self.sender.queue_control(bytes)),
            Ok(bytes) => drop(self.sender.send_control(bytes)),
            Err(error) => tracing::error!("cannot encode {message:?}: {error}"),
        }
    }

    /// Its moves are those of a seat from now on.
    fn sit(&self, game: &Arc<Match>, number: usize) {
        self.latest_game.store(game.game, Relaxed);
        *lock(&self.playing) = Some(Playing { game: game.clone(), number });
    }

    /// The hot path: this player moved, and said so in `bytes`. One of a batch may wait for [`Self::flush`].
    pub(crate) fn on_move(
        &self,
        told: &MoveWithPayload<'_>,
        bytes: &[u8],
        batched: bool,
        counters: &Counters,
    ) -> Result<(), Goodbye> {
        counters.moves_received.increment();
        let game = told.update.game;
        match &*lock(&self.playing) {
            Some(playing) if playing.game.game == game => {
                playing.game.on_move(playing.number, told, bytes, batched, counters)
            }
            _ if game != 0 && game <= self.latest_game.load(Relaxed) => {
                counters.moves_stale.increment(); // It was under way when the match ended.
                Ok(())
            }
            _ => Err(Goodbye::new(
                CloseCode::Unexpected.code(),
                "a move for a match you are not in: wait for the start",
            )),
        }
    }

    /// The batch is over: what it said to this player and to the other one leaves.
    pub(crate) fn flush(&self, counters: &Counters) {
        match &*lock(&self.playing) {
            Some(playing) => playing.game.flush(counters),
            None => drop(self.sender.flush()), // No updates are among it.
        }
    }
}

/// How many there are of everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Handshakes under way.
    pub handshakes: usize,
    /// Addresses that somebody is connected from, or knocks from.
    pub addresses: usize,
    /// Connected players, by transport; a transport without any is left out.
    pub connections: Vec<(TransportKind, usize)>,
    /// Players that wait for an opponent.
    pub waiting: usize,
    /// Matches going on.
    pub matches: usize,
    /// Seats that wait for their player to come back.
    pub away: usize,
    /// The server is going down and lets nobody in.
    pub draining: bool,
}

/// See the module. Locks are taken in this order: `state`, then a player's `playing`, then a seat of a match.
pub(crate) struct Lobby {
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) admission: Arc<AdmissionControl>,
    /// Where sessions say how long moves stay, by transport; nothing if nobody looks.
    pub(crate) relay_latency: OnceLock<Vec<(TransportKind, Histogram)>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pairing: Matchmaker,
    /// In the order in which they came: everybody is told in that order, too.
    players: BTreeMap<PlayerId, Arc<Player>>,
    last_player: PlayerId,
    last_game: GameId,
    matches: BTreeMap<GameId, Arc<Match>>,
    draining: bool,
}

impl Lobby {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            counters: Counters::default(),
            admission: Arc::default(),
            relay_latency: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// A connection becomes a player, if there is room.
    pub(crate) fn enter(&self, sender: Sender) -> Result<Arc<Player>, Goodbye> {
        let mut state = lock(&self.state);
        if state.draining {
            return Err(shutting_down());
        }
        if state.players.len() >= self.config.connections_max {
            self.counters.refused_full.increment();
            let reason = format!(
                "the server is full: {} players are connected; try later",
                self.config.connections_max
            );
            return Err(Goodbye::new(CloseCode::ServerFull.code(), reason));
        }
        state.last_player += 1;
        let player = Arc::new(Player {
            id: state.last_player,
            kind_number: kind_number(sender.kind()),
            sender,
            name: Mutex::default(),
            playing: Mutex::default(),
            latest_game: AtomicU64::new(0),
        });
        state.players.insert(player.id, player.clone());
        Ok(player)
    }

    /// Times moves that come over `kind`.
    pub(crate) fn relay_latency(&self, kind: TransportKind) -> RelayLatency {
        let histograms = self.relay_latency.get().into_iter().flatten();
        RelayLatency::new(histograms.filter(|(of, _)| *of == kind).map(|(_, it)| it.clone()).next())
    }

    /// A player wants a match.
    pub(crate) fn join(
        &self,
        player: &Arc<Player>,
        name: String,
        code: Option<String>,
    ) -> Result<(), Goodbye> {
        let mut state = lock(&self.state);
        if state.draining {
            return Err(shutting_down());
        }
        let twice =
            || Goodbye::new(CloseCode::Unexpected.code(), "joined while waiting or playing: leave first");
        if lock(&player.playing).is_some() {
            return Err(twice());
        }
        if state.matches.len() >= self.config.matches_max {
            self.counters.refused_matches.increment();
            let reason = format!(
                "the server has no room: {} matches are going on; try later",
                self.config.matches_max
            );
            return Err(Goodbye::new(CloseCode::TooManyMatches.code(), reason));
        }
        // Before anything changes, since it may fail.
        let begins = !self.config.resume_grace.is_zero() && state.pairing.somebody_waits(code.as_deref());
        let tokens = if begins { Some([fresh_token()?, fresh_token()?]) } else { None };
        let partner = match state.pairing.join(player.id, code) {
            JoinOutcome::AlreadyWaiting => return Err(twice()),
            JoinOutcome::Waiting => None,
            JoinOutcome::Matched(partner) => state.players.get(&partner).cloned(),
        };
        *lock(&player.name) = name;
        match partner {
            Some(partner) => self.start(&mut state, [partner, player.clone()], tokens),
            None => player.say(&ServerMessage::Waiting),
        }
        Ok(())
    }

    fn start(&self, state: &mut State, players: [Arc<Player>; 2], tokens: Option<[SeatToken; 2]>) {
        state.last_game += 1;
        let game = Arc::new(Match::new(state.last_game, players.clone(), tokens, &self.config));
        state.matches.insert(game.game, game.clone());
        self.counters.matches_started.increment();
        tracing::info!(
            game = game.game,
            "{} ({}) meets {} ({})",
            game.names[0],
            players[0].sender.kind(),
            game.names[1],
            players[1].sender.kind(),
        );
        for (number, player) in players.iter().enumerate() {
            player.sit(&game, number);
            player.say(&game.started(number));
        }
    }

    /// A player leaves the queue or its match, and may join again.
    pub(crate) fn leave(&self, player: &Player, reason: LeaveReason) {
        let mut state = lock(&self.state);
        state.pairing.leave(player.id);
        let playing = lock(&player.playing).take();
        if let Some(Playing { game, number }) = playing {
            self.end(&mut state, &game, number, reason);
        }
    }

    /// The match is over, since the player of seat `number` is gone.
    fn end(&self, state: &mut State, game: &Match, number: usize, reason: LeaveReason) {
        state.matches.remove(&game.game);
        // Moves of the batch that the end came in: afterwards nobody would know whom they wait for.
        game.flush(&self.counters);
        self.counters.matches_ended.increment();
        tracing::info!(game = game.game, "{} left: {reason:?}", game.names[number]);
        let positions = game.positions();
        for seat in [1 - number, number] {
            let Occupant::Here(player) = game.seat(seat).vacate() else { continue };
            lock(&player.playing).take();
            if seat != number {
                player.say(&ServerMessage::OpponentLeft { game: game.game, reason, positions });
            }
            if state.draining {
                player.sender.close(shutting_down());
            }
        }
    }

    /// A player is gone for good.
    pub(crate) fn remove(&self, player: &Player, reason: LeaveReason) {
        self.leave(player, reason);
        lock(&self.state).players.remove(&player.id);
    }

    /// A player's connection is lost. If it played, its seat is kept for a while.
    pub(crate) fn lose(self: &Arc<Self>, player: &Player, reason: LeaveReason) {
        let grace = self.config.resume_grace;
        let mut state = lock(&self.state);
        if grace.is_zero() || state.draining {
            drop(state);
            return self.remove(player, reason);
        }
        state.players.remove(&player.id);
        state.pairing.leave(player.id);
        let Some(Playing { game, number }) = lock(&player.playing).take() else { return };
        self.counters.seats_kept.increment();
        tracing::info!(game = game.game, "{} lost the connection: {reason:?}", game.names[number]);
        let (lobby, id, until) = (self.clone(), game.game, Instant::now() + grace);
        let expiry = tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            lobby.expire(id, number);
        });
        game.keep(number, Away { reason, until, _expiry: AbortOnDropHandle::new(expiry) });
    }

    /// Nobody came back to a seat in time.
    fn expire(&self, game: GameId, number: usize) {
        let mut state = lock(&self.state);
        let Some(game) = state.matches.get(&game).cloned() else { return };
        // Somebody may have come back, and even gone again, while this waited for the lock.
        let reason = game.seat(number).expired(Instant::now());
        if let Some(reason) = reason {
            self.counters.seats_expired.increment();
            self.end(&mut state, &game, number, reason);
        }
    }

    /// A new connection proves that it is the player of a seat in `game`, and takes it. Whoever sits there still, on a
    /// connection that may not know yet that it is dead, is sent away.
    pub(crate) fn resume(&self, player: &Arc<Player>, game: GameId, proof: &Proof) -> Result<(), Goodbye> {
        let state = lock(&self.state);
        if state.draining {
            return Err(shutting_down());
        }
        let seat = (state.matches.get(&game))
            .filter(|_| !self.config.resume_grace.is_zero())
            .and_then(|game| Some((game, game.seat_of(proof)?)));
        let Some((game, number)) = seat else {
            self.counters.refused_resume.increment();
            return Err(no_such_seat());
        };
        let next = fresh_token()?; // Before anything changes, since it may fail.
        let before = game.seat(number).player().cloned();
        if let Some(before) = before {
            // From here on it moves nobody, so that the first move in the seat is the new connection's.
            lock(&before.playing).take();
            before.sender.close(replaced());
        }
        player.sit(game, number);
        game.resume(number, player.clone(), proof.clone(), next);
        self.counters.seats_resumed.increment();
        tracing::info!(game = game.game, "{} is back ({})", game.names[number], player.sender.kind());
        Ok(())
    }

    /// From now on nobody enters or joins; who plays may finish within `time_left`.
    pub(crate) fn drain(&self, time_left: Duration) {
        let mut state = lock(&self.state);
        state.draining = true;
        // Who is away could not come in any more.
        for game in state.matches.values().cloned().collect::<Vec<_>>() {
            let away = [0, 1].into_iter().find_map(|number| Some((number, game.seat(number).away()?)));
            if let Some((number, reason)) = away {
                self.end(&mut state, &game, number, reason);
            }
        }
        let seconds = u32::try_from(time_left.as_secs()).unwrap_or(u32::MAX);
        for player in state.players.values() {
            if lock(&player.playing).is_some() {
                player.say(&ServerMessage::Draining { seconds });
            } else {
                player.sender.close(shutting_down());
            }
        }
    }

    /// Who is there now.
    pub(crate) fn census(&self) -> Census {
        let state = lock(&self.state);
        let mut connections: Vec<(TransportKind, usize)> = Vec::new();
        for player in state.players.values() {
            let kind = player.sender.kind();
            match connections.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => connections.push((kind, 1)),
            }
        }
        Census {
            handshakes: self.admission.handshakes(),
            addresses: self.admission.addresses(),
            connections,
            waiting: state.pairing.waiting(),
            matches: state.matches.len(),
            away: (state.matches.values())
                .map(|game| [0, 1].into_iter().filter(|number| game.seat(*number).away().is_some()).count())
                .sum(),
            draining: state.draining,
        }
    }

    /// Everybody must go now.
    pub(crate) fn close_all(&self) {
        lock(&self.state).players.values().for_each(|player| player.sender.close(shutting_down()));
    }
}

/// One answer for every token that is not good, so that it tells nobody which matches there are.
fn no_such_seat() -> Goodbye {
    Goodbye::new(CloseCode::NoSuchSeat.code(), "no seat is kept for that token: join for another match")
}

fn replaced() -> Goodbye {
    Goodbye::new(CloseCode::Replaced.code(), "you came back to your match over another connection")
}

fn shutting_down() -> Goodbye {
    Goodbye::new(CloseCode::ShuttingDown.code(), "the server is going down: connect again in a moment")
}
