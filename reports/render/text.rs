//! Results as text: tables for the terminal and a Markdown report. Pure: the same results give the
//! same text.

use std::fmt::Write;

use crate::{
    analysis::{
        capacity::capacities, ratios::Ratios, summary::Summary, sweep::crossovers, validity, verdict::Verdict,
    },
    data::results::Results,
    render::{
        columns::{self, Column},
        memory_table, narrative, ratios_table, settings_table,
        table::{Cell, Heading, Table},
        tables, verdict_text,
    },
};

/// Renders the verdict, the tables and the warnings for a terminal of 120 columns.
pub fn terminal(results: &Results) -> String {
    let summary = Summary::from_results(results);
    let mut out = String::new();
    if let Some(verdict) = Verdict::from_results(results) {
        verdict_text::terminal(&mut out, results, &verdict);
    }
    let found = capacities(results);
    for paragraph in narrative::search_paragraphs(results, &found) {
        let _ = writeln!(out, "\n{paragraph}");
    }
    let ratios = Ratios::from_results(results);
    if results.scenario.search.is_some() {
        let _ = writeln!(out);
        aligned(&mut out, &tables::searches(results, &found));
    } else if !ratios.is_empty() {
        for group in &ratios {
            let _ = writeln!(out, "\n{}", group.group);
            aligned(&mut out, &ratios_table::table(group));
        }
        let _ = writeln!(out, "\n{}", ratios_table::NOTE);
    } else {
        for group in tables::groups(&summary) {
            let _ = writeln!(out, "\n{}", group.title);
            aligned(&mut out, &tables::figures(&group.rows, terminal_columns(results)));
        }
    }
    if let Some(slopes) = memory_table::table(results) {
        let _ = writeln!(out, "\nmemory per connection");
        aligned(&mut out, &slopes);
    }
    let _ = writeln!(
        out,
        "\nEach figure covers all repeats: {} of {} ms each.",
        results.scenario.repeats, results.scenario.duration_ms
    );
    for warning in &summary.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    out
}

/// Returns the columns of the players' figures and of the server's cost.
fn terminal_columns(results: &Results) -> impl Iterator<Item = &'static Column> {
    let (felt, paid) = columns::columns(results);
    felt.iter().chain(paid)
}

/// Writes a table with aligned columns.
pub(crate) fn aligned(out: &mut String, table: &Table) {
    let lines = lines(table);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.headings.len()).map(width).collect();
    for line in &lines {
        let mut text = String::new();
        for ((cell, width), heading) in line.iter().zip(&widths).zip(&table.headings) {
            let _ = if heading.number {
                write!(text, "  {cell:>width$}")
            } else {
                write!(text, "  {cell:<width$}")
            };
        }
        let _ = writeln!(out, "{text}");
    }
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
        scenario.repeats,
        scenario.duration_ms as f64 / 1_000.0
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
    for paragraph in narrative::search_paragraphs(results, &found) {
        let _ = writeln!(out, "- {paragraph}");
    }
    let _ = writeln!(out);
    piped(out, &tables::searches(results, &found));
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
