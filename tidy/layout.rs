//! Sizes of folders and files, dependency cycles, the first line of each file, and `#[path]`
//! attributes.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::allowance::{self, Counted, Rule};
use crate::{Finding, Tree, cycles, workspace};

/// Rust files that one folder may hold; the eye takes in no more.
const FOLDER_FILES_MAX: usize = 20;
/// Lines of a file from which on the report names it.
const LONG_FILE_LINES: usize = 600;
/// Beginnings of a file that state its purpose: a doc comment, or a page that is one.
const PURPOSES: [&str; 2] = ["//!", "#![doc = include_str!("];
/// Folders whose size is no matter: one file for each test or seed is right.
const UNCOUNTED_FOLDERS: [&str; 2] = ["tests", "seeds"];

const CROWDED_FOLDERS: Rule = Rule {
    key: "crowded_folders",
    what: "folders with more than 20 Rust files",
    advice: "Group the files of the folder into folders.",
};
const CYCLES: Rule = Rule {
    key: "cycles",
    what: "dependency cycles between files",
    advice: "Move the items that the files of a cycle share into a file below them, or pass them as arguments.",
};
const FILES_WITHOUT_PURPOSE: Rule = Rule {
    key: "files_without_purpose",
    what: "files that do not begin with a `//!` comment",
    advice: "State the file's one purpose in its first line.",
};
const PATH_ATTRIBUTES: Rule = Rule {
    key: "path_attributes",
    what: "`#[path]` attributes",
    advice: "Move the file to the place where cargo finds it.",
};

/// Checks the layout and prints a note about each long file.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    for file in tree.with_extension("rs") {
        let lines = tree.read(file)?.lines().count();
        if lines > LONG_FILE_LINES {
            println!("note: {file} has {lines} lines; over {LONG_FILE_LINES}, consider splitting it");
        }
    }
    allowance::compare(tree, counted(tree)?)
}

/// Returns the counts that an allowance limits.
pub(crate) fn counted(tree: &Tree) -> Result<Vec<Counted>> {
    let (mut headers, mut attributes) = (Vec::new(), Vec::new());
    for file in tree.with_extension("rs") {
        let source = tree.read(file)?;
        if !PURPOSES.iter().any(|beginning| source.starts_with(beginning)) {
            headers.push(Finding::new(file, 1, "the file does not begin with a `//!` comment"));
        }
        for (index, _) in
            source.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("#[path"))
        {
            attributes.push(Finding::new(file, index + 1, "has a `#[path]` attribute"));
        }
    }
    let mut cycles = Vec::new();
    for package in workspace::packages(tree)? {
        cycles.extend(cycles::of_package(tree, &package)?);
    }
    Ok(vec![
        Counted::each(CROWDED_FOLDERS, crowded(tree)),
        Counted { rule: CYCLES, count: cycles.len(), findings: cycles.into_iter().flatten().collect() },
        Counted::each(FILES_WITHOUT_PURPOSE, headers),
        Counted::each(PATH_ATTRIBUTES, attributes),
    ])
}

/// Returns a finding for each folder with too many Rust files.
fn crowded(tree: &Tree) -> Vec<Finding> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for file in tree.with_extension("rs") {
        let folder = file.rsplit_once('/').map_or(".", |(folder, _)| folder);
        if !folder.split('/').any(|part| UNCOUNTED_FOLDERS.contains(&part)) {
            *folders.entry(folder).or_default() += 1;
        }
    }
    let crowded = folders.into_iter().filter(|(_, files)| *files > FOLDER_FILES_MAX);
    crowded
        .map(|(folder, files)| {
            Finding::new(
                folder,
                0,
                format!("the folder has {files} Rust files; at most {FOLDER_FILES_MAX} are allowed"),
            )
        })
        .collect()
}
