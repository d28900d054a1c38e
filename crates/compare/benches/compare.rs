//! Reads, groups and compares the runs of a large sweep: ten epochs each, learning rates × depths × three seeds.
//!
//!     cargo bench -p kiln-compare

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../store/tests/store/tree.rs"]
mod tree;

use std::path::Path;

use divan::Bencher;
use kiln_compare::{CompareOptions, Comparison, TableOptions, notes, terminal};
use kiln_report::Terminal;
use kiln_store::Status;
use tempfile::TempDir;

use tree::SampleRun;

fn main() {
    divan::main();
}

#[divan::bench(args = [1_000, 10_000], sample_count = 10, sample_size = 1)]
fn compare(bencher: Bencher<'_, '_>, runs: usize) {
    // `cargo test` runs the bench as well. Fifty thousand files are written only for a measurement.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let sweep = sweep(if is_measured { runs } else { 12 });
    bencher.bench_local(|| table(sweep.path()));
}

fn table(sweep: &Path) -> String {
    let comparison = Comparison::read(&[sweep], &CompareOptions::default()).expect("a comparison");
    let shown = Terminal { width: 120, color: false };
    let table = terminal(&comparison, &TableOptions::default(), shown).expect("a table");
    table + &notes(&comparison)
}

fn sweep(runs: usize) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for number in 0..runs {
        let (combination, seed) = (number / 3, number % 3);
        let (rate, depth) = (combination / 8, combination % 8);
        let mut run = SampleRun::new(0.001 * (rate + 1) as f64, depth, seed as u64);
        run.val_accuracies =
            (0..10).map(|epoch| Some(0.7 + 0.01 * epoch as f64 + 1e-5 * number as f64)).collect();
        run.predictions = tree::right(80 + number % 7, 100);
        if number % 50 == 49 {
            run = run.ended(Status::Diverged);
        }
        run.write(directory.path());
    }
    directory
}
