//! Kills every process that is left behind a link.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::kernel::namespace::NamespaceId;

/// The largest number of rounds: a process can start another between the search and the kill.
const ROUNDS_MAX: usize = 20;

/// Kills all processes in `namespaces`, their children included.
pub(crate) fn kill(namespaces: &[NamespaceId]) {
    for _ in 0..ROUNDS_MAX {
        let killed = processes().filter(|pid| kill_if_inside(*pid, namespaces)).count();
        if killed == 0 {
            return;
        }
    }
}

fn kill_if_inside(pid: i32, namespaces: &[NamespaceId]) -> bool {
    // The handle comes first: while it is open, a reuse of the process number cannot go unnoticed.
    let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    NamespaceId::of_process(pid).is_some_and(|id| namespaces.contains(&id))
        && pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}
