//! The model of a player: its state on one connection, its next messages, and the messages that it
//! may receive. Pure.

use std::collections::{BTreeSet, VecDeque};

use netduel_protocol::{
    Correction, MatchId, Move, Resumed, SeatToken, ServerMessage, Started,
    game::{self, Heading, Position},
};
use netduel_transport::Lane;

/// The shares by which players' clocks run faster than the server's, in millionths: those of two
/// crystals that are as wrong as is usual, one each way.
const PPM: [i64; 3] = [0, 400, -400];

/// The intent of a player.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Intent {
    /// No request is pending; the player may join.
    #[default]
    Nothing,
    /// The player joined, and its match has not started yet.
    Match,
    /// The player presented a seat token, and the server has not confirmed the seat yet.
    Seat,
    /// The player plays a match.
    Game,
    /// The player sent a leave, and waits for this pong. Only the pong tells which match it left.
    Leaving(u64),
}

/// A match, as its player knows it.
#[derive(Clone, Debug)]
pub(crate) struct Playing {
    pub(crate) started: Started,
    seq: u32,
    corrections: u16,
    position: Position,
    /// The time of the last step by the player's own clock, in µs.
    stepped_us: u64,
    /// The share by which the player's clock runs faster than the server's, in millionths.
    ppm: i64,
    /// Whether the player broke the rules of the game, so that the server may correct its moves.
    pub(crate) cheated: bool,
    /// The number of resume attempts with the newest token.
    attempts: u32,
    /// The token before the newest one.
    spent: Option<SeatToken>,
}

/// The state of a player on one connection.
#[derive(Debug, Default)]
pub(crate) struct PlayerModel {
    pub(crate) intent: Intent,
    /// Whether the player has joined, or presented a token, on this connection.
    pub(crate) joined: bool,
    /// Whether the player broke the protocol or the rules, so that the server may expel it.
    pub(crate) offended: bool,
    /// Whether the path delivers updates in the order of their sending.
    in_order: bool,
    pub(crate) playing: Option<Playing>,
    /// The match of a lost connection.
    lost: Option<Playing>,
    welcomed: bool,
    last_ping: u64,
    pings: VecDeque<u64>,
    /// The received updates, as match and sequence number.
    updates: BTreeSet<(u64, u64)>,
}

impl PlayerModel {
    /// Creates the model of a new connection. `lost` is the match of the player's lost connection,
    /// if there is one.
    pub(crate) fn new(in_order: bool, lost: Option<Playing>) -> Self {
        Self { in_order, lost, ..Self::default() }
    }

    /// Returns the match that the player could resume after the end of this connection.
    pub(crate) fn resumable(&self) -> Option<Playing> {
        let playing = match self.intent {
            Intent::Game => &self.playing,
            Intent::Nothing | Intent::Seat => &self.lost,
            Intent::Match | Intent::Leaving(_) => return None,
        };
        playing.clone().filter(|playing| playing.started.resume_ticket.is_some())
    }

    /// Joins the queue and gives up a lost seat. Returns whether the player may join now.
    pub(crate) fn join(&mut self) -> bool {
        let allowed = self.intent == Intent::Nothing;
        if allowed {
            (self.intent, self.joined, self.lost) = (Intent::Match, true, None);
        }
        allowed
    }

    /// Requests the lost seat, which a player can do right after the hello. Returns the match, the
    /// token and the attempt to present. `twist` selects wrong ones now and then.
    pub(crate) fn resume_request(&mut self, twist: u8) -> Option<(MatchId, SeatToken, u32)> {
        if self.intent != Intent::Nothing || self.joined {
            return None;
        }
        let lost = self.lost.as_mut()?;
        let (match_id, token) = (lost.started.match_id, lost.started.resume_ticket.as_ref()?.token.clone());
        (self.intent, self.joined) = (Intent::Seat, true);
        let again = lost.attempts;
        lost.attempts += 1;
        Some(match twist % 16 {
            0 => (match_id, SeatToken::new([twist; SeatToken::BYTES]), lost.attempts),
            1 => (match_id + 1, token, lost.attempts),
            2 => (match_id, token, again),
            3 => (match_id, lost.spent.clone().unwrap_or(token), lost.attempts),
            _ => (match_id, token, lost.attempts),
        })
    }

    /// Whether the server may correct moves of this player in the match.
    pub(crate) fn may_be_corrected(&self, match_id: MatchId) -> bool {
        let playing = [&self.playing, &self.lost].into_iter().flatten();
        self.offended
            || playing.filter(|playing| playing.started.match_id == match_id).any(|playing| playing.cheated)
    }

    /// Returns the timestamp of the next ping.
    pub(crate) fn ping(&mut self) -> u64 {
        self.last_ping += 1;
        self.pings.push_back(self.last_ping);
        self.last_ping
    }

    /// Returns a legal move.
    pub(crate) fn walk(&mut self, now_us: u64, heading: Heading) -> Option<Move> {
        let playing = self.playing.as_mut()?;
        let local_us = playing.local_us(now_us);
        playing.position = game::advance(playing.position, heading, local_us - playing.stepped_us);
        playing.stepped_us = local_us;
        Some(playing.step())
    }

    /// Returns a move whose way is legal, and whose time is a lie.
    pub(crate) fn lie(&mut self, now_us: u64, heading: Heading, how: u8) -> Option<Move> {
        let update = self.walk(now_us, heading)?;
        let far_us = u64::from(how) << (how % 60);
        Some(match how % 4 {
            0 => Move { at_us: update.at_us.saturating_sub(far_us), ..update },
            1 => Move { at_us: far_us, clock_error_us: Move::CLOCK_UNKNOWN, ..update },
            2 => Move { clock_error_us: u32::MAX - 1, ..update },
            _ => {
                // A player that claims to be early must keep to it.
                self.playing.as_mut()?.cheated = true;
                Move { at_us: update.at_us.saturating_add(far_us), ..update }
            }
        })
    }

