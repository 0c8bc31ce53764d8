//! Results as text: tables for the terminal and a Markdown report. Pure: the same results give the
//! same text.

use std::fmt::Write;

use crate::{
    analysis::{
        capacity::capacities, old_verdict::Verdict, ratios::Ratios, summary::Summary, sweep::crossovers,
        validity,
    },
    data::results::Results,
    render::{
        bars,
        columns::{self, Column},
        memory_table, overview, ratios_table, search_text, settings_table,
        table::{Cell, Heading, Table},
        tables, verdict_text,
        words::wrapped,
    },
};

/// The width of a text that is not read on a terminal, in columns.
pub const COLUMNS: usize = 100;

/// Renders the answer, its charts, the tables and the warnings, [`COLUMNS`] wide.
pub fn terminal(results: &Results) -> String {
    terminal_of(results, COLUMNS)
}

/// Renders the answer, its charts, the tables and the warnings for a terminal of this width.
pub(crate) fn terminal_of(results: &Results, width: usize) -> String {
    let summary = Summary::from_results(results);
    let groups = tables::groups(&summary);
    let verdict = Verdict::from_results(results);
    let mut out = String::new();
    let mut paragraphs = Vec::new();
    if let Some(verdict) = &verdict {
        verdict_text::terminal(&mut paragraphs, results, verdict);
    }
    let found = capacities(results);
    paragraphs.extend(search_text::paragraphs(results, &found));
    for paragraph in paragraphs {
        let _ = write!(out, "\n{}", wrapped(&paragraph, width));
    }
    let ratios = Ratios::from_results(results);
    if results.scenario.search.is_some() {
        let _ = writeln!(out);
        aligned(&mut out, &search_text::table(results, &found), width);
    } else if !ratios.is_empty() {
        for group in &ratios {
            let _ = writeln!(out, "\n{}", group.group);
            aligned(&mut out, &ratios_table::table(group), width);
        }
        let _ = write!(out, "\n{}", wrapped(ratios_table::NOTE, width));
    } else {
        let charts = [
            overview::age(results, &groups, &overview::chosen(verdict.as_ref())),
            overview::cost(results, &groups),
        ];
        charts.iter().flatten().for_each(|chart| bars::text(&mut out, chart, width));
        for group in &groups {
            let _ = writeln!(out, "\n{}", group.title);
            aligned(&mut out, &tables::figures(&group.rows, terminal_columns(results)), width);
        }
    }
    if let Some(slopes) = memory_table::table(results) {
        let _ = writeln!(out, "\nmemory per connection");
        aligned(&mut out, &slopes, width);
    }
    let _ = writeln!(
        out,
        "\nEach figure covers all repeats: {} of {} ms each.",
        results.scenario.main_sampling().repeats,
        results.scenario.main_sampling().duration_ms
    );
    for warning in &summary.warnings {
        let _ = write!(out, "{}", wrapped(&format!("warning: {warning}"), width));
    }
    out
}

/// Returns the columns of the players' figures and of the server's cost.
fn terminal_columns(results: &Results) -> impl Iterator<Item = &'static Column> {
    let (felt, paid) = columns::columns(results);
    felt.iter().chain(paid)
}

