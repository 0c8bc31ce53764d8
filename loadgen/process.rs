//! Child processes of a run: their output line by line with a deadline, and the kernel's account of
//! their CPU and memory.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// The most lines that may wait to be read. A child prints a few dozen in all.
const LINES_MAX: usize = 256;
/// The longest time that a child may take to end after its standard input is closed: the server's
/// drain and a margin.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns a command that starts this program again, as `subcommand`.
pub fn this_program(subcommand: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    command.arg(subcommand);
    Ok(command)
}

/// A child process whose standard output is read line by line. Killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<std::io::Result<String>>,
    what: &'static str,
}

impl Process {
    /// Starts `command` by `spawn`, with pipes to its standard input and output.
    pub fn start(
        what: &'static str,
        mut command: Command,
        spawn: impl FnOnce(Command) -> anyhow::Result<Child>,
    ) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command).with_context(|| format!("cannot start the {what}"))?;
        let stdout = child.stdout.take().context("the child has no standard output")?;
        let (sender, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || BufReader::new(stdout).lines().try_for_each(|line| sender.send(line)));
        Ok(Self { child, lines, what })
    }

    /// Returns the next line of standard output; `None` at its end.
    pub fn line(&self, timeout: Duration) -> anyhow::Result<Option<String>> {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => Ok(Some(line?)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("the {} printed nothing for {timeout:?}", self.what),
        }
    }

    /// Writes a line to standard input, which stays open.
    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("the child has no standard input")?;
        writeln!(stdin, "{line}")
            .with_context(|| format!("the {} does not read its standard input", self.what))
    }

    /// Returns what the kernel has accounted to the process so far.
    pub fn usage(&self) -> Usage {
        usage(self.child.id())
    }

    /// Returns the number of its open files and sockets; `None` where the system does not tell.
    pub fn descriptors(&self) -> Option<usize> {
        #[cfg(target_os = "linux")]
        return proc_of(self.id())?.fd_count().ok();
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes standard input, which asks the child to end.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Closes standard input and waits until the child has ended.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.close_stdin();
        let deadline = Instant::now() + END_TIMEOUT;
        let status: ExitStatus = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > deadline => bail!("the {} did not end in time", self.what),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        if status.success() { Ok(()) } else { bail!("the {} failed ({status})", self.what) }
    }
}

/// Returns the CPU time of the ended and awaited children of this process, in µs. It is the sum of
/// `cutime` and `cstime` of proc_pid_stat(5), fields 16 and 17, which `wait4` added up in ticks.
#[cfg(target_os = "linux")]
fn ended_children_cpu_us() -> Option<u64> {
    let stat = proc_of(std::process::id())?.stat().ok()?;
    Some((stat.cutime + stat.cstime) as u64 * TICK_US)
}

