//! valgrind's callgrind: whether it is installed, and its output files.

use std::{path::Path, process::Command};

use anyhow::Context;

/// Whether valgrind is installed.
pub(crate) fn installed() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

/// The counts of one dump, by event.
pub(crate) struct Counts(Vec<(String, u64)>);

impl Counts {
    /// Reads the file of one dump.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).context("cannot read callgrind's output file")?;
        let line = |key: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key));
            found.with_context(|| format!("callgrind wrote no {key:?}"))
        };
        let counts = line("totals: ")?.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(line("events: ")?.split_whitespace().map(str::to_owned).zip(counts).collect()))
    }

    /// Returns the count of an event: `Ir` are instructions; `I1mr`, `D1mr` and `D1mw` are misses
    /// of the first cache.
    pub(crate) fn of(&self, event: &str) -> anyhow::Result<u64> {
        let count = self.0.iter().find(|(name, _)| name == event).map(|(_, count)| *count);
        count.with_context(|| format!("callgrind counted no {event}"))
    }
}
