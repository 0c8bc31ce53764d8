//! Tables of the page, and what belongs to them.

use maud::{Markup, html};

use crate::{
    plan::scenario::Contender,
    render::{
        chart,
        columns::Column,
        table::{Cell, Heading, Table},
    },
};

/// Cells with more characters than this wrap.
const LONG_TEXT: usize = 24;

/// What the headings of columns mean, to unfold.
pub(crate) fn meanings<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Markup {
    html! {
        details class="meanings" {
            summary { "What the columns mean" }
            dl { @for column in columns { dt { (column.heading) } dd { (column.meaning) } } }
        }
    }
}

/// A table that the script can sort. Scrolls by itself where the page is narrow.
pub(crate) fn table(table: &Table) -> Markup {
    html! {
        div class="scroll" {
            table class="sortable" {
                thead {
                    tr {
                        @for heading in &table.headings {
                            th scope="col" class=[heading.number.then_some("number")]
                                title=[(!heading.meaning.is_empty()).then_some(heading.meaning)] { (heading.text) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (cell, heading) in row.iter().zip(&table.headings) {
                                @match (cell.contender, cell.head) {
                                    (Some(contender), _) => (head_cell(contender)),
                                    (None, Some(class)) => th scope="row" class=(class) { (chart::swatch()) (cell.text) },
                                    (None, None) => td class=[class_of(cell, heading)] title=[&cell.note] { (cell.text) },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Numbers stand to the right, and long texts may wrap.
fn class_of(cell: &Cell, heading: &Heading) -> Option<&'static str> {
    let long = cell.text.chars().count() > LONG_TEXT;
    if heading.number { Some("number") } else { long.then_some("long") }
}

/// The name of a contender, at the head of a row, with its line.
pub(crate) fn head_cell(contender: Contender) -> Markup {
    html! { th scope="row" class=(chart::class_of(contender)) { (chart::swatch()) (contender) } }
}