#[cfg(target_os = "linux")]
impl Process {
    /// Stops the child, so that the CPU time read is final; kills it; and returns the time read and
    /// the time that the kernel accounts for in the end, both in µs.
    pub fn kill_accounted(mut self) -> anyhow::Result<(u64, u64)> {
        use rustix::process::{Pid, Signal, kill_process};
        const CPU_UNKNOWN: &str = "this system does not say how much CPU a process used";
        let pid = Pid::from_raw(self.id().cast_signed()).context("a process has a number")?;
        kill_process(pid, Signal::STOP)?;
        let deadline = Instant::now() + END_TIMEOUT;
        while proc_of(self.id()).and_then(|it| it.stat().ok()).context(CPU_UNKNOWN)?.state != 'T' {
            if Instant::now() > deadline {
                bail!("the {} does not stop", self.what);
            }
            std::thread::yield_now();
        }
        let ours_us = self.usage().cpu_us.context(CPU_UNKNOWN)?;
        let before_us = ended_children_cpu_us().context(CPU_UNKNOWN)?;
        self.child.kill()?;
        self.child.wait()?;
        Ok((ours_us, ended_children_cpu_us().context(CPU_UNKNOWN)? - before_us))
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    /// Fails: this system does not report the CPU of a process.
    pub fn kill_accounted(self) -> anyhow::Result<(u64, u64)> {
        bail!("only Linux reports the CPU time of a process: measure on Linux")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The resources that a process has used. `None` where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of all its living threads, in µs.
    pub cpu_us: Option<u64>,
    /// The part outside the kernel, in µs, counted in ticks of 10 ms: good for the share of many
    /// ticks, not of a few.
    pub user_us: Option<u64>,
    /// The part in the kernel, in µs, counted likewise.
    pub system_us: Option<u64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// The kernel's memory for its internet sockets, in bytes: queued and reserved bytes
    /// (sock_diag), and the socket objects by the sizes of the kernel's allocator. The mean of
    /// readings at the window's beginning, every second, and its end. Read for the server alone.
    pub kernel_bytes: Option<u64>,
    /// Context switches, voluntary or not.
    pub context_switches: Option<u64>,
}

impl Usage {
    /// Returns the difference since `earlier`. Memory stays as it is now.
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Self {
            cpu_us: grown(self.cpu_us, earlier.cpu_us),
            user_us: grown(self.user_us, earlier.user_us),
            system_us: grown(self.system_us, earlier.system_us),
            resident_bytes: self.resident_bytes,
            kernel_bytes: self.kernel_bytes,
            context_switches: grown(self.context_switches, earlier.context_switches),
        }
    }
}

/// The length of a tick of `/proc/PID/stat` in µs: Linux reports hundredths of a second to all
/// programs, whatever its own clock.
#[cfg(target_os = "linux")]
const TICK_US: u64 = 10_000;

/// Returns the kernel's files about a process.
#[cfg(target_os = "linux")]
fn proc_of(pid: u32) -> Option<procfs::process::Process> {
    procfs::process::Process::new(pid.try_into().ok()?).ok()
}

/// Reads the usage from `/proc`. Scheduler statistics count in ns; `stat` counts in ticks of 10 ms,
/// too coarse for a run.
#[cfg(target_os = "linux")]
fn usage(pid: u32) -> Usage {
    let Some(process) = proc_of(pid) else { return Usage::default() };
    let threads = || process.tasks().ok().map(Iterator::flatten);
    let cpu_ns = threads()
        .map(|it| it.filter_map(|it| it.schedstat().ok()).map(|it| it.sum_exec_runtime).sum::<u64>());
    let switches = threads().map(|it| {
        it.filter_map(|it| it.status().ok())
            .filter_map(|it| Some(it.voluntary_ctxt_switches? + it.nonvoluntary_ctxt_switches?))
            .sum()
    });
    let stat = process.stat().ok();
    Usage {
        cpu_us: cpu_ns.map(|ns| ns / 1_000),
        user_us: stat.as_ref().map(|it| it.utime * TICK_US),
        system_us: stat.as_ref().map(|it| it.stime * TICK_US),
        resident_bytes: process.status().ok().and_then(|it| it.vmrss).map(|kilobytes| kilobytes * 1024),
        kernel_bytes: None,
        context_switches: switches,
    }
}

#[cfg(not(target_os = "linux"))]
fn usage(_pid: u32) -> Usage {
    Usage::default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn kernel_accounts_for_burned_cpu() {
        let me = std::process::id();
        let before = usage(me);
        let start = Instant::now();
        let mut work = 0u64;
        while start.elapsed() < Duration::from_millis(50) {
            work = std::hint::black_box(work.wrapping_add(1));
        }
        let used = usage(me).since(&before);
        // At least a good part of it, also on a busy machine.
        assert!(used.cpu_us.is_some_and(|cpu_us| cpu_us > 5_000), "{used:?}");
        assert!(used.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{used:?}");
        assert!(used.context_switches.is_some() && used.user_us.is_some() && used.system_us.is_some());
    }
}
