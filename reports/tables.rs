//! The tables of a report, as plain text in cells: terminal, Markdown and HTML differ only in how they draw them. Pure.

use crate::{
    bearing::Bearing,
    results::{Calibration, Provenance, Results},
    scenario::{Contender, Workload},
    search::Searched,
    summary::{Figure, Row, Summary},
};

/// Where nothing is known.
pub(crate) const UNKNOWN: &str = "–";

/// Said beside [`links`].
pub(crate) const LINKS_NOTE: &str =
    "Measured by plain UDP before the first run; loss depends on when the bad periods come.";

/// A table: headings and as many cells in each row.
pub(crate) struct Table {
    pub(crate) headings: Vec<Heading>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// The heading of a column.
pub(crate) struct Heading {
    pub(crate) text: &'static str,
    /// What the column says; empty where the heading does.
    pub(crate) meaning: &'static str,
    /// Numbers stand to the right.
    pub(crate) number: bool,
}

/// One cell.
pub(crate) struct Cell {
    pub(crate) text: String,
    /// What it names, at the head of a row.
    pub(crate) contender: Option<Contender>,
    /// The style sheet's class of what it names, where that is no contender.
    pub(crate) head: Option<&'static str>,
    /// What a pointer on it shows.
    pub(crate) note: Option<String>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, contender: None, head: None, note: None }
    }
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [(&'static str, bool); N]) -> Self {
        let heading = |(text, number)| Heading { text, meaning: "", number };
        Self { headings: headings.into_iter().map(heading).collect(), rows: Vec::new() }
    }

    pub(crate) fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(Cell::from).collect());
    }

    pub(crate) fn push_of<const N: usize>(&mut self, contender: Contender, cells: [String; N]) {
        let cells = cells.into_iter().map(Cell::from);
        self.rows.push(std::iter::once(Cell::from(contender)).chain(cells).collect());
    }
}

impl From<Contender> for Cell {
    fn from(contender: Contender) -> Self {
        Self { text: contender.to_string(), contender: Some(contender), head: None, note: None }
    }
}

/// A column of figures: its heading, what it means, what it shows and how.
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) figure: fn(&Row) -> Option<Figure>,
    pub(crate) format: fn(f64) -> String,
}

/// How old positions get.
pub(crate) const AGE_P99: Column = Column {
    heading: "age p99 ms",
    meaning: "99 % of the time it is younger",
    figure: |row| row.age_p99_us,
    format: milliseconds,
};

/// What arrives in time.
pub(crate) const FRESH: Column = Column {
    heading: "fresh %",
    meaning: "moves that arrived as news within the window, of those sent within it; what was under way at its edges can make it a little more than 100",
    figure: |row| row.fresh_share,
    format: percent,
};

/// What the server computes.
pub(crate) const CPU: Column = Column {
    heading: "CPU µs",
    meaning: "server CPU time for each fresh move, by the kernel's account of its process",
    figure: |row| row.server_cpu_us,
    format: one_digit,
};

/// Delay, age and what became of the moves.
pub(crate) const FIGURES: &[Column] = &[
    Column {
        heading: "p50 ms",
        meaning: "one-way delay from player to player through the server, from the intended send time; half of the moves took less",
        figure: |row| row.one_way_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten took less",
        figure: |row| row.one_way_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "p99 ms",
        meaning: "99 of 100 took less",
        figure: |row| row.one_way_p99_us,
        format: milliseconds,
    },
    Column {
        heading: "max ms",
        meaning: "the slowest move of a run",
        figure: |row| row.one_way_max_us,
        format: milliseconds,
    },
    Column {
        heading: "age ms",
        meaning: "age of information: how old the newest known position of the opponent is, averaged over time; half a send period of it is the rate's, not the transport's",
        figure: |row| row.age_mean_us,
        format: milliseconds,
    },
    AGE_P99,
    FRESH,
    Column {
        heading: "superseded %",
        meaning: "moves that a newer one replaced before they could leave; never late, never missed",
        figure: |row| row.superseded_share,
        format: percent,
    },
];

