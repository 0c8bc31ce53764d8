//! The tables of a report, as plain text in cells. Pure.

use netduel_loadgen::Lane;

use crate::{
    analysis::{
        repeats::{Figure, repeats_of},
        summary::{Row, Summary},
        validity::Check,
    },
    data::{
        results::{Calibration, Provenance, Results},
        tcp_counters::TcpCounters,
    },
    plan::scenario::Network,
    render::{
        columns::{Column, one_digit, percent, two_digits},
        table::{Cell, Heading, Table, UNKNOWN},
        words,
    },
};

/// Returns the table of how the players of each transport fared; `None` without their figures.
pub(crate) fn players(results: &Results, rows: &[&Row]) -> Option<Table> {
    let mut table = Table::new([
        ("transport", false),
        ("players", true),
        ("age p99 of the best ms", true),
        ("of the median ms", true),
        ("of the worst ms", true),
        ("most freezes", true),
        ("longest freeze ms", true),
        ("least fresh %", true),
    ]);
    for row in rows {
        let runs = repeats_of(results, &row.key);
        let players = || runs.iter().flat_map(|run| &run.load.players);
        let mut ages_us: Vec<u64> = players().map(|player| player.age_p99_us).collect();
        ages_us.sort_unstable();
        let (Some(best), Some(worst)) = (ages_us.first(), ages_us.last()) else { continue };
        let fresh = players().filter(|it| it.sent > 0).map(|it| it.fresh as f64 / it.sent as f64);
        let ms = |us: u64| words::milliseconds(us as f64);
        table.push_of(
            row.key.contender,
            [
                ages_us.len().to_string(),
                ms(*best),
                ms(ages_us[ages_us.len() / 2]),
                ms(*worst),
                players().map(|player| player.freezes).max().unwrap_or(0).to_string(),
                ms(players().map(|player| player.longest_gap_us).max().unwrap_or(0)),
                fresh.reduce(f64::min).map_or(UNKNOWN.into(), percent),
            ],
        );
    }
    (!table.rows.is_empty()).then_some(table)
}

/// The note beside [`recovery`].
pub(crate) const RECOVERY_NOTE: &str = "Per player and minute. Timeouts, probes and fast recoveries of \
    TCP are the kernel's counts of both sides. A timeout (RTO) waits for at least 200 ms in a stock \
    TCP; a probe (TLP) may save it. Blocked is the share of the time in which moves waited since the \
    congestion window was used up. QUIC counts its reactions to loss. Throttled are moves that ENet \
    itself dropped.";

/// Returns the table of how the transports recovered from loss; `None` if none reports it.
pub(crate) fn recovery(results: &Results, rows: &[&Row]) -> Option<Table> {
    let mut table = Table::new([
        ("transport", false),
        ("timeouts /min", true),
        ("probes /min", true),
        ("fast recoveries /min", true),
        ("QUIC reactions /min", true),
        ("blocked %", true),
        ("sent again in vain /min", true),
        ("throttled /min", true),
    ]);
    for row in rows {
        let runs = repeats_of(results, &row.key);
        let Some(first) = runs.first() else { continue };
        let recovery = runs[1..].iter().fold(first.load.recovery, |sum, run| sum.plus(&run.load.recovery));
        let window_s = results.scenario.sampling_of(&row.key.group).duration_ms as f64 / 1e3;
        let player_s = window_s * runs.len() as f64 * 2.0 * f64::from(row.key.group.pairs);
        let per_minute = |count: Option<u64>| {
            count.map_or(UNKNOWN.into(), |count| one_digit(count as f64 * 60.0 / player_s))
        };
        let tcp = |read: fn(&TcpCounters) -> u64| -> Option<u64> {
            runs.iter().map(|run| run.tcp.map(|tcp| read(&tcp.server) + read(&tcp.players))).sum()
        };
        let share = |us: Option<u64>| us.map_or(UNKNOWN.into(), |us| percent(us as f64 / 1e6 / player_s));
        table.push_of(
            row.key.contender,
            [
                per_minute(tcp(|it| it.timeouts).or(recovery.timeouts)),
                per_minute(tcp(|it| it.loss_probes)),
                per_minute(tcp(|it| it.fast_recoveries)),
                per_minute(recovery.congestion_events),
                share(recovery.blocked_us),
                per_minute(recovery.spurious_retransmissions),
                per_minute(recovery.throttled_messages),
            ],
        );
    }
    let known = |row: &Vec<Cell>| row[1..].iter().any(|cell| cell.text != UNKNOWN);
    table.rows.iter().any(known).then_some(table)
}

