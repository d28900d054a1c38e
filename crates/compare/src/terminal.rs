use std::collections::HashSet;

use comfy_table::Color;
use kiln_report::{Terminal, short_names};
use kiln_statistics::Standing;
use kiln_store::escape::control;

use crate::cells::{cell, is_baseline};
use crate::comparison::Comparison;
use crate::error::Result;
use crate::measures::drop_order;
use crate::table::{ComparisonTable, Field, Reader, Row, TableOptions};
use crate::text_table::{self, TextColumn};
use crate::verdict::VerdictOutcome;

/// The numbers of characters to which the texts of settings are cut, one after the other until the table fits.
const SETTING_WIDTHS: [(u8, usize); 3] =
    [(drop_order::LONG_SETTINGS, 40), (drop_order::SETTINGS, 30), (drop_order::SHORT_SETTINGS, 20)];

/// Replaces "not distinguishable" in a narrow terminal.
const UNCLEAR: &str = "unclear";

/// The comparison as a table that is at most as wide as the terminal.
///
/// If it would be wider, columns are omitted, the least important first, and a line below names them. Constants that a
/// type implies, such as those of an optimizer, go first. The metric that ranks and the verdict never go. Numbers are
/// never broken.
///
/// # Errors
///
/// [`CompareError::Request`](crate::error::CompareError::Request) if a requested column does not exist.
pub fn terminal(
    comparison: &Comparison,
    options: &TableOptions,
    terminal: Terminal,
) -> Result<String> {
    let table = ComparisonTable::new(comparison, options, Reader::Person)?;
    let mut fitted = Fitted::new(&table);
    fitted.fit(usize::from(terminal.width));
    let columns: Vec<_> = fitted.columns.iter().map(|column| &column.text).collect();
    let mut text = text_table::draw(&columns, terminal);
    for note in fitted.notes(terminal) {
        text.push_str(&terminal.wrap(&control(&note)));
    }
    Ok(text)
}

struct FieldColumn<'a> {
    field: Field<'a>,
    text: TextColumn,
}

/// The columns that fit, and the changes that made them fit.
struct Fitted<'a> {
    table: &'a ComparisonTable<'a>,
    columns: Vec<FieldColumn<'a>>,
    dropped: Vec<Field<'a>>,
    has_short_outcomes: bool,
    has_short_verdicts: bool,
}

/// A change that makes the table narrower.
enum Step<'a> {
    DropImplied,
    Drop(Field<'a>),
    DropSetting,
    ShortenOutcomes,
    ShortenVerdicts,
    /// Cuts the texts of settings to this many characters.
    ShortenSettings(usize),
}

impl<'a> Fitted<'a> {
    fn new(table: &'a ComparisonTable<'a>) -> Self {
        let columns = table.fields.iter().map(|field| FieldColumn::new(table, *field)).collect();
        Self {
            table,
            columns,
            dropped: Vec::new(),
            has_short_outcomes: false,
            has_short_verdicts: false,
        }
    }

    fn is_within(&self, width: usize) -> bool {
        text_table::width(self.columns.iter().map(|column| &column.text)) <= width
    }

    /// Makes the columns fit, with the smallest loss of information.
    fn fit(&mut self, width: usize) {
        if self.is_within(width) {
            return;
        }
        for column in &mut self.columns {
            if let Field::Measure(_) = column.field {
                hoist_count(&mut column.text);
            }
            column.text.narrow_heading();
        }
        for step in self.steps() {
            if self.is_within(width) {
                return;
            }
            match step {
                Step::DropImplied => self.drop_implied(),
                Step::ShortenOutcomes => self.shorten_outcomes(),
                Step::ShortenVerdicts => self.shorten_verdicts(),
                Step::ShortenSettings(longest) => self.shorten_settings(longest),
                Step::Drop(field) => self.drop(field),
                Step::DropSetting => self.drop_setting(),
            }
        }
    }

