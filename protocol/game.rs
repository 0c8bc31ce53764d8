//! The rules of the game, shared by client and server: the arena, the speed limit, and the steps of
//! a walk. Pure.

pub use crate::position::Position;

/// The side of the square arena, in units.
pub const ARENA: f32 = 600.0;
/// The side of a player's square, in units.
pub const PLAYER: f32 = 50.0;
/// Ticks per second of the game's own time. Updates may come at any rate.
pub const TICK_RATE_HZ: u32 = 60;
/// The largest step of a player, in units per tick and axis.
pub const VELOCITY: f32 = 5.0;
/// The starting positions of players 0 and 1: the top and the bottom of the left side.
pub const START: [Position; 2] = [Position { x: 0.0, y: 0.0 }, Position { x: 0.0, y: ARENA - PLAYER }];

/// The most time that a player walks in one step. Who moved last long ago, at a late start or
/// before the computer slept, stood still meanwhile. A walk takes four moves a second at least.
const STEP_MAX_US: u64 = 250_000;

/// A player's steering, each axis from −1 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heading {
    /// The part to the right.
    pub x: f32,
    /// The part downwards.
    pub y: f32,
}

/// The rule that a move breaks. The game continues: the server resets the mover's position.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Illegal {
    /// The position is outside the arena.
    #[error("({}, {}) is outside the arena", .0.x, .0.y)]
    OutsideArena(Position),
    /// The way from the last position is longer than the player can have walked by now.
    #[error("moved {distance} units along an axis where {allowed} are allowed")]
    TooFast {
        /// The distance along the longer axis, in units.
        distance: f32,
        /// The allowed distance, in units.
        allowed: f32,
    },
}

/// Returns the position after steering `heading` for `elapsed_us`, as clients predict it: a quarter
/// of a second counts at most. `elapsed_us` is the time by any steady clock since the step before,
/// or since the player learned of the match.
pub fn advance(from: Position, heading: Heading, elapsed_us: u64) -> Position {
    let ticks = elapsed_us.min(STEP_MAX_US) as f64 * f64::from(TICK_RATE_HZ) / 1e6;
    let reach = (ticks * f64::from(VELOCITY)) as f32;
    let axis = |at: f32, steer: f32| (at + steer.clamp(-1.0, 1.0) * reach).clamp(0.0, ARENA - PLAYER);
    Position { x: axis(from.x, heading.x), y: axis(from.y, heading.y) }
}

/// Whether the whole player is within the arena at this position.
pub fn is_inside(position: Position) -> bool {
    let inside = |at: f32| (0.0..=ARENA - PLAYER).contains(&at);
    inside(position.x) && inside(position.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT_DOWN: Heading = Heading { x: 1.0, y: 0.5 };

    fn at(x: f32, y: f32) -> Position {
        Position { x, y }
    }

    #[test]
    fn a_tick_is_five_units() {
        assert_eq!(advance(at(0.0, 100.0), RIGHT_DOWN, 50_000), at(15.0, 107.5));
        assert_eq!(advance(at(20.0, 100.0), Heading { x: -0.5, y: -1.0 }, 10_000), at(18.5, 97.0));
        assert_eq!(advance(at(7.0, 8.0), RIGHT_DOWN, 0), at(7.0, 8.0));
    }

    #[test]
    fn long_steps_are_cut() {
        assert_eq!(advance(at(0.0, 0.0), RIGHT_DOWN, 250_000), at(75.0, 37.5));
        assert_eq!(advance(at(0.0, 0.0), RIGHT_DOWN, u64::MAX), at(75.0, 37.5));
        assert_eq!(advance(at(50.0, 50.0), Heading { x: 9.0, y: -9.0 }, 10_000), at(53.0, 47.0));
    }

    #[test]
    fn walls_stop_a_walk() {
        let edge = ARENA - PLAYER;
        assert_eq!(advance(at(edge - 1.0, edge), RIGHT_DOWN, 50_000), at(edge, edge));
        assert_eq!(advance(at(1.0, 0.0), Heading { x: -1.0, y: -1.0 }, 50_000), at(0.0, 0.0));
        for position in [at(0.0, 0.0), at(edge, edge), START[0], START[1]] {
            assert!(is_inside(position));
        }
        for (x, y) in [(-0.1, 0.0), (0.0, -0.1), (550.1, 0.0), (0.0, 550.1), (f32::NAN, 0.0), (0.0, f32::NAN)]
        {
            assert!(!is_inside(at(x, y)), "({x}, {y})");
        }
    }
}
