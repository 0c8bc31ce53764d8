//! Results as text: a table for the terminal and a Markdown report. Pure: the same results give the same text.

use std::fmt::Write;

use netduel_transport::TransportKind;

use crate::{
    render_verdict,
    results::{Calibration, Provenance, Results},
    scenario::Group,
    summary::{Figure, Row, Summary},
    verdict::Verdict,
};

/// A column: its heading, what it means, and its cell.
struct Column {
    heading: &'static str,
    meaning: &'static str,
    cell: fn(&Row) -> String,
}

const COLUMNS: &[Column] = &[
    Column { heading: "transport", meaning: "", cell: |row| row.key.transport.to_string() },
    Column {
        heading: "p50 ms",
        meaning: "one-way delay from player to player through the server, from the intended send time; half of the moves took less",
        cell: |row| milliseconds(row.one_way_p50_us),
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten took less",
        cell: |row| milliseconds(row.one_way_p90_us),
    },
    Column {
        heading: "p99 ms",
        meaning: "99 of 100 took less",
        cell: |row| milliseconds(row.one_way_p99_us),
    },
    Column {
        heading: "max ms",
        meaning: "the slowest move of a run",
        cell: |row| milliseconds(row.one_way_max_us),
    },
    Column {
        heading: "age ms",
        meaning: "age of information: how old the newest known position of the opponent is, averaged over time; half a send period of it is the rate's, not the transport's",
        cell: |row| milliseconds(row.age_mean_us),
    },
    Column {
        heading: "age p99 ms",
        meaning: "99 % of the time it is younger",
        cell: |row| milliseconds(row.age_p99_us),
    },
    Column {
        heading: "fresh %",
        meaning: "moves that arrived as news, of those sent",
        cell: |row| percent(row.fresh_share),
    },
    Column {
        heading: "superseded %",
        meaning: "moves that a newer one replaced before they could leave; never late, never missed",
        cell: |row| percent(row.superseded_share),
    },
    Column {
        heading: "CPU µs",
        meaning: "server CPU time for each fresh move, by the kernel's account of its process",
        cell: |row| number(row.server_cpu_us, 1.0, 1),
    },
    Column {
        heading: "RSS MB",
        meaning: "the server's resident memory (kernel socket memory is not in it)",
        cell: |row| number(row.server_resident_bytes, 1e6, 1),
    },
    Column {
        heading: "B in",
        meaning: "bytes the server received for each fresh move, headers and acknowledgements included: whole IP packets counted on the emulated link, or on loopback by the stacks' own counts",
        cell: |row| number(row.bytes_in, 1.0, 0),
    },
    Column {
        heading: "B out",
        meaning: "bytes it sent, likewise",
        cell: |row| number(row.bytes_out, 1.0, 0),
    },
];

fn milliseconds(figure: Option<Figure>) -> String {
    figure.map_or("–".into(), |it| {
        format!("{:.*}", if it.value < 10_000.0 { 2 } else { 1 }, it.value / 1_000.0)
    })
}

fn percent(figure: Option<Figure>) -> String {
    number(figure.map(|it| Figure { value: it.value * 100.0, ..it }), 1.0, 1)
}

fn number(figure: Option<Figure>, unit: f64, digits: usize) -> String {
    figure.map_or("–".into(), |it| format!("{:.digits$}", it.value / unit))
}

/// The rows that are compared with each other.
fn groups(summary: &Summary) -> Vec<(Group, Vec<&Row>)> {
    let mut groups: Vec<(Group, Vec<&Row>)> = Vec::new();
    for row in &summary.rows {
        let group = row.key.group();
        match groups.last_mut() {
            Some((last, rows)) if *last == group => rows.push(row),
            _ => groups.push((group, vec![row])),
        }
    }
    groups
}

fn cells(rows: &[&Row]) -> Vec<Vec<String>> {
    rows.iter().map(|row| COLUMNS.iter().map(|column| (column.cell)(row)).collect()).collect()
}