    /// The steps that make room, in the order in which they are tried.
    fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = vec![
            (drop_order::SHORT_OUTCOME, Step::ShortenOutcomes),
            (drop_order::VERDICT_NUMBERS, Step::ShortenVerdicts),
            (drop_order::NOTE, Step::Drop(Field::Note)),
            (drop_order::TAGS, Step::Drop(Field::Tags)),
            (drop_order::RUN, Step::Drop(Field::Run)),
            (drop_order::BEHIND, Step::Drop(Field::Behind)),
            (drop_order::STATUS, Step::Drop(Field::Status)),
        ];
        // A status that is the same in all rows tells the reader nothing.
        if self.table.rows.iter().all(|row| row.status() == "finished") {
            steps.push((drop_order::STATUS_IF_FINISHED, Step::Drop(Field::Status)));
        }
        steps
            .extend(SETTING_WIDTHS.map(|(order, longest)| (order, Step::ShortenSettings(longest))));
        let measures = self.table.comparison.measures().into_iter();
        steps.extend(measures.filter_map(|measure| {
            Some((measure.drop_order?, Step::Drop(Field::Measure(measure))))
        }));
        steps.sort_by_key(|(order, _)| *order);
        // The settings go last.
        let rest = self.columns.iter().map(|_| Step::DropSetting);
        let ordered = steps.into_iter().map(|(_, step)| step).chain(rest);
        std::iter::once(Step::DropImplied).chain(ordered).collect()
    }

    /// Omits a column, unless it is needed or only two are left.
    fn drop(&mut self, field: Field<'a>) {
        let place = self.columns.iter().position(|column| column.field == field);
        if let Some(place) = place.filter(|_| self.columns.len() > 2 && !self.is_needed(field)) {
            self.columns.remove(place);
            self.dropped.push(field);
        }
    }

    /// Omits the last setting without which the same rows stay distinguishable, otherwise the last column that is not
    /// needed.
    fn drop_setting(&mut self) {
        let shown: Vec<Field<'_>> = self.columns.iter().map(|column| column.field).collect();
        let distinct = |without: Option<Field<'_>>| {
            let kept: Vec<_> = shown
                .iter()
                .filter(|field| matches!(field, Field::Setting(_)) && Some(**field) != without)
                .collect();
            let rows = self.table.rows.iter();
            let settings =
                rows.map(|row| kept.iter().map(|field| self.table.setting(**field, row)).collect());
            settings.collect::<HashSet<Vec<_>>>().len()
        };
        let all = distinct(None);
        let mut unneeded = shown.iter().rev().copied().filter(|field| !self.is_needed(*field));
        let field = unneeded
            .clone()
            .find(|field| matches!(field, Field::Setting(_)) && distinct(Some(*field)) == all)
            .or_else(|| unneeded.next());
        if let Some(field) = field {
            self.drop(field);
        }
    }

    /// Whether the reader needs the column to understand the order of the rows.
    fn is_needed(&self, field: Field<'_>) -> bool {
        let ranking = self.table.comparison.ranking.measure();
        match field {
            Field::Measure(measure) => ranking == measure,
            Field::Standing | Field::Verdict => true,
            _ => false,
        }
    }

    /// Omits the settings that a type in the table implies.
    fn drop_implied(&mut self) {
        let columns = &self.table.comparison.columns;
        let is_shown = |column: usize| self.table.fields.contains(&Field::Setting(column));
        let is_implied = |field: &Field<'_>| match field {
            Field::Setting(column) => columns[*column]
                .implied_by
                .as_ref()
                .is_some_and(|implied| implied.always && is_shown(implied.type_column)),
            _ => false,
        };
        let implied: Vec<Field<'_>> =
            self.table.fields.iter().copied().filter(is_implied).collect();
        for field in implied {
            self.drop(field);
        }
    }

    /// Cuts long texts of settings, so that they stay distinguishable.
    fn shorten_settings(&mut self, longest: usize) {
        for column in &mut self.columns {
            if !matches!(column.field, Field::Setting(_)) {
                continue;
            }
            let mut texts: Vec<String> = column.text.texts().collect();
            texts.sort();
            texts.dedup();
            let short = short_names(&texts, longest);
            column.text.rewrite(|text| {
                texts
                    .iter()
                    .position(|known| known == text)
                    .map_or_else(|| text.to_owned(), |place| short[place].clone())
            });
            column.text.narrow_heading();
        }
    }

    /// Replaces "not distinguishable" by one word.
    fn shorten_outcomes(&mut self) {
        let verdicts = self.columns.iter_mut().find(|column| column.field == Field::Verdict);
        if let Some(column) = verdicts {
            let long = VerdictOutcome::NotDistinguishable.as_str();
            column.text.rewrite(|text| text.replacen(long, UNCLEAR, 1));
            self.has_short_outcomes = true;
        }
    }

    /// Removes the numbers of the verdicts and keeps the outcomes.
    fn shorten_verdicts(&mut self) {
        let verdicts = self.columns.iter_mut().find(|column| column.field == Field::Verdict);
        if let Some(column) = verdicts {
            column.text.rewrite(|text| text.split(' ').next().unwrap_or_default().to_owned());
            column.text.narrow_heading();
            self.has_short_verdicts = true;
        }
    }

    fn notes(&self, terminal: Terminal) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.dropped.is_empty() {
            let dropped: Vec<_> =
                self.dropped.iter().map(|field| self.table.heading(*field)).collect();
            notes.push(format!(
                "Omitted to fit {} characters: {}. --columns chooses the columns; --csv, --md and --json have them all.",
                terminal.width,
                dropped.join(", ")
            ));
        }
        let Some(verdicts) = self.columns.iter().find(|column| column.field == Field::Verdict)
        else {
            return notes;
        };
        if self.has_short_verdicts {
            notes.push("Verdicts are shown without numbers to fit.".to_owned());
        }
        if self.has_short_outcomes && verdicts.text.texts().any(|text| text.starts_with(UNCLEAR)) {
            let long = VerdictOutcome::NotDistinguishable.as_str();
            notes.push(format!("{UNCLEAR} means {long}."));
        }
        notes
    }
}

