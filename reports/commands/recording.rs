//! The command `recording`: renders a match that the window saved as an HTML page and a short text.

use std::path::Path;

use anyhow::ensure;
use netduel_client::recording::Recording;

use crate::{
    commands::render::{columns, print},
    data::results::write_atomic,
    recording::{page::page, text::terminal},
};

/// Writes the page of a recording beside it, and prints a summary with the path of the page.
///
/// # Errors
/// A file that is missing, damaged, of another schema or no recording; a page that cannot be
/// written.
pub fn recording(path: &Path) -> anyhow::Result<()> {
    let recording = Recording::load(path)?;
    let target = path.with_extension("html");
    ensure!(
        target != path,
        "the page would overwrite {}: rename the recording to end in .json",
        path.display()
    );
    write_atomic(&target, &page(&recording))?;
    print(&format!("{}\nreport   {}\n", terminal(&recording, columns()), target.display()));
    Ok(())
}
