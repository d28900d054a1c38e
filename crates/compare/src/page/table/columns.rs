//! The columns of a table: which there are, and the cells of a combination or a run in them.

use std::collections::BTreeSet;

use kiln_statistics::Spread;
use kiln_store::Status;

use crate::cells;
use crate::charts::{is_selected, may_be_best, number};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::measures::{Measure, drop_order};
use crate::page::live::LivePage;
use crate::page::verdicts;
use crate::table;

use super::TableKind;
use super::cells::{Cell, Head, Row, head};

/// Notes are cut after this many characters: they can be as long as a page.
const MAX_NOTE: usize = 300;

/// The columns of a table, which make a row of a combination or a run.
pub(super) struct Columns<'a> {
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
    pub(super) heads: Vec<Head>,
    /// For each column before empty ones are removed, whether it is kept.
    used: Vec<bool>,
}

/// A row: the index of a combination and, in the table of runs, of one of its runs.
pub(super) type RowAt = (usize, usize);

impl<'a> Columns<'a> {
    pub(super) fn new(
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
    pub(super) fn fixed(&self) -> usize {
        1 + self.settings.len()
    }

    pub(super) fn all(&self) -> usize {
        match self.table {
            TableKind::Ranking => self.comparison.combinations.len(),
            TableKind::Runs => self.comparison.runs().count(),
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = RowAt> + use<'a> {
        let table = self.table;
        self.comparison.combinations.iter().enumerate().flat_map(move |(index, combination)| {
            let runs = match table {
                TableKind::Ranking => 1,
                TableKind::Runs => combination.runs.len(),
            };
            (0..runs).map(move |run| (index, run))
        })
    }

    pub(super) fn row(&self, at: RowAt) -> Row {
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

/// The tags of the runs, sorted.
pub(super) fn distinct_tags<'a>(runs: impl IntoIterator<Item = &'a RunSummary>) -> Vec<String> {
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
