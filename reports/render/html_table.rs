//! The tables of the page and their explanations.

use maud::{Markup, html};

use crate::{
    plan::contender::Contender,
    render::{
        chart,
        columns::Column,
        table::{Cell, Heading, Table},
    },
};

/// The number of characters beyond which a cell wraps.
const LONG_TEXT: usize = 24;

/// Renders the meanings of the columns as an expandable list.
pub(crate) fn meanings<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Markup {
    html! {
        details class="meanings" {
            summary { "Meaning of the columns" }
            dl { @for column in columns { dt { (column.heading) } dd { (column.meaning) } } }
        }
    }
}

/// Renders a table that the script can sort. The table scrolls by itself on a narrow page.
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
                                    (None, Some(class)) => th scope="row" class=(class) {
                                        (chart::swatch()) (cell.text)
                                    },
                                    (None, None) => td class=[class_of(cell, heading)] title=[&cell.note] {
                                        (cell.text)
                                    },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the class of a cell: numbers are aligned to the right, and long texts may wrap.
fn class_of(cell: &Cell, heading: &Heading) -> Option<&'static str> {
    let long = cell.text.chars().count() > LONG_TEXT;
    if cell.class.is_some() {
        return cell.class;
    }
    if heading.number { Some("number") } else { long.then_some("long") }
}

/// Renders the name of a contender with its line, at the head of a row.
pub(crate) fn head_cell(contender: Contender) -> Markup {
    html! { th scope="row" class=(chart::class_of(contender)) { (chart::swatch()) (contender) } }
}
