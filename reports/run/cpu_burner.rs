//! Burns CPU time beside a server's work, for the self-test.

use std::time::Duration;

/// The burden of a comparison is spread over this: short against every window, long against a wake-up.
const BURN_PERIOD: Duration = Duration::from_millis(10);

/// Burns CPU time in this process, on a thread of its own and away from the path of a move, until it ends. By the
/// thread's own CPU clock, so that waking up counts and being put off does not.
pub fn burn(us_per_s: u32) {
    if us_per_s == 0 {
        return;
    }
    std::thread::spawn(move || {
        let start = std::time::Instant::now();
        loop {
            let due_ns = start.elapsed().as_secs_f64() * f64::from(us_per_s) * 1e3;
            while (thread_cpu_ns() as f64) < due_ns {
                std::hint::spin_loop();
            }
            std::thread::sleep(BURN_PERIOD);
        }
    });
}

#[cfg(target_os = "linux")]
fn thread_cpu_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Elsewhere the CPU of a server is not measured either, so nothing needs to be burned.
#[cfg(not(target_os = "linux"))]
fn thread_cpu_ns() -> i64 {
    i64::MAX
}
