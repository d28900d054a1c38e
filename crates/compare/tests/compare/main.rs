//! Tests of `kiln-compare` through its public interface. They are one program, so that they are linked only once.

mod any;
mod baseline;
mod charts;
mod effects;
mod fit;
mod grouping;
mod hostile;
mod json;
mod known;
mod measures;
mod page;
mod pair;
mod reading;
mod text;
#[path = "../../../store/tests/store/tree.rs"]
mod tree;
mod verdicts;
#[path = "../../../report/tests/report/xml.rs"]
mod xml;

use std::path::Path;

use kiln_compare::{Combination, CompareOptions, Comparison, TableOptions, notes, terminal};
use kiln_report::Terminal;
use tempfile::TempDir;

use crate::tree::SampleRun;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Compares runs in a new temporary directory. Keep the directory while files of the runs are needed.
fn read(runs: &[SampleRun]) -> (Comparison, TempDir) {
    let sweep = directory();
    (compared(sweep.path(), runs), sweep)
}

/// Writes the runs and compares them.
fn compared(sweep: &Path, runs: &[SampleRun]) -> Comparison {
    for run in runs {
        run.write(sweep);
    }
    Comparison::read(&[sweep], &CompareOptions::default()).expect("a comparison")
}

fn labels(comparison: &Comparison) -> Vec<String> {
    comparison.combinations.iter().map(|it| it.label(&comparison.columns)).collect()
}

fn ids(combination: &Combination) -> Vec<&str> {
    combination.runs.iter().map(|run| run.id.as_str()).collect()
}

/// The table and the notes below it. `<sweep>` replaces the path of the temporary directory.
fn shown(comparison: &Comparison, sweep: &Path, width: u16) -> String {
    let layout = Terminal { width, color: false };
    let table = terminal(comparison, &TableOptions::default(), layout).expect("a table");
    (table + &notes(comparison)).replace(&sweep.display().to_string(), "<sweep>")
}
