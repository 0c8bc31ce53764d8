//! Tables as plain text in cells. Terminal, Markdown and HTML draw the same tables.

use crate::plan::contender::Contender;

/// The text of an unknown value.
pub(crate) const UNKNOWN: &str = "–";

/// A table: headings, and rows with as many cells.
pub(crate) struct Table {
    pub(crate) headings: Vec<Heading>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// The heading of a column.
pub(crate) struct Heading {
    pub(crate) text: &'static str,
    /// The meaning of the column; empty if the heading is enough.
    pub(crate) meaning: &'static str,
    /// Whether the column holds numbers, which are aligned to the right.
    pub(crate) number: bool,
}

/// A cell.
pub(crate) struct Cell {
    pub(crate) text: String,
    /// The contender that the cell names, at the head of a row.
    pub(crate) contender: Option<Contender>,
    /// The style sheet's class of a row head that is no contender.
    pub(crate) head: Option<&'static str>,
    /// The style sheet's class of a cell that is no row head.
    pub(crate) class: Option<&'static str>,
    /// The text that a pointer on the cell shows.
    pub(crate) note: Option<String>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, contender: None, head: None, class: None, note: None }
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
        Self { text: contender.to_string(), contender: Some(contender), head: None, class: None, note: None }
    }
}
