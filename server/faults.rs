//! Panics that a test asks for at a named place of the server.

use std::cell::Cell;

thread_local! {
    /// The place that panics next. A test with its server runs on a thread of its own.
    static NEXT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Makes the next visit of `place` panic.
pub(crate) fn arm(place: &'static str) {
    NEXT.set(Some(place));
}

/// Whether the armed place was visited.
pub(crate) fn is_spent() -> bool {
    NEXT.get().is_none()
}

/// Panics if a test armed this place.
pub(crate) fn strike(place: &'static str) {
    if NEXT.get() == Some(place) {
        NEXT.set(None);
        panic!("asked for by a test");
    }
}
