//! What a simulated player can say, good and bad.

use std::sync::Arc;

use netduel_protocol::{
    ClientMessage, MAX_MESSAGE_BYTES, Move, MoveWithPayload, VERSION, clock, encode,
    game::{ARENA, Heading, PLAYER, Position},
};
use netduel_transport::{Goodbye, Lane, Sender};

use crate::{
    ledger::Ledger,
    seat::{Seat, Wish},
};

/// A player's mouth. What it may say, its [`Seat`] knows.
#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) number: usize,
    pub(crate) sender: Sender,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) payload_max_bytes: usize,
}

impl Player {
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

    fn seat<T>(&self, act: impl FnOnce(&mut Seat) -> T) -> T {
        act(&mut self.ledger.books().seats[self.number])
    }

    pub(crate) fn offend(&self) {
        self.seat(|seat| seat.offended = true);
    }

    pub(crate) fn goodbye(&self) {
        self.sender.close(Goodbye::new(netduel_protocol::Ending::Done.code(), "the player is done"));
    }

    pub(crate) fn hello(&self) {
        self.say(Lane::Control, &ClientMessage::Hello { version: VERSION });
    }

    /// Asks for a match if it may. Code 0 is none.
    pub(crate) fn join(&self, code: u8) {
        let may = self.seat(|seat| {
            let may = seat.wish == Wish::Nothing;
            if may {
                (seat.wish, seat.joined) = (Wish::Match, true);
            }
            may
        });
        if may {
            self.say_join(code);
        }
    }

    fn say_join(&self, code: u8) {
        let code = (code > 0).then(|| code.to_string());
        self.say(Lane::Control, &ClientMessage::Join { name: self.number.to_string(), code });
    }

    /// Leaves, and learns by the pong when the server knows.
    pub(crate) fn leave(&self) {
        let mark = self.seat(|seat| {
            (seat.wish != Wish::Nothing && !matches!(seat.wish, Wish::Away(_))).then(|| {
                let mark = seat.ping();
                seat.wish = Wish::Away(mark);
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
        if let Some(sent_us) = self.seat(|seat| seat.joined.then(|| seat.ping())) {
            self.say(Lane::Control, &ClientMessage::Ping { sent_us });
        }
    }

    /// A legal move, as far as the player knows. Returns its number, if it plays.
    pub(crate) fn walk(&self, how: u8) -> Option<u32> {
        let axis = |bits: u8| f32::from(bits & 3) - 1.0;
        let heading = Heading { x: axis(how), y: axis(how >> 2) };
        let update =
            self.seat(|seat| (seat.wish == Wish::Game).then(|| seat.walk(clock::now_us(), heading))?)?;
        self.tell(Lane::State, update, usize::from(how) * self.payload_max_bytes / 255);
        Some(update.seq)
    }

    /// Further than anybody can walk.
    pub(crate) fn jump(&self, how: u8) {
        let place = (ARENA - PLAYER) * f32::from(how) / 255.0;
        let position = Position { x: place, y: ARENA - PLAYER - place };
        if let Some(update) = self.seat(|seat| seat.jump(clock::now_us(), position)) {
            self.tell(Lane::State, update, 0);
        }
    }

    /// A move of a number that was used already, or of none.
    pub(crate) fn say_again(&self, how: u8) {
        if let Some(update) = self.seat(|seat| seat.stale(clock::now_us(), u32::from(how % 4))) {
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
        let playing = self.seat(|seat| seat.playing.as_ref().map(|playing| playing.game));
        let (game, seq) = (playing.unwrap_or(1), 1_000_000);
        let update = Move { game, seq, ..Move::default() };
        match how % 9 {
            0 => self.raw(Lane::Control, &[how; 3]),
            1 => self.raw(Lane::State, &[how; 3]),
            2 => self.hello(),
            3 => self.say_join(how / 9 % 3),
            4 => self.tell(Lane::Control, update, 0),
            5 => self.tell(Lane::State, Move { corrections: u16::MAX, ..update }, 0),
            6 => self.tell(Lane::State, Move { game: game + 1 + u64::from(how / 9), ..update }, 0),
            7 => self.tell(Lane::State, update, self.payload_max_bytes + 1),
            _ => self.say(Lane::State, &ClientMessage::Leave),
        }
    }
}
