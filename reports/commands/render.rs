//! `netduel-report render`: the reports again, from a results file alone.

use std::{io::Write, path::Path};

use anyhow::Context;

use crate::{
    data::results::{Results, write_atomic},
    render::{csv::csv, html::html, text},
};

/// Renders a results file again, to the terminal and beside the file.
///
/// # Errors
/// A file that is missing, damaged or of another schema.
pub fn render(path: &Path) -> anyhow::Result<()> {
    let results = Results::load(path)?;
    write_reports(path.parent().unwrap_or(Path::new("")), &results).context("the results were read, but")
}

/// Prints the results, writes them in every format into `folder`, and says where.
pub(crate) fn write_reports(folder: &Path, results: &Results) -> anyhow::Result<()> {
    let reports = [
        ("report.html", html(results)),
        ("report.md", text::markdown(results)),
        ("report.csv", csv(results)),
    ];
    let mut said = text::terminal(results) + "\n";
    for (name, text) in reports {
        write_atomic(&folder.join(name), &text)?;
        said += &format!("report   {}\n", folder.join(name).display());
    }
    // Whoever reads only the head of it closes the pipe, which is no failure of ours.
    let _ = std::io::stdout().write_all(said.as_bytes());
    Ok(())
}
