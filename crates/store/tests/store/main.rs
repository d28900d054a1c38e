//! Tests of `kiln-store` through its public interface. They are one program, so that they are linked only once.

mod checkpoint;
mod class_counts;
mod files;
mod finding;
mod history;
mod hostile;
mod lock;
mod metric;
mod predictions;
mod record;
mod run_directory;
#[expect(dead_code, reason = "the tests of kiln-report use the rest")]
mod samples;
mod splits;
mod test_report;
#[expect(dead_code, reason = "the tests of kiln-compare use the rest")]
mod tree;

use std::path::Path;

use kiln_store::{RunDirectory, RunRecord, TestReport};

/// A finished run in `runs`, without pictures and `report.md`.
fn finished(runs: &Path) -> RunDirectory {
    let run = samples::trained(runs);
    let test = samples::test();
    let report = TestReport::new(&test.tested()).and_then(|report| report.to_json()).expect("JSON");
    kiln_store::predictions::write(&run.predictions_path(), &test.tested()).expect("predictions");
    let files = run.sums(Some(&report)).expect("sums");
    run.write_record(&RunRecord { files, ..samples::record() }).expect("a record");
    std::fs::write(run.report_path(), report).expect("a report");
    run
}