/// The note beside [`links`].
pub(crate) const LINKS_NOTE: &str = "Plain UDP measured the links before the first run. The \
    measured loss depends on the times of the bad periods.";

/// The rows of one group, which are compared with each other.
pub(crate) struct Group<'a> {
    pub(crate) title: String,
    pub(crate) rows: Vec<&'a Row>,
}

/// Returns the rows of a summary in groups, in their order, and loopback last.
pub(crate) fn groups(summary: &Summary) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in &summary.rows {
        let title = row.key.group.to_string();
        match groups.last_mut() {
            Some(last) if last.title == title => last.rows.push(row),
            _ => groups.push(Group { title, rows: vec![row] }),
        }
    }
    // No player is on loopback: it shows the cost, which matters second.
    groups.sort_by_key(|group| group.rows[0].key.group.link == Network::Loopback.name());
    groups
}

/// Returns a table with a row for each transport and these columns.
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

/// Returns the smallest and the largest value of the repeats as text.
fn range(figure: Figure, format: fn(f64) -> String) -> String {
    format!("{}–{}", format(figure.min), format(figure.max))
}

/// Returns the table of the spread of the repeats. A difference smaller than the spread counts as
/// none.
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

/// Returns the table of each emulated link: the requested properties, and those that plain UDP
/// measured.
pub(crate) fn links(results: &Results) -> Table {
    let mut table = Table::new([
        ("link", false),
        ("direction", false),
        ("requested delay ms", true),
        ("p50 ms", true),
        ("p99 ms", true),
        ("requested loss %", true),
        ("measured loss %", true),
        ("requested Mbit/s", true),
        ("measured Mbit/s", true),
    ]);
    let rate = |rate: Option<f64>| rate.map_or(UNKNOWN.into(), one_digit);
    for Calibration { link, probe, sysctls: _ } in &results.calibrations {
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

/// The note beside [`benches`].
pub(crate) const BENCHES_NOTE: &str =
    "Results of the last cargo bench on this checkout, by criterion: means with their 95 % intervals.";

/// Returns the table of the results of `cargo bench`.
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

/// Formats a time given in ns, in the unit with few digits.
fn nanoseconds(ns: f64) -> String {
    match ns {
        _ if ns < 1e3 => format!("{ns:.1} ns"),
        _ if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        _ => format!("{:.2} ms", ns / 1e6),
    }
}

/// Returns the provenance as names and values, and the command that repeats the comparison.
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
    let lanes = &results.provenance.lanes;
    let cpus = |of: fn(&Lane) -> Option<usize>| {
        let numbers: Vec<String> = lanes.iter().filter_map(of).map(|cpu| cpu.to_string()).collect();
        (!numbers.is_empty()).then(|| format!("on CPU {}", numbers.join(" or ")))
    };
    facts.extend(cpus(|lane| lane.run).map(|cpus| ("server and players".into(), format!("both {cpus}"))));
    facts.extend(cpus(|lane| lane.emulator).map(|cpus| ("emulators".into(), cpus)));
    facts.extend(sysctls.iter().map(|(name, value)| (name.clone(), value.replace('\t', " "))));
    (facts, format!("netduel-reports {}", command.join(" ")))
}

/// Returns the self-checks as a table.
pub(crate) fn checks(checks: &[Check]) -> Table {
    let mut table = Table::new([("check", false), ("found", false), ("bound", true), ("result", false)]);
    for Check { what, found, bound, passed, .. } in checks {
        let result = if *passed { "✓ passed" } else { "✗ failed" };
        table.push([(*what).into(), found.clone(), bound.clone(), result.into()]);
    }
    table
}
