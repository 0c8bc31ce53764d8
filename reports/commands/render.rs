//! The command `render`: writes the reports again from a results file.

use std::{io::Write, path::Path};

use anyhow::Context;

use crate::{
    data::results::{Results, write_atomic},
    render::{csv::csv, html::html, text},
};

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
    let reports = [
        ("report.html", html(results)),
        ("report.md", text::markdown(results)),
        ("report.csv", csv(results)),
    ];
    let mut summary = text::terminal(results) + "\n";
    for (name, text) in reports {
        write_atomic(&folder.join(name), &text)?;
        summary += &format!("report   {}\n", folder.join(name).display());
    }
    // A reader such as `head` may close the pipe early, which is no error.
    let _ = std::io::stdout().write_all(summary.as_bytes());
    Ok(())
}
