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

/// The number of timer ticks in a keep-alive interval. A connection is declared dead at most one
/// tick late.
const TICKS_PER_KEEP_ALIVE: u32 = 4;

/// A flag that the timer sets when it wakes the task. The task reads it to know whether to look at
/// the timer, which it hardly ever has to.
#[derive(Default)]
struct WakeFlag {
    set: AtomicBool,
    task: AtomicWaker,
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.set.store(true, Release);
        self.task.wake();
    }
}

/// A timer that counts ticks since the remote was heard and since this side wrote. Counting ticks
/// spares the hot path a look at the clock.
pub(crate) struct KeepAliveTimer {
    ticks: Interval,
    flag: Arc<WakeFlag>,
    /// The waker passed to the timer. It sets `flag`.
    timer_waker: Waker,
    idle_timeout: Duration,
    /// The number of ticks since the remote was last heard.
    quiet_ticks: u32,
    /// The number of ticks since this side last wrote.
    unwritten_ticks: u32,
}

impl KeepAliveTimer {
    /// Starts the timer of a connection to `remote`. Connections that began together tick at
    /// different times. Otherwise a server would send a thousand keep-alives at once, tens of ms in
    /// which messages wait.
    pub(crate) fn new(options: &Options, remote: SocketAddr) -> Self {
        let period = options.keep_alive / TICKS_PER_KEEP_ALIVE;
        let mut ticks = interval_at(Instant::now() + period.mul_f64(phase(remote)), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let flag = Arc::new(WakeFlag { set: true.into(), ..WakeFlag::default() }); // The first look starts the timer.
        let timer_waker = flag.clone().into();
        Self {
            ticks,
            flag,
            timer_waker,
            idle_timeout: options.idle_timeout,
            quiet_ticks: 0,
            unwritten_ticks: 0,
        }
    }

    /// Notes that the remote was heard.
    pub(crate) fn heard(&mut self) {
        self.quiet_ticks = 0;
    }

    /// Returns ready once for each tick, with an error when the remote has been silent for too
    /// long.
    pub(crate) fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        self.flag.task.register(cx.waker());
        if !self.flag.set.load(Acquire) {
            return Poll::Pending;
        }
        // Cleared before the look, so that no wake-up is lost.
        self.flag.set.store(false, Release);
        ready!(self.ticks.poll_tick(&mut Context::from_waker(&self.timer_waker)));
        self.flag.set.store(true, Release); // The next look registers the next tick.
        // The first tick comes anywhere within a period after a message, so it is not counted.
        if self.ticks.period() * self.quiet_ticks >= self.idle_timeout {
            return Poll::Ready(Err(CloseReason::IdleTimeout(self.idle_timeout)));
        }
        self.quiet_ticks += 1;
        Poll::Ready(Ok(()))
    }

    /// Returns whether a keep-alive is due. Called once a tick, with whether anything was written
    /// since the last tick.
    pub(crate) fn keep_alive_due(&mut self, wrote: bool) -> bool {
        self.unwritten_ticks = if wrote { 0 } else { self.unwritten_ticks + 1 };
        let due = self.unwritten_ticks == TICKS_PER_KEEP_ALIVE;
        if due {
            self.unwritten_ticks = 0;
        }
        due
    }
}

/// Returns the place of a connection's ticks within a period, from 0 to 1. Systems give out ports
/// in sequence. Multiples of the golden ratio's fraction spread such ports evenly.
fn phase(remote: SocketAddr) -> f64 {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_8;
    (f64::from(remote.port()) * GOLDEN_RATIO).fract()
}
