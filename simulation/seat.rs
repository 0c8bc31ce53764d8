//! A connection as its player sees it: what the player knows, says next, and may be told. Pure.

use std::collections::{BTreeSet, VecDeque};

use netduel_protocol::{
    Correction, Move, ServerMessage, Started,
    game::{self, Heading, Position},
};
use netduel_transport::Lane;

/// What the player is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It may join.
    #[default]
    Nothing,
    /// It joined and was not told of a match yet.
    Match,
    /// It plays.
    Game,
    /// It said that it leaves, and waits for this pong: only then does it know which match it left.
    Away(u64),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(crate) wish: Wish,
    /// It did once.
    pub(crate) joined: bool,
    /// It broke the protocol or the rules, so that the server may send it away.
    pub(crate) offended: bool,
    /// Updates come to it in the order in which they were sent.
    in_order: bool,
    pub(crate) playing: Option<Started>,
    seq: u32,
    corrections: u16,
    position: Position,
    last_at_us: u64,
    welcomed: bool,
    last_ping: u64,
    pings: VecDeque<u64>,
    /// The updates it was told: game and number.
    updates: BTreeSet<(u64, u64)>,
}

impl Seat {
    pub(crate) fn new(in_order: bool) -> Self {
        Self { in_order, ..Self::default() }
    }

    /// The next ping's mark.
    pub(crate) fn ping(&mut self) -> u64 {
        self.last_ping += 1;
        self.pings.push_back(self.last_ping);
        self.last_ping
    }

    /// A legal move, as far as the player knows.
    pub(crate) fn walk(&mut self, now_us: u64, heading: Heading) -> Option<Move> {
        let at_us = now_us - self.playing.as_ref()?.started_us;
        self.position = game::advance(self.position, heading, at_us - self.last_at_us);
        self.last_at_us = at_us;
        self.step()
    }

    /// A move to wherever.
    pub(crate) fn jump(&mut self, now_us: u64, position: Position) -> Option<Move> {
        self.last_at_us = now_us - self.playing.as_ref()?.started_us;
        self.position = position;
        self.step()
    }

    /// A move under a number that was used up to `before` moves ago.
    pub(crate) fn stale(&mut self, now_us: u64, before: u32) -> Option<Move> {
        let update = self.walk(now_us, Heading::default())?;
        self.seq -= 1;
        Some(Move { seq: self.seq.saturating_sub(before), ..update })
    }

    fn step(&mut self) -> Option<Move> {
        let game = self.playing.as_ref()?.game;
        self.seq += 1;
        let (seq, at_us, corrections, position) =
            (self.seq, self.last_at_us, self.corrections, self.position);
        Some(Move { game, seq, at_us, clock_error_us: 0, corrections, position })
    }

    /// What the player is told, and whether it may be.
    pub(crate) fn hear(&mut self, lane: Lane, message: &ServerMessage<'_>) -> Result<(), String> {
        use ServerMessage as Told;
        match message {
            Told::Moved(told) => {
                return self.hear_update(lane, told.update.game, told.update.seq.into());
            }
            Told::MovedBoth([first, second]) => {
                let steps = u64::from(first.update.seq) + u64::from(second.update.seq);
                return self.hear_update(lane, first.update.game, steps);
            }
            _ if lane == Lane::State => return Err(format!("{message:?} on the state lane")),
            Told::Welcome { .. } if self.welcomed => return Err("a second welcome".into()),
            Told::Welcome { .. } => self.welcomed = true,
            _ if !self.welcomed => return Err(format!("{message:?} before the welcome")),
            Told::Pong(pong) => {
                if self.pings.pop_front() != Some(pong.ping_sent_us) {
                    return Err(format!("pong {} out of order", pong.ping_sent_us));
                }
                if self.wish == Wish::Away(pong.ping_sent_us) {
                    (self.wish, self.playing) = (Wish::Nothing, None);
                }
            }
            _ if matches!(self.wish, Wish::Away(_)) => {}
            Told::Waiting if self.wish == Wish::Match || self.offended => {}
            Told::Started(started) if self.wish == Wish::Match || self.offended => {
                self.position = started.positions[usize::from(started.player)];
                (self.seq, self.corrections, self.last_at_us) = (0, 0, 0);
                (self.wish, self.playing) = (Wish::Game, Some(started.clone()));
            }
            Told::Corrected(correction) if self.plays(correction.game) => {
                let Correction { corrections, position, .. } = *correction;
                if corrections != self.corrections + 1 {
                    return Err(format!("correction {corrections} after {}", self.corrections));
                }
                (self.corrections, self.position) = (corrections, position);
            }
            Told::PeerLeft { game, .. } if self.plays(*game) => {
                (self.wish, self.playing) = (Wish::Nothing, None);
            }
            Told::Draining { .. } if self.wish == Wish::Game => {}
            other => return Err(format!("{other:?} while it is about {:?}", self.wish)),
        }
        Ok(())
    }

    fn plays(&self, game: u64) -> bool {
        self.playing.as_ref().is_some_and(|playing| playing.game == game)
    }

    /// Latest wins: what was sent in order rises strictly; otherwise nothing comes twice.
    fn hear_update(&mut self, lane: Lane, game: u64, number: u64) -> Result<(), String> {
        if lane != Lane::State {
            return Err("an update on the control lane".into());
        }
        let this = (game, number);
        if self.in_order && self.updates.last().is_some_and(|newest| *newest >= this) {
            return Err(format!("update {this:?} after {:?}", self.updates.last()));
        }
        if !self.updates.insert(this) {
            return Err(format!("update {this:?} twice"));
        }
        Ok(())
    }
}