/// Writes a table with aligned columns. Columns beyond the width follow below, behind the heads of
/// their rows. A unit at the end of a heading gets a line of its own.
pub(crate) fn aligned(out: &mut String, table: &Table, width: usize) {
    let rows = lines(table);
    let Some((headings, rows)) = rows.split_first() else { return };
    let heads: Vec<(&str, &str)> =
        headings.iter().map(|text| text.rsplit_once(' ').unwrap_or(("", text))).collect();
    let of_column = |column: usize| {
        let (above, below) = heads[column];
        let cells = rows.iter().map(|row| row[column]).chain([above, below]);
        cells.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(of_column).collect();
    for part in parts(&widths, width) {
        let mut write = |cells: &mut dyn Iterator<Item = &str>| {
            let all: Vec<&str> = cells.collect();
            let mut text = String::new();
            for &column in &part {
                let (cell, width) = (all[column], widths[column]);
                let _ = if table.headings[column].number {
                    write!(text, "  {cell:>width$}")
                } else {
                    write!(text, "  {cell:<width$}")
                };
            }
            let _ = writeln!(out, "{}", text.trim_end());
        };
        if part.iter().any(|&column| !heads[column].0.is_empty()) {
            write(&mut heads.iter().map(|(above, _)| *above));
        }
        write(&mut heads.iter().map(|(_, below)| *below));
        for row in rows {
            write(&mut row.iter().copied());
        }
    }
}

/// Divides the columns of a table into parts that fit the width. Each begins with the first column.
fn parts(widths: &[usize], width: usize) -> Vec<Vec<usize>> {
    let mut parts = vec![vec![0]];
    let mut end = 0;
    for (column, own) in widths.iter().enumerate().skip(1) {
        let place = parts.len() - 1;
        if parts[place].len() > 1 && end + 2 + own > width {
            parts.push(vec![0, column]);
            end = 4 + widths[0] + own;
        } else {
            end = if parts[place].len() > 1 { end } else { 2 + widths[0] } + 2 + own;
            parts[place].push(column);
        }
    }
    parts
}

/// Writes a table as Markdown.
fn piped(out: &mut String, table: &Table) {
    let rule: Vec<&str> =
        table.headings.iter().map(|heading| if heading.number { "---:" } else { "---" }).collect();
    let lines = lines(table).into_iter().map(|line| format!("| {} |", line.join(" | ")));
    for (number, line) in lines.enumerate() {
        let _ = writeln!(out, "{line}");
        if number == 0 {
            let _ = writeln!(out, "|{}|", rule.join("|"));
        }
    }
}

/// Returns the headings and all cells as text.
fn lines(table: &Table) -> Vec<Vec<&str>> {
    let headings = table.headings.iter().map(|heading: &Heading| heading.text).collect();
    let rows = table.rows.iter().map(|row| row.iter().map(|cell: &Cell| cell.text.as_str()).collect());
    std::iter::once(headings).chain(rows).collect()
}

/// Renders the whole report as Markdown, short enough for a pull request's comment.
pub fn markdown(results: &Results) -> String {
    let summary = Summary::from_results(results);
    let mut out = String::from("# Netduel: transports compared\n\n");
    let scenario = &results.scenario;
    let _ = writeln!(
        out,
        "Two players send each other small moves through a relay, and only the newest move \
         counts. Each figure covers {} repeats of {:.1} s. The runs were interleaved in a seeded \
         random order. Server and players were separate processes.",
        scenario.main_sampling().repeats,
        scenario.main_sampling().duration_ms as f64 / 1_000.0
    );
    let verdict = Verdict::from_results(results);
    if let Some(verdict) = &verdict {
        verdict_text::markdown(&mut out, results, verdict);
    }
    search(&mut out, results);
    let ratios = Ratios::from_results(results);
    if !ratios.is_empty() {
        let _ = writeln!(out, "\n## Ratios to the bare relays\n\n{}", ratios_table::NOTE);
    }
    for group in &ratios {
        let _ = writeln!(out, "\n### {}\n", group.group);
        piped(&mut out, &ratios_table::table(group));
    }
    let crossovers = crossovers(results, verdict.as_ref());
    if !crossovers.is_empty() {
        let _ = writeln!(out, "\n## Crossovers\n");
        for text in crossovers {
            let _ = writeln!(out, "- {text}");
        }
    }
    for group in tables::groups(&summary) {
        let _ = writeln!(out, "\n## {}\n", group.title);
        piped(&mut out, &tables::figures(&group.rows, terminal_columns(results)));
        let _ = writeln!(out, "\nSmallest and largest values of the repeats:\n");
        piped(&mut out, &tables::spread(&group.rows));
        if let Some(verdict) = &verdict {
            let judged = verdict.groups.iter().filter(|it| it.group.to_string() == group.title);
            judged.for_each(|it| verdict_text::comparisons(&mut out, it, verdict, scenario.workload));
        }
    }
    if let Some(slopes) = memory_table::table(results) {
        let _ = writeln!(out, "\n## Memory per connection\n\n{}\n", memory_table::NOTE);
        piped(&mut out, &slopes);
    }
    if !results.calibrations.is_empty() {
        let _ = writeln!(out, "\n## Links: requested and measured\n\n{}\n", tables::LINKS_NOTE);
        piped(&mut out, &tables::links(results));
    }
    trust(&mut out, results, &summary);
    let _ = writeln!(out, "\n## Settings in effect\n");
    piped(&mut out, &settings_table::contenders(&summary));
    let _ = writeln!(out);
    piped(&mut out, &settings_table::sides(&summary));
    let _ = writeln!(out, "\n{}", settings_table::note(results));
    let _ = writeln!(out, "\n## Meaning of the columns\n");
    for column in terminal_columns(results) {
        let _ = writeln!(out, "- **{}**: {}", column.heading, column.meaning);
    }
    if !results.benches.is_empty() {
        let _ = writeln!(out, "\n## cargo bench\n\n{}\n", tables::BENCHES_NOTE);
        piped(&mut out, &tables::benches(results));
    }
    let _ = writeln!(out, "\n## Provenance\n");
    let (facts, command) = tables::provenance(results);
    for (name, value) in facts {
        let _ = writeln!(out, "- {name}: {value}");
    }
    let _ = writeln!(out, "- command: `{command}`");
    out
}

/// Writes the capacities of a search, if there was one.
fn search(out: &mut String, results: &Results) {
    let found = capacities(results);
    if found.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## Verdict\n");
    for paragraph in search_text::paragraphs(results, &found) {
        let _ = writeln!(out, "- {paragraph}");
    }
    let _ = writeln!(out);
    piped(out, &search_text::table(results, &found));
}

fn trust(out: &mut String, results: &Results, summary: &Summary) {
    let _ = writeln!(out, "\n## Validity\n");
    piped(out, &tables::checks(&validity::checks(results, summary)));
    let _ = writeln!(out, "\n### Warnings\n");
    if summary.warnings.is_empty() {
        let _ = writeln!(out, "None.");
    }
    for warning in &summary.warnings {
        let _ = writeln!(out, "- {warning}");
    }
    let _ = writeln!(out, "\n### Threats to validity\n");
    for threat in validity::threats(results) {
        let _ = writeln!(out, "- {threat}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_tables_go_on_below() {
        let mut table =
            Table::new([("transport", false), ("age p99 ms", true), ("fresh %", true), ("cause", false)]);
        table.push(["tcp", "512.0", "98.1", "–"].map(str::to_owned));
        let drawn = |width| {
            let mut out = String::new();
            aligned(&mut out, &table, width);
            out
        };
        let wide = "             age p99  fresh\n  transport       ms      %  cause\n  tcp          512.0   98.1  –\n";
        assert_eq!(drawn(100), wide);
        let narrow = "             age p99\n  transport       ms\n  tcp          512.0\n\
             \u{20}            fresh\n  transport      %  cause\n  tcp         98.1  –\n";
        assert_eq!(drawn(26), narrow);
        assert_eq!(parts(&[5, 90, 90], 20), [[0, 1], [0, 2]], "a column that fits nowhere is not lost");
    }
}
