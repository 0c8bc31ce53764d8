//! A place in the repository and a sentence that says what to do there.

use std::fmt;

/// One thing to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file's path below the repository's root; for a commit, its abbreviated hash.
    pub file: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The sentence that says what is wrong and what to do.
    pub text: String,
}

impl Finding {
    /// Returns a finding for `line` of `file`.
    #[must_use]
    pub fn new(file: impl Into<String>, line: usize, text: impl Into<String>) -> Self {
        Self { file: file.into(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}
