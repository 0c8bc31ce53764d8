//! Deadlines rounded up to a grid, so that many connections share a wake-up. Does no I/O.
//!
//! A QUIC connection has a deadline (probe, acknowledge) that every packet moves and that hardly
//! ever passes. Setting a system timer for each move of each connection is the largest part of the
//! cost of driving quinn-proto.

use std::{
    collections::BTreeSet,
    sync::LazyLock,
    time::{Duration, Instant},
};

use quinn_proto::ConnectionHandle;

/// The grid's distance: deadlines fire up to this much late.
pub(super) const GRID: Duration = Duration::from_millis(5);
/// The grid's distance in µs, a number that a processor divides by at once. Those of a `Duration`
/// have 128 bits.
pub(super) const GRID_US: u64 = GRID.as_micros() as u64;

/// The start of the grid of all endpoints of the process, so that they wake up together.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A point of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    /// The tick before any other.
    pub(super) const PAST: Self = Self(0);
    /// The tick after any other.
    pub(super) const NEVER: Self = Self(u64::MAX);

    /// Returns the last tick that is not after `instant`.
    pub(super) fn until(instant: Instant) -> Self {
        let since = instant.saturating_duration_since(*START);
        Self((since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())) / GRID_US)
    }

    /// Returns the first tick after `instant`.
    pub(super) fn after(instant: Instant) -> Self {
        Self(Self::until(instant).0 + 1)
    }

    /// Returns the time of the tick.
    pub(super) fn instant(self) -> Instant {
        *START + Duration::from_micros(self.0.saturating_mul(GRID_US))
    }
}

/// The deadlines of an endpoint's connections: at most one entry for each.
#[derive(Default)]
pub(super) struct Timers(BTreeSet<(Tick, ConnectionHandle)>);

impl Timers {
    /// Moves a connection's entry.
    pub(super) fn set(&mut self, connection: ConnectionHandle, from: Option<Tick>, to: Option<Tick>) {
        if let Some(from) = from {
            self.0.remove(&(from, connection));
        }
        if let Some(to) = to {
            self.0.insert((to, connection));
        }
    }

    pub(super) fn first(&self) -> Tick {
        self.0.first().map_or(Tick::NEVER, |&(tick, _)| tick)
    }

    /// Takes out an entry that is due.
    pub(super) fn pop(&mut self, now: Tick) -> Option<ConnectionHandle> {
        if self.first() > now {
            return None;
        }
        self.0.pop_first().map(|(_, connection)| connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_within_one_grid_step() {
        for offset_us in [0, 1, 4_999, 5_000, 5_001, 123_456_789] {
            let deadline = *START + Duration::from_micros(offset_us);
            let fires = Tick::after(deadline).instant();
            assert!(deadline < fires && fires <= deadline + GRID);
            assert!(Tick::until(deadline).instant() <= deadline);
        }
        assert_eq!(Tick::until(*START - GRID), Tick::PAST);
    }

    #[test]
    fn connection_has_one_entry() {
        let (mut timers, [a, b]) = (Timers::default(), [1, 2].map(ConnectionHandle));
        timers.set(a, None, Some(Tick(9)));
        timers.set(b, None, Some(Tick(5)));
        timers.set(a, Some(Tick(9)), Some(Tick(3)));
        assert_eq!((timers.first(), timers.pop(Tick(2))), (Tick(3), None));
        assert_eq!([timers.pop(Tick(5)), timers.pop(Tick(5))], [Some(a), Some(b)]);
        timers.set(b, None, Some(Tick(7)));
        timers.set(b, Some(Tick(7)), None);
        assert_eq!(timers.first(), Tick::NEVER);
    }
}
