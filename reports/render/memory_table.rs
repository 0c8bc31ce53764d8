//! The table of memory per connection. Pure.

use crate::{
    analysis::memory_slope::{Slope, slopes},
    data::results::Results,
    render::table::{Table, UNKNOWN},
};

/// The note beside [`table`].
pub(crate) const NOTE: &str = "The memory that one more connection adds to the server, by least \
    squares over the numbers of matches that ran; ± is two standard errors. Kernel memory is the \
    data queued in the sockets and the sockets' objects. The system assigns pages of 4 KiB and \
    seldom takes them back, so a small slope of resident memory is imprecise.";

/// Returns the slopes as a table; `None` without slopes.
pub(crate) fn table(results: &Results) -> Option<Table> {
    let slopes = slopes(results);
    let mut table = Table::new([
        ("transport", false),
        ("conditions", false),
        ("connections", true),
        ("resident kB", true),
        ("±", true),
        ("kernel kB", true),
        ("±", true),
        ("total kB", true),
        ("MB without connections", true),
    ]);
    // A slope near 0 may be slightly negative. Rounding first avoids "-0.0".
    let rounded = |it: f64| (it * 10.0).round() / 10.0 + 0.0;
    let text = |bytes: Option<f64>, unit: f64| {
        bytes.map_or(UNKNOWN.into(), |it| format!("{:.1}", rounded(it / unit)))
    };
    for Slope { contender, group, connections: (from, to), resident, kernel } in &slopes {
        let payload = match group.payload_bytes {
            0 => String::new(),
            bytes => format!(", {bytes} B payload"),
        };
        let cells = [
            format!("{}, {} Hz{payload}", group.link, group.rate_hz),
            format!("{from}–{to}"),
            text(resident.map(|it| it.per_connection), 1e3),
            text(resident.map(|it| it.spread), 1e3),
            text(kernel.map(|it| it.per_connection), 1e3),
            text(kernel.map(|it| it.spread), 1e3),
            text(resident.zip(*kernel).map(|(one, other)| one.per_connection + other.per_connection), 1e3),
            text(resident.map(|it| it.base), 1e6),
        ];
        table.push_of(*contender, cells);
    }
    (!slopes.is_empty()).then_some(table)
}
