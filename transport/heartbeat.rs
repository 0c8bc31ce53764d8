//! Keep-alives and the idle timeout, for kinds whose protocol has neither.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Interval, MissedTickBehavior};

use crate::{CloseReason, Options};

/// How finely the idle timeout is kept: a connection is declared dead at most a quarter of a keep-alive late.
const BEATS_PER_KEEP_ALIVE: u32 = 4;

/// Counts beats since the peer was heard and since this side wrote: that spares the hot path a look at the clock.
pub(crate) struct Heartbeat {
    beat: Interval,
    idle_timeout: Duration,
    /// Beats since the peer was last heard.
    quiet_beats: u32,
    /// Beats since this side last wrote.
    unwritten_beats: u32,
}

impl Heartbeat {
    pub(crate) fn new(options: &Options) -> Self {
        let mut beat = tokio::time::interval(options.keep_alive / BEATS_PER_KEEP_ALIVE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        Self { beat, idle_timeout: options.idle_timeout, quiet_beats: 0, unwritten_beats: 0 }
    }

    /// The peer was heard.
    pub(crate) fn heard(&mut self) {
        self.quiet_beats = 0;
    }

    /// Ready once for each beat; with an error when the peer has been silent for too long.
    pub(crate) fn poll_beat(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        std::task::ready!(self.beat.poll_tick(cx));
        // The first beat comes anywhere within a period after a message, so it is not counted.
        if self.beat.period() * self.quiet_beats >= self.idle_timeout {
            return Poll::Ready(Err(CloseReason::IdleTimeout(self.idle_timeout)));
        }
        self.quiet_beats += 1;
        Poll::Ready(Ok(()))
    }

    /// To be asked once a beat, with whether anything was written since the last: is it time to say that we live?
    pub(crate) fn keep_alive_due(&mut self, wrote: bool) -> bool {
        self.unwritten_beats = if wrote { 0 } else { self.unwritten_beats + 1 };
        let due = self.unwritten_beats == BEATS_PER_KEEP_ALIVE;
        if due {
            self.unwritten_beats = 0;
        }
        due
    }
}
