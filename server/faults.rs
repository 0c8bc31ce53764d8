//! Panics that a test asks for at a named place of the server. Outside of tests it does nothing.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    /// The place that panics next. A test with its server runs on a thread of its own.
    static NEXT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Makes the next visit of `place` panic.
#[cfg(test)]
pub(crate) fn arm(place: &'static str) {
    NEXT.set(Some(place));
}

/// Whether the armed place was visited.
#[cfg(test)]
pub(crate) fn is_spent() -> bool {
    NEXT.get().is_none()
}

/// Panics if a test armed this place.
#[cfg(test)]
pub(crate) fn strike(place: &'static str) {
    if NEXT.get() == Some(place) {
        NEXT.set(None);
        panic!("asked for by a test");
    }
}

/// Does nothing.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn strike(_: &'static str) {}
