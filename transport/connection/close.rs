//! The end of a connection: once, for one reason, and known to both of its halves.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;
use tokio::sync::Notify;

use super::error::CloseReason;

/// The state that both halves of a connection share, whatever its kind: why it ended, and the task
/// that drives it.
#[derive(Debug, Default)]
pub struct CloseState {
    reason: OnceLock<CloseReason>,
    /// The task that polls the receiver and so drives the connection.
    driver: AtomicWaker,
    /// Whether the driver was woken since it last began to look at everything.
    woken: AtomicBool,
    /// The tasks that wait for the end.
    ended: Notify,
}

impl CloseState {
    /// Returns the reason why the connection is over; `None` while it is open.
    pub fn reason(&self) -> Option<&CloseReason> {
        self.reason.get()
    }

    /// Wakes the task that drives the connection: there is more to write, a timer to set, or an
    /// end.
    pub fn wake(&self) {
        self.woken.store(true, SeqCst);
        self.driver.wake();
    }

    /// Returns an error if the connection is over.
    pub(crate) fn check(&self) -> Result<(), CloseReason> {
        self.reason.get().map_or(Ok(()), |reason| Err(reason.clone()))
    }

    /// Ends the connection for `reason`. Returns `None` if it had ended before: the first reason
    /// counts.
    pub(crate) fn end(&self, reason: CloseReason) -> Option<&CloseReason> {
        self.reason.set(reason).ok()?;
        self.ended.notify_waiters();
        self.reason.get()
    }

    /// Waits until the connection is over, and returns the reason.
    pub(crate) async fn closed(&self) -> CloseReason {
        loop {
            // Created before the look, so that an end in between is not missed.
            let ended = self.ended.notified();
            if let Some(reason) = self.reason.get() {
                return reason.clone();
            }
            ended.await;
        }
    }

    /// Calls `poll` until it is ready, or until it is pending and no wake-up is left unserved.
    pub(crate) fn drive<T>(
        &self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        loop {
            if self.woken.load(SeqCst) {
                self.woken.store(false, SeqCst);
            }
            if let Poll::Ready(outcome) = poll(cx) {
                return Poll::Ready(outcome);
            }
            // The waker is registered only now because most polls are ready. `woken` shows earlier
            // wake-ups.
            self.driver.register(cx.waker());
            if !self.woken.load(SeqCst) {
                return Poll::Pending;
            }
        }
    }
}
