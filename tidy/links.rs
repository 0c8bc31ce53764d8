//! Relative links and anchors in Markdown, and files that comments and code spans mention.

use std::collections::HashMap;

use anyhow::Result;

use crate::markdown::Page;
use crate::{Finding, Tree};

/// Endings of file names that prose mentions.
const MENTIONED: [&str; 5] = [".rs", ".md", ".toml", ".sh", ".py"];
/// Pages whose text may mention files that are gone.
const HISTORY: [&str; 1] = ["CHANGELOG.md"];
/// Names that stand for any file.
const PLACEHOLDERS: [&str; 3] = ["NNN-title.md", "x.rs", "name.rs"];

/// Checks links, anchors and mentions of files.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut pages = HashMap::new();
    for file in tree.with_extension("md") {
        pages.insert(file, Page::parse(&tree.read(file)?));
    }
    let mut findings = Vec::new();
    for file in tree.with_extension("md") {
        let page = &pages[file];
        for (line, link) in &page.links {
            if let Some(text) = broken(tree, &pages, file, link)? {
                findings.push(Finding::new(file, *line, text));
            }
        }
        if !HISTORY.contains(&file) {
            for (line, code) in &page.code {
                findings.extend(gone(tree, code).into_iter().map(|text| Finding::new(file, *line, text)));
            }
        }
    }
    for file in tree.with_extension("rs") {
        for (index, line) in tree.read(file)?.lines().enumerate() {
            if let Some(comment) = line.trim_start().strip_prefix("//") {
                findings
                    .extend(gone(tree, comment).into_iter().map(|text| Finding::new(file, index + 1, text)));
            }
        }
    }
    Ok(findings)
}

/// Returns the sentence about a link that leads nowhere.
fn broken(tree: &Tree, pages: &HashMap<&str, Page>, from: &str, link: &str) -> Result<Option<String>> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let Some(target) = (if path.is_empty() { Some(from.to_owned()) } else { join(from, path) }) else {
        return Ok(Some(format!("the link {link} leaves the repository: write a URL")));
    };
    if !tree.contains(&target) && !tree.contains_folder(&target) {
        return Ok(Some(format!("the link {link} leads to no file: correct it")));
    }
    let Some(anchor) = anchor else { return Ok(None) };
    let found = match pages.get(target.as_str()) {
        Some(page) => page.anchors.contains(anchor),
        None => has_line(tree, &target, anchor)?,
    };
    Ok((!found).then(|| format!("{target} has no anchor #{anchor}: correct the link")))
}

/// Whether `anchor` is `L` and a line number, and `file` has that line.
fn has_line(tree: &Tree, file: &str, anchor: &str) -> Result<bool> {
    let line = anchor.strip_prefix('L').and_then(|number| number.parse::<usize>().ok());
    Ok(line.is_some_and(|line| line > 0) && tree.read(file)?.lines().count() >= line.unwrap_or(usize::MAX))
}

/// Resolves `path` from the folder of `from`. Returns `None` for a path out of the repository.
fn join(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Returns a sentence for each file that `text` mentions and the tree does not hold.
fn gone(tree: &Tree, text: &str) -> Vec<String> {
    let in_path = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    let words = text.split(|c| !in_path(c)).map(|word| word.trim_end_matches('.').trim_start_matches("./"));
    let files = words
        .filter(|word| MENTIONED.iter().any(|ending| word.len() > ending.len() && word.ends_with(ending)));
    files
        .filter(|word| !word.starts_with('/') && !word.starts_with("..") && !PLACEHOLDERS.contains(word))
        .filter(|word| !word.starts_with("docs.") && !text.contains("://"))
        .filter(|word| !tree.files().any(|file| file == *word || file.ends_with(&format!("/{word}"))))
        .map(|word| format!("mentions {word}, which does not exist: name the file that took its place"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_relative_paths() {
        assert_eq!(join("docs/a.md", "../server/lib.rs").as_deref(), Some("server/lib.rs"));
        assert_eq!(join("README.md", "./docs/").as_deref(), Some("docs"));
        assert_eq!(join("README.md", "../x"), None);
    }
}
