//! Keep-alives and the idle timeout, for kinds whose protocol has neither.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use atomic_waker::AtomicWaker;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::{CloseReason, Options};

/// How finely the idle timeout is kept: a connection is declared dead at most a quarter of a keep-alive late.
const BEATS_PER_KEEP_ALIVE: u32 = 4;

/// What the beat wakes, and not the task itself: so the task knows whether to look at it, which it hardly ever has to.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Release);
        self.task.wake();
    }
}

/// Counts beats since the peer was heard and since this side wrote: that spares the hot path a look at the clock.
pub(crate) struct Heartbeat {
    beat: Interval,
    bell: Arc<Bell>,
    /// The same for the beat.
    ringer: Waker,
    idle_timeout: Duration,
    /// Beats since the peer was last heard.
    quiet_beats: u32,
    /// Beats since this side last wrote.
    unwritten_beats: u32,
}

impl Heartbeat {
    /// Of a connection to `remote`. Connections that began together beat apart: else a server would say to a thousand at
    /// once that it lives, tens of ms in which moves wait.
    pub(crate) fn new(options: &Options, remote: SocketAddr) -> Self {
        let period = options.keep_alive / BEATS_PER_KEEP_ALIVE;
        let mut beat = interval_at(Instant::now() + period.mul_f64(phase(remote)), period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let bell = Arc::new(Bell { rung: true.into(), ..Bell::default() }); // The first look starts the beat.
        let ringer = bell.clone().into();
        Self { beat, bell, ringer, idle_timeout: options.idle_timeout, quiet_beats: 0, unwritten_beats: 0 }
    }

    /// The peer was heard.
    pub(crate) fn heard(&mut self) {
        self.quiet_beats = 0;
    }

    /// Ready once for each beat; with an error when the peer has been silent for too long.
    pub(crate) fn poll_beat(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        self.bell.task.register(cx.waker());
        if !self.bell.rung.load(Acquire) {
            return Poll::Pending;
        }
        // Before the look, so that no ring is lost.
        self.bell.rung.store(false, Release);
        ready!(self.beat.poll_tick(&mut Context::from_waker(&self.ringer)));
        self.bell.rung.store(true, Release); // There is nobody to ring for the next beat before the next look.
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

/// Where in a period a connection's beats are, from 0 to 1. Ports in a row, as a system gives them out, are spread evenly:
/// multiples of the golden ratio's fraction lie so.
fn phase(remote: SocketAddr) -> f64 {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_8;
    (f64::from(remote.port()) * GOLDEN_RATIO).fract()
}