impl<'a> FieldColumn<'a> {
    fn new(table: &ComparisonTable<'a>, field: Field<'a>) -> Self {
        let cells = table.rows.iter().map(|row| cell(table, field, row));
        let heading = table.heading(field);
        let mut text = match field {
            Field::Measure(_) | Field::Seed => TextColumn::numbers(heading, cells),
            _ => TextColumn::words(heading, cells),
        };
        for (place, row) in table.rows.iter().enumerate() {
            if let Some(color) = color(table, field, row) {
                text.set_color(place, color);
            }
        }
        Self { field, text }
    }
}

/// The color of what is known about a setting.
pub(crate) fn standing_color(standing: &Standing) -> Option<Color> {
    match standing {
        Standing { may_be_best: true, .. } => Some(Color::Green),
        Standing { worse: true, .. } => Some(Color::Red),
        _ => None,
    }
}

fn color(table: &ComparisonTable<'_>, field: Field<'_>, row: &Row<'_>) -> Option<Color> {
    match field {
        Field::Standing => standing_color(&row.combination.standing?),
        Field::Verdict if !is_baseline(table, row) => match row.combination.verdict?.outcome {
            VerdictOutcome::Better => Some(Color::Green),
            VerdictOutcome::Worse => Some(Color::Red),
            VerdictOutcome::NotDistinguishable => None,
        },
        _ => None,
    }
}

/// Moves the number of runs from the cells to the heading if all cells have the same: the `(2)` of
/// `0.8640 ± 0.0002 (2)`.
fn hoist_count(column: &mut TextColumn) {
    let count = |text: &str| text.rfind(" (").map(|place| text[place..].to_owned());
    let counts: Vec<_> =
        column.texts().filter(|text| !text.is_empty()).map(|text| count(&text)).collect();
    if let Some(Some(first)) = counts.first()
        && counts.iter().all(|count| count.as_ref() == Some(first))
    {
        column.rewrite(|text| text.strip_suffix(first.as_str()).unwrap_or(text).to_owned());
        column.extend_heading(first);
    }
}
