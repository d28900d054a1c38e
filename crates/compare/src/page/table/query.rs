//! The rows that a reader of the live page asks for.

use askama::Template;

use crate::comparison::Comparison;
use crate::error::Result;
use crate::page::live::LivePage;
use crate::page::render;
use crate::ranking::compare_values;

use super::TableKind;
use super::cells::{Head, Row};
use super::columns::Columns;

/// Which rows of a table a reader has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowQuery {
    /// The table.
    pub table: TableKind,
    /// Words that a row must have, in any column.
    pub words: String,
    /// A tag that a run of the row must have.
    pub tag: Option<String>,
    /// The heading to sort by; in the order of the comparison without it.
    pub sort: Option<String>,
    /// Whether to sort in descending order.
    pub descending: bool,
    /// The number of matching rows before the first one.
    pub from: usize,
}

/// The rows that a query selects, at most [`LivePage::max_rows`] of them, as a table without headings. The page of the
/// same comparison has the same columns.
///
/// # Errors
///
/// [`CompareError::Inconsistent`](crate::CompareError::Inconsistent) if the rows cannot be rendered.
pub fn live_rows(comparison: &Comparison, live: &LivePage<'_>, query: &RowQuery) -> Result<String> {
    let columns = Columns::new(comparison, Some(live), &comparison.shown_measures(), query.table);
    let words: Vec<String> =
        query.words.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let place = query
        .sort
        .as_ref()
        .and_then(|sort| columns.heads.iter().position(|head| head.text == *sort));
    let is_plain = words.is_empty() && query.tag.is_none() && place.is_none();
    let (rows, matching) = if is_plain {
        let rows = columns.rows().skip(query.from).take(live.max_rows).map(|at| columns.row(at));
        (rows.collect(), columns.all())
    } else {
        let is_wanted = |row: &Row| {
            let is_tagged = query.tag.as_ref().is_none_or(|tag| row.tags.contains(tag));
            is_tagged
                && (words.is_empty() || {
                    let text = row.words();
                    words.iter().all(|word| text.contains(word.as_str()))
                })
        };
        let rows = columns.rows().map(|at| columns.row(at));
        let mut rows: Vec<Row> = rows.filter(is_wanted).collect();
        if let Some(place) = place {
            sort(&mut rows, place, query.descending);
        }
        let matching = rows.len();
        (rows.into_iter().skip(query.from).take(live.max_rows).collect(), matching)
    };
    render(&Rows { matching, from: query.from, heads: columns.heads, rows })
}

/// A part of the rows of a table.
#[derive(Template)]
#[template(path = "rows.html")]
struct Rows {
    matching: usize,
    from: usize,
    heads: Vec<Head>,
    rows: Vec<Row>,
}

/// Sorts by a column in the same way as the script of the page: numbers before texts, empty cells last.
fn sort(rows: &mut [Row], column: usize, descending: bool) {
    rows.sort_by(|left, right| {
        let [left, right] = [left, right].map(|row| row.cells[column].key());
        let by_value = compare_values(left, right);
        if descending && left.is_some() && right.is_some() { by_value.reverse() } else { by_value }
    });
}
