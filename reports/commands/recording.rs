//! `netduel-report recording`: a match that the window saved, as one page beside its file, and in short on the terminal.

use std::{io::Write, path::Path};

use anyhow::ensure;
use netduel_client::recording::Recording;

use crate::{
    data::results::write_atomic,
    recording::{page::page, text::terminal},
};

/// Writes the page of a recording beside it, and prints the summary with the page's path.
///
/// # Errors
/// A file that is missing, no recording, of another schema or damaged; a disk that takes nothing.
pub fn recording(path: &Path) -> anyhow::Result<()> {
    let recording = Recording::load(path)?;
    let target = path.with_extension("html");
    ensure!(target != path, "{} would be overwritten by its page: name it .json", path.display());
    write_atomic(&target, &page(&recording))?;
    let said = format!("{}\nreport   {}\n", terminal(&recording), target.display());
    // Whoever reads only the head of it closes the pipe, which is no failure of ours.
    let _ = std::io::stdout().write_all(said.as_bytes());
    Ok(())
}
