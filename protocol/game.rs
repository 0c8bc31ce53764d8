//! The rules of the game, shared by client and server: the arena, the speed limit, and the check of
//! a move. Pure.

use crate::Move;
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
/// The most time between two accepted moves that counts. A player whose moves are lost for a second
/// has walked on, half of the arena, and may have begun with a long step. Nobody can save up the
/// right to jump further.
const CATCH_UP_MAX_US: u64 = 1_000_000 + STEP_MAX_US;
/// The tolerated rounding error of a step, in units: a hundredth of a pixel on any screen.
const ROUNDING: f32 = 0.01;
/// The tolerated rounding error of many small steps, as a share of the distance. A step at 10,000
/// moves a second is 0.03 units long, and the far side of the arena has a grid of 0.00006 units.
const ROUNDING_SHARE: f32 = 0.002;

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
    /// The position is further from the last one than the time between the moves allows.
    #[error("moved {distance} units along an axis where {allowed} are allowed")]
    TooFast {
        /// The distance along the longer axis, in units.
        distance: f32,
        /// The allowed distance, in units.
        allowed: f32,
    },
}

/// Returns the largest distance along an axis in `elapsed_us`, in units.
pub fn reach(elapsed_us: u64) -> f32 {
    let ticks = elapsed_us.min(CATCH_UP_MAX_US) as f64 * f64::from(TICK_RATE_HZ) / 1e6;
    (ticks * f64::from(VELOCITY)) as f32
}

/// Returns the position after steering `heading` for `elapsed_us`, as clients predict it: a quarter
/// of a second counts at most. The result is legal, even if the moves of a second before it are
/// lost.
pub fn advance(from: Position, heading: Heading, elapsed_us: u64) -> Position {
    let reach = reach(elapsed_us.min(STEP_MAX_US));
    let axis = |at: f32, steer: f32| (at + steer.clamp(-1.0, 1.0) * reach).clamp(0.0, ARENA - PLAYER);
    Position { x: axis(from.x, heading.x), y: axis(from.y, heading.y) }
}

/// Checks that `next` may follow the last accepted move. Both are moves of the same player and
/// match, and `next` is the newer one.
///
/// # Errors
/// The rule that `next` breaks.
pub fn check(last: &Move, next: &Move) -> Result<(), Illegal> {
    let inside = |at: f32| (0.0..=ARENA - PLAYER).contains(&at);
    let Position { x, y } = next.position;
    if !inside(x) || !inside(y) {
        return Err(Illegal::OutsideArena(next.position));
    }
    let distance = (x - last.position.x).abs().max((y - last.position.y).abs());
    let allowed = reach(next.at_us.saturating_sub(last.at_us)) * (1.0 + ROUNDING_SHARE) + ROUNDING;
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
    fn a_tick_allows_five_units() {
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
    fn bounds_walls_and_catch_up() {
        let edge = ARENA - PLAYER;
        assert_eq!(check(&at(edge, 0.0, 0), &at(edge, 5.0, 20_000)), Ok(()));
        for (x, y) in [(-0.1, 0.0), (edge + 0.1, 0.0), (0.0, -1.0), (0.0, edge + 1.0)] {
            assert!(matches!(check(&at(0.0, 0.0, 0), &at(x, y, 1_000_000)), Err(Illegal::OutsideArena(_))));
        }
        assert_eq!(reach(3_600_000_000), 1.25 * 60.0 * 5.0);
    }

    #[test]
    fn check_tolerates_rounding_of_small_steps() {
        for (step_us, heading) in [(100, 1.0), (100, -1.0), (97, 1.0), (1_001, 0.999), (4_167, -1.0)] {
            let edge = if heading > 0.0 { 200.0 } else { ARENA - PLAYER };
            let (begin, mut now) = (at(edge, edge, 0), at(edge, edge, 0));
            while now.at_us + step_us <= 1_000_000 {
                let position = advance(now.position, Heading { x: heading, y: heading }, step_us);
                now = Move { at_us: now.at_us + step_us, position, ..now };
                assert_eq!(check(&begin, &now), Ok(()), "steps of {step_us} µs");
            }
        }
    }

    proptest! {
        /// The server accepts every prediction of a client, at any rate, after any pause, and after
        /// up to a second of lost moves.
        #[test]
        fn check_accepts_every_prediction(
            steps in prop::collection::vec(
                (prop_oneof![0u64..100_000, 0u64..10_000_000], -2.0f32..2.0, -2.0f32..2.0, any::<bool>()),
                1..200,
            ),
        ) {
            let mut accepted = at(START[1].x, START[1].y, 0);
            let (mut newest, mut lost_us) = (accepted, 0);
            for (elapsed_us, x, y, is_lost) in steps {
                let position = advance(newest.position, Heading { x, y }, elapsed_us);
                newest = Move { at_us: newest.at_us + elapsed_us, position, ..newest };
                let walked_us = elapsed_us.min(STEP_MAX_US);
                if is_lost && lost_us + walked_us <= 1_000_000 {
                    lost_us += walked_us;
                    continue;
                }
                prop_assert_eq!(check(&accepted, &newest), Ok(()));
                (accepted, lost_us) = (newest, 0);
            }
        }
    }
}
