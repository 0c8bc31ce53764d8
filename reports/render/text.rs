//! Results as text: tables for the terminal and a Markdown report. Pure: the same results give the
//! same text.

use std::{
    borrow::Cow,
    fmt::Write,
    mem::{Discriminant, discriminant},
};

use netduel_shown::{escaped, escaped_lines};

use crate::{
    analysis::{
        capacity::capacities, conclusions::Conclusions, ratios::Ratios, sweep::crossovers, validity,
        verdict::Verdict, warning::Warning,
    },
    data::results::Results,
    render::{
        answer::{
            overview,
            sentences::{Answer, PlaceAnswer, answer},
        },
        bars, columns, glossary, memory_table, ratios_table, search_text, settings_table,
        table::{Cell, Heading, Table},
        tables::{self, Group},
        verdict_text,
        words::{self, wrapped},
    },
};

/// The characters that Markdown may take for markup.
const MARKUP: [char; 8] = ['\\', '|', '<', '>', '[', ']', '@', '`'];
/// The width of a text that is not read on a terminal, in columns.
pub const COLUMNS: usize = 100;

/// Renders the answer, its charts, the tables and the warnings, [`COLUMNS`] wide.
pub fn terminal(conclusions: &Conclusions<'_>) -> String {
    terminal_of(conclusions, COLUMNS)
}

/// Renders the answer, its charts, the tables and the warnings for a terminal of this width.
pub(crate) fn terminal_of(conclusions: &Conclusions<'_>, width: usize) -> String {
    let Conclusions { results, summary, verdict, .. } = conclusions;
    let groups = tables::groups(summary);
    let mut out = String::new();
    if let Some(verdict) = verdict {
        in_words(&mut out, &answer(results, verdict), width);
    }
    let found = capacities(results);
    for paragraph in search_text::paragraphs(results, &found) {
        let _ = write!(out, "\n{}", wrapped(&paragraph, width));
    }
    let ratios = Ratios::from_results(results);
    if results.scenario.search.is_some() {
        let _ = writeln!(out);
        aligned(&mut out, &search_text::table(results, &found), width);
    } else if !ratios.is_empty() {
        for group in &ratios {
            let _ = writeln!(out, "\n{}", escaped(&group.group.to_string()));
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
            let _ = writeln!(out, "\n{}", escaped(&group.title));
            let columns = columns::of_group(results, &group.rows[0].key.group);
            aligned(&mut out, &tables::figures(&group.rows, columns.main), width);
            if let Some(found) = found_in(verdict.as_ref(), group) {
                let _ = writeln!(out);
                aligned(&mut out, &found, width);
            }
        }
    }
    if let Some(slopes) = memory_table::table(results) {
        let _ = writeln!(out, "\nmemory per connection");
        aligned(&mut out, &slopes, width);
    }
    let _ = writeln!(out);
    warnings(&mut out, &summary.warnings, width);
    escaped_lines(&out)
}

/// Writes the first warning of each kind, and the number of the others.
fn warnings(out: &mut String, all: &[Warning], width: usize) {
    let mut kinds: Vec<Discriminant<Warning>> = all.iter().map(discriminant).collect();
    kinds.dedup();
    for (index, kind) in kinds.iter().enumerate() {
        if kinds[..index].contains(kind) {
            continue;
        }
        let alike: Vec<&Warning> = all.iter().filter(|it| discriminant(*it) == *kind).collect();
        let more = match alike.len() {
            1 => String::new(),
            count => format!(" (and {} more like it: see report.html)", count - 1),
        };
        let _ = write!(out, "{}", wrapped(&format!("warning: {}{more}", alike[0]), width));
    }
}

