//! The oracle's own check of a player's way, of what its opponent is told: no window of time holds
//! more way than the rules allow, and times are credible. It shares no code with the server.

use netduel_protocol::{Move, game::Position};

/// The top speed along an axis, with the tolerance for rounding and for clocks that drift.
const UNITS_PER_US: f64 = 300.0 * 1.002 / 1e6;
/// The most way that a player catches up with, in units: that of twelve seconds. The last part is
/// for rounding.
const CATCH_UP_UNITS: f64 = 12e6 * UNITS_PER_US + 0.02;
/// The most time by which a move may be told to be from the future, in µs.
const EARLY_MAX_US: u64 = 1_250_000;

/// The way of a player that its opponent was told of.
#[derive(Debug)]
pub(super) struct RelayedWay {
    position: Position,
    at_us: u64,
    /// The way so far, in units.
    walked: f64,
    /// The least of the way before a move less what time had earned by then.
    least: f64,
}

impl From<Position> for RelayedWay {
    /// Returns the way of a player that stands at `position`.
    fn from(position: Position) -> Self {
        Self { position, at_us: 0, walked: 0.0, least: 0.0 }
    }
}

impl RelayedWay {
    /// Adds a move that is told `match_us` after the start.
    pub(super) fn add(&mut self, told: &Move, match_us: u64) -> Result<(), String> {
        if told.at_us < self.at_us || told.at_us > match_us + EARLY_MAX_US {
            let (at_us, before_us) = (told.at_us, self.at_us);
            return Err(format!("a move of {at_us} µs after one of {before_us} µs, at {match_us} µs"));
        }
        let earned = match_us as f64 * UNITS_PER_US;
        self.least = self.least.min(self.walked - earned);
        let (from, to) = (self.position, told.position);
        self.walked += f64::from((to.x - from.x).abs().max((to.y - from.y).abs()));
        (self.position, self.at_us) = (to, told.at_us);
        let gained = self.walked - earned - self.least;
        if gained > CATCH_UP_UNITS { Err(format!("the player gained {gained} units of way")) } else { Ok(()) }
    }
}