/// The verdict, the tables and warnings, for a terminal of 120 columns.
pub fn terminal(results: &Results) -> String {
    let summary = Summary::of(results);
    let mut out = String::new();
    if let Some(verdict) = Verdict::of(results) {
        render_verdict::terminal(&mut out, results, &verdict);
    }
    for (title, rows) in groups(&summary) {
        let _ = writeln!(out, "\n{title}");
        let cells = cells(&rows);
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| {
                let heading = COLUMNS[column].heading.chars().count();
                cells.iter().map(|row| row[column].chars().count()).fold(heading, usize::max)
            })
            .collect();
        let headings: Vec<String> = COLUMNS.iter().map(|column| column.heading.to_owned()).collect();
        for line in std::iter::once(&headings).chain(&cells) {
            let mut text = format!("  {:<1$}", line[0], widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                let _ = write!(text, "  {cell:>width$}");
            }
            let _ = writeln!(out, "{text}");
        }
    }
    let _ = writeln!(
        out,
        "\n{} repeats of {} ms each, taken together.",
        results.scenario.repeats, results.scenario.duration_ms
    );
    for warning in &summary.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    out
}

/// The whole report as Markdown, fit for a pull request's comment.
pub fn markdown(results: &Results) -> String {
    let summary = Summary::of(results);
    let mut out = String::from("# Netduel: transports compared\n\n");
    let scenario = &results.scenario;
    let _ = writeln!(
        out,
        "Two players, a relay between them, small moves of which only the newest counts. Each figure is of {} repeats of \
         {:.1} s taken together; they were interleaved in a seeded random order, and server and players were processes of \
         their own.",
        scenario.repeats,
        scenario.duration_ms as f64 / 1_000.0
    );
    let verdict = Verdict::of(results);
    if let Some(verdict) = &verdict {
        render_verdict::markdown(&mut out, results, verdict);
    }
    for (group, rows) in groups(&summary) {
        let _ = writeln!(out, "\n## {group}\n");
        let headings: Vec<&str> = COLUMNS.iter().map(|column| column.heading).collect();
        let _ = writeln!(out, "| {} |", headings.join(" | "));
        let _ = writeln!(out, "|---{}|", "|---:".repeat(COLUMNS.len() - 1));
        for row in cells(&rows) {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
        spread(&mut out, &rows);
        if let Some(verdict) = &verdict {
            verdict
                .groups
                .iter()
                .filter(|it| it.group == group)
                .for_each(|it| render_verdict::comparisons(&mut out, it, verdict.reference));
        }
    }
    links(&mut out, results);
    warnings(&mut out, &summary);
    parity(&mut out, results, &summary);
    let _ = writeln!(out, "\n## What the columns mean\n");
    for column in COLUMNS.iter().filter(|column| !column.meaning.is_empty()) {
        let _ = writeln!(out, "- **{}**: {}", column.heading, column.meaning);
    }
    provenance(&mut out, results);
    out
}

/// How far the repeats lay apart.
fn spread(out: &mut String, rows: &[&Row]) {
    let range = |figure: Option<Figure>| {
        figure.map_or("–".into(), |it| format!("{:.2}–{:.2}", it.min / 1_000.0, it.max / 1_000.0))
    };
    let _ = writeln!(out, "\nSmallest and largest of the repeats:\n");
    let _ = writeln!(
        out,
        "| transport | repeats | p50 ms | p99 ms | age ms | CPU µs | sent late p99 ms | link lost % |"
    );
    let _ = writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let cpu = row.server_cpu_us.map_or("–".into(), |it| format!("{:.1}–{:.1}", it.min, it.max));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {cpu} | {} | {} |",
            row.key.transport,
            row.repeats,
            range(row.one_way_p50_us),
            range(row.one_way_p99_us),
            range(row.age_mean_us),
            range(row.lateness_p99_us),
            row.link_lost_share.map_or("–".into(), |it| format!(
                "{:.2}–{:.2}",
                it.min * 100.0,
                it.max * 100.0
            )),
        );
    }
}

