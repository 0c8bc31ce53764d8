//! The tables of a report, as plain text in cells: terminal, Markdown and HTML differ only in how they draw them. Pure.

use crate::{
    analysis::{
        capacity::Capacity,
        repeats::Figure,
        summary::{Row, Summary},
        validity::Check,
    },
    data::results::{Calibration, Provenance, Results},
    plan::search::Searched,
    render::{
        columns::{Column, one_digit, two_digits},
        table::{Cell, Heading, Table, UNKNOWN},
    },
};

/// Said beside [`links`].
pub(crate) const LINKS_NOTE: &str =
    "Measured by plain UDP before the first run; loss depends on when the bad periods come.";

/// Rows that are compared with each other: one link, rate, number of pairs and relay policy.
pub(crate) struct Group<'a> {
    pub(crate) title: String,
    pub(crate) rows: Vec<&'a Row>,
}

/// The rows of a summary in groups, in their order.
pub(crate) fn groups(summary: &Summary) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in &summary.rows {
        let title = row.key.group.to_string();
        match groups.last_mut() {
            Some(last) if last.title == title => last.rows.push(row),
            _ => groups.push(Group { title, rows: vec![row] }),
        }
    }
    groups
}

/// A row for each transport, with these columns.
pub(crate) fn figures<'a>(rows: &[&Row], columns: impl IntoIterator<Item = &'a Column>) -> Table {
    let columns: Vec<&Column> = columns.into_iter().collect();
    let transport = Heading { text: "transport", meaning: "", number: false };
    let heading = |column: &&Column| Heading { text: column.heading, meaning: column.meaning, number: true };
    let cell = |row: &Row, column: &Column| {
        let Some(figure) = (column.figure)(row) else { return Cell::from(UNKNOWN.to_owned()) };
        let note =
            (row.repeats > 1).then(|| format!("{} in {} repeats", range(figure, column.format), row.repeats));
        Cell { note, ..Cell::from((column.format)(figure.value)) }
    };
    Table {
        headings: std::iter::once(transport).chain(columns.iter().map(heading)).collect(),
        rows: (rows.iter())
            .map(|row| {
                let name = Cell::from(row.key.contender);
                std::iter::once(name).chain(columns.iter().map(|column| cell(row, column))).collect()
            })
            .collect(),
    }
}

/// The smallest and the largest of the repeats.
fn range(figure: Figure, format: fn(f64) -> String) -> String {
    format!("{}–{}", format(figure.min), format(figure.max))
}

/// How far the repeats lay apart: a difference smaller than this is none.
pub(crate) fn spread(rows: &[&Row]) -> Table {
    let mut table = Table::new([
        ("transport", false),
        ("repeats", true),
        ("p50 ms", true),
        ("p99 ms", true),
        ("age ms", true),
        ("CPU µs", true),
        ("sent late p99 ms", true),
        ("link lost %", true),
    ]);
    let span = |figure: Option<Figure>, format| figure.map_or(UNKNOWN.into(), |it| range(it, format));
    let ms: fn(f64) -> String = |us| two_digits(us / 1_000.0);
    for row in rows {
        table.push_of(
            row.key.contender,
            [
                row.repeats.to_string(),
                span(row.one_way_p50_us, ms),
                span(row.one_way_p99_us, ms),
                span(row.age_mean_us, ms),
                span(row.server_cpu_us, one_digit),
                span(row.lateness_p99_us, ms),
                span(row.link_lost_share, |share| two_digits(share * 100.0)),
            ],
        );
    }
    table
}

/// What was asked of each emulated link, and what plain UDP found.
pub(crate) fn links(results: &Results) -> Table {
    let mut table = Table::new([
        ("link", false),
        ("way", false),
        ("delay asked ms", true),
        ("p50 ms", true),
        ("p99 ms", true),
        ("loss asked %", true),
        ("lost %", true),
        ("rate asked Mbit/s", true),
        ("measured", true),
    ]);
    let rate = |rate: Option<f64>| rate.map_or(UNKNOWN.into(), one_digit);
    for Calibration { link, probe } in &results.calibrations {
        for (way, path) in [("up", &probe.up), ("down", &probe.down)] {
            table.push([
                link.clone(),
                way.into(),
                two_digits(path.asked.delay_ms),
                two_digits(path.delay.quantile_ms(0.5)),
                two_digits(path.delay.quantile_ms(0.99)),
                path.asked.loss_share.map_or("by time".into(), |share| two_digits(share * 100.0)),
                two_digits(path.loss_share() * 100.0),
                rate(path.asked.mbit_per_s),
                rate(path.mbit_per_s),
            ]);
        }
    }
    table
}

