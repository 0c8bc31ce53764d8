//! The files of the repository that git does not ignore.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A repository's folder and the files in it.
pub struct Tree {
    root: PathBuf,
    files: Vec<String>,
    strict: bool,
}

impl Tree {
    /// Lists every file below `root` that `.gitignore` leaves in, sorted by path.
    ///
    /// # Errors
    /// A folder cannot be read, or a path is not UTF-8.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let mut files = Vec::new();
        let walk = ignore::WalkBuilder::new(&root)
            .hidden(false)
            .require_git(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        for entry in walk {
            let entry = entry?;
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                let path = entry.path().strip_prefix(&root)?;
                files.push(
                    path.to_str().with_context(|| format!("{path:?} is not UTF-8"))?.replace('\\', "/"),
                );
            }
        }
        files.sort();
        Ok(Self { root, files, strict: false })
    }

    /// Makes every check ignore the allowances, so that it lists all findings.
    #[must_use]
    pub fn strict(self) -> Self {
        Self { strict: true, ..self }
    }

    /// Whether checks ignore the allowances.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Returns the repository's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Iterates over the paths of all files, below the root, with `/` between folders.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Iterates over the paths of the files whose names end in `.` and `extension`.
    pub fn with_extension(&self, extension: &str) -> impl Iterator<Item = &str> {
        self.files().filter(move |file| Path::new(file).extension().is_some_and(|it| it == extension))
    }

    /// Whether `path` is a file of the tree.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.files.binary_search_by(|file| file.as_str().cmp(path)).is_ok()
    }

    /// Whether `path` is a folder that holds a file of the tree. The empty path is the root.
    #[must_use]
    pub fn contains_folder(&self, path: &str) -> bool {
        let folder = path.trim_end_matches('/');
        folder.is_empty()
            || self.files().any(|file| file.strip_prefix(folder).is_some_and(|it| it.starts_with('/')))
    }

    /// Reads the file `path` as text.
    ///
    /// # Errors
    /// The file cannot be read or is not UTF-8.
    pub fn read(&self, path: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(path)).with_context(|| format!("cannot read {path}"))
    }
}
