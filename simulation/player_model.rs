//! A connection as its player sees it: what the player knows, says next, and may be told. Pure.

use std::collections::{BTreeSet, VecDeque};

use netduel_protocol::{
    Correction, GameId, Move, Resumed, SeatToken, ServerMessage, Started,
    game::{self, Heading, Position},
};
use netduel_transport::Lane;

/// What the player is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It may join.
    #[default]
    Nothing,
    /// It joined and was not told of a match yet.
    Match,
    /// It showed a token, and was not told yet that the seat is its own.
    Seat,
    /// It plays.
    Game,
    /// It said that it leaves, and waits for this pong: only then does it know which match it left.
    Leaving(u64),
}

/// A match as its player knows it.
#[derive(Clone, Debug)]
pub(crate) struct Playing {
    pub(crate) started: Started,
    seq: u32,
    corrections: u16,
    position: Position,
    last_at_us: u64,
    /// Tries to come back by the newest token.
    attempts: u32,
    /// The token before the newest.
    spent: Option<SeatToken>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PlayerModel {
    pub(crate) intent: Intent,
    /// It did once, or showed a token.
    pub(crate) joined: bool,
    /// It broke the protocol or the rules, so that the server may send it away.
    pub(crate) offended: bool,
    /// Updates come to it in the order in which they were sent.
    in_order: bool,
    pub(crate) playing: Option<Playing>,
    /// What was played over another connection.
    lost: Option<Playing>,
    welcomed: bool,
    last_ping: u64,
    pings: VecDeque<u64>,
    /// The updates it was told: game and number.
    updates: BTreeSet<(u64, u64)>,
}

impl PlayerModel {
    /// Of who lost the connection to the match `lost`, or to none.
    pub(crate) fn new(in_order: bool, lost: Option<Playing>) -> Self {
        Self { in_order, lost, ..Self::default() }
    }

    /// The match that the player could come back to, if this connection is over.
    pub(crate) fn resume_ticket(&self) -> Option<Playing> {
        let playing = match self.intent {
            Intent::Game => &self.playing,
            Intent::Nothing | Intent::Seat => &self.lost,
            Intent::Match | Intent::Leaving(_) => return None,
        };
        playing.clone().filter(|playing| playing.started.resume_ticket.is_some())
    }

    /// The player asks for a match, and for no seat any more. Returns whether it may.
    pub(crate) fn join(&mut self) -> bool {
        let may = self.intent == Intent::Nothing;
        if may {
            (self.intent, self.joined, self.lost) = (Intent::Match, true, None);
        }
        may
    }

    /// The player asks for its seat, which it can do right after the hello: the match, the token and the try that it shows.
    /// Mostly the right ones; `twist` decides.
    pub(crate) fn come_back(&mut self, twist: u8) -> Option<(GameId, SeatToken, u32)> {
        if self.intent != Intent::Nothing || self.joined {
            return None;
        }
        let lost = self.lost.as_mut()?;
        let (game, token) = (lost.started.game, lost.started.resume_ticket.as_ref()?.token.clone());
        (self.intent, self.joined) = (Intent::Seat, true);
        let again = lost.attempts;
        lost.attempts += 1;
        Some(match twist % 16 {
            0 => (game, SeatToken::new([twist; SeatToken::BYTES]), lost.attempts),
            1 => (game + 1, token, lost.attempts),
            2 => (game, token, again),
            3 => (game, lost.spent.clone().unwrap_or(token), lost.attempts),
            _ => (game, token, lost.attempts),
        })
    }

    /// The next ping's mark.
    pub(crate) fn ping(&mut self) -> u64 {
        self.last_ping += 1;
        self.pings.push_back(self.last_ping);
        self.last_ping
    }

    /// A legal move, as far as the player knows.
    pub(crate) fn walk(&mut self, now_us: u64, heading: Heading) -> Option<Move> {
        let playing = self.playing.as_mut()?;
        let at_us = now_us - playing.started.started_us;
        playing.position = game::advance(playing.position, heading, at_us - playing.last_at_us);
        playing.last_at_us = at_us;
        Some(playing.step())
    }

