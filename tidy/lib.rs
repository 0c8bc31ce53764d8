//! Checks of prose, layout, names, links and commits, which neither the compiler nor clippy makes.
//!
//! Each check takes a [`Tree`] and returns [`Finding`]s: a place, and a sentence that says what to
//! do. Counts that a check tolerates stand in `tidy/allowance.toml` and may only fall.

mod allowance;
mod comments;
mod commits;
mod cycles;
mod finding;
mod layout;
mod links;
mod map;
mod markdown;
mod module_tree;
mod names;
mod paths;
mod prose;
mod tree;
mod workspace;

pub use allowance::ALLOWANCE_FILE;
pub use finding::Finding;
pub use map::diagram;
pub use tree::Tree;

use anyhow::Result;

/// One check of the repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Check {
    /// Doc comments that begin with a question word, and lines that are too long
    Prose,
    /// Subjects of commits: `scope: imperative object`, at most 72 characters
    Commits,
    /// Sizes of folders, dependency cycles, first lines of files, `#[path]`
    Layout,
    /// Libraries that only certain files may name (tidy/names.toml)
    Names,
    /// Relative links and anchors in Markdown, and files that prose mentions
    Links,
    /// The diagram of the crates in ARCHITECTURE.md
    Map,
}

impl Check {
    /// Every check, in the order in which the program runs them.
    pub const ALL: [Self; 6] =
        [Self::Prose, Self::Commits, Self::Layout, Self::Names, Self::Links, Self::Map];

    /// Runs this check on `tree` and returns its findings.
    ///
    /// # Errors
    /// A file cannot be read or parsed, or `git` or `cargo metadata` fails.
    pub fn run(self, tree: &Tree) -> Result<Vec<Finding>> {
        match self {
            Self::Prose => prose::check(tree),
            Self::Commits => commits::check(tree),
            Self::Layout => layout::check(tree),
            Self::Names => names::check(tree),
            Self::Links => links::check(tree),
            Self::Map => map::check(tree),
        }
    }
}

/// Writes each count that has fallen into `tidy/allowance.toml` and returns the number of lowered
/// rules.
///
/// # Errors
/// A file cannot be read, parsed or written.
pub fn lower(tree: &Tree) -> Result<usize> {
    let counted = prose::counted(tree)?.into_iter().chain(layout::counted(tree)?);
    allowance::lower(tree, counted.collect())
}
