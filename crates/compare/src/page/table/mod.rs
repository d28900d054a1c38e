//! The tables of the page, which the reader can sort and filter.

mod cells;
mod columns;
mod query;

use askama::Template;
use kiln_store::grouped;

use crate::comparison::Comparison;
use crate::measures::Measure;

use super::live::LivePage;
use cells::{Head, Row};
use columns::{Columns, distinct_tags};

pub use query::{RowQuery, live_rows};

/// The tables of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// One row per combination, in the order of the comparison.
    Ranking,
    /// One row per run, in the order of the combinations.
    Runs,
}

impl TableKind {
    /// Both tables.
    pub const ALL: [Self; 2] = [Self::Ranking, Self::Runs];

    /// The name in an address.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ranking => "ranking",
            Self::Runs => "runs",
        }
    }
}

/// A table that the reader can sort by its columns.
#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct HtmlTable {
    id: &'static str,
    /// The name for screen readers.
    label: &'static str,
    /// The number of leading columns that identify a row. They stay in place when the reader scrolls.
    fixed: usize,
    heads: Vec<Head>,
    rows: Vec<Row>,
    /// The tags of all runs.
    tags: String,
    /// The rows that the live page does not have.
    omitted: Option<Omitted>,
}

/// The rows that a table does not have.
struct Omitted {
    shown: usize,
    all: usize,
    /// The address that sorts, filters and sends rows.
    rows: String,
    /// The address of the page with all rows.
    all_rows: String,
}

impl Omitted {
    fn new(table: TableKind, all: usize, live: Option<&LivePage<'_>>) -> Option<Self> {
        let live = live.filter(|live| live.max_rows < all)?;
        Some(Self {
            shown: live.max_rows,
            all,
            rows: (live.rows)(table),
            all_rows: live.all_rows.clone(),
        })
    }

    /// "100 of 3,334", for readers without scripts.
    fn words(&self) -> String {
        format!("{} of {}", grouped(self.shown as u64), grouped(self.all as u64))
    }
}

/// The width of a page in portrait and in landscape format, in characters of the table's font.
const PAPER: [usize; 2] = [115, 165];

impl HtmlTable {
    /// How the table fits on paper: in portrait format, in landscape format, or in landscape format with small letters.
    fn paper(&self) -> &'static str {
        let columns = self.heads.iter().enumerate().filter(|(_, head)| !head.further);
        let width: usize = columns
            .map(|(column, head)| {
                let text = |row: &Row| row.cells[column].width();
                // Headings have several lines.
                let heading = head.text.split([' ', '_']).map(str::len).max().unwrap_or(0);
                self.rows.iter().map(text).max().unwrap_or(0).max(heading) + 2
            })
            .sum();
        match width {
            width if width <= PAPER[0] => "",
            width if width <= PAPER[1] => " landscape",
            _ => " landscape small",
        }
    }
}

/// A table with its first rows.
pub(super) fn table<'a>(
    comparison: &'a Comparison,
    live: Option<&'a LivePage<'a>>,
    measures: &[Measure<'a>],
    kind: TableKind,
) -> HtmlTable {
    let columns = Columns::new(comparison, live, measures, kind);
    let max_rows = live.map_or(usize::MAX, |live| live.max_rows);
    let rows = columns.rows().take(max_rows).map(|at| columns.row(at)).collect();
    let (id, label) = match kind {
        TableKind::Ranking => ("ranking-table", "All combinations"),
        TableKind::Runs => ("runs-table", "Every run"),
    };
    HtmlTable {
        id,
        label,
        fixed: columns.fixed(),
        omitted: Omitted::new(kind, columns.all(), live),
        // Tags have no spaces.
        tags: distinct_tags(comparison.runs()).join(" "),
        heads: columns.heads,
        rows,
    }
}