    /// A move to wherever.
    pub(crate) fn jump(&mut self, now_us: u64, position: Position) -> Option<Move> {
        let playing = self.playing.as_mut()?;
        playing.last_at_us = now_us - playing.started.started_us;
        playing.position = position;
        Some(playing.step())
    }

    /// A move under a number that was used up to `before` moves ago.
    pub(crate) fn stale(&mut self, now_us: u64, before: u32) -> Option<Move> {
        let update = self.walk(now_us, Heading::default())?;
        let playing = self.playing.as_mut()?;
        playing.seq -= 1;
        Some(Move { seq: playing.seq.saturating_sub(before), ..update })
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
                if self.intent == Intent::Leaving(pong.ping_sent_us) {
                    (self.intent, self.playing) = (Intent::Nothing, None);
                }
            }
            _ if matches!(self.intent, Intent::Leaving(_)) => {}
            Told::Waiting if self.intent == Intent::Match || self.offended => {}
            Told::Started(started) if self.intent == Intent::Match || self.offended => {
                (self.intent, self.playing) = (Intent::Game, Some(Playing::new(started.clone())));
            }
            Told::Resumed(resumed) if self.intent == Intent::Seat => {
                let mut playing = self.lost.take().ok_or("it lost no match")?;
                playing.resume(resumed)?;
                (self.intent, self.playing) = (Intent::Game, Some(playing));
            }
            Told::Corrected(correction) => self.playing(correction.game)?.correct(correction)?,
            Told::OpponentLeft { game, .. } => {
                self.playing(*game)?;
                (self.intent, self.playing) = (Intent::Nothing, None);
            }
            Told::OpponentReconnecting { game, .. } | Told::OpponentBack { game, .. } => {
                self.playing(*game)?;
            }
            Told::Draining { .. } if self.intent == Intent::Game => {}
            other => return Err(format!("{other:?} while it is about {:?}", self.intent)),
        }
        Ok(())
    }

    fn playing(&mut self, game: GameId) -> Result<&mut Playing, String> {
        let playing = self.playing.as_mut().filter(|playing| playing.started.game == game);
        playing.ok_or(format!("it does not play {game}"))
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

impl Playing {
    fn new(started: Started) -> Self {
        let position = started.positions[usize::from(started.player)];
        Self { started, seq: 0, corrections: 0, position, last_at_us: 0, attempts: 0, spent: None }
    }

    fn step(&mut self) -> Move {
        self.seq += 1;
        let &mut Self { seq, last_at_us: at_us, corrections, position, .. } = self;
        Move { game: self.started.game, seq, at_us, clock_error_us: 0, corrections, position }
    }

    fn correct(&mut self, correction: &Correction) -> Result<(), String> {
        let Correction { corrections, position, .. } = *correction;
        if corrections != self.corrections + 1 {
            return Err(format!("correction {corrections} after {}", self.corrections));
        }
        (self.corrections, self.position) = (corrections, position);
        Ok(())
    }

    /// Goes on as `client/lib.rs` does: from the server's position only if its own cannot be reached from there.
    fn resume(&mut self, resumed: &Resumed) -> Result<(), String> {
        let Resumed { game, player, positions, seq, at_us, corrections, resume_ticket, .. } = resumed;
        if (*game, *player) != (self.started.game, self.started.player) {
            return Err("the seat of another".into());
        }
        let known = Move { at_us: *at_us, position: positions[usize::from(*player)], ..Move::default() };
        let predicted = Move { at_us: self.last_at_us, position: self.position, ..Move::default() };
        if *corrections != self.corrections || game::check(&known, &predicted).is_err() {
            self.position = known.position;
        }
        (self.seq, self.corrections, self.attempts) = (self.seq.max(*seq), *corrections, 0);
        self.spent = self.started.resume_ticket.replace(resume_ticket.clone()).map(|spent| spent.token);
        Ok(())
    }
}
