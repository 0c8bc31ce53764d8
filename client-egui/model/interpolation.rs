//! Interpolation: computes the drawn positions of both players from their known positions. Pure.

use std::collections::VecDeque;

use netduel_protocol::game::{self, ARENA, Heading, PLAYER, Position};

/// The number of the opponent's moves that are kept: two seconds at the highest rate. No older move
/// is ever drawn.
const UPDATES_MAX: usize = 480;
/// The half-life of a correction's offset, in µs. The player sees a slide and not a jump.
const CORRECTION_HALF_LIFE_US: f32 = 60_000.0;
/// The upper bound of the opponent's display delay, in µs. Beyond it, smoothness costs more than it
/// gives.
const DELAY_MAX_US: f32 = 500_000.0;
/// The time constant at which the display delay follows the link, in µs. It is so slow that no
/// player sees time run unevenly.
const DELAY_FOLLOWS_US: f32 = 1_000_000.0;

/// The integral of the held keys between two moves. The mean heading moves a player exactly as the
/// keys did, so a low update rate loses no key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steering {
    heading: Heading,
    since_us: u64,
    began_us: u64,
    /// Heading × time since the last move, in µs.
    sum: [f64; 2],
}

impl Steering {
    /// Creates a steering state with no key held since `now_us`.
    pub fn new(now_us: u64) -> Self {
        Self { since_us: now_us, began_us: now_us, ..Self::default() }
    }

    /// Sets the heading of the held keys from `now_us` on.
    pub fn turn(&mut self, now_us: u64, heading: Heading) {
        self.integrate(now_us);
        self.heading = heading;
    }

    /// Returns the mean heading from the last call to `until_us`, and starts a new interval.
    pub fn take(&mut self, until_us: u64) -> Heading {
        self.integrate(until_us);
        let elapsed_us = until_us.saturating_sub(self.began_us) as f64;
        let mean = |sum: f64| if elapsed_us > 0.0 { (sum / elapsed_us) as f32 } else { 0.0 };
        let heading = Heading { x: mean(self.sum[0]), y: mean(self.sum[1]) };
        (self.sum, self.began_us) = ([0.0; 2], self.since_us);
        heading
    }

    fn integrate(&mut self, until_us: u64) {
        let elapsed_us = until_us.saturating_sub(self.since_us);
        self.sum[0] += f64::from(self.heading.x) * elapsed_us as f64;
        self.sum[1] += f64::from(self.heading.y) * elapsed_us as f64;
        self.since_us = self.since_us.max(until_us);
    }
}

/// The drawn position of the own player. It follows the keys at once, and a correction slides in.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnTrack {
    position: Position,
    /// The rest of the correction that still slides.
    offset: [f32; 2],
    at_us: u64,
}

impl OwnTrack {
    /// Creates a track at a position, without an offset.
    pub fn new(position: Position, now_us: u64) -> Self {
        Self { position, offset: [0.0; 2], at_us: now_us }
    }

    /// Advances the track to `now_us` while `heading` is held.
    pub fn advance(&mut self, now_us: u64, heading: Heading) {
        let elapsed_us = now_us.saturating_sub(self.at_us);
        self.position = game::advance(self.position, heading, elapsed_us);
        let left = 0.5_f32.powf(elapsed_us as f32 / CORRECTION_HALF_LIFE_US);
        self.offset = self.offset.map(|offset| if offset.abs() < 0.05 { 0.0 } else { offset * left });
        self.at_us = now_us;
    }

    /// Corrects the track: the player was at `position` at `at_us`.
    pub fn correct(&mut self, position: Position, at_us: u64, heading: Heading) {
        let known = game::advance(position, heading, self.at_us.saturating_sub(at_us));
        self.offset[0] += self.position.x - known.x;
        self.offset[1] += self.position.y - known.y;
        self.position = known;
    }

    /// Returns the position to draw.
    pub fn shown(&self) -> Position {
        let inside = |at: f32| at.clamp(0.0, ARENA - PLAYER);
        Position { x: inside(self.position.x + self.offset[0]), y: inside(self.position.y + self.offset[1]) }
    }

    /// Whether a correction still slides.
    pub fn is_sliding(&self) -> bool {
        self.offset.iter().any(|offset| offset.abs() > 0.5)
    }
}

/// The drawn position of the opponent. It keeps the opponent's moves in the order of their sending.
/// Times are µs since the start of the match.
#[derive(Clone, Debug, Default)]
pub struct OpponentTrack {
    /// Pairs of intended sending time and position, the newest last.
    updates: VecDeque<(u64, Position)>,
    delay_us: f32,
    at_us: u64,
}

impl OpponentTrack {
    /// Creates a track at a position.
    pub fn new(position: Position, now_us: u64) -> Self {
        Self { updates: VecDeque::from([(now_us, position)]), delay_us: 0.0, at_us: now_us }
    }

    /// Appends a fresh move, which arrived at `now_us`. Whatever it claims, it was sent by then,
    /// and after the move before.
    pub fn push(&mut self, now_us: u64, sent_us: u64, position: Position) {
        let before_us = self.updates.back().map_or(0, |(before_us, _)| *before_us);
        let sent_us = sent_us.min(now_us).max(before_us);
        if self.updates.len() == UPDATES_MAX {
            self.updates.pop_front();
        }
        self.updates.push_back((sent_us, position));
    }