    /// Returns a move to any position.
    pub(crate) fn jump(&mut self, now_us: u64, position: Position) -> Option<Move> {
        let playing = self.playing.as_mut()?;
        playing.stepped_us = playing.local_us(now_us);
        (playing.position, playing.cheated) = (position, true);
        Some(playing.step())
    }

    /// Returns a move with a sequence number that was used `before` moves ago.
    pub(crate) fn stale(&mut self, now_us: u64, before: u32) -> Option<Move> {
        let update = self.walk(now_us, Heading::default())?;
        let playing = self.playing.as_mut()?;
        playing.seq -= 1;
        Some(Move { seq: playing.seq.saturating_sub(before), ..update })
    }

    /// Receives a message.
    ///
    /// # Errors
    /// The server may not send this message now.
    pub(crate) fn receive(&mut self, lane: Lane, message: &ServerMessage<'_>) -> Result<(), String> {
        use ServerMessage as Message;
        match message {
            Message::Moved(told) => {
                return self.receive_update(lane, told.update.match_id, told.update.seq.into());
            }
            Message::MovedBoth([first, second]) => {
                let steps = u64::from(first.update.seq) + u64::from(second.update.seq);
                return self.receive_update(lane, first.update.match_id, steps);
            }
            _ if lane == Lane::State => return Err(format!("{message:?} on the state lane")),
            Message::Welcome { .. } if self.welcomed => return Err("a second welcome".into()),
            Message::Welcome { .. } => self.welcomed = true,
            _ if !self.welcomed => return Err(format!("{message:?} before the welcome")),
            Message::Pong(pong) => {
                if self.pings.pop_front() != Some(pong.ping_sent_us) {
                    return Err(format!("pong {} out of order", pong.ping_sent_us));
                }
                if self.intent == Intent::Leaving(pong.ping_sent_us) {
                    (self.intent, self.playing) = (Intent::Nothing, None);
                }
            }
            _ if matches!(self.intent, Intent::Leaving(_)) => {}
            Message::Waiting if self.intent == Intent::Match || self.offended => {}
            Message::Started(started) if self.intent == Intent::Match || self.offended => {
                (self.intent, self.playing) = (Intent::Game, Some(Playing::new(started.clone())));
            }
            Message::Resumed(resumed) if self.intent == Intent::Seat => {
                let mut playing = self.lost.take().ok_or("the player lost no match")?;
                playing.resume(resumed)?;
                (self.intent, self.playing) = (Intent::Game, Some(playing));
            }
            Message::Corrected(correction) => self.playing(correction.match_id)?.correct(correction)?,
            Message::OpponentLeft { match_id, .. } => {
                self.playing(*match_id)?;
                (self.intent, self.playing) = (Intent::Nothing, None);
            }
            Message::OpponentReconnecting { match_id, .. } | Message::OpponentBack { match_id, .. } => {
                self.playing(*match_id)?;
            }
            Message::Draining { .. } if self.intent == Intent::Game => {}
            other => return Err(format!("{other:?} while its intent is {:?}", self.intent)),
        }
        Ok(())
    }

    fn playing(&mut self, match_id: MatchId) -> Result<&mut Playing, String> {
        let playing = self.playing.as_mut().filter(|playing| playing.started.match_id == match_id);
        playing.ok_or(format!("the player does not play match {match_id}"))
    }

    /// Checks that updates in order have rising numbers, and that no update arrives twice.
    fn receive_update(&mut self, lane: Lane, match_id: u64, number: u64) -> Result<(), String> {
        if lane != Lane::State {
            return Err("an update on the control lane".into());
        }
        let this = (match_id, number);
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
        let ppm = PPM[(started.match_id + u64::from(started.player)) as usize % PPM.len()];
        let stepped_us = started.started_us;
        Self {
            started,
            seq: 0,
            corrections: 0,
            position,
            stepped_us,
            ppm,
            cheated: false,
            attempts: 0,
            spent: None,
        }
    }

    /// Converts a time to that of the player's own clock.
    fn local_us(&self, now_us: u64) -> u64 {
        let played_us = (now_us - self.started.started_us).cast_signed();
        now_us.saturating_add_signed(played_us * self.ppm / 1_000_000)
    }

    fn step(&mut self) -> Move {
        self.seq += 1;
        let &mut Self { seq, stepped_us, corrections, position, .. } = self;
        let at_us = stepped_us - self.started.started_us;
        Move { match_id: self.started.match_id, seq, at_us, clock_error_us: 0, corrections, position }
    }

    fn correct(&mut self, correction: &Correction) -> Result<(), String> {
        let Correction { corrections, position, .. } = *correction;
        if corrections != self.corrections + 1 {
            return Err(format!("correction {corrections} after {}", self.corrections));
        }
        (self.corrections, self.position) = (corrections, position);
        Ok(())
    }

    /// Resumes the match as `client/player.rs` does. The player takes the server's position only
    /// after a correction.
    fn resume(&mut self, resumed: &Resumed) -> Result<(), String> {
        let Resumed { match_id, player, positions, seq, corrections, resume_ticket, .. } = resumed;
        if (*match_id, *player) != (self.started.match_id, self.started.player) {
            return Err("the seat of another player".into());
        }
        if *corrections != self.corrections {
            self.position = positions[usize::from(*player)];
        }
        (self.seq, self.corrections, self.attempts) = (self.seq.max(*seq), *corrections, 0);
        self.spent = self.started.resume_ticket.replace(resume_ticket.clone()).map(|spent| spent.token);
        Ok(())
    }
}
