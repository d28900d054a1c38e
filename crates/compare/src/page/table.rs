use std::collections::BTreeSet;

use askama::Template;
use kiln_store::number::decimals;
use kiln_store::{Status, grouped};

use crate::cells;
use crate::charts::{is_selected, may_be_best, number};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::error::Result;
use crate::measures::{Measure, drop_order};
use crate::ranking::compare_values;
use crate::table;
use kiln_statistics::Spread;

use super::live::{Link, LivePage};
use super::verdicts;

/// Texts with more characters than this may have several lines.
const LONG: usize = 40;
/// Texts on paper are broken into lines of this many characters.
const MAX_WORDS: usize = 24;

/// Notes are cut after this many characters: they can be as long as a page.
const MAX_NOTE: usize = 300;

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

#[derive(Clone)]
struct Head {
    text: String,
    numeric: bool,
    /// Whether the column may be hidden at first.
    further: bool,
}

impl Head {
    fn class(&self) -> String {
        class([(self.numeric, "number"), (self.further, "extra"), (false, "")])
    }
}

struct Row {
    best: bool,
    may_be_best: bool,
    cells: Vec<Cell>,
    /// The tags of the row's runs.
    tags: Vec<String>,
}

impl Row {
    fn class(&self) -> &'static str {
        match (self.best, self.may_be_best) {
            (true, true) => " class=\"best winner\"",
            (true, false) => " class=\"best\"",
            (false, true) => " class=\"winner\"",
            (false, false) => "",
        }
    }

    /// The tags for an attribute. They have no spaces.
    fn tags(&self) -> String {
        self.tags.join(" ")
    }

    /// The row as the reader sees it, in lower case.
    fn words(&self) -> String {
        let mut words = String::new();
        for cell in &self.cells {
            words.push_str(&cell.text);
            words.push(' ');
            for link in &cell.links {
                words.push_str(&link.text);
                words.push(' ');
            }
        }
        words.to_lowercase()
    }
}

/// The attribute of a heading or cell for the style sheet.
fn class(classes: [(bool, &str); 3]) -> String {
    let classes: Vec<_> =
        classes.into_iter().filter(|(is, _)| *is).map(|(_, class)| class).collect();
    if classes.is_empty() { String::new() } else { format!(" class=\"{}\"", classes.join(" ")) }
}

#[derive(Default)]
struct Cell {
    text: String,
    /// The deviation over seeds; empty if there is one seed.
    deviation: String,
    /// The number to sort by; empty if the column is sorted by its text.
    sort: String,
    numeric: bool,
    /// On the live page, where the text leads.
    address: Option<String>,
    /// On the live page, links after the text.
    links: Vec<Link>,
}

impl Cell {
    fn class(&self, head: &Head) -> String {
        let is_long = !self.numeric && self.text.chars().count() > LONG;
        class([(self.numeric, "number"), (head.further, "extra"), (is_long, "words")])
    }

    /// The number of characters on paper, where texts and deviations have lines of their own.
    fn width(&self) -> usize {
        let width = self.text.chars().count();
        if self.numeric {
            width.max(self.deviation.chars().count() + 2)
        } else {
            width.min(MAX_WORDS)
        }
    }

    /// The text or number to sort by; `None` for an empty cell.
    fn key(&self) -> Option<&str> {
        let key = if self.sort.is_empty() { self.text.trim() } else { &self.sort };
        Some(key).filter(|key| !key.is_empty())
    }

    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    fn number(value: Option<f64>, digits: usize) -> Self {
        Self {
            text: decimals(value, digits),
            sort: value.map(|value| value.to_string()).unwrap_or_default(),
            numeric: true,
            ..Self::default()
        }
    }

    fn measure(measure: &Measure<'_>, spread: Option<Spread>) -> Self {
        let Some(spread) = spread else { return Self { numeric: true, ..Self::default() } };
        Self {
            text: measure.format.mean(spread.mean, spread.count),
            deviation: measure.format.deviation(spread),
            sort: spread.mean.to_string(),
            numeric: true,
            ..Self::default()
        }
    }

    fn setting(value: Option<&str>, numeric: bool) -> Self {
        let sort = number(value).map(|value| value.to_string()).unwrap_or_default();
        Self { sort, numeric, ..Self::text(value.unwrap_or_default()) }
    }
}

fn head(text: &str, numeric: bool) -> Head {
    Head { text: text.to_owned(), numeric, further: false }
}

/// The head of a setting that differs. A column is numeric if all its values are numbers.
fn setting_head(comparison: &Comparison, column: usize) -> Head {
    let mut values =
        comparison.combinations.iter().filter_map(|c| c.settings.get(column)?.as_deref());
    let numeric = values.all(|value| number(Some(value)).is_some());
    head(&comparison.columns[column].label, numeric)
}

/// The settings that differ: those that distinguish the rows, and those that a type implies.
fn settings(comparison: &Comparison) -> [Vec<(usize, Head)>; 2] {
    let columns = 0..comparison.columns.len();
    let (implied, others): (Vec<usize>, Vec<usize>) =
        columns.partition(|column| comparison.columns[*column].is_implied());
    let heads = |columns: Vec<usize>| {
        columns.into_iter().map(|column| (column, setting_head(comparison, column))).collect()
    };
    [heads(others), heads(implied)]
}