    /// Advances the track to `now_us`. `wanted_us` is the display delay at which the opponent's
    /// next move has arrived in time.
    pub fn advance(&mut self, now_us: u64, wanted_us: u64) {
        let wanted_us = (wanted_us as f32).min(DELAY_MAX_US);
        if self.delay_us == 0.0 {
            self.delay_us = wanted_us;
        }
        let elapsed_us = now_us.saturating_sub(self.at_us) as f32;
        self.delay_us += (wanted_us - self.delay_us) * (elapsed_us / DELAY_FOLLOWS_US).min(1.0);
        self.at_us = now_us;
    }

    /// Returns the newest known position.
    pub fn newest(&self) -> Position {
        self.updates.back().map_or_else(Position::default, |(_, position)| *position)
    }

    /// Returns the position between the two moves around the drawn time. It never extrapolates, so
    /// a freeze stays visible.
    pub fn smooth(&self) -> Position {
        let drawn_us = self.at_us.saturating_sub(self.delay_us as u64);
        let next = self.updates.partition_point(|(sent_us, _)| *sent_us <= drawn_us);
        match (next.checked_sub(1).and_then(|last| self.updates.get(last)), self.updates.get(next)) {
            (Some((from_us, from)), Some((to_us, to))) => {
                let share = (drawn_us - from_us) as f32 / (to_us - from_us).max(1) as f32;
                let between = |a: f32, b: f32| a + (b - a) * share;
                Position { x: between(from.x, to.x), y: between(from.y, to.y) }
            }
            (Some((_, only)), None) | (None, Some((_, only))) => *only,
            (None, None) => Position::default(),
        }
    }

    /// Returns the display delay, in µs.
    pub fn delay_us(&self) -> u64 {
        self.delay_us as u64
    }

    /// Whether the drawn position lags the newest one, so that another frame shows a difference.
    pub fn is_moving(&self) -> bool {
        let (shown, newest) = (self.smooth(), self.newest());
        (shown.x - newest.x).abs() + (shown.y - newest.y).abs() > 0.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Heading = Heading { x: 1.0, y: 0.0 };
    const STILL: Heading = Heading { x: 0.0, y: 0.0 };

    #[test]
    fn mean_heading_equals_the_keys() {
        let mut steering = Steering::new(1_000_000);
        steering.turn(1_250_000, RIGHT);
        steering.turn(1_500_000, STILL);
        assert_eq!(steering.take(2_000_000), Heading { x: 0.25, y: 0.0 });
        assert_eq!(steering.take(2_000_000), STILL, "no time passed");
        assert_eq!(steering.take(3_000_000), STILL);
        steering.turn(2_900_000, RIGHT);
        assert_eq!(steering.take(4_000_000), RIGHT, "a key from before the last move counts from that move");
    }

    #[test]
    fn correction_slides_to_the_server_position() {
        let mut own = OwnTrack::new(Position { x: 100.0, y: 100.0 }, 0);
        own.advance(100_000, RIGHT);
        assert_eq!(own.shown(), Position { x: 130.0, y: 100.0 }, "a move is drawn at once");
        own.correct(Position { x: 100.0, y: 100.0 }, 100_000, RIGHT);
        assert_eq!(own.shown().x, 130.0, "no jump");
        assert!(own.is_sliding());
        own.advance(160_000, STILL);
        assert!((own.shown().x - 115.0).abs() < 0.1, "{:?}", own.shown());
        own.advance(2_000_000, STILL);
        own.advance(2_100_000, STILL);
        assert_eq!(own.shown().x, 100.0);
        assert!(!own.is_sliding());
    }

    #[test]
    fn opponent_is_interpolated_not_extrapolated() {
        let mut opponent = OpponentTrack::new(Position::default(), 0);
        for step in 1..=10u16 {
            let sent_us = u64::from(step) * 100_000;
            opponent.push(sent_us + 50_000, sent_us, Position { x: f32::from(step) * 10.0, y: 0.0 });
        }
        opponent.advance(1_150_000, 200_000);
        assert_eq!(opponent.delay_us(), 200_000);
        assert!((opponent.smooth().x - 95.0).abs() < 0.01, "{:?}", opponent.smooth());
        assert_eq!(opponent.newest().x, 100.0);
        assert!(opponent.is_moving());
        opponent.advance(5_000_000, 200_000);
        assert_eq!(opponent.smooth(), opponent.newest(), "a freeze is shown");
        (0..10_000).for_each(|at_us| opponent.push(u64::MAX, at_us + 2_000_000, Position::default()));
        assert_eq!(opponent.updates.len(), UPDATES_MAX);
    }

    #[test]
    fn lies_about_time_stop_no_opponent() {
        let mut opponent = OpponentTrack::new(Position::default(), 0);
        let at = |x: f32| Position { x, y: 0.0 };
        for (now_us, sent_us, x) in [(100_000, u64::MAX, 10.0), (200_000, 0, 20.0), (300_000, 290_000, 30.0)]
        {
            opponent.push(now_us, sent_us, at(x));
        }
        assert!(opponent.updates.iter().is_sorted_by_key(|(sent_us, _)| *sent_us), "{opponent:?}");
        opponent.advance(390_000, 100_000);
        assert_eq!(opponent.smooth(), at(30.0), "the lie of the first move is over");
        opponent.advance(u64::MAX, u64::MAX);
        assert_eq!((opponent.smooth(), opponent.delay_us()), (at(30.0), DELAY_MAX_US as u64));
    }
}
