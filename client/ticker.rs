//! A steady ticker that does not drift: it gives each update's *intended* send time.
//!
//! tokio's timers have a granularity of a millisecond, which would hide the delay of a loopback. On
//! Linux a timerfd reduces it to tens of µs; elsewhere tokio's timer must do, and reports show the
//! lateness either way.

use std::io;

use netduel_protocol::clock;

/// Ticks at `first_us + n × period_us` on the clock of [`clock::now_us`]. No tick is skipped: after
/// a stall the missed ticks come at once, each with its intended time, so that no omission is
/// coordinated with the measured system.
pub struct Ticker {
    next_us: u64,
    period_us: u64,
    timer: Timer,
}

impl Ticker {
    /// Creates a ticker whose first tick is at `first_us`.
    ///
    /// # Errors
    /// The system has no timer (out of file descriptors).
    pub fn new(first_us: u64, period_us: u64) -> io::Result<Self> {
        Ok(Self { next_us: first_us, period_us: period_us.max(1), timer: Timer::new()? })
    }

    /// Waits for the next tick. Returns its intended time. Cancel safe.
    pub async fn next(&mut self) -> u64 {
        while clock::now_us() < self.next_us {
            self.timer.sleep_until(self.next_us).await;
        }
        let due_us = self.next_us;
        self.next_us += self.period_us;
        due_us
    }
}

#[cfg(target_os = "linux")]
use precise::Timer;

#[cfg(target_os = "linux")]
mod precise {
    use std::{io, os::fd::OwnedFd};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    pub(super) struct Timer {
        fd: AsyncFd<OwnedFd>,
        armed_us: u64,
    }

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let fd =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            // tokio deprecates this for types whose descriptor can be closed elsewhere; an
            // OwnedFd's cannot.
            #[allow(deprecated)]
            let fd = AsyncFd::new(fd)?;
            Ok(Self { fd, armed_us: 0 })
        }

        pub(super) async fn sleep_until(&mut self, at_us: u64) {
            if self.armed_us != at_us {
                self.armed_us = at_us;
                let value = Timespec {
                    tv_sec: (at_us / 1_000_000) as i64,
                    tv_nsec: (at_us % 1_000_000 * 1_000) as i64,
                };
                let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
                // Setting the timer again also clears an earlier expiry, so the descriptor never
                // needs to be read.
                if timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec).is_err() {
                    return; // A valid time never fails; the caller checks the clock and calls again.
                }
            }
            if let Ok(mut ready) = self.fd.readable().await {
                ready.clear_ready();
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn sleep_until(&mut self, at_us: u64) {
        let wait_us = at_us.saturating_sub(clock::now_us());
        tokio::time::sleep(std::time::Duration::from_micros(wait_us)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn ticks_are_never_early_or_skipped() {
        let first_us = clock::now_us();
        let mut ticker = Ticker::new(first_us, 2_000).expect("a timer");
        for number in 0..50 {
            if number == 10 {
                let stalled_until_us = clock::now_us() + 20_000;
                while clock::now_us() < stalled_until_us {}
            }
            let due_us = ticker.next().await;
            assert_eq!(due_us, first_us + number * 2_000);
            assert!(clock::now_us() >= due_us);
        }
    }
}
