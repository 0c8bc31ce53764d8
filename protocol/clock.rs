//! The clock of all timestamps: the host's monotonic clock in µs, the same in every process of a
//! host.

use std::sync::LazyLock;

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
        // One boot is one clock, but for time namespaces (time_namespaces(7)), which shift it. Kernels without them
        // name none.
        let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_or(0, |boot| fnv1a(format!("{} {}", boot.trim(), namespace.display()).as_bytes()))
    });
    *ID
}

/// Returns the 64-bit FNV-1a hash: a name for a boot, not a secret.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_monotonic_and_keeps_its_id() {
        let (earlier, later) = (now_us(), now_us());
        assert!(later >= earlier);
        assert_eq!(id(), id());
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c, "the published test vector");
    }
}
