//! Burns CPU time beside the work of a server, for the self-test.

use std::time::Duration;

/// The period of the burning: short against every window, long against a wake-up.
const BURN_PERIOD: Duration = Duration::from_millis(10);

/// Burns CPU time on a separate thread of this process until it ends, away from the path of a move.
///
/// The CPU clock of the thread is the measure: wake-ups count, and waiting for a processor does
/// not.
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

/// Returns the CPU time of this thread, in ns.
#[cfg(target_os = "linux")]
fn thread_cpu_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Returns a time that ends every burn: other systems do not measure the CPU time of a server.
#[cfg(not(target_os = "linux"))]
fn thread_cpu_ns() -> i64 {
    i64::MAX
}
