//! The summary of a recording for a terminal.

use std::fmt::Write;

use netduel_client::recording::Recording;
use netduel_shown::{escaped, escaped_lines};

use crate::{
    recording::tables::{Link, about, links, tables, words},
    render::{text::aligned, words::wrapped},
};

/// Renders the summary for a terminal of this width.
pub fn terminal(recording: &Recording, width: usize) -> String {
    let links = links(recording);
    let mut out = String::new();
    for (name, value) in about(recording, &links) {
        let _ = writeln!(out, "{name:<9} {}", escaped(&value));
    }
    for paragraph in words(&links) {
        let _ = write!(out, "\n{}", wrapped(&paragraph, width));
    }
    let known: Vec<&Link<'_>> = links.iter().filter(|link| link.is_known()).collect();
    for part in tables(&known) {
        let _ = writeln!(out, "\n{}", part.title);
        aligned(&mut out, &part.table, width);
    }
    escaped_lines(&out)
}