/// Writes the answer as sentences.
fn in_words(out: &mut String, told: &Answer, width: usize) {
    let _ = write!(out, "\n{}", wrapped(&told.headline, width));
    let _ = write!(out, "{}", wrapped(&told.run, width));
    for PlaceAnswer { advice, more, sure, settle } in &told.places {
        let _ = write!(out, "\n{}", wrapped(advice, width));
        let sure = sure.iter().map(|(_, why)| why);
        for text in more.iter().chain(sure) {
            let _ = write!(out, "{}", indented(&wrapped(text, width - 2)));
        }
        // A command stays on one line, so that it can be copied.
        if let Some((words, command)) = settle {
            let _ = writeln!(out, "  {words} {}", escaped(command));
        }
    }
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

/// Returns what was found in a group against the reference.
fn found_in(verdict: Option<&Verdict>, group: &Group<'_>) -> Option<Table> {
    let verdict = verdict?;
    let judged = verdict.groups.iter().find(|it| it.group == group.rows[0].key.group)?;
    verdict_text::findings(judged, &verdict.contenders, verdict.reference)
}

/// Writes a table with aligned columns. Columns beyond the width follow below, behind the heads of
/// their rows. A unit at the end of a heading gets a line of its own.
pub(crate) fn aligned(out: &mut String, table: &Table, width: usize) {
    let rows = lines(table, escaped);
    let Some((headings, rows)) = rows.split_first() else { return };
    let heads: Vec<(&str, &str)> =
        headings.iter().map(|text| text.rsplit_once(' ').unwrap_or(("", text))).collect();
    let of_column = |column: usize| {
        let (above, below) = heads[column];
        let cells = rows.iter().map(|row| row[column].as_ref()).chain([above, below]);
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
            write(&mut row.iter().map(AsRef::as_ref));
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
    let lines = lines(table, marked).into_iter().map(|line| format!("| {} |", line.join(" | ")));
    for (number, line) in lines.enumerate() {
        let _ = writeln!(out, "{line}");
        if number == 0 {
            let _ = writeln!(out, "|{}|", rule.join("|"));
        }
    }
}

/// Returns the headings and all cells as text; `escape` is applied to the cells.
fn lines<'a>(table: &'a Table, escape: impl Fn(&'a str) -> Cow<'a, str>) -> Vec<Vec<Cow<'a, str>>> {
    let headings = table.headings.iter().map(|heading: &Heading| heading.text.into()).collect();
    let rows = table.rows.iter().map(|row| row.iter().map(|cell: &Cell| escape(&cell.text)).collect());
    std::iter::once(headings).chain(rows).collect()
}

/// Returns a text as Markdown that shows it as it is: on one line, without links, images, tags,
/// code or mentions of people.
fn marked(text: &str) -> Cow<'_, str> {
    let text = escaped(text);
    if !text.contains(MARKUP) {
        return text;
    }
    let mut out = String::with_capacity(2 * text.len());
    for char in text.chars() {
        match char {
            // No escape stops a mention, but a comment behind the sign does.
            '@' => out.push_str("@<!-- -->"),
            char if MARKUP.contains(&char) => out.extend(['\\', char]),
            char => out.push(char),
        }
    }
    out.into()
}

/// Returns a text as code in Markdown.
fn code(text: &str) -> String {
    format!("`{}`", escaped(text).replace('`', "'"))
}

/// Renders the whole report as Markdown, short enough for a pull request's comment.
pub fn markdown(conclusions: &Conclusions<'_>) -> String {
    let Conclusions { results, summary, verdict, .. } = conclusions;
    let groups = tables::groups(summary);
    let mut out = String::new();
    match verdict {
        Some(verdict) => in_markdown(&mut out, &answer(results, verdict)),
        None => out += "# Netduel: transports compared\n",
    }
    let charts = [
        overview::age(results, &groups, &overview::chosen(verdict.as_ref())),
        overview::cost(results, &groups),
    ];
    if verdict.is_some() {
        for chart in charts.iter().flatten() {
            let mut drawn = String::new();
            bars::text(&mut drawn, chart, COLUMNS);
            let _ = writeln!(out, "\n```text{}```", drawn.replace('`', "'"));
        }
    }
    search(&mut out, results);
    let ratios = Ratios::from_results(results);
    if !ratios.is_empty() {
        let _ = writeln!(out, "\n## Ratios to the bare relays\n\n{}", ratios_table::NOTE);
    }
    for group in &ratios {
        let _ = writeln!(out, "\n### {}\n", marked(&group.group.to_string()));
        piped(&mut out, &ratios_table::table(group));
    }
    let crossovers = crossovers(results, verdict.as_ref());
    if !crossovers.is_empty() {
        let _ = writeln!(out, "\n## Crossovers\n");
        for text in crossovers {
            let _ = writeln!(out, "- {}", marked(&text));
        }
    }
    for group in &groups {
        group_part(&mut out, results, verdict.as_ref(), group);
    }
    if let Some(slopes) = memory_table::table(results) {
        let _ = writeln!(out, "\n## Memory per connection\n\n{}\n", memory_table::NOTE);
        piped(&mut out, &slopes);
    }
    if !results.calibrations.is_empty() {
        let _ = writeln!(out, "\n## Links: requested and measured\n\n{}\n", tables::LINKS_NOTE);
        piped(&mut out, &tables::links(results));
    }
    trust(&mut out, conclusions);
    let _ = writeln!(out, "\n## Settings in effect\n");
    piped(&mut out, &settings_table::contenders(summary));
    let _ = writeln!(out);
    piped(&mut out, &settings_table::sides(summary));
    let _ = writeln!(out, "\n{}", settings_table::note(results));
    meanings(&mut out, results);
    if !results.benches.is_empty() {
        let _ = writeln!(out, "\n## cargo bench\n\n{}\n", tables::BENCHES_NOTE);
        piped(&mut out, &tables::benches(results));
    }
    let _ = writeln!(out, "\n## Provenance\n");
    let (facts, command) = tables::provenance(results);
    for (name, value) in facts {
        let _ = writeln!(out, "- {}: {}", marked(&name), marked(&value));
    }
    let _ = writeln!(out, "- command: {}", code(&command));
    escaped_lines(&out)
}

