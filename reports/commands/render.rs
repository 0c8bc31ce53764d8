//! The command `render`: writes the reports again from a results file.

use std::{
    io::{IsTerminal, Write},
    path::Path,
};

use anyhow::Context;

use crate::{
    analysis::conclusions::Conclusions,
    data::results::{Results, write_atomic},
    render::{csv::csv, html::html, text},
};

/// The width below which a terminal breaks the lines itself, in columns.
const COLUMNS_MIN: usize = 60;

/// Renders a results file to the terminal and into reports beside the file.
///
/// # Errors
/// A file that is missing, damaged or of another schema.
pub fn render(path: &Path) -> anyhow::Result<()> {
    let results = Results::load(path)?;
    write_reports(path.parent().unwrap_or(Path::new("")), &results).context("cannot write the reports")
}

/// Prints the results, writes every report format into `folder`, and prints the paths.
pub(crate) fn write_reports(folder: &Path, results: &Results) -> anyhow::Result<()> {
    let conclusions = Conclusions::of(results);
    let reports = [
        ("report.html", html(&conclusions)),
        ("report.md", text::markdown(&conclusions)),
        ("report.csv", csv(results)),
    ];
    let mut summary = text::terminal_of(&conclusions, columns()) + "\n";
    for (name, text) in reports {
        write_atomic(&folder.join(name), &text)?;
        summary += &format!("report   {}\n", folder.join(name).display());
    }
    print(&summary);
    Ok(())
}

/// Writes a text to the standard output. A reader such as `head` may close the pipe early, which is
/// no error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Returns the width of the terminal, or [`text::COLUMNS`] where the text goes elsewhere.
pub(crate) fn columns() -> usize {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    size.map_or(text::COLUMNS, |size| usize::from(size.ws_col).max(COLUMNS_MIN))
}
