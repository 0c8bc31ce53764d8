//! How a connection ends: once, for one reason, and both of its halves hear of it. The same for every kind.

use std::{sync::OnceLock, task::Waker};

use atomic_waker::AtomicWaker;

use crate::{CloseReason, connection::SendHalf};

/// What every kind holds where both halves see it.
#[derive(Default)]
pub(crate) struct Lifeline {
    ending: OnceLock<CloseReason>,
    /// The task that polls the receiver, and with it drives the connection.
    driver: AtomicWaker,
}

impl Lifeline {
    /// Open, or why it is not.
    pub(crate) fn check(&self) -> Result<(), CloseReason> {
        self.ending.get().map_or(Ok(()), |reason| Err(reason.clone()))
    }

    /// Why it is over, if it is.
    pub(crate) fn ending(&self) -> Option<&CloseReason> {
        self.ending.get()
    }

    /// Whose task drives, from within its poll.
    pub(crate) fn driven_by(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// There is something to drive: more to write, a timer to set, an end.
    pub(crate) fn wake(&self) {
        self.driver.wake();
    }
}

/// Ends a connection for `reason`, unless it has ended, and tells the peer where that makes sense. Returns the reason
/// that counts: the first.
pub(crate) fn end(half: &dyn SendHalf, reason: CloseReason) -> CloseReason {
    let lifeline = half.lifeline();
    let mut first = false;
    let counts = lifeline.ending.get_or_init(|| {
        first = true;
        reason
    });
    if first {
        if let Some(goodbye) = counts.goodbye() {
            half.say_goodbye(&goodbye);
        }
        lifeline.wake();
    }
    counts.clone()
}
