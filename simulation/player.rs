//! A simulated player: sends legal and illegal messages.

use std::sync::Arc;

use netduel_protocol::{
    ClientMessage, MAX_MESSAGE_BYTES, Move, MoveWithPayload, SeatToken, VERSION, clock, encode,
    game::{ARENA, Heading, PLAYER, Position},
};
use netduel_transport::{Close, Lane, Sender};

use crate::{
    oracle::Oracle,
    player_model::{Intent, PlayerModel},
};

/// The sending side of a player. Its [`PlayerModel`] decides which messages are legal.
#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) number: usize,
    pub(crate) sender: Sender,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) payload_max_bytes: usize,
}

impl Player {
    /// Performs the action of a step, which two bytes select. Most actions are moves.
    pub(crate) fn act(&self, what: u8, how: u8, messages_per_s_max: u32) {
        match what {
            0..29 => {
                self.walk(how);
            }
            29..33 => {
                for step in 0..how % 24 {
                    self.walk(how.wrapping_add(step));
                }
            }
            33..35 => self.jump(how),
            35 => self.lie(how),
            36..38 => self.repeat_move(how),
            38..40 => self.ping(),
            40..42 => self.leave(),
            42..48 if how >= 64 && self.resume(how) => {}
            42..48 => self.join(how % 3),
            48 => self.misbehave(how),
            49 if messages_per_s_max < 1_000 => {
                self.offend();
                (0..messages_per_s_max + 40).for_each(|_| self.ping());
            }
            50 | 51 if how < 128 => self.close(),
            _ => {}
        }
    }

    /// Sends bytes. The receiving task detects a closed connection, so errors are ignored here.
    fn send_bytes(&self, lane: Lane, bytes: &[u8]) {
        match lane {
            Lane::Control => drop(self.sender.send_control(bytes)),
            Lane::State => drop(self.sender.send_state(bytes)),
        }
    }

    fn send(&self, lane: Lane, message: &ClientMessage<'_>) {
        if let Ok(bytes) = encode(message, &mut [0; MAX_MESSAGE_BYTES]) {
            self.send_bytes(lane, bytes);
        }
    }

    fn model<T>(&self, act: impl FnOnce(&mut PlayerModel) -> T) -> T {
        act(&mut self.oracle.state().models[self.number])
    }

    /// Marks the player as an offender, whom the server may expel.
    pub(crate) fn offend(&self) {
        self.model(|model| model.offended = true);
    }

    /// Closes the connection.
    pub(crate) fn close(&self) {
        self.sender.close(Close::new(netduel_protocol::CloseCode::Done.code(), "the player is done"));
    }

    pub(crate) fn hello(&self) {
        self.send(Lane::Control, &ClientMessage::Hello { version: VERSION });
    }

    /// Joins the queue if the player may. Code 0 means no match code.
    pub(crate) fn join(&self, code: u8) {
        if self.model(PlayerModel::join) {
            self.send_join(code);
        }
    }

    /// Requests the lost seat, mostly with the right token. Returns whether there was a lost seat.
    pub(crate) fn resume(&self, twist: u8) -> bool {
        let ticket = self.model(|model| model.resume_request(twist));
        if let Some((match_id, token, attempt)) = &ticket {
            let (match_id, token, attempt) = (*match_id, token.clone(), *attempt);
            self.send(Lane::Control, &ClientMessage::Resume { match_id, token, attempt });
        }
        ticket.is_some()
    }

    fn send_join(&self, code: u8) {
        let code = (code > 0).then(|| code.to_string());
        self.send(Lane::Control, &ClientMessage::Join { name: self.number.to_string(), code });
    }

    /// Leaves the match. A ping after the leave tells by its pong that the server processed it.
    pub(crate) fn leave(&self) {
        let mark = self.model(|model| {
            (model.intent != Intent::Nothing && !matches!(model.intent, Intent::Leaving(_))).then(|| {
                let mark = model.ping();
                model.intent = Intent::Leaving(mark);
                mark
            })
        });
        if let Some(sent_us) = mark {
            self.send(Lane::Control, &ClientMessage::Leave);
            self.send(Lane::Control, &ClientMessage::Ping { sent_us });
        }
    }

    /// Sends a ping. A player does not ping before its first join.
    pub(crate) fn ping(&self) {
        if let Some(sent_us) = self.model(|model| model.joined.then(|| model.ping())) {
            self.send(Lane::Control, &ClientMessage::Ping { sent_us });
        }
    }

    /// Sends a legal move. Returns its sequence number, if the player plays.
    pub(crate) fn walk(&self, how: u8) -> Option<u32> {
        let axis = |bits: u8| f32::from(bits & 3) - 1.0;
        let heading = Heading { x: axis(how), y: axis(how >> 2) };
        let update = self
            .model(|model| (model.intent == Intent::Game).then(|| model.walk(clock::now_us(), heading))?)?;
        self.send_move(Lane::State, update, usize::from(how) * self.payload_max_bytes / 255);
        Some(update.seq)
    }

    /// Sends a move whose way is legal, and whose time is a lie.
    pub(crate) fn lie(&self, how: u8) {
        let heading = Heading { x: f32::from(how & 1), y: -1.0 };
        if let Some(update) = self.model(|model| {
            (model.intent == Intent::Game).then(|| model.lie(clock::now_us(), heading, how))?
        }) {
            self.send_move(Lane::State, update, 0);
        }
    }

    /// Sends a move over a distance that is illegal unless the player has not moved for long.
    pub(crate) fn jump(&self, how: u8) {
        let place = (ARENA - PLAYER) * f32::from(how) / 255.0;
        let position = Position { x: place, y: ARENA - PLAYER - place };
        if let Some(update) = self.model(|model| model.jump(clock::now_us(), position)) {
            self.send_move(Lane::State, update, 0);
        }
    }

    /// Sends a move with a used sequence number.
    pub(crate) fn repeat_move(&self, how: u8) {
        if let Some(update) = self.model(|model| model.stale(clock::now_us(), u32::from(how % 4))) {
            self.send_move(Lane::State, update, 0);
        }
    }

    fn send_move(&self, lane: Lane, update: Move, filler_bytes: usize) {
        let mut payload = (self.number as u32).to_le_bytes().to_vec();
        payload.resize(filler_bytes.max(payload.len()), update.seq as u8);
        self.send(lane, &ClientMessage::Move(MoveWithPayload { update, payload: &payload }));
    }

    /// Sends a message that breaks the protocol or the rules.
    pub(crate) fn misbehave(&self, how: u8) {
        self.offend();
        let playing = self.model(|model| model.playing.as_ref().map(|playing| playing.started.match_id));
        let (match_id, seq) = (playing.unwrap_or(1), 1_000_000);
        let update = Move { match_id, seq, ..Move::default() };
        match how % 10 {
            0 => self.send_bytes(Lane::Control, &[how; 3]),
            1 => self.send_bytes(Lane::State, &[how; 3]),
            2 => self.hello(),
            3 => self.send_join(how / 9 % 3),
            4 => self.send_move(Lane::Control, update, 0),
            5 => self.send_move(Lane::State, Move { corrections: u16::MAX, ..update }, 0),
            6 => {
                self.send_move(Lane::State, Move { match_id: match_id + 1 + u64::from(how / 9), ..update }, 0)
            }
            7 => self.send_move(Lane::State, update, self.payload_max_bytes + 1),
            8 => self.send(Lane::State, &ClientMessage::Leave),
            _ => {
                let token = SeatToken::new([how; SeatToken::BYTES]);
                self.send(Lane::Control, &ClientMessage::Resume { match_id, token, attempt: 1 });
            }
        }
    }
}
