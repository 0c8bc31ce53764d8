//! Which processor a run's processes use: server and players the same one, and whoever else is on the machine, the
//! emulator first of all, the others. Left to the scheduler, whether a move's two ends run on one core or on two decides
//! what the move costs, and that changes from run to run: the same transport's CPU per move differed from itself by up to a
//! third. On two cores apart it is steadier, but four fifths of it are then the waking of an idle core, which is a virtual
//! machine's price and hides the transports'. Where it is searched for what breaks, nothing is bound: two cores bear more.

/// The processor that a run is bound to: the last of those this process may use. `None` where there is only one, or the
/// system cannot bind.
#[cfg(target_os = "linux")]
pub fn run_cpu() -> Option<usize> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    let last = (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu))?;
    (allowed.count() > 1).then_some(last)
}

/// Binds this process, and what it starts, to one processor.
///
/// # Errors
/// The system's.
#[cfg(target_os = "linux")]
pub fn bind(cpu: usize) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Another processor that this process may use.
#[cfg(target_os = "linux")]
pub fn another_cpu(cpu: usize) -> Option<usize> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    (0..rustix::thread::CpuSet::MAX_CPU).find(|other| *other != cpu && allowed.is_set(*other))
}

/// Gives this process, and processes that it starts from now on, priority on their processor (SCHED_RR, for root).
/// Returns whether the system granted it. Runs `chrt`, since no safe interface to `sched_setscheduler` covers all threads.
pub fn raise_priority() -> bool {
    let ours = std::process::id().to_string();
    let asked = std::process::Command::new("chrt")
        .args(["--rr", "--all-tasks", "--pid", "1", &ours])
        .stderr(std::process::Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Processes are not bound here.
#[cfg(not(target_os = "linux"))]
pub fn run_cpu() -> Option<usize> {
    None
}

/// Processes are not bound here.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn bind(_cpu: usize) -> std::io::Result<()> {
    Ok(())
}

/// Processes are not bound here.
#[cfg(not(target_os = "linux"))]
pub fn another_cpu(_cpu: usize) -> Option<usize> {
    None
}
