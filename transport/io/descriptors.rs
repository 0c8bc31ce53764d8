//! Room for the file descriptors of many connections: [`reserve_descriptors`].

/// The number of descriptors beside those of connections: listening sockets, timers, files.
#[cfg(unix)]
const OTHER_DESCRIPTORS: usize = 64;

/// Makes room for `connections`, each of which takes a descriptor: the usual soft limit is 1,024.
///
/// Raises the limit of descriptors to the highest that the system allows. Also lets the kernel grow
/// its descriptor table now. Linux otherwise grows a full table in an accept or a connect, and a
/// program with threads then waits 5 to 10 ms for it (`expand_files`), in which no message moves.
/// If either fails, connections fail later with the system's error. Does nothing on systems
/// other than Unix.
pub fn reserve_descriptors(connections: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let allowed = maximum.and_then(|maximum| maximum.try_into().ok()).unwrap_or(i32::MAX) - 1;
        let needed = connections.saturating_add(OTHER_DESCRIPTORS).try_into().unwrap_or(i32::MAX);
        // Opening the highest descriptor for a moment is enough, since the table never shrinks.
        drop(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), allowed.min(needed)));
    }
    #[cfg(not(unix))]
    let _ = connections;
}
