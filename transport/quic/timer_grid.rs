//! Deadlines on a grid, so that many connections share a wake-up. Pure.
//!
//! A QUIC connection has a deadline that every packet moves (probe it, acknowledge it), and that is hardly ever reached.
//! Setting a timer of the system for each move of each is the largest part of what driving quinn-proto can cost.

use std::{
    collections::BTreeSet,
    sync::LazyLock,
    time::{Duration, Instant},
};

use quinn_proto::ConnectionHandle;

/// Deadlines fire up to this much late.
pub(super) const GRID: Duration = Duration::from_millis(5);
/// In a number that a processor divides by at once; those of a `Duration` have 128 bits.
pub(super) const GRID_US: u64 = GRID.as_micros() as u64;

/// One grid for all endpoints of the process, so that they wake up together.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A point of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    /// Before any other.
    pub(super) const PAST: Self = Self(0);
    /// After any other.
    pub(super) const NEVER: Self = Self(u64::MAX);

    /// The last one that is not after `instant`.
    pub(super) fn until(instant: Instant) -> Self {
        let since = instant.saturating_duration_since(*START);
        Self((since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())) / GRID_US)
    }

    /// The first one after `instant`.
    pub(super) fn after(instant: Instant) -> Self {
        Self(Self::until(instant).0 + 1)
    }

    /// When it is.
    pub(super) fn instant(self) -> Instant {
        *START + Duration::from_micros(self.0.saturating_mul(GRID_US))
    }
}

/// When each connection of an endpoint is to be looked at: at most one entry for each.
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

    /// Takes out one that is due.
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
    fn a_deadline_fires_after_its_time_and_at_most_a_grid_late() {
        for offset_us in [0, 1, 4_999, 5_000, 5_001, 123_456_789] {
            let deadline = *START + Duration::from_micros(offset_us);
            let fires = Tick::after(deadline).instant();
            assert!(deadline < fires && fires <= deadline + GRID);
            assert!(Tick::until(deadline).instant() <= deadline);
        }
        assert_eq!(Tick::until(*START - GRID), Tick::PAST);
    }

    #[test]
    fn a_connection_has_one_entry_however_often_it_moves() {
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
