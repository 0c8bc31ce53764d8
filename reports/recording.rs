//! `netduel-report recording`: a match that the window saved, as one page beside its file, and in short on the terminal.

use std::{fmt::Write as _, io::Write as _, path::Path};

use anyhow::ensure;
use netduel_client::recording::Recording;

use crate::{
    recording_page::page,
    recording_tables::{Link, about, links, tables, words},
    render::aligned,
    results::write_atomic,
};

/// Writes the page of a recording beside it, and prints the summary with the page's path.
///
/// # Errors
/// A file that is missing, no recording, of another schema or damaged; a disk that takes nothing.
pub fn render_recording(path: &Path) -> anyhow::Result<()> {
    let recording = Recording::load(path)?;
    let target = path.with_extension("html");
    ensure!(target != path, "{} would be overwritten by its page: name it .json", path.display());
    write_atomic(&target, &page(&recording))?;
    let said = format!("{}\nreport   {}\n", terminal(&recording), target.display());
    // Whoever reads only the head of it closes the pipe, which is no failure of ours.
    let _ = std::io::stdout().write_all(said.as_bytes());
    Ok(())
}

/// The summary for a terminal of 120 columns.
pub fn terminal(recording: &Recording) -> String {
    let links = links(recording);
    let mut out = String::new();
    for (name, value) in about(recording, &links) {
        let _ = writeln!(out, "{name:<9} {value}");
    }
    for paragraph in words(&links) {
        let _ = writeln!(out, "\n{paragraph}");
    }
    let known: Vec<&Link<'_>> = links.iter().filter(|link| link.is_known()).collect();
    for part in tables(&known) {
        let _ = writeln!(out, "\n{}", part.title);
        aligned(&mut out, &part.table);
    }
    out
}