/// What was searched for, by link and contender: what held, and what broke next.
pub(crate) fn searches(results: &Results, capacities: &[Capacity]) -> Table {
    let unit = match results.scenario.search.map(|search| search.of) {
        Some(Searched::Pairs) => "bears matches",
        _ => "bears Hz",
    };
    let mut table =
        Table::new([("transport", false), ("link", false), (unit, true), ("broke at", true), ("by", false)]);
    for it in capacities {
        let highest = it.highest().map_or("none".into(), |value| value.to_string());
        let more = if it.harness_broke() { "≥ " } else { "" };
        let cells = [
            if it.arm > 0 { format!("{} (A/A {})", it.group.link, it.arm) } else { it.group.link.clone() },
            format!("{more}{highest}"),
            it.broke().map_or(UNKNOWN.into(), |broke| broke.value.to_string()),
            it.broke().map_or("nothing up to the highest tried".into(), ToString::to_string),
        ];
        table.push_of(it.contender, cells);
    }
    table
}

/// Said beside [`benches`].
pub(crate) const BENCHES_NOTE: &str =
    "What the last cargo bench on this checkout measured, by criterion: means with their 95 % intervals.";

/// What `cargo bench` measured.
pub(crate) fn benches(results: &Results) -> Table {
    let mut table =
        Table::new([("group", false), ("bench", false), ("mean", true), ("from", true), ("to", true)]);
    for bench in &results.benches {
        let cells = [bench.mean_ns, bench.low_ns, bench.high_ns].map(nanoseconds);
        let [mean, low, high] = cells;
        table.push([bench.group.clone(), bench.name.clone(), mean, low, high]);
    }
    table
}

/// ns in the unit that has few digits.
fn nanoseconds(ns: f64) -> String {
    match ns {
        _ if ns < 1e3 => format!("{ns:.1} ns"),
        _ if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        _ => format!("{:.2} ms", ns / 1e6),
    }
}

/// Where and when it ran, as names and values; and the command to run it again.
pub(crate) fn provenance(results: &Results) -> (Vec<(String, String)>, String) {
    let Provenance { started_unix_s, version, commit, system, kernel, cpu, cpus, sysctls, command, .. } =
        &results.provenance;
    let started = std::time::UNIX_EPOCH + std::time::Duration::from_secs(*started_unix_s);
    let commit = if commit.is_empty() { "unknown" } else { commit };
    let mut facts: Vec<(String, String)> = vec![
        ("started".into(), humantime::format_rfc3339_seconds(started).to_string()),
        ("seed".into(), results.scenario.seed.to_string()),
        ("netduel".into(), format!("{version}, commit {commit}")),
        ("system".into(), format!("{system}, kernel {kernel}")),
        ("processor".into(), format!("{cpus} CPUs: {cpu}")),
    ];
    let run_cpu = results.provenance.run_cpu;
    facts.extend(run_cpu.map(|cpu| ("server and players".into(), format!("both on CPU {cpu}"))));
    facts.extend(sysctls.iter().map(|(name, value)| (name.clone(), value.replace('\t', " "))));
    (facts, format!("netduel-report {}", command.join(" ")))
}

/// The checks as a table.
pub(crate) fn checks(checks: &[Check]) -> Table {
    let mut table = Table::new([("check", false), ("found", false), ("bound", true), ("result", false)]);
    for Check { what, found, bound, passed } in checks {
        let result = if *passed { "✓ passed" } else { "✗ look" };
        table.push([(*what).into(), found.clone(), bound.clone(), result.into()]);
    }
    table
}
