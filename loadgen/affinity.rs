//! Chooses the processors of a run: server and players share one, and the emulator has another.
//!
//! Under the scheduler alone, chance decides whether both ends of a move run on one core. The same
//! transport's CPU per move then differed from itself by up to a third between runs. Two separate
//! cores are steadier, but four fifths of the cost is then the wake-up of an idle core. That is a
//! virtual machine's price and hides the transports'. Capacity searches bind nothing, since two
//! cores carry more.

use serde::{Deserialize, Serialize};

/// The processors of one run. `None` leaves the choice to the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The processor of the server and of its players.
    pub run: Option<usize>,
    /// The processor of the link's emulator.
    pub emulator: Option<usize>,
}

/// Returns the lanes of this machine, the best one first: pairs of processors that this process may
/// use. There is one lane of no processors where there are fewer than two, or where the system
/// cannot bind.
pub fn lanes() -> Vec<Lane> {
    lanes_of(&allowed_cpus())
}

/// Returns the lanes of these processors. The last processor is the best for a run, since systems
/// serve most interrupts on the first ones.
fn lanes_of(cpus: &[usize]) -> Vec<Lane> {
    let (emulators, runs) = cpus.split_at(cpus.len() / 2);
    let lanes: Vec<Lane> = (emulators.iter().zip(runs.iter().rev()))
        .map(|(&emulator, &run)| Lane { run: Some(run), emulator: Some(emulator) })
        .collect();
    if lanes.is_empty() { vec![Lane::default()] } else { lanes }
}

/// Returns the processor for a run of its own: the last one that this process may use. `None` where
/// there is only one, or where the system cannot bind.
pub fn run_cpu() -> Option<usize> {
    lanes().first().and_then(|lane| lane.run)
}

/// Returns another processor that this process may use.
pub fn another_cpu(cpu: usize) -> Option<usize> {
    allowed_cpus().into_iter().find(|other| *other != cpu)
}

/// Returns the processors that this thread may use, in rising order.
#[cfg(target_os = "linux")]
fn allowed_cpus() -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()
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

/// Keeps this thread, and the threads and processes that it starts, off some processors until it is
/// dropped.
pub struct KeptOff {
    #[cfg(target_os = "linux")]
    before: Option<rustix::thread::CpuSet>,
}

/// Keeps this thread off the processors of the runs, so that the work of the runner does not
/// disturb them. It changes nothing where no other processor is left, or where the system cannot
/// bind.
#[cfg(target_os = "linux")]
pub fn keep_off_runs(lanes: &[Lane]) -> KeptOff {
    let keep_off = || {
        let before = rustix::thread::sched_getaffinity(None).ok()?;
        let mut set = before;
        lanes.iter().filter_map(|lane| lane.run).for_each(|cpu| set.unset(cpu));
        if set.count() == 0 || set == before {
            return None;
        }
        rustix::thread::sched_setaffinity(None, &set).ok()?;
        Some(before)
    };
    KeptOff { before: keep_off() }
}

#[cfg(target_os = "linux")]
impl Drop for KeptOff {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The same set was in effect before, so that the system accepts it.
            let _ = rustix::thread::sched_setaffinity(None, before);
        }
    }
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

/// Returns nothing: this system cannot bind processes.
#[cfg(not(target_os = "linux"))]
fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

/// Does nothing: this system cannot bind processes.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn bind(_cpu: usize) -> std::io::Result<()> {
    Ok(())
}

/// Does nothing: this system cannot bind threads.
#[cfg(not(target_os = "linux"))]
pub fn keep_off_runs(_lanes: &[Lane]) -> KeptOff {
    KeptOff {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_no_processor() {
        let lane = |run, emulator| Lane { run: Some(run), emulator: Some(emulator) };
        assert_eq!(lanes_of(&[]), [Lane::default()]);
        assert_eq!(lanes_of(&[3]), [Lane::default()]);
        assert_eq!(lanes_of(&[0, 1]), [lane(1, 0)]);
        assert_eq!(lanes_of(&[0, 1, 5]), [lane(5, 0)]);
        assert_eq!(lanes_of(&[0, 1, 2, 3, 4, 5]), [lane(5, 0), lane(4, 1), lane(3, 2)]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn keeping_off_ends_with_the_guard() {
        let before = allowed_cpus();
        let lanes = lanes();
        let kept_off = keep_off_runs(&lanes);
        let runs: Vec<usize> = lanes.iter().filter_map(|lane| lane.run).collect();
        assert!(allowed_cpus().iter().all(|cpu| !runs.contains(cpu)));
        drop(kept_off);
        assert_eq!(allowed_cpus(), before);
    }
}
