//! What a simulated player can say, good and bad.

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

/// A player's mouth. What it may say, its [`PlayerModel`] knows.
#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) number: usize,
    pub(crate) sender: Sender,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) payload_max_bytes: usize,
}

impl Player {
    /// What the player does at a step, by its two bytes; mostly it plays.
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
            33..36 => self.jump(how),
            36..38 => self.say_again(how),
            38..40 => self.ping(),
            40..42 => self.leave(),
            42..48 if how >= 64 && self.come_back(how) => {}
            42..48 => self.join(how % 3),
            48 => self.misbehave(how),
            49 if messages_per_s_max < 1_000 => {
                self.offend();
                (0..messages_per_s_max + 40).for_each(|_| self.ping());
            }
            50 | 51 if how < 128 => self.goodbye(),
            _ => {}
        }
    }

    /// Whether the connection still stands is for its own task to find out.
    fn raw(&self, lane: Lane, bytes: &[u8]) {
        match lane {
            Lane::Control => drop(self.sender.send_control(bytes)),
            Lane::State => drop(self.sender.send_state(bytes)),
        }
    }

    fn say(&self, lane: Lane, message: &ClientMessage<'_>) {
        if let Ok(bytes) = encode(message, &mut [0; MAX_MESSAGE_BYTES]) {
            self.raw(lane, bytes);
        }
    }

    fn model<T>(&self, act: impl FnOnce(&mut PlayerModel) -> T) -> T {
        act(&mut self.oracle.state().models[self.number])
    }

    pub(crate) fn offend(&self) {
        self.model(|model| model.offended = true);
    }

    pub(crate) fn goodbye(&self) {
        self.sender.close(Close::new(netduel_protocol::CloseCode::Done.code(), "the player is done"));
    }

    pub(crate) fn hello(&self) {
        self.say(Lane::Control, &ClientMessage::Hello { version: VERSION });
    }

    /// Asks for a match if it may. Code 0 is none.
    pub(crate) fn join(&self, code: u8) {
        if self.model(PlayerModel::join) {
            self.say_join(code);
        }
    }

    /// Asks for the seat that it lost, if it lost one. Returns whether it did; mostly it shows what is right.
    pub(crate) fn come_back(&self, twist: u8) -> bool {
        let shown = self.model(|model| model.come_back(twist));
        if let Some((game, token, attempt)) = &shown {
            let (game, token, attempt) = (*game, token.clone(), *attempt);
            self.say(Lane::Control, &ClientMessage::Resume { game, token, attempt });
        }
        shown.is_some()
    }

    fn say_join(&self, code: u8) {
        let code = (code > 0).then(|| code.to_string());
        self.say(Lane::Control, &ClientMessage::Join { name: self.number.to_string(), code });
    }

    /// Leaves, and learns by the pong when the server knows.
    pub(crate) fn leave(&self) {
        let mark = self.model(|model| {
            (model.intent != Intent::Nothing && !matches!(model.intent, Intent::Leaving(_))).then(|| {
                let mark = model.ping();
                model.intent = Intent::Leaving(mark);
                mark
            })
        });
        if let Some(sent_us) = mark {
            self.say(Lane::Control, &ClientMessage::Leave);
            self.say(Lane::Control, &ClientMessage::Ping { sent_us });
        }
    }

    /// Before its first join nobody pings.
    pub(crate) fn ping(&self) {
        if let Some(sent_us) = self.model(|model| model.joined.then(|| model.ping())) {
            self.say(Lane::Control, &ClientMessage::Ping { sent_us });
        }
    }

    /// A legal move, as far as the player knows. Returns its number, if it plays.
    pub(crate) fn walk(&self, how: u8) -> Option<u32> {
        let axis = |bits: u8| f32::from(bits & 3) - 1.0;
        let heading = Heading { x: axis(how), y: axis(how >> 2) };
        let update = self
            .model(|model| (model.intent == Intent::Game).then(|| model.walk(clock::now_us(), heading))?)?;
        self.tell(Lane::State, update, usize::from(how) * self.payload_max_bytes / 255);
        Some(update.seq)
    }

    /// Further than anybody can walk.
    pub(crate) fn jump(&self, how: u8) {
        let place = (ARENA - PLAYER) * f32::from(how) / 255.0;
        let position = Position { x: place, y: ARENA - PLAYER - place };
        if let Some(update) = self.model(|model| model.jump(clock::now_us(), position)) {
            self.tell(Lane::State, update, 0);
        }
    }

    /// A move of a number that was used already, or of none.
    pub(crate) fn say_again(&self, how: u8) {
        if let Some(update) = self.model(|model| model.stale(clock::now_us(), u32::from(how % 4))) {
            self.tell(Lane::State, update, 0);
        }
    }

    fn tell(&self, lane: Lane, update: Move, filler_bytes: usize) {
        let mut payload = (self.number as u32).to_le_bytes().to_vec();
        payload.resize(filler_bytes.max(payload.len()), update.seq as u8);
        self.say(lane, &ClientMessage::Move(MoveWithPayload { update, payload: &payload }));
    }

    /// What nobody of good will says.
    pub(crate) fn misbehave(&self, how: u8) {
        self.offend();
        let playing = self.model(|model| model.playing.as_ref().map(|playing| playing.started.game));
        let (game, seq) = (playing.unwrap_or(1), 1_000_000);
        let update = Move { game, seq, ..Move::default() };
        match how % 10 {
            0 => self.raw(Lane::Control, &[how; 3]),
            1 => self.raw(Lane::State, &[how; 3]),
            2 => self.hello(),
            3 => self.say_join(how / 9 % 3),
            4 => self.tell(Lane::Control, update, 0),
            5 => self.tell(Lane::State, Move { corrections: u16::MAX, ..update }, 0),
            6 => self.tell(Lane::State, Move { game: game + 1 + u64::from(how / 9), ..update }, 0),
            7 => self.tell(Lane::State, update, self.payload_max_bytes + 1),
            8 => self.say(Lane::State, &ClientMessage::Leave),
            _ => {
                let token = SeatToken::new([how; SeatToken::BYTES]);
                self.say(Lane::Control, &ClientMessage::Resume { game, token, attempt: 1 });
            }
        }
    }
}
