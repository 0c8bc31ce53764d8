//! The watch over the memory that the server uses. Without it, the system ends the process, and
//! every match with it, when memory runs out.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// The use of memory, in percent, from which newcomers are refused.
const REFUSE_PERCENT: u32 = 80;
/// The use of memory, in percent, from which players are expelled. The rest is for what the work
/// in progress still takes until the next reading.
const EXPEL_PERCENT: u32 = 90;

/// The memory in use, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryReading {
    /// The bytes in use.
    pub used_bytes: u64,
    /// The bytes from which the system ends the process.
    pub limit_bytes: u64,
}

impl MemoryReading {
    fn percent(self) -> u32 {
        let percent = u128::from(self.used_bytes) * 100 / u128::from(self.limit_bytes.max(1));
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}

/// The newest reading.
#[derive(Debug, Default)]
pub(crate) struct MemoryWatch {
    percent: AtomicU32,
}

impl MemoryWatch {
    /// Takes in a reading. `None`, where the system tells nothing, counts as plenty.
    pub(crate) fn note(&self, reading: Option<MemoryReading>) {
        self.percent.store(reading.map_or(0, MemoryReading::percent), Relaxed);
    }

    /// Returns the use of memory in percent of its limit; 0 where the system does not tell.
    pub(crate) fn percent(&self) -> u32 {
        self.percent.load(Relaxed)
    }

    /// Whether newcomers must be refused.
    pub(super) fn is_short(&self) -> bool {
        self.percent() >= REFUSE_PERCENT
    }

    /// Whether players must be expelled.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.percent() >= EXPEL_PERCENT
    }
}

/// Reads the memory of this process's control group, or else of the process and the machine. `None`
/// where the system does not tell.
///
/// The files are the kernel's own, so reading them waits for no disk.
pub(crate) fn read_memory() -> Option<MemoryReading> {
    of_group(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")).or_else(of_process)
}

/// Reads the tightest limit of the control groups (version 2) that the process is in.
fn of_group(groups: &Path, root: &Path) -> Option<MemoryReading> {
    let groups = fs::read_to_string(groups).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut folder = root.join(group);
    let mut tightest: Option<MemoryReading> = None;
    while folder.starts_with(root) {
        if let Some(reading) = of_folder(&folder)
            && tightest.is_none_or(|it| it.percent() < reading.percent())
        {
            tightest = Some(reading);
        }
        folder.pop();
    }
    tightest
}

/// Reads one group. Pages of files that nobody used for a while are not counted, since the kernel
/// gives them up before it ends a process.
fn of_folder(folder: &Path) -> Option<MemoryReading> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit_bytes = number("memory.max")?; // `max` is no limit.
    let files = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let unused_bytes = files.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
    let used_bytes = number("memory.current")?.saturating_sub(unused_bytes.unwrap_or(0));
    Some(MemoryReading { used_bytes, limit_bytes })
}

/// Reads the resident memory of the process, beside the whole memory of the machine.
fn of_process() -> Option<MemoryReading> {
    Some(MemoryReading {
        used_bytes: kilobytes("/proc/self/status", "VmRSS:")? * 1024,
        limit_bytes: kilobytes("/proc/meminfo", "MemTotal:")? * 1024,
    })
}

fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a control group of version 2.
    fn group(folder: &Path, max: &str, current: &str, stat: &str) {
        fs::create_dir_all(folder).expect("made");
        for (name, text) in [("memory.max", max), ("memory.current", current), ("memory.stat", stat)] {
            fs::write(folder.join(name), text).expect("written");
        }
    }

    #[test]
    fn reads_the_tightest_group() {
        let root = tempfile::tempdir().expect("folder");
        let groups = root.path().join("groups");
        fs::write(&groups, "1:name=systemd:/old\n0::/slice/unit\n").expect("written");
        group(&root.path().join("slice/unit"), "1000\n", "500\n", "anon 1\ninactive_file 100\n");
        let read = || of_group(&groups, root.path());
        assert_eq!(read(), Some(MemoryReading { used_bytes: 400, limit_bytes: 1_000 }));
        group(&root.path().join("slice"), "2000\n", "1800\n", "");
        assert_eq!(read(), Some(MemoryReading { used_bytes: 1_800, limit_bytes: 2_000 }));
        group(&root.path().join("slice"), "max\n", "1800\n", "");
        assert_eq!(read().map(|it| it.limit_bytes), Some(1_000), "a group without a limit");
        fs::write(&groups, "0::/elsewhere\n").expect("written");
        assert_eq!(read(), None);
    }

    #[test]
    fn turns_at_its_watermarks() {
        let watch = MemoryWatch::default();
        let at = |used_bytes| {
            watch.note(Some(MemoryReading { used_bytes, limit_bytes: 200 }));
            (watch.is_short(), watch.is_exhausted())
        };
        assert_eq!(
            [at(159), at(160), at(179), at(180), at(500)],
            [(false, false), (true, false), (true, false), (true, true), (true, true)]
        );
        watch.note(None);
        assert_eq!((watch.is_short(), watch.percent()), (false, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_of_this_process() {
        let reading = of_process().expect("Linux tells");
        assert!(reading.used_bytes > 0 && reading.used_bytes < reading.limit_bytes, "{reading:?}");
    }
}
