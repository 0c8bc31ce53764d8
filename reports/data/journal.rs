//! The journal of a comparison, which makes the comparison resumable.
//!
//! The journal is a file beside the future results. Every run is appended as it ends. If the
//! program is killed, all earlier runs remain; a line that was being written is dropped when the
//! file is read again.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use crate::data::results::{Entry, Provenance, Results, SCHEMA, unix_s, write_atomic};

/// The file name in the folder of a comparison.
const FILE: &str = "unfinished.jsonl";

/// The journal of a running comparison.
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Whether a folder holds a comparison that was interrupted.
    pub(crate) fn is_in(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Begins a journal with the plan of the comparison.
    ///
    /// # Errors
    /// Returns an error if the disk accepts no data or the folder holds an interrupted comparison.
    pub(crate) fn begin(folder: &Path, results: &Results) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        ensure!(
            !path.exists(),
            "{} holds an interrupted comparison: continue it with --resume {}, or choose another --out",
            folder.display(),
            folder.display()
        );
        // A journal without its whole first line could neither be resumed nor begun again.
        write_atomic(&path, &format!("{}\n", serde_json::to_string(results)?))?;
        let file = File::options().append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file, path })
    }

    /// Resumes a journal, and returns all that had ended.
    ///
    /// # Errors
    /// Returns an error without a journal, and for a journal of another schema, program or host.
    pub(crate) fn resume(folder: &Path, now: &Provenance) -> anyhow::Result<(Self, Results)> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path).with_context(|| {
            format!("nothing to resume in {}: the folder holds no {FILE}", folder.display())
        })?;
        let mut whole_bytes = 0;
        // Only the last line can be incomplete.
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let head = lines.next().with_context(|| format!("{} is empty: delete it", path.display()))?;
        let mut results = head_of(head, &path, now)?;
        whole_bytes += head.len();
        for line in lines {
            let entry =
                serde_json::from_slice(line).with_context(|| format!("{} is damaged", path.display()))?;
            whole_bytes += line.len();
            results.add(entry);
        }
        results.provenance.resumed_unix_s.push(unix_s());
        let file = File::options().append(true).open(&path)?;
        file.set_len(whole_bytes as u64).with_context(|| format!("cannot write {}", path.display()))?;
        Ok((Self { file, path }, results))
    }

    /// Appends an entry, and returns when the entry is on the disk.
    pub(crate) fn add(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.write(&serde_json::to_string(entry)?)
    }

    /// Removes the journal. The caller has written the complete results elsewhere.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }

    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        self.file.write_all(format!("{line}\n").as_bytes()).with_context(failed)?;
        self.file.sync_data().with_context(failed)
    }
}

fn head_of(line: &[u8], path: &Path, now: &Provenance) -> anyhow::Result<Results> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: u32,
    }
    let Head { schema } = serde_json::from_slice(line)
        .with_context(|| format!("{} is no journal of netduel-reports: delete it", path.display()))?;
    ensure!(
        schema == SCHEMA,
        "{} has schema {schema} and this program writes {SCHEMA}: delete the file and begin again",
        path.display()
    );
    let results: Results =
        serde_json::from_slice(line).with_context(|| format!("{} is damaged", path.display()))?;
    let then = &results.provenance;
    let alike = |what: &str, then: &str, now: &str| {
        ensure!(
            then == now,
            "the {what} was {then} and is {now}, so the runs would not be comparable: begin the comparison again"
        );
        Ok(())
    };
    alike("commit", &then.commit, &now.commit)?;
    alike("kernel", &then.kernel, &now.kernel)?;
    alike("processor", &then.cpu, &now.cpu)?;
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::results::Failure,
        plan::scenario::{RunKey, Scenario},
    };

    fn failure(repeat: u32) -> Entry {
        let scenario = Scenario::default();
        let (contender, group) = (scenario.contenders()[0], scenario.groups().remove(0));
        let key = RunKey { contender, group, repeat, arm: 0 };
        Entry::Failure(Failure { key, reason: "because".into() })
    }

    #[test]
    fn resumes_from_last_whole_line() {
        let folder = tempfile::tempdir().expect("folder");
        let now = Provenance::default();
        let empty = Results::empty(Scenario::default(), now.clone());
        let mut journal = Journal::begin(folder.path(), &empty).expect("begun");
        for repeat in 0..3 {
            journal.add(&failure(repeat)).expect("added");
        }
        assert!(Journal::begin(folder.path(), &empty).is_err(), "it would be lost");
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).expect("readable");
        let head = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        for cut in head..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            let lines = whole[head..cut].iter().filter(|byte| **byte == b'\n').count();
            let (mut journal, results) = Journal::resume(folder.path(), &now).expect("resumed");
            assert_eq!(results.failures.len(), lines, "cut at {cut}");
            journal.add(&failure(9)).expect("added");
            let (_, again) = Journal::resume(folder.path(), &now).expect("resumed");
            assert_eq!(again.failures.len(), results.failures.len() + 1, "cut at {cut}");
        }
        Journal::resume(folder.path(), &now).expect("resumed").0.end().expect("removed");
        assert!(!Journal::is_in(folder.path()));
        assert!(Journal::resume(folder.path(), &now).is_err());
    }
}
