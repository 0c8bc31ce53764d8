//! The sending half of a connection over one byte stream: TCP, TLS, or a stream from outside this
//! crate.

use std::{
    io,
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    frame::{self, FrameKind},
    keep_alive::KeepAliveTimer,
    outbox::{Flushed, Outbox},
};
use crate::{Close, CloseReason, CloseState, PathStats, SendHalf};

/// The writing side of a byte stream, which differs by kind.
pub(crate) trait StreamWriter: Send + Sync + 'static {
    /// The part of the stream that the sending state's lock guards.
    type Guarded: Send + 'static;

    /// Writes what the stream takes, and ends the stream after a close frame. Never waits. A
    /// pending write may keep the waker of `cx`.
    fn write_out(&self, out: &mut Out<Self::Guarded>, cx: &mut Context<'_>) -> io::Result<Flushed>;

    /// Returns what the stream knows of its path.
    fn path_stats(&self, out: &Mutex<Out<Self::Guarded>>) -> PathStats;

    /// Whether the handshake resumed a session; `None` without TLS.
    fn resumed(&self) -> Option<bool> {
        None
    }
}

/// The state that both halves hold.
pub(crate) struct StreamSender<W: StreamWriter> {
    pub(crate) writer: W,
    out: Mutex<Out<W::Guarded>>,
    close_state: CloseState,
    /// Whether bytes wait that the stream did not take. The receiver's task writes them.
    blocked: AtomicBool,
}

/// The sending state.
pub(crate) struct Out<G> {
    pub(crate) stream: G,
    pub(crate) outbox: Outbox,
    /// Whether anything was written since the last keep-alive tick. If so, no keep-alive is due.
    pub(crate) wrote: bool,
    /// Whether a close frame is queued. Once it has left, the stream ends.
    pub(crate) closing: bool,
    blocked_time: BlockedTime,
}

/// The time in which bytes waited since the stream took no more.
#[derive(Default)]
struct BlockedTime {
    since: Option<Instant>,
    /// The time of the waits that are over.
    over: Duration,
}

impl BlockedTime {
    /// Takes in the outcome of a flush. The clock is read at the two ends of a wait only.
    fn note(&mut self, flushed: Flushed, now: impl FnOnce() -> Instant) {
        match (flushed, self.since) {
            (Flushed::Blocked, None) => self.since = Some(now()),
            (Flushed::All, Some(since)) => {
                self.over += now() - since;
                self.since = None;
            }
            (Flushed::Blocked, Some(_)) | (Flushed::All, None) => {}
        }
    }

    fn total(&self, now: Instant) -> Duration {
        self.over + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

impl<W: StreamWriter> StreamSender<W> {
    pub(crate) fn new(writer: W, stream: W::Guarded) -> Self {
        Self {
            writer,
            out: Mutex::new(Out {
                stream,
                outbox: Outbox::default(),
                wrote: false,
                closing: false,
                blocked_time: BlockedTime::default(),
            }),
            close_state: CloseState::default(),
            // True at first, since the handshake may have left something to write.
            blocked: AtomicBool::new(true),
        }
    }

    /// Locks the sending state. The lock is held for a few memory copies and a non-blocking system
    /// call, never across an await.
    pub(crate) fn out(&self) -> MutexGuard<'_, Out<W::Guarded>> {
        self.out.lock()
    }

    /// Lets the receiver's task write at its next turn.
    pub(crate) fn set_blocked(&self) {
        self.blocked.store(true, Release);
    }

    /// Writes what a sender could not write, as the stream takes it. The receiver's task calls it.
    pub(crate) fn write_waiting(&self, cx: &mut Context<'_>) -> io::Result<Flushed> {
        if !self.blocked.load(Acquire) {
            return Ok(Flushed::All);
        }
        let mut out = self.out();
        let flushed = self.writer.write_out(&mut out, cx)?;
        out.blocked_time.note(flushed, Instant::now);
        if flushed == Flushed::All {
            self.blocked.store(false, Release);
        }
        Ok(flushed)
    }

    /// Sends a keep-alive where one is due, and watches the idle timeout, once a tick.
    pub(crate) fn poll_keep_alive(
        &self,
        keep_alive: &mut KeepAliveTimer,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        while let Poll::Ready(tick) = keep_alive.poll_tick(cx) {
            tick?;
            let mut out = self.out();
            if keep_alive.keep_alive_due(std::mem::take(&mut out.wrote)) {
                // A full queue is no error here: the frames that wait serve as keep-alives.
                let _ = out.outbox.push(FrameKind::KeepAlive, &[]);
                self.set_blocked();
            }
        }
        Ok(())
    }

    /// Writes what the stream takes, and leaves the rest to the receiver's task. Returns how many
    /// updates were superseded.
    fn flush_or_wake(&self, mut out: MutexGuard<'_, Out<W::Guarded>>) -> Result<usize, CloseReason> {
        // A write that is pending may replace the waker of the receiver's task, so that task polls
        // again.
        let flushed = self.writer.write_out(&mut out, &mut Context::from_waker(Waker::noop()));
        let superseded = out.outbox.take_superseded();
        if let Ok(flushed) = flushed {
            out.blocked_time.note(flushed, Instant::now);
        }
        drop(out);
        if flushed? == Flushed::Blocked {
            self.set_blocked();
            self.close_state.wake();
        }
        Ok(superseded)
    }
}

impl<W: StreamWriter> SendHalf for StreamSender<W> {
    fn close_state(&self) -> &CloseState {
        &self.close_state
    }

    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.out().outbox.push(FrameKind::Control, message).map_err(CloseReason::ControlLaneFull)
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let mut out = self.out();
        out.outbox.replace_state(message);
        self.flush_or_wake(out)
    }

    fn queue_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let mut out = self.out();
        out.outbox.batch_state(message);
        if out.outbox.batch_is_full() { self.flush_or_wake(out) } else { Ok(0) }
    }

    fn flush(&self) -> Result<usize, CloseReason> {
        self.flush_or_wake(self.out())
    }

    fn queued_bytes(&self) -> usize {
        self.out().outbox.queued_bytes()
    }

    fn send_close(&self, close: &Close) {
        let mut out = self.out();
        out.closing = true;
        // A full queue is no error here: a remote that does not read would not read the close frame
        // either.
        let _ = out.outbox.push(FrameKind::Close, &frame::encode_close(close));
        // The end of a connection wakes the receiver's task, so a waker that is lost here is set
        // again.
        let flushed = self.writer.write_out(&mut out, &mut Context::from_waker(Waker::noop()));
        if !matches!(flushed, Ok(Flushed::All)) {
            self.set_blocked();
        }
    }

    fn path_stats(&self) -> PathStats {
        let mut stats = self.writer.path_stats(&self.out);
        let blocked = self.out().blocked_time.total(Instant::now());
        stats.recovery.blocked_us = u64::try_from(blocked.as_micros()).ok();
        stats
    }

    fn resumed(&self) -> Option<bool> {
        self.writer.resumed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_waits() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut blocked = BlockedTime::default();
        for (flushed, ms) in [
            (Flushed::All, 1),
            (Flushed::Blocked, 2),
            (Flushed::Blocked, 3),
            (Flushed::All, 7),
            (Flushed::All, 8),
        ] {
            blocked.note(flushed, || at(ms));
        }
        assert_eq!(blocked.total(at(20)), Duration::from_millis(5));
        blocked.note(Flushed::Blocked, || at(20));
        assert_eq!(blocked.total(at(21)), Duration::from_millis(6), "the wait goes on");
    }
}