/// What it costs the server.
pub(crate) const COST: &[Column] = &[
    CPU,
    Column {
        heading: "RSS MB",
        meaning: "the server's resident memory at the end of the window; what the kernel holds for its sockets comes on top",
        figure: |row| row.server_resident_bytes,
        format: |bytes| one_digit(bytes / 1e6),
    },
    Column {
        heading: "B in",
        meaning: "bytes the server received for each fresh move, headers and acknowledgements included: whole IP packets counted on the emulated link, or on loopback by the stacks' own counts",
        figure: |row| row.bytes_in,
        format: no_digit,
    },
    Column {
        heading: "B out",
        meaning: "bytes it sent, likewise",
        figure: |row| row.bytes_out,
        format: no_digit,
    },
];

/// What the kernel holds for the server's sockets.
const KERNEL: Column = Column {
    heading: "kernel kB",
    meaning: "what the kernel holds for the server's sockets, beside its resident memory: what is queued in them, and the objects they are made of",
    figure: |row| row.server_kernel_bytes,
    format: |bytes| one_digit(bytes / 1e3),
};

/// More of it, where there is room.
pub(crate) const COST_DETAIL: &[Column] = &[
    Column {
        heading: "user µs",
        meaning: "part of the CPU time in the program and its libraries; the kernel counts it in ticks of 10 ms, so it is shown only where there are enough",
        figure: |row| row.server_user_us,
        format: one_digit,
    },
    Column {
        heading: "system µs",
        meaning: "part of it in the kernel, likewise",
        figure: |row| row.server_system_us,
        format: one_digit,
    },
    KERNEL,
    Column {
        heading: "switches",
        meaning: "times the server was put off the CPU for each fresh move: how often it was woken",
        figure: |row| row.server_switches,
        format: two_digits,
    },
    Column {
        heading: "packets in",
        meaning: "packets the server received for each fresh move, acknowledgements included, counted where the bytes are",
        figure: |row| row.packets_in,
        format: two_digits,
    },
    Column {
        heading: "packets out",
        meaning: "packets it sent, likewise",
        figure: |row| row.packets_out,
        format: two_digits,
    },
];

/// How long it takes to come.
pub(crate) const CONNECT_FIGURES: &[Column] = &[
    Column {
        heading: "paired p50 ms",
        meaning: "from the intended beginning of a connect until the player is told that its match starts",
        figure: |row| row.paired_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten took less",
        figure: |row| row.paired_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "first move p50 ms",
        meaning: "from the same beginning until the player has the other's first move",
        figure: |row| row.first_move_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "first move p90 ms",
        meaning: "nine of ten took less",
        figure: |row| row.first_move_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "resumed %",
        meaning: "connections that took a TLS session up again instead of a full handshake",
        figure: |row| row.resumed_share,
        format: percent,
    },
];

/// What it costs the server that somebody came and went.
pub(crate) const CONNECT_COST: &[Column] = &[
    Column {
        heading: "CPU µs",
        meaning: "server CPU time for each connection: handshake, pairing, a few moves, the goodbye",
        figure: |row| row.connect_cpu_us,
        format: no_digit,
    },
    Column {
        heading: "RSS MB",
        meaning: "the server's resident memory at the end of the window; what the kernel holds for its sockets comes on top",
        figure: |row| row.server_resident_bytes,
        format: |bytes| one_digit(bytes / 1e6),
    },
];

/// What players feel, and what it costs the server.
pub(crate) fn columns(results: &Results) -> (&'static [Column], &'static [Column]) {
    match results.scenario.workload {
        Workload::Moves => (FIGURES, COST),
        Workload::Connects => (CONNECT_FIGURES, CONNECT_COST),
    }
}

/// µs as ms.
pub(crate) fn milliseconds(us: f64) -> String {
    format!("{:.*}", if us < 10_000.0 { 2 } else { 1 }, us / 1_000.0)
}

fn percent(share: f64) -> String {
    one_digit(share * 100.0)
}

fn no_digit(value: f64) -> String {
    format!("{value:.0}")
}

fn one_digit(value: f64) -> String {
    format!("{value:.1}")
}

fn two_digits(value: f64) -> String {
    format!("{value:.2}")
}

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
pub(crate) fn searches(results: &Results, bearings: &[Bearing]) -> Table {
    let unit = match results.scenario.search.map(|search| search.of) {
        Some(Searched::Pairs) => "bears matches",
        _ => "bears Hz",
    };
    let mut table =
        Table::new([("transport", false), ("link", false), (unit, true), ("broke at", true), ("by", false)]);
    for it in bearings {
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
