//! A match: checks moves, holds both positions and relays to the opponent. This is the server's hot
//! path.
//!
//! The task that read a move writes it to the opponent itself: no channel, no second task, no lock
//! across an await, no allocation of ours. A payload is borrowed from the frame it came in; only
//! [`RelayPolicy::Both`] copies it.

use std::time::Duration;

use netduel_protocol::{
    CloseCode, CodecError, Correction, MAX_MESSAGE_BYTES, MatchId, MoveWithPayload, ResumeTicket, Resumed,
    SeatToken, ServerMessage, Started, clock,
    game::{self, Position},
};
use netduel_transport::{Close, MAX_STATE_BYTES};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    config::{Config, RelayPolicy},
    counters::Counters,
    player_sender::{PlayerSender, kind_number},
    seat::{Away, Occupant, Proof, Seat, milliseconds},
};

/// The most illegal moves of one player in one match. Our client makes none; a client with a bad
/// connection makes a few; a client that ignores corrections is not playing this game.
pub(crate) const CORRECTIONS_MAX: u16 = 1_000;
/// The units of a player's allowance that an illegal move costs beside the one of every message:
/// the server answers it.
const CORRECTION_COST: u32 = 4;

// A relayed move fits the lane, whatever its payload.
const _: () = assert!(MAX_MESSAGE_BYTES <= MAX_STATE_BYTES);

/// Two seats, and the relaying between them.
pub(crate) struct Match {
    pub(crate) match_id: MatchId,
    pub(crate) names: [String; 2],
    pub(crate) started_us: u64,
    seats: [Mutex<Seat>; 2],
    policy: RelayPolicy,
    /// Whether a burst's updates wait for its end, where the newest one goes alone.
    newest_of_burst: bool,
    payload_max_bytes: usize,
    /// The time that a seat is kept after its connection is lost; zero keeps none.
    grace: Duration,
}

impl Match {
    pub(crate) fn new(
        match_id: MatchId,
        players: [(String, PlayerSender); 2],
        tokens: Option<[SeatToken; 2]>,
        config: &Config,
    ) -> Self {
        let [(first_name, first), (second_name, second)] = players;
        let names = [first_name, second_name];
        let [key, other_key] = tokens.map_or([None, None], |tokens| tokens.map(Some));
        let seats = [
            Mutex::new(Seat::new(match_id, game::START[0], first, key)),
            Mutex::new(Seat::new(match_id, game::START[1], second, other_key)),
        ];
        Self {
            match_id,
            names,
            started_us: clock::now_us(),
            seats,
            policy: config.relay,
            newest_of_burst: config.newest_of_burst,
            payload_max_bytes: config.payload_limit_bytes(),
            grace: config.resume_grace,
        }
    }

