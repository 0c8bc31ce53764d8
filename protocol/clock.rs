//! The clock of all timestamps: the host's monotonic clock in µs, the same in every process of a
//! host.

use std::{hash::Hasher, sync::LazyLock};

use fnv::FnvHasher;

/// Returns the microseconds of this host's monotonic clock. Where the standard library has no
/// system-wide clock, it is this process's clock.
pub fn now_us() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(simulated) = SIMULATED.get() {
        return simulated();
    }
    monotonic_us()
}

#[cfg(unix)]
fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

#[cfg(not(unix))]
fn monotonic_us() -> u64 {
    static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    START.elapsed().as_micros() as u64
}

#[cfg(feature = "simulation")]
thread_local! {
    static SIMULATED: std::cell::Cell<Option<fn() -> u64>> = const { std::cell::Cell::new(None) };
}

/// Makes [`now_us`] return the time of `clock` on this thread, for a simulated world with a time of
/// its own.
#[cfg(feature = "simulation")]
pub fn simulate(clock: fn() -> u64) {
    SIMULATED.set(Some(clock));
}

/// Returns the id of the clock that [`now_us`] reads. Two processes with the same id read the same
/// clock, so a timestamp means the same to both. The id is 0 where the host cannot tell; then
/// clients estimate the offset.
pub fn id() -> u64 {
    static ID: LazyLock<u64> = LazyLock::new(|| {
        // One boot is one clock, except for time namespaces (time_namespaces(7)), which shift it.
        // Kernels without time namespaces have no such link.
        let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
        let Ok(boot) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return 0 };
        // A hash that is stable across processes: an id for a boot, not a secret.
        let mut id = FnvHasher::default();
        id.write(format!("{} {}", boot.trim(), namespace.display()).as_bytes());
        id.finish()
    });
    *ID
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn reads_the_monotonic_clock() {
        let exact = || {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let now = std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
            u64::try_from(now.as_micros()).expect("before the year 586,912")
        };
        let (before, now, after) = (exact(), now_us(), exact());
        assert!((before..=after).contains(&now), "{before} {now} {after}");
    }

    #[test]
    fn id_names_this_boot() {
        assert_eq!(id(), id());
        let is_known = std::path::Path::new("/proc/sys/kernel/random/boot_id").exists();
        assert_eq!(id() > u64::from(u32::MAX), is_known, "a hash of 64 bits, or 0");
    }
}