/// Writes the tables of a group as Markdown.
fn group_part(out: &mut String, results: &Results, verdict: Option<&Verdict>, group: &Group<'_>) {
    let _ = writeln!(out, "\n## {}\n", marked(&words::capital(&group.title)));
    let columns = columns::of_group(results, &group.rows[0].key.group);
    piped(out, &tables::figures(&group.rows, columns.main));
    if let Some(why) = columns.left_out {
        let _ = writeln!(out, "\n{why}");
    }
    if let Some((verdict, found)) = verdict.zip(found_in(verdict, group)) {
        let _ = writeln!(out, "\nAgainst {}:\n", marked(&verdict.reference.to_string()));
        piped(out, &found);
    }
    let _ = writeln!(out, "\n<details><summary>More figures</summary>\n");
    piped(out, &tables::figures(&group.rows, columns.detail));
    if let Some(players) = tables::players(results, &group.rows) {
        let _ = writeln!(out, "\nEach player by itself:\n");
        piped(out, &players);
    }
    if let Some(recovery) = tables::recovery(results, &group.rows) {
        let _ = writeln!(out, "\nRecovery from loss:\n");
        piped(out, &recovery);
        let _ = writeln!(out, "\n{}", tables::RECOVERY_NOTE);
    }
    if group.rows.iter().any(|row| row.repeats > 1) {
        let _ = writeln!(out, "\nSmallest and largest values of the repeats:\n");
        piped(out, &tables::spread(&group.rows));
    }
    let judged = verdict.into_iter().flat_map(|it| &it.groups).find(|it| it.group == group.rows[0].key.group);
    if let Some(judged) = judged.filter(|it| !it.figures.comparisons.is_empty()) {
        let _ = writeln!(out, "\nEvery comparison:\n");
        piped(out, &verdict_text::comparisons(judged));
        let _ = writeln!(out, "\n{}\n\n{}", verdict_text::FINDINGS_NOTE, verdict_text::COMPARISONS_NOTE);
    }
    let _ = writeln!(out, "\n</details>");
}

/// Writes the meanings of words and columns as Markdown.
fn meanings(out: &mut String, results: &Results) {
    let _ = writeln!(out, "\n## Words\n");
    for (word, meaning) in glossary::WORDS {
        let _ = writeln!(out, "- **{word}**: {meaning}");
    }
    let _ = writeln!(out, "\nMore, with examples: `{}` in the repository.\n\n## Columns\n", glossary::PAGE);
    for column in columns::shown(results) {
        let _ = writeln!(out, "- **{}**: {}", column.heading, column.meaning);
    }
}

/// Writes the answer as Markdown.
fn in_markdown(out: &mut String, told: &Answer) {
    let _ = writeln!(out, "# {}\n\n{}", marked(&told.headline), marked(&told.run));
    for PlaceAnswer { advice, more, sure, settle } in &told.places {
        let _ = writeln!(out, "\n**{}**", marked(advice));
        let sure = sure.iter().map(|(_, why)| why);
        for text in more.iter().chain(sure) {
            let _ = writeln!(out, "{}", marked(text));
        }
        if let Some((words, command)) = settle {
            let _ = writeln!(out, "{words} {}", code(command));
        }
    }
}

/// Writes the capacities of a search, if there was one.
fn search(out: &mut String, results: &Results) {
    let found = capacities(results);
    if found.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## Verdict\n");
    for paragraph in search_text::paragraphs(results, &found) {
        let _ = writeln!(out, "- {}", marked(&paragraph));
    }
    let _ = writeln!(out);
    piped(out, &search_text::table(results, &found));
}

fn trust(out: &mut String, conclusions: &Conclusions<'_>) {
    let Conclusions { results, summary, checks, .. } = conclusions;
    let _ = writeln!(out, "\n## Validity\n");
    piped(out, &tables::checks(checks));
    let _ = writeln!(out, "\n### Warnings\n");
    if summary.warnings.is_empty() {
        let _ = writeln!(out, "None.");
    }
    for warning in &summary.warnings {
        let _ = writeln!(out, "- {}", marked(&warning.to_string()));
    }
    let _ = writeln!(out, "\n### Threats to validity\n");
    for threat in validity::threats(results) {
        let _ = writeln!(out, "- {}", marked(&threat));
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
    #[test]
    fn markdown_shows_texts_as_they_are() {
        for (text, wanted) in [
            ("tcp +resumed, 5 % loss", "tcp +resumed, 5 % loss"),
            ("a|b\\c", "a\\|b\\\\c"),
            ("<img src=x>`code`", "\\<img src=x\\>\\`code\\`"),
            ("![x](https://a.example)", "!\\[x\\](https://a.example)"),
            ("@everyone", "@<!-- -->everyone"),
            ("one\n## two\u{1b}[2J", "one\\\\u{a}## two\\\\u{1b}\\[2J"),
        ] {
            assert_eq!(marked(text), wanted);
        }
        assert_eq!(code("a`b\n"), "`a'b\\u{a}`");
        let mut table = Table::new([("name", false)]);
        table.push(["a|b\nc".to_owned()]);
        let mut out = String::new();
        piped(&mut out, &table);
        assert_eq!(out, "| name |\n|---|\n| a\\|b\\\\u{a}c |\n");
    }
}
