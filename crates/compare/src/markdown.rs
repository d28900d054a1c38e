use kiln_store::escape::markdown as escaped;

use crate::cells::cell;
use crate::comparison::Comparison;
use crate::effects_text::effects_markdown;
use crate::error::Result;
use crate::table::{ComparisonTable, Field, Reader, TableOptions};

/// The comparison as a Markdown table, with numbers rounded for people. The effects of the settings follow, if the
/// combinations are a grid, and then the tables of runs on other data.
///
/// # Errors
///
/// [`CompareError::Request`](crate::error::CompareError::Request) if a requested column does not exist.
pub fn markdown(comparison: &Comparison, options: &TableOptions) -> Result<String> {
    let mut text = table(comparison, options)?;
    for other in &comparison.other_data {
        text.push_str(&format!("\nOther data: {}\n\n", escaped(&other.data_name())));
        text.push_str(&table(other, &options.known_to(other))?);
    }
    Ok(text)
}

fn table(comparison: &Comparison, options: &TableOptions) -> Result<String> {
    let table = ComparisonTable::new(comparison, options, Reader::Person)?;
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let headings = table.fields.iter().map(|field| escaped(table.heading(*field)));
    let mut text = line(headings.collect());
    let alignments = table.fields.iter().map(|field| match field {
        Field::Measure(_) | Field::Seed => "--:",
        _ => "---",
    });
    text.push_str(&format!("|{}|\n", alignments.collect::<Vec<_>>().join("|")));
    for row in &table.rows {
        let may_be_best = row.combination.standing.is_some_and(|standing| standing.may_be_best);
        let cells = table.fields.iter().map(|field| match field {
            // Bold, because a reader looks for the possible winners first.
            Field::Standing if may_be_best => format!("**{}**", cell(&table, *field, row)),
            _ => escaped(&cell(&table, *field, row)),
        });
        text.push_str(&line(cells.collect()));
    }
    if !options.all_seeds {
        text.push_str(&effects_markdown(comparison));
    }
    Ok(text)
}
