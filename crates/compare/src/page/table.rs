use askama::Template;
use kiln_store::number::decimals;
use kiln_store::{Status, grouped};

use crate::cells;
use crate::charts::{is_selected, may_be_best, number};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::measures::{Measure, drop_order};
use kiln_statistics::Spread;

use super::live::{Link, LivePage};
use super::verdicts;

/// Texts with more characters than this may have several lines.
const LONG: usize = 40;
/// Texts on paper are broken into lines of this many characters.
const MAX_WORDS: usize = 24;

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
    /// The rows that the live page does not have.
    omitted: Option<Omitted>,
}

/// The rows that a table does not have, and the address that has them.
struct Omitted {
    rows: String,
    all: String,
    address: String,
}

impl Omitted {
    fn new(all: usize, live: Option<&LivePage<'_>>) -> Option<Self> {
        let live = live.filter(|live| live.max_rows < all)?;
        let [rows, all] = [live.max_rows, all].map(|number| grouped(number as u64));
        Some(Self { rows, all, address: live.all_rows.clone() })
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

    /// Removes the columns that are empty in all rows.
    fn without_empty_columns(mut self) -> Self {
        let columns = 0..self.heads.len();
        let used: Vec<bool> = columns
            .map(|column| self.rows.iter().any(|row| !row.cells[column].text.is_empty()))
            .collect();
        let mut kept = used.iter().copied();
        self.heads.retain(|_| kept.next().unwrap_or(true));
        for row in &mut self.rows {
            let mut kept = used.iter().copied();
            row.cells.retain(|_| kept.next().unwrap_or(true));
        }
        self
    }
}

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

/// The measures that the tables have: those before the verdict, and those after it.
fn measures(comparison: &Comparison) -> (Vec<Measure<'_>>, Vec<Measure<'_>>) {
    let shown = comparison
        .measures_by_importance()
        .into_iter()
        .filter(|measure| measure.is_shown(comparison));
    shown.partition(|measure| {
        measure.drop_order.is_none_or(|order| order > drop_order::VERDICT_NUMBERS)
    })
}

fn measure_heads(measures: &[Measure<'_>]) -> impl Iterator<Item = Head> {
    measures.iter().map(|measure| head(measure.heading, true))
}

/// One row per combination, in the order of the comparison.
pub(super) fn ranking(comparison: &Comparison, live: Option<&LivePage<'_>>) -> HtmlTable {
    let [settings, implied] = settings(comparison);
    let (main, further) = measures(comparison);
    let row = |(index, combination): (usize, &Combination)| {
        let baseline = comparison.baseline.is_some_and(|baseline| baseline.combination == index);
        let measured = |measure: &Measure<'_>| Cell::measure(measure, measure.of(combination));
        let (address, links) = live.map(|live| live.links(combination)).unwrap_or_default();
        let mut cells = vec![Cell::number(Some(index as f64 + 1.0), 0)];
        cells.extend(setting_cells(combination, &settings));
        cells.extend(main.iter().map(measured));
        cells.extend(standing_cells(combination));
        cells.extend(verdict_cells(combination, baseline));
        cells.push(Cell::number(Some(combination.runs.len() as f64), 0));
        cells.push(Cell { address, links, ..Cell::text(combination.status()) });
        cells.extend(further.iter().map(measured));
        cells.extend(setting_cells(combination, &implied));
        let (best, may_be_best) = (is_selected(comparison, index), may_be_best(comparison, index));
        Row { best, may_be_best, cells }
    };
    let all = comparison.combinations.len();
    let max_rows = live.map_or(usize::MAX, |live| live.max_rows);
    let rows = comparison.combinations.iter().enumerate().take(max_rows).map(row).collect();
    let mut heads = vec![head("#", true)];
    let fixed = 1 + settings.len();
    heads.extend(settings.into_iter().map(|(_, head)| head));
    heads.extend(measure_heads(&main));
    heads.extend([
        head("best?", false),
        head("behind", true),
        head("verdict", false),
        head("difference", true),
        head("interval", true),
        head("p", true),
        head("runs", true),
        head("status", false),
    ]);
    let further = measure_heads(&further).chain(implied.into_iter().map(|(_, head)| head));
    heads.extend(further.map(|head| Head { further: true, ..head }));
    let omitted = Omitted::new(all, live);
    HtmlTable { id: "ranking-table", label: "All combinations", fixed, heads, rows, omitted }
        .without_empty_columns()
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

/// One row per run, in the order of the combinations.
pub(super) fn runs(comparison: &Comparison, live: Option<&LivePage<'_>>) -> HtmlTable {
    let [settings, implied] = settings(comparison);
    let (mut measures, further) = measures(comparison);
    measures.extend(further);
    let mut rows = Vec::new();
    let max_rows = live.map_or(usize::MAX, |live| live.max_rows);
    for (index, combination) in comparison.combinations.iter().enumerate() {
        for run in combination.runs.iter().take(max_rows.saturating_sub(rows.len())) {
            let mut cells = vec![Cell::number(Some(index as f64 + 1.0), 0)];
            cells.extend(setting_cells(combination, &settings));
            let seed = Cell::number(Some(run.seed as f64), 0);
            // Seeds above 2^53 are not exact as f64; the text is.
            cells.push(Cell { text: run.seed.to_string(), ..seed });
            let value = |measure: &Measure<'_>| Spread::of(measure.of_run(run));
            cells.extend(measures.iter().map(|measure| Cell::measure(measure, value(measure))));
            cells.push(Cell::text(status(run)));
            let address = live.and_then(|live| (live.address)(run));
            cells.push(Cell { address, ..Cell::text(run.directory.path().to_string_lossy()) });
            cells.extend(setting_cells(combination, &implied));
            rows.push(Row { best: false, may_be_best: false, cells });
        }
    }
    let mut heads = vec![head("#", true)];
    let fixed = 1 + settings.len();
    heads.extend(settings.into_iter().map(|(_, head)| head));
    heads.push(head("seed", true));
    heads.extend(measure_heads(&measures));
    heads.extend([head("status", false), head("directory", false)]);
    heads.extend(implied.into_iter().map(|(_, head)| Head { further: true, ..head }));
    let omitted = Omitted::new(comparison.runs().count(), live);
    HtmlTable { id: "runs-table", label: "Every run", fixed, heads, rows, omitted }
        .without_empty_columns()
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
