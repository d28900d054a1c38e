//! Runs side by side.

mod any;
mod baseline;
mod finding;
mod grouping;
mod pair;
mod reading;
mod text;
mod verdicts;

use std::path::Path;

use kiln_report::Terminal;
use kiln_report::compare::{Combination, Comparison, TableOptions, notes, terminal};

use crate::tree::SampleRun;

/// Writes the runs and compares them.
fn compared(sweep: &Path, runs: &[SampleRun]) -> Comparison {
    for run in runs {
        run.write(sweep);
    }
    Comparison::read(&[sweep], None).expect("a comparison")
}

fn labels(comparison: &Comparison) -> Vec<String> {
    comparison.combinations.iter().map(|it| it.label(&comparison.columns)).collect()
}

fn ids(combination: &Combination) -> Vec<&str> {
    combination.runs.iter().map(|run| run.id.as_str()).collect()
}

/// The table and the notes below it, without the path of the temporary directory.
fn shown(comparison: &Comparison, sweep: &Path, width: u16) -> String {
    let layout = Terminal { width, color: false };
    let table = terminal(comparison, &TableOptions::default(), layout).expect("a table");
    (table + &notes(comparison)).replace(&sweep.display().to_string(), "<sweep>")
}
