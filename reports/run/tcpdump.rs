//! A packet capture: tcpdump as a child process, which writes to a file.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The buffer of the kernel for tcpdump, in KiB: seconds of any run.
const BUFFER_KIB: &str = "8192";
/// The message of tcpdump once the capture has started.
const READY: &str = "listening on";
/// The largest number of lines that tcpdump may print before that message.
const LINES_MAX: usize = 20;
/// The longest text that tcpdump may print at its end, in bytes. It prints three short lines.
const LAST_WORDS_BYTES_MAX: u64 = 4_096;
/// The longest time that tcpdump may take to end. It has nothing left to write.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The packets to capture.
#[derive(Clone, Debug)]
pub(crate) struct CapturePlan {
    /// The interface; "any" for all.
    pub(crate) interface: &'static str,
    /// The bytes kept of each packet.
    pub(crate) snap_bytes: u32,
    /// The packets after which the capture ends; `None` for no limit.
    pub(crate) packets_max: Option<u32>,
    /// The packets that count, in the language of tcpdump; `None` for all.
    pub(crate) filter: Option<String>,
}

/// A capture that has started. Ends when dropped.
pub(crate) struct Tcpdump {
    process: Child,
    messages: BufReader<ChildStderr>,
}

/// The outcome of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    /// Whether the limit of packets ended the capture.
    pub(crate) cut: bool,
    /// The packets that came faster than tcpdump wrote.
    pub(crate) missed: u64,
}

impl Tcpdump {
    /// Returns whether tcpdump is installed.
    pub(crate) fn is_installed() -> bool {
        let asked =
            Command::new("tcpdump").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    /// Starts a capture into a file by `spawn`, and waits until tcpdump sees packets.
    pub(crate) fn start(
        plan: &CapturePlan,
        into: File,
        spawn: impl FnOnce(Command) -> anyhow::Result<Child>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("tcpdump");
        // Every packet is written at once, since the end of a link kills tcpdump, too. It starts
        // with the one privilege that it needs, so there is no user to change to.
        command.args(["-n", "-U", "--immediate-mode", "-B", BUFFER_KIB, "-Z", "root", "-w", "-"]);
        command.args(["-i", plan.interface, "-s", &plan.snap_bytes.to_string()]);
        if let Some(packets_max) = plan.packets_max {
            command.args(["-c", &packets_max.to_string()]);
        }
        command.args(&plan.filter);
        command.stdin(Stdio::null()).stdout(into).stderr(Stdio::piped());
        let mut process = spawn(command).context("cannot start tcpdump")?;
        let messages = process.stderr.take().context("tcpdump has no standard error")?;
        let mut tcpdump = Self { process, messages: BufReader::new(messages) };
        let mut last = String::new();
        for _ in 0..LINES_MAX {
            let mut line = String::new();
            if tcpdump.messages.read_line(&mut line)? == 0 {
                break;
            }
            if line.contains(READY) {
                return Ok(tcpdump);
            }
            last = line;
        }
        bail!("tcpdump did not start to capture: {}", last.trim())
    }

    /// Waits for the end of tcpdump, which the end of its link brings.
    pub(crate) fn wait(mut self) -> anyhow::Result<()> {
        self.process.wait()?;
        Ok(())
    }

    /// Ends the capture.
    pub(crate) fn end(mut self) -> anyhow::Result<Captured> {
        let cut = self.process.try_wait()?.is_some();
        if !cut {
            let pid = Pid::from_raw(self.process.id().cast_signed()).context("a process has a number")?;
            kill_process(pid, Signal::INT)?;
        }
        let deadline = Instant::now() + END_TIMEOUT;
        while self.process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("tcpdump did not end in time");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut last_words = String::new();
        self.messages.by_ref().take(LAST_WORDS_BYTES_MAX).read_to_string(&mut last_words)?;
        Ok(Captured { cut, missed: missed(&last_words) })
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        // Both calls fail if tcpdump has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the number of packets that tcpdump says it missed.
fn missed(last_words: &str) -> u64 {
    let said = last_words.lines().find(|line| line.ends_with("dropped by kernel"));
    said.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_missed_packets() {
        let last_words = "12 packets captured\n14 packets received by filter\n2 packets dropped by kernel\n";
        assert_eq!([missed(last_words), missed("12 packets captured\n"), missed("")], [2, 0, 0]);
    }
}
