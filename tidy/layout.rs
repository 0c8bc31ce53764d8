//! Sizes of folders and files, circles of files, the first line of each file, and `#[path]`
//! attributes.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::allowance::{self, Counted};
use crate::{Finding, Tree, circles, workspace};

/// Rust files that one folder may hold; the eye takes in no more.
const FOLDER_FILES_MAX: usize = 20;
/// Lines of a file from which on the report names it.
const LONG_FILE_LINES: usize = 600;
/// Beginnings of a file that state its purpose: a doc comment, or a page that is one.
const PURPOSES: [&str; 2] = ["//!", "#![doc = include_str!("];
/// Folders whose size is no matter: one file for each test or seed is right.
const UNCOUNTED_FOLDERS: [&str; 2] = ["tests", "seeds"];

/// Checks the layout and prints a note about each long file.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    for file in tree.with_extension("rs") {
        let lines = tree.read(file)?.lines().count();
        if lines > LONG_FILE_LINES {
            println!("note: {file} has {lines} lines; over {LONG_FILE_LINES}, consider to split it");
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
            headers.push(Finding::new(file, 1, "begins without `//!`"));
        }
        for (index, _) in
            source.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("#[path"))
        {
            attributes.push(Finding::new(file, index + 1, "`#[path]` attribute"));
        }
    }
    let mut tangles = Vec::new();
    for package in workspace::packages(tree)? {
        tangles.extend(circles::of_package(tree, &package)?);
    }
    let circles = Counted {
        rule: "circles",
        advice: "Move what the files of a circle share into a file below them, or pass it as an argument.",
        count: tangles.len(),
        findings: tangles.into_iter().flatten().collect(),
    };
    let advice = "State the file's one purpose in its first line.";
    Ok(vec![
        Counted::each("crowded_folders", "Group the files of the folder into folders.", crowded(tree)),
        circles,
        Counted::each("files_without_purpose", advice, headers),
        Counted::each("path_attributes", "Move the file to the place where cargo finds it.", attributes),
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
            Finding::new(folder, 0, format!("{files} Rust files, at most {FOLDER_FILES_MAX}"))
        })
        .collect()
}