fn setting_cells<'a>(
    combination: &'a Combination,
    settings: &'a [(usize, Head)],
) -> impl Iterator<Item = Cell> + 'a {
    settings.iter().map(|(column, head)| {
        Cell::setting(combination.settings.get(*column).and_then(Option::as_deref), head.numeric)
    })
}

/// The measures of the tables: those before the verdict, and those after it.
fn measures<'a>(shown: &[Measure<'a>]) -> (Vec<Measure<'a>>, Vec<Measure<'a>>) {
    shown.iter().partition(|measure| {
        measure.drop_order.is_none_or(|order| order > drop_order::VERDICT_NUMBERS)
    })
}

fn measure_heads(measures: &[Measure<'_>]) -> impl Iterator<Item = Head> {
    measures.iter().map(|measure| head(measure.heading, true))
}

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
    super::render(&Rows { matching, from: query.from, heads: columns.heads, rows })
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

/// The columns of a table, which make a row of a combination or a run.
struct Columns<'a> {
    comparison: &'a Comparison,
    live: Option<&'a LivePage<'a>>,
    table: TableKind,
    settings: Vec<(usize, Head)>,
    implied: Vec<(usize, Head)>,
    /// The measures before and after the verdict.
    measures: [Vec<Measure<'a>>; 2],
    has_standings: bool,
    has_verdicts: bool,
    has_tags: bool,
    has_notes: bool,
    heads: Vec<Head>,
    /// For each column before empty ones are removed, whether it is kept.
    used: Vec<bool>,
}

/// A row: the index of a combination and, in the table of runs, of one of its runs.
type RowAt = (usize, usize);

impl<'a> Columns<'a> {
    fn new(
        comparison: &'a Comparison,
        live: Option<&'a LivePage<'a>>,
        measures: &[Measure<'a>],
        table: TableKind,
    ) -> Self {
        let [settings, implied] = settings(comparison);
        let (main, further) = self::measures(measures);
        let any = |has: fn(&RunSummary) -> bool| comparison.runs().any(has);
        let mut columns = Self {
            comparison,
            live,
            table,
            settings,
            implied,
            measures: [main, further],
            has_standings: comparison.answer.is_some(),
            has_verdicts: comparison.baseline.is_some(),
            has_tags: any(|run| !run.tags().is_empty()),
            has_notes: any(|run| run.note().is_some()),
            heads: Vec::new(),
            used: Vec::new(),
        };
        let heads = columns.all_heads();
        columns.used = columns.used_columns(heads.len());
        let mut used = columns.used.iter().copied();
        columns.heads = heads.into_iter().filter(|_| used.next().unwrap_or(true)).collect();
        columns
    }

    /// Which columns have text in some row.
    fn used_columns(&self, count: usize) -> Vec<bool> {
        let mut used = vec![false; count];
        for at in self.rows() {
            for (used, cell) in used.iter_mut().zip(self.cells(at)) {
                *used |= !cell.text.is_empty();
            }
            if used.iter().all(|used| *used) {
                break;
            }
        }
        used
    }

    fn all_heads(&self) -> Vec<Head> {
        let texts = |heads: &[(usize, Head)]| -> Vec<Head> {
            heads.iter().map(|(_, head)| head.clone()).collect()
        };
        let [main, further] = &self.measures;
        let mut heads = vec![head("#", true)];
        heads.extend(texts(&self.settings));
        match self.table {
            TableKind::Ranking => {
                heads.extend(measure_heads(main));
                if self.has_standings {
                    heads.extend([head("best?", false), head("behind", true)]);
                }
                if self.has_verdicts {
                    let numbers = ["difference", "interval", "p"].map(|text| head(text, true));
                    heads.push(head("verdict", false));
                    heads.extend(numbers);
                }
                heads.extend([head("runs", true), head("status", false)]);
            }
            TableKind::Runs => {
                heads.push(head("seed", true));
                heads.extend(measure_heads(main).chain(measure_heads(further)));
                heads.extend([head("status", false), head("directory", false)]);
            }
        }
        heads.extend(self.has_tags.then(|| head("tags", false)));
        heads.extend(self.has_notes.then(|| head("note", false)));
        let mut rest: Vec<Head> = match self.table {
            TableKind::Ranking => measure_heads(further).collect(),
            TableKind::Runs => Vec::new(),
        };
        rest.extend(texts(&self.implied));
        heads.extend(rest.into_iter().map(|head| Head { further: true, ..head }));
        heads
    }

    /// The number of columns that identify a row.
    fn fixed(&self) -> usize {
        1 + self.settings.len()
    }

    fn all(&self) -> usize {
        match self.table {
            TableKind::Ranking => self.comparison.combinations.len(),
            TableKind::Runs => self.comparison.runs().count(),
        }
    }

    fn rows(&self) -> impl Iterator<Item = RowAt> + use<'a> {
        let table = self.table;
        self.comparison.combinations.iter().enumerate().flat_map(move |(index, combination)| {
            let runs = match table {
                TableKind::Ranking => 1,
                TableKind::Runs => combination.runs.len(),
            };
            (0..runs).map(move |run| (index, run))
        })
    }

    fn row(&self, at: RowAt) -> Row {
        let (index, run) = at;
        let combination = &self.comparison.combinations[index];
        let mut used = self.used.iter().copied();
        let cells = self.cells(at).into_iter().filter(|_| used.next().unwrap_or(true)).collect();
        let is_ranking = self.table == TableKind::Ranking;
        let runs = if is_ranking { &combination.runs[..] } else { &combination.runs[run..=run] };
        Row {
            best: is_ranking && is_selected(self.comparison, index),
            may_be_best: is_ranking && may_be_best(self.comparison, index),
            cells,
            tags: distinct_tags(runs),
        }
    }

    fn cells(&self, (index, run): RowAt) -> Vec<Cell> {
        let combination = &self.comparison.combinations[index];
        let [main, further] = &self.measures;
        let mut cells = vec![Cell::number(Some(index as f64 + 1.0), 0)];
        cells.extend(setting_cells(combination, &self.settings));
        let mut row = table::Row { combination, index, run: None };
        match self.table {
            TableKind::Ranking => {
                let baseline = self.comparison.baseline;
                let is_baseline = baseline.is_some_and(|it| it.combination == index);
                let (address, links) =
                    self.live.map(|live| live.links(combination)).unwrap_or_default();
                cells.extend(main.iter().map(|it| Cell::measure(it, it.of(combination))));
                if self.has_standings {
                    cells.extend(standing_cells(combination));
                }
                if self.has_verdicts {
                    cells.extend(verdict_cells(combination, is_baseline));
                }
                cells.push(Cell::number(Some(combination.runs.len() as f64), 0));
                cells.push(Cell { address, links, ..Cell::text(combination.status()) });
            }
            TableKind::Runs => {
                let run = &combination.runs[run];
                row.run = Some(run);
                let seed = Cell::number(Some(run.seed as f64), 0);
                // Seeds above 2^53 are not exact as f64; the text is.
                cells.push(Cell { text: run.seed.to_string(), ..seed });
                let measures = main.iter().chain(further);
                cells.extend(measures.map(|it| Cell::measure(it, Spread::of(it.of_run(run)))));
                cells.push(Cell::text(status(run)));
                let address = self.live.and_then(|live| (live.address)(run));
                let directory = run.directory.path().to_string_lossy();
                cells.push(Cell { address, ..Cell::text(directory) });
            }
        }
        cells.extend(self.has_tags.then(|| Cell::text(row.tags())));
        cells.extend(self.has_notes.then(|| Cell::text(shortened(row.note()))));
        if self.table == TableKind::Ranking {
            cells.extend(further.iter().map(|it| Cell::measure(it, it.of(combination))));
        }
        cells.extend(setting_cells(combination, &self.implied));
        cells
    }
}

/// The beginning of a note, if it is long.
fn shortened(note: String) -> String {
    match note.char_indices().nth(MAX_NOTE) {
        Some((end, _)) => format!("{}…", &note[..end]),
        None => note,
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

/// The tags of the runs, sorted.
fn distinct_tags<'a>(runs: impl IntoIterator<Item = &'a RunSummary>) -> Vec<String> {
    let tags: BTreeSet<&String> = runs.into_iter().flat_map(RunSummary::tags).collect();
    tags.into_iter().cloned().collect()
}

fn standing_cells(combination: &Combination) -> [Cell; 2] {
    let Some(standing) = &combination.standing else {
        return [Cell::default(), Cell { numeric: true, ..Cell::default() }];
    };
    let behind = Cell::number(Some(standing.behind.1), 4);
    [Cell::text(cells::standing(standing)), Cell { text: cells::behind(standing), ..behind }]
}

fn verdict_cells(combination: &Combination, baseline: bool) -> [Cell; 4] {
    let Some(verdict) = &combination.verdict else {
        let words = if baseline { "baseline" } else { "" };
        let empty = || Cell { numeric: true, ..Cell::default() };
        return [Cell::text(words), empty(), empty(), empty()];
    };
    let (low, high) = verdict.interval;
    let interval = format!("{} to {}", verdicts::signed(low), verdicts::signed(high));
    let difference = Some(verdict.difference);
    let p_value = verdicts::p_value(verdict.p_value);
    let p_value = p_value.trim_start_matches("p = ").trim_start_matches("p ");
    [
        Cell::text(verdict.outcome.as_str()),
        Cell { text: verdicts::signed(verdict.difference), ..Cell::number(difference, 4) },
        Cell { text: interval, ..Cell::number(Some(low), 4) },
        Cell { text: p_value.to_owned(), ..Cell::number(Some(verdict.p_value), 4) },
    ]
}

/// The status of a run, and why it ended unless it finished.
fn status(run: &RunSummary) -> String {
    match &run.stop_reason {
        Some(reason) if run.status != Status::Finished => {
            format!("{}: {reason}", run.status_words())
        }
        _ => run.status_words(),
    }
}
