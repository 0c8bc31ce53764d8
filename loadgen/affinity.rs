//! Chooses the processor of each process of a run: server and players share one, and every other
//! process, the emulator first of all, gets the others.
//!
//! Under the scheduler alone, chance decides whether both ends of a move run on one core. The same
//! transport's CPU per move then differed from itself by up to a third between runs. Two separate
//! cores are steadier, but four fifths of the cost is then the wake-up of an idle core. That is a
//! virtual machine's price and hides the transports'. Capacity searches bind nothing, since two
//! cores carry more.

/// Returns the processor for a run: the last one that this process may use. `None` where there is
/// only one, or where the system cannot bind.
#[cfg(target_os = "linux")]
pub fn run_cpu() -> Option<usize> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    let last = (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu))?;
    (allowed.count() > 1).then_some(last)
}

/// Binds this process, and the processes it starts, to one processor.
///
/// # Errors
/// The system's refusal.
#[cfg(target_os = "linux")]
pub fn bind(cpu: usize) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Returns another processor that this process may use.
#[cfg(target_os = "linux")]
pub fn another_cpu(cpu: usize) -> Option<usize> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    (0..rustix::thread::CpuSet::MAX_CPU).find(|other| *other != cpu && allowed.is_set(*other))
}

/// Lets this process, and the processes it starts from now on, run before all others on its
/// processor (SCHED_RR, root only). Returns whether the system allowed it. Runs `chrt`, since no
/// safe interface to `sched_setscheduler` covers all threads.
pub fn raise_priority() -> bool {
    let ours = std::process::id().to_string();
    let asked = std::process::Command::new("chrt")
        .args(["--rr", "--all-tasks", "--pid", "1", &ours])
        .stderr(std::process::Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Returns `None`: this system cannot bind processes.
#[cfg(not(target_os = "linux"))]
pub fn run_cpu() -> Option<usize> {
    None
}

/// Does nothing: this system cannot bind processes.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn bind(_cpu: usize) -> std::io::Result<()> {
    Ok(())
}

/// Returns `None`: this system cannot bind processes.
#[cfg(not(target_os = "linux"))]
pub fn another_cpu(_cpu: usize) -> Option<usize> {
    None
}