/// What was asked of each emulated link, and what plain UDP found.
fn links(out: &mut String, results: &Results) {
    if results.calibrations.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## The links, asked for and measured\n");
    let _ = writeln!(
        out,
        "Measured by plain UDP before the first run; loss depends on when the bad periods come.\n"
    );
    let _ = writeln!(
        out,
        "| link | way | delay asked ms | p50 ms | p99 ms | loss asked % | lost % | rate asked Mbit/s | measured |"
    );
    let _ = writeln!(out, "|---|---|---:|---:|---:|---:|---:|---:|---:|");
    let rate = |rate: Option<f64>| rate.map_or("–".into(), |rate| format!("{rate:.1}"));
    for Calibration { link, probe } in &results.calibrations {
        for (way, path) in [("up", &probe.up), ("down", &probe.down)] {
            let _ = writeln!(
                out,
                "| {link} | {way} | {:.2} | {:.2} | {:.2} | {} | {:.2} | {} | {} |",
                path.asked.delay_ms,
                path.delay.quantile_ms(0.5),
                path.delay.quantile_ms(0.99),
                path.asked.loss_share.map_or("by time".into(), |share| format!("{:.2}", share * 100.0)),
                f64::from(path.lost) * 100.0 / f64::from(path.sent.max(1)),
                rate(path.asked.mbit_per_s),
                rate(path.mbit_per_s),
            );
        }
    }
}

fn warnings(out: &mut String, summary: &Summary) {
    let _ = writeln!(out, "\n## Warnings\n");
    if summary.warnings.is_empty() {
        let _ = writeln!(out, "None.");
    }
    for warning in &summary.warnings {
        let _ = writeln!(out, "- {warning}");
    }
}

/// The settings that each side really had.
fn parity(out: &mut String, results: &Results, summary: &Summary) {
    let _ = writeln!(out, "\n## Settings in effect\n");
    let _ = writeln!(
        out,
        "| transport | lanes | congestion control | TLS | largest packet B | may the wire drop a move |"
    );
    let _ = writeln!(out, "|---|---|---|---|---:|---|");
    let mut seen: Vec<TransportKind> = Vec::new();
    for row in &summary.rows {
        let kind = row.key.transport;
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        let known = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.into());
        let _ = writeln!(
            out,
            "| {kind} | {} | {} | {} | {} | {} |",
            kind.summary(),
            known(&row.congestion, "unknown"),
            known(&row.tls, "none"),
            row.max_packet_bytes.map_or("unknown".into(), |bytes| bytes.to_string()),
            if kind.capabilities().state_may_drop { "yes" } else { "no: loss shows as delay" },
        );
    }
    let nagle = if results.scenario.nagle { "on" } else { "off" };
    let _ = writeln!(
        out,
        "\nNagle's algorithm: {nagle}. Warm-up before each window: {} ms.",
        results.scenario.warmup_ms
    );
}

fn provenance(out: &mut String, results: &Results) {
    let Provenance { started_unix_s, version, commit, system, kernel, cpu, cpus, sysctls, command } =
        &results.provenance;
    let started = humantime::format_rfc3339_seconds(
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(*started_unix_s),
    );
    let _ = writeln!(out, "\n## Where it ran\n");
    let _ = writeln!(out, "- Started {started}, seed {}", results.scenario.seed);
    let _ =
        writeln!(out, "- netduel {version}, commit {}", if commit.is_empty() { "unknown" } else { commit });
    let _ = writeln!(out, "- {system}, kernel {kernel}, {cpus} CPUs: {cpu}");
    for (name, value) in sysctls {
        let _ = writeln!(out, "- `{name}` = `{}`", value.replace('\t', " "));
    }
    let _ = writeln!(out, "- Again: `netduel-report {}`", command.join(" "));
}
