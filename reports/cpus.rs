//! Which processor a run's processes use: the server one for itself, the players the others. On two cores, whether the
//! scheduler puts a move's two ends on one core or on two decides what the move costs, and it changes its mind from run to
//! run: without this, the same transport's CPU per move differs from itself by up to a third.

/// The processor that the server is bound to: the last of those this process may use. `None` where there is only one, or
/// the system cannot bind.
#[cfg(target_os = "linux")]
pub(crate) fn of_server() -> Option<usize> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    let last = (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu))?;
    (allowed.count() > 1).then_some(last)
}

/// Binds this process, and what it starts, to one processor, or to all but that.
///
/// # Errors
/// The system's.
#[cfg(target_os = "linux")]
pub fn bind(cpu: usize, others: bool) -> std::io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let mut set = CpuSet::new();
    if others {
        set = sched_getaffinity(None)?;
        set.unset(cpu);
    } else {
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Processes are not bound here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of_server() -> Option<usize> {
    None
}

/// Processes are not bound here.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn bind(_cpu: usize, _others: bool) -> std::io::Result<()> {
    Ok(())
}
