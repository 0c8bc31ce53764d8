//! The rules that both ends share: the arena, how fast a player may move, what a legal move is. Pure.

use bincode::{Decode, Encode};

use crate::Move;

/// Side of the square arena, in units.
pub const ARENA: f32 = 600.0;
/// Side of a player's square, in units.
pub const PLAYER: f32 = 50.0;
/// Ticks per second of the game's own time. Updates may come at any rate.
pub const TICK_RATE_HZ: u32 = 60;
/// Units per tick that a player may move along each axis.
pub const VELOCITY: f32 = 5.0;
/// Where players 0 and 1 begin: the top and the bottom of the left side.
pub const START: [Position; 2] = [Position { x: 0.0, y: 0.0 }, Position { x: 0.0, y: ARENA - PLAYER }];

/// Time between two accepted moves that counts, at most: a player who was cut off may have walked on for a second,
/// half of the arena, but cannot save up the right to jump further.
const CATCH_UP_MAX_US: u64 = 1_000_000;
/// What the sum of many small steps may be off by, in units: a hundredth of a pixel on any screen.
const ROUNDING: f32 = 0.01;

/// A player's upper left corner, in units from the arena's. Legal from 0 to [`ARENA`] − [`PLAYER`] on each axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Position {
    /// From the left.
    pub x: f32,
    /// From the top.
    pub y: f32,
}

/// Where a player steers, each axis from −1 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heading {
    /// To the right.
    pub x: f32,
    /// Downwards.
    pub y: f32,
}

/// Why a move is refused. A refusal does not end the game: the mover is put back.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Illegal {
    /// The position lies outside.
    #[error("({}, {}) is outside the arena", .0.x, .0.y)]
    OutsideArena(Position),
    /// It is further from the last one than the time between them allows.
    #[error("moved {distance} units along an axis where {allowed} were possible")]
    TooFast {
        /// Along the longer axis, in units.
        distance: f32,
        /// In units.
        allowed: f32,
    },
}

/// How far a player may move along an axis in `elapsed_us`, in units.
pub fn reach(elapsed_us: u64) -> f32 {
    let ticks = elapsed_us.min(CATCH_UP_MAX_US) as f64 * f64::from(TICK_RATE_HZ) / 1e6;
    (ticks * f64::from(VELOCITY)) as f32
}

/// Where a player who steers `heading` for `elapsed_us` comes to: what clients predict, and always legal.
pub fn advance(from: Position, heading: Heading, elapsed_us: u64) -> Position {
    let reach = reach(elapsed_us);
    let axis = |at: f32, steer: f32| (at + steer.clamp(-1.0, 1.0) * reach).clamp(0.0, ARENA - PLAYER);
    Position { x: axis(from.x, heading.x), y: axis(from.y, heading.y) }
}

/// Whether `next` may follow the last accepted move. Both are of the same player and match, `next` the newer one.
///
/// # Errors
/// Which rule it breaks.
pub fn check(last: &Move, next: &Move) -> Result<(), Illegal> {
    let inside = |at: f32| (0.0..=ARENA - PLAYER).contains(&at);
    let Position { x, y } = next.position;
    if !inside(x) || !inside(y) {
        return Err(Illegal::OutsideArena(next.position));
    }
    let distance = (x - last.position.x).abs().max((y - last.position.y).abs());
    let allowed = reach(next.at_us.saturating_sub(last.at_us)) + ROUNDING;
    if distance > allowed { Err(Illegal::TooFast { distance, allowed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(x: f32, y: f32, at_us: u64) -> Move {
        Move { at_us, position: Position { x, y }, ..Move::default() }
    }

    #[test]
    fn a_tick_allows_five_units_and_no_more() {
        let tick_us = 16_667;
        assert_eq!(check(&at(0.0, 0.0, 0), &at(5.0, 5.0, tick_us)), Ok(()));
        assert!(matches!(check(&at(0.0, 0.0, 0), &at(5.1, 0.0, tick_us)), Err(Illegal::TooFast { .. })));
        assert!(
            matches!(check(&at(0.0, 0.0, 0), &at(1.0, 0.0, 0)), Err(Illegal::TooFast { .. })),
            "no time passed"
        );
        assert!(
            matches!(check(&at(9.0, 9.0, 50_000), &at(8.0, 9.0, 10)), Err(Illegal::TooFast { .. })),
            "time ran back"
        );
    }

    #[test]
    fn the_walls_hold_and_a_long_silence_earns_one_second() {
        let edge = ARENA - PLAYER;
        assert_eq!(check(&at(edge, 0.0, 0), &at(edge, 5.0, 20_000)), Ok(()));
        for (x, y) in [(-0.1, 0.0), (edge + 0.1, 0.0), (0.0, -1.0), (0.0, edge + 1.0)] {
            assert!(matches!(check(&at(0.0, 0.0, 0), &at(x, y, 1_000_000)), Err(Illegal::OutsideArena(_))));
        }
        assert_eq!(reach(3_600_000_000), 60.0 * 5.0);
    }

    proptest! {
        /// Whatever a client predicts, at whatever rate, the server accepts.
        #[test]
        fn what_advance_makes_check_accepts(
            steps in prop::collection::vec((0u64..3_000_000, -2.0f32..2.0, -2.0f32..2.0), 1..200),
        ) {
            let mut last = at(START[1].x, START[1].y, 0);
            for (elapsed_us, x, y) in steps {
                let position = advance(last.position, Heading { x, y }, elapsed_us);
                let next = Move { at_us: last.at_us + elapsed_us, position, ..last };
                prop_assert_eq!(check(&last, &next), Ok(()));
                last = next;
            }
        }
    }
}
