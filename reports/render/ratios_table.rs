//! The table of ratios to the bare relays. Pure.

use crate::{
    analysis::ratios::{RatioRow, Ratios, measures},
    plan::scenario::Group,
    render::table::{Cell, Heading, Table, UNKNOWN},
};

/// The note beside the tables.
pub(crate) const NOTE: &str = "Each value is the median of the repeats. Each × is the median of \
    its ratios to the bare relay of the same wire, within each repeat. A bare relay consists of sockets \
    and a library alone, without a game, checks or messages. The A/A row is the reference once \
    more: the distance between the two rows is noise.";

/// Returns the ratios of a group as a table.
pub(crate) fn table(ratios: &Ratios) -> Table {
    let heading = |text, meaning, number| Heading { text, meaning, number };
    let mut headings = vec![heading("relay", "", false), heading("against", "", false)];
    for measure in measures(&ratios.group) {
        headings.push(heading(measure.heading, measure.meaning, true));
        headings.push(heading("×", "ratio to the bare relay; the median of the repeats", true));
    }
    Table { headings, rows: ratios.rows.iter().map(|row| cells(row, &ratios.group)).collect() }
}

fn cells(row: &RatioRow, group: &Group) -> Vec<Cell> {
    let against = row.floor.map_or(UNKNOWN.into(), |floor| floor.to_string());
    let against = if row.arm > 0 { format!("{against}; A/A {}", row.arm) } else { against };
    let mut cells = vec![Cell::from(row.contender), Cell::from(against)];
    for (ratio, measure) in row.ratios.iter().zip(measures(group)) {
        let value = ratio.value.map_or(UNKNOWN.into(), |it| format!("{it:.*}", measure.digits));
        cells.push(Cell::from(value));
        let times = ratio.median().map_or(UNKNOWN.into(), |it| format!("{it:.2}"));
        let note = match &ratio.to_floor[..] {
            [low, .., high] => Some(format!("{low:.2}–{high:.2} in {} repeats", ratio.to_floor.len())),
            _ => None,
        };
        cells.push(Cell { note, ..Cell::from(times) });
    }
    cells
}