    /// Returns the message that tells player `number` of the start.
    pub(crate) fn started(&self, number: usize) -> ServerMessage<'static> {
        let opponent_transport = self.seat(1 - number).kind.name().to_owned();
        ServerMessage::Started(Started {
            match_id: self.match_id,
            player: number as u8,
            velocity: game::VELOCITY,
            tick_rate_hz: game::TICK_RATE_HZ,
            positions: game::START,
            started_us: self.started_us,
            opponent_name: self.names[1 - number].clone(),
            opponent_transport,
            resume_ticket: self.seat(number).resume_ticket(self.grace),
        })
    }

    /// Returns the number of the seat that `proof` belongs to.
    pub(crate) fn seat_of(&self, proof: &Proof) -> Option<usize> {
        [0, 1].into_iter().find(|number| self.seat(*number).is_proved_by(proof))
    }

    /// Seats `player`, who showed `proof`, and tells both players. `next` is the token for the
    /// seat's next resume.
    pub(crate) fn resume(&self, number: usize, player: PlayerSender, proof: Proof, next: SeatToken) {
        let (match_id, positions) = (self.match_id, self.positions());
        let opponent_transport = |number: usize| self.seat(1 - number).kind.name().to_owned();
        let (resumed_to, opponent_away) =
            (opponent_transport(number), self.seat(1 - number).away().is_some());
        let resume_ticket = ResumeTicket { token: next.clone(), grace_ms: milliseconds(self.grace) };
        let mut seat = self.seat(number);
        seat.resume(player, proof, next);
        seat.send(&ServerMessage::Resumed(Resumed {
            match_id,
            player: number as u8,
            positions,
            seq: seat.last.seq,
            corrections: seat.corrections,
            opponent_transport: resumed_to,
            resume_ticket,
        }));
        if opponent_away {
            seat.send(&self.reconnecting());
        }
        drop(seat);
        let opponent_transport = opponent_transport(1 - number);
        self.seat(1 - number).send(&ServerMessage::OpponentBack { match_id, opponent_transport });
    }

    /// Keeps seat `number` for its player, and tells the opponent.
    pub(crate) fn keep(&self, number: usize, away: Away) {
        self.seat(number).occupant = Occupant::Away(away);
        self.seat(1 - number).send(&self.reconnecting());
    }

    fn reconnecting(&self) -> ServerMessage<'static> {
        ServerMessage::OpponentReconnecting { match_id: self.match_id, grace_ms: milliseconds(self.grace) }
    }

    /// Returns both positions, by player number.
    pub(crate) fn positions(&self) -> [Position; 2] {
        [0, 1].map(|number| self.seat(number).last.position)
    }

    /// Relays a move of player `number`, which arrived as `bytes`. A move that is part of a batch
    /// may wait for [`Self::flush`]. Returns the units that the move costs beside the one of every
    /// message.
    ///
    /// # Errors
    /// The move breaks the protocol, or was one illegal move too many.
    pub(crate) fn on_move(
        &self,
        number: usize,
        received: &MoveWithPayload<'_>,
        bytes: &[u8],
        batched: bool,
        counters: &Counters,
    ) -> Result<u32, Close> {
        let MoveWithPayload { update, payload } = *received;
        if payload.len() > self.payload_max_bytes {
            return Err(payload_too_long(payload.len(), self.payload_max_bytes));
        }
        let mut seat = self.seat(number);
        if update.corrections > seat.corrections {
            return Err(Close::new(
                CloseCode::Unexpected.code(),
                "a move acknowledges a correction that was never sent",
            ));
        }
        if update.corrections < seat.corrections || update.seq <= seat.last.seq {
            counters.moves_stale.increment();
            return Ok(0);
        }
        let now_us = clock::now_us().saturating_sub(self.started_us);
        let last = seat.last;
        let told = match seat.way.take(&last, &update, now_us) {
            Ok(told) => told,
            Err(illegal) => return self.correct(&mut seat, update.seq, illegal, counters),
        };
        seat.last = told;
        seat.last_proof = None;
        match self.policy {
            RelayPolicy::Other => {
                drop(seat);
                if told.at_us == update.at_us {
                    // The relayed message has the bytes of the received one:
                    // [`ServerMessage::Moved`] promises that.
                    self.relay(1 - number, Ok(bytes), batched, counters);
                } else {
                    let told = MoveWithPayload { update: told, payload };
                    self.relay_retimed(1 - number, told, batched, counters);
                }
            }
            RelayPolicy::Both => {
                seat.payload.clear();
                seat.payload.extend_from_slice(payload);
                drop(seat);
                self.relay_both(number, batched, counters);
            }
        }
        Ok(0)
    }

    /// Sends a move whose own time was not credible to player `number`.
    #[cold]
    fn relay_retimed(&self, number: usize, told: MoveWithPayload<'_>, batched: bool, counters: &Counters) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = netduel_protocol::encode(&ServerMessage::Moved(told), &mut buffer);
        self.relay(number, bytes, batched, counters);
    }

    /// Sends both positions to both players, after player `number` moved.
    fn relay_both(&self, number: usize, batched: bool, counters: &Counters) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = self.encode_both(&mut buffer);
        self.relay(number, bytes.clone(), batched, counters);
        self.relay(1 - number, bytes, batched, counters);
    }

    /// Encodes both positions. Only this function locks both seats together, player 0's first.
    fn encode_both<'a>(&self, buffer: &'a mut [u8; MAX_MESSAGE_BYTES]) -> Result<&'a [u8], CodecError> {
        let (first, second) = (self.seat(0), self.seat(1));
        netduel_protocol::encode(&ServerMessage::MovedBoth([first.update(), second.update()]), buffer)
    }

    /// Sends an update to player `number`, or holds it until the burst is over.
    fn relay(&self, number: usize, bytes: Result<&[u8], CodecError>, batched: bool, counters: &Counters) {
        let mut seat = self.seat(number);
        if batched
            && self.newest_of_burst
            && let Ok(bytes) = bytes
        {
            if !seat.held.is_empty() {
                counters.updates[kind_number(seat.kind)].outdated.increment();
            }
            seat.held.clear();
            seat.held.extend_from_slice(bytes);
        } else {
            Self::send(&seat, bytes, batched, counters);
        }
    }

    /// Hands an update to the transport of a seat's player. The seat stays locked while the
    /// player's `Sender` takes the update, which never waits.
    fn send(seat: &Seat, bytes: Result<&[u8], CodecError>, batched: bool, counters: &Counters) {
        let Some(player) = seat.player() else {
            return counters.updates[kind_number(seat.kind)].away.increment();
        };
        let (sender, updates) = (&player.sender, &counters.updates[player.kind_number]);
        let send = |bytes| if batched { sender.queue_state(bytes) } else { sender.send_state(bytes) };
        match bytes.ok().and_then(|bytes| send(bytes).ok()) {
            Some(superseded) => {
                updates.relayed.increment();
                updates.superseded.add(superseded as u64);
            }
            // The receiver's own session finds out, and leaves the seat.
            None => updates.undeliverable.increment(),
        }
    }

    /// Sends everything that a batch of moves queued, or the newest alone.
    pub(crate) fn flush(&self, counters: &Counters) {
        for number in [0, 1] {
            let mut seat = self.seat(number);
            if !seat.held.is_empty() {
                Self::send(&seat, Ok(&seat.held), true, counters);
                seat.held.clear();
            }
            let Some(player) = seat.player() else { continue };
            let superseded = player.sender.flush().unwrap_or(0);
            counters.updates[player.kind_number].superseded.add(superseded as u64);
        }
    }

    fn correct(
        &self,
        seat: &mut Seat,
        seq: u32,
        illegal: game::Illegal,
        counters: &Counters,
    ) -> Result<u32, Close> {
        counters.moves_illegal.increment();
        if seat.corrections == CORRECTIONS_MAX {
            return Err(Close::new(
                CloseCode::TooManyCorrections.code(),
                format!("{CORRECTIONS_MAX} illegal moves in one match; the last one: {illegal}"),
            ));
        }
        seat.corrections += 1;
        let (match_id, corrections, position) = (self.match_id, seat.corrections, seat.last.position);
        seat.send(&ServerMessage::Corrected(Correction { match_id, corrections, seq, position }));
        Ok(CORRECTION_COST)
    }

    pub(crate) fn seat(&self, number: usize) -> MutexGuard<'_, Seat> {
        self.seats[number].lock()
    }
}

fn payload_too_long(size: usize, max: usize) -> Close {
    let reason = format!("payload of {size} bytes exceeds the server's limit of {max} bytes");
    Close::new(CloseCode::PayloadTooLong.code(), reason)
}
