//! Subjects of commits: `scope: imperative object`, at most 72 characters.

use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{Finding, Tree};

/// The file that names the last commit before the rule.
const BASE_FILE: &str = "tidy/commits.toml";
/// Characters of a subject; git's own tools cut longer ones.
const SUBJECT_MAX: usize = 72;
/// Verbs that end as participles, gerunds or nouns do, and are none.
const VERBS: [&str; 22] = [
    "need", "embed", "feed", "speed", "shed", "proceed", "exceed", "seed", "bring", "ring", "string", "ping",
    "swing", "pass", "process", "express", "address", "compress", "guess", "press", "access", "focus",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Base {
    /// The last commit before the rule.
    since: String,
    /// Later commits that broke the rule before a check held it.
    #[serde(default)]
    exempt: Vec<String>,
}

/// Checks the subjects of the commits since the base. A clone without the base is not checked.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    if !tree.contains(BASE_FILE) {
        println!("skipped: commits are not checked, since {BASE_FILE} is missing");
        return Ok(Vec::new());
    }
    let base: Base =
        toml::from_str(&tree.read(BASE_FILE)?).with_context(|| format!("cannot parse {BASE_FILE}"))?;
    let range = format!("{}..HEAD", base.since);
    let log = Command::new("git")
        .args(["log", "--no-merges", "--format=%h\t%s", &range])
        .current_dir(tree.root())
        .output()
        .context("cannot run git")?;
    if !log.status.success() {
        println!("skipped: commits are not checked, since this clone lacks commit {}", base.since);
        return Ok(Vec::new());
    }
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    let lines = log.lines().filter_map(|line| line.split_once('\t'));
    let lines = lines.filter(|(hash, _)| !base.exempt.iter().any(|exempt| exempt.starts_with(hash)));
    Ok(lines.filter_map(|(hash, subject)| Some(Finding::new(hash, 0, fault(subject)?))).collect())
}

/// Returns the sentence about a subject that breaks the rule.
fn fault(subject: &str) -> Option<String> {
    if subject.starts_with("Revert \"") {
        return None;
    }
    let length = subject.chars().count();
    if length > SUBJECT_MAX {
        return Some(format!("\"{subject}\" has {length} characters; shorten it to {SUBJECT_MAX}"));
    }
    let Some((scope, object)) = subject.split_once(": ") else {
        return Some(format!("\"{subject}\" names no scope; write `scope: imperative object`"));
    };
    let in_scope = |c: char| c.is_ascii_alphanumeric() || "-_./{}, ".contains(c);
    if scope.is_empty() || scope.split(' ').count() > 4 || !scope.chars().all(in_scope) {
        return Some(format!("\"{scope}\" is not a scope; name a crate, a folder or a file"));
    }
    let verb = object.split(' ').next().unwrap_or_default();
    let bare = ["ed", "ing", "s"].iter().all(|ending| !verb.ends_with(ending)) || VERBS.contains(&verb);
    if !bare || !verb.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Some(format!(
            "\"{verb}\" is not an imperative verb; write `{scope}: verb object` in lower case"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_subjects() {
        for subject in [
            "reports: move the renderers into render/",
            "transport/quic: count stream resets against the frame limit",
            "server, client: pass the seat's token",
            "Revert \"reports: move the renderers\"",
        ] {
            assert_eq!(fault(subject), None, "{subject}");
        }
    }

    #[test]
    fn finds_planted_faults() {
        for subject in [
            "Correct a count",
            "reports: moved the renderers",
            "reports: Move the renderers",
            "reports: moving the renderers",
            "Lie apart only in what the schedule decides: moves",
            "reports: move every one of the renderers that there are into the folder render/",
        ] {
            assert!(fault(subject).is_some(), "{subject}");
        }
    }
}
