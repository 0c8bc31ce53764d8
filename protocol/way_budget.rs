//! The budget of a player's way: the check of its moves by the server's clock. Pure.
//!
//! A player gains way at the game's top speed, as the server's clock runs. Nothing that the mover
//! says enlarges the budget, and its claims shrink it: a player that reports where it is *now* has
//! not saved up the right to be elsewhere.
//!
//! No legal move is refused. A legal way is at most as long as the time in which it was walked, and
//! a move arrives after the time at which it was meant to be sent. So the time that the budget
//! counts as spent stays behind the time of the newest accepted move, however late the moves are.

use crate::{
    Move,
    game::{self, Illegal, TICK_RATE_HZ, VELOCITY},
};

/// The most time whose way a player may catch up with. A path that stalls for longer loses its
/// connection: the idle timeout is 10 s, and what waited meanwhile takes some round trips to
/// arrive.
const CATCH_UP_MAX_US: u64 = 12_000_000;
/// The most time whose way a player may save up while its moves say that they are on time: more
/// than a mover's estimate of the server's clock can be wrong on a usable path.
const SAVED_MAX_US: u64 = 1_000_000;
/// The time by which a move may claim to be sent after it arrived, beyond the error that it admits:
/// more than half of the round trip of a usable path. Players that read one clock agree upon its
/// offset, which may be wrong by as much.
const CLOCK_MARGIN_US: u64 = 250_000;
/// The largest error of a clock that a move is believed, in µs: half of the longest usable round
/// trip.
const CLOCK_ERROR_MAX_US: u32 = 1_000_000;
/// The tolerated share of a way beyond the speed limit. Clocks of two hosts differ by up to 400
/// ppm. A step at 10,000 moves a second is 0.03 units long, and the far side of the arena has a
/// grid of 0.00006 units.
const SLACK_SHARE: f64 = 0.002;
/// The tolerated rounding error in time: a hundredth of a unit, and so of a pixel on any screen.
const ROUNDING_NS: u64 = 33_333;
/// The time in which a player may walk a unit.
const NS_PER_UNIT: f64 = 1e9 / (TICK_RATE_HZ as f64 * VELOCITY as f64 * (1.0 + SLACK_SHARE));

/// The budget of one player's way in a match, as the time whose way is not spent yet. A new budget
/// is empty at the start of the match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WayBudget {
    /// The server's time whose way is spent, in ns since the start of the match.
    spent_ns: u64,
}

impl WayBudget {
    /// Takes the way from the player's last accepted move to `next`, which arrived when the
    /// server's clock showed `now_us` since the start of the match. Both are moves of the same
    /// match, and `next` has the higher number.
    ///
    /// Returns the move as others may be told it: its time neither falls nor lies in the future by
    /// more than the clocks can be wrong.
    ///
    /// # Errors
    /// The rule that `next` breaks. Nothing is taken then.
    pub fn take(&mut self, last: &Move, next: &Move, now_us: u64) -> Result<Move, Illegal> {
        let (from, to) = (last.position, next.position);
        if !game::is_inside(to) {
            return Err(Illegal::OutsideArena(to));
        }
        let now_ns = ns(now_us);
        let distance = (to.x - from.x).abs().max((to.y - from.y).abs());
        let begin_ns = self.spent_ns.max(now_ns.saturating_sub(ns(CATCH_UP_MAX_US)));
        let spent_ns = begin_ns.saturating_add((f64::from(distance) * NS_PER_UNIT) as u64);
        let earned_ns = now_ns.saturating_add(ROUNDING_NS);
        if spent_ns > earned_ns {
            let allowed = (earned_ns.saturating_sub(begin_ns) as f64 / NS_PER_UNIT) as f32;
            return Err(Illegal::TooFast { distance, allowed });
        }
        let at_us = credible_us(last.at_us, next, now_us);
        let claimed_us = at_us.saturating_sub(SAVED_MAX_US).saturating_sub(next.clock_error_us.into());
        self.spent_ns = spent_ns.max(ns(claimed_us));
        Ok(Move { at_us, ..*next })
    }
}

/// Returns the time that `next` claims, or the nearest one that is credible.
fn credible_us(last_us: u64, next: &Move, now_us: u64) -> u64 {
    let error_us = match next.clock_error_us {
        Move::CLOCK_UNKNOWN => 0,
        error_us => error_us.min(CLOCK_ERROR_MAX_US),
    };
    let latest_us = now_us.saturating_add(CLOCK_MARGIN_US).saturating_add(error_us.into());
    next.at_us.min(latest_us).max(last_us)
}

const fn ns(us: u64) -> u64 {
    us.saturating_mul(1_000)
}

#[cfg(test)]
mod tests;
