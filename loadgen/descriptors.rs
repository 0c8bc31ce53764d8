//! Raises the limit of file descriptors before a load of many connections.

/// The number of descriptors beside those of connections: listeners, timers, files.
#[cfg(unix)]
const OTHER_DESCRIPTORS: usize = 64;

/// Raises the limit of descriptors to the highest that the system allows: the usual soft limit is
/// 1,024.
///
/// Also lets the kernel grow its descriptor table for `connections` now. Linux otherwise grows a
/// full table on demand, and a program with threads then waits 5 to 10 ms for it (`expand_files`).
/// Where either fails, connections fail later with the system's error.
pub fn prepare(connections: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let allowed = maximum.and_then(|maximum| maximum.try_into().ok()).unwrap_or(i32::MAX) - 1;
        let needed = connections.saturating_add(OTHER_DESCRIPTORS).try_into().unwrap_or(i32::MAX);
        // Opens the highest number for a moment: the table never shrinks.
        drop(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), allowed.min(needed)));
    }
    #[cfg(not(unix))]
    let _ = connections;
}
