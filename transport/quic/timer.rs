//! One timer for all deadlines of an endpoint.
//!
//! A tokio timer becomes the time limit of every wait for events. The kernel sets and clears that
//! limit each time a packet comes before it. With deadlines a few milliseconds away, that is a
//! large part of a packet's cost. A timerfd is set once for each point of the grid, however many
//! packets come before it. Clients use tokio's timer: their process may have many endpoints, which
//! share one kernel timer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::Sleep;

pub(super) enum Timer {
    #[cfg(target_os = "linux")]
    Timerfd(linux::Timerfd),
    Tokio(Pin<Box<Sleep>>),
}

impl Timer {
    /// Makes a timer for an endpoint with many connections, or for an endpoint with one.
    pub(super) fn new(many: bool) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if many {
            return Ok(Self::Timerfd(linux::Timerfd::new()?));
        }
        let _ = many;
        Ok(Self::tokio())
    }

    /// Makes a timer that takes no file descriptor.
    pub(super) fn tokio() -> Self {
        Self::Tokio(Box::pin(tokio::time::sleep_until(Instant::now().into())))
    }

    pub(super) fn set(&mut self, instant: Instant) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Timerfd(timer) => timer.set(instant),
            Self::Tokio(sleep) => sleep.as_mut().reset(instant.into()),
        }
    }

    /// Returns ready once the time that was set last has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Timerfd(timer) => timer.poll(cx),
            Self::Tokio(sleep) => sleep.as_mut().poll(cx),
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        os::fd::OwnedFd,
        task::{Context, Poll},
        time::{Duration, Instant},
    };

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    /// The shortest wait that can be set, since zero would switch the timer off.
    const SHORTEST: Duration = Duration::from_nanos(1);

    pub(in super::super) struct Timerfd(AsyncFd<OwnedFd>);

    impl Timerfd {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // Deprecated for types whose descriptor can be closed behind tokio's back; an OwnedFd's
            // cannot.
            #[allow(deprecated)]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
            Ok(Self(timer))
        }

        pub(super) fn set(&mut self, instant: Instant) {
            let wait = instant.saturating_duration_since(Instant::now()).max(SHORTEST);
            let once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
            let spec = Itimerspec { it_interval: once, it_value: wait };
            // The kernel has nothing to refuse: the timer exists, and the time is valid.
            let set = timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &spec);
            debug_assert!(set.is_ok(), "{set:?}");
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            // Setting the timer again clears its expiry, so it need not be read. An edge has been
            // seen.
            match self.0.poll_read_ready(cx) {
                Poll::Ready(Ok(mut rang)) => {
                    rang.clear_ready();
                    Poll::Ready(())
                }
                // An error comes only at the end of the runtime.
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
            }
        }
    }
}
