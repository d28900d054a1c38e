//! Requests and changes with 10,000 runs.
//!
//!     cargo bench -p kiln-serve

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/serve/client.rs"]
mod client;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../store/tests/store/tree.rs"]
mod tree;

use divan::Bencher;
use tempfile::TempDir;

use client::Running;
use tree::SampleRun;

fn main() {
    divan::main();
}

const ARGS: [usize; 2] = [1_000, 10_000];

/// The first page of a new server: all runs are read.
#[divan::bench(args = ARGS, sample_count = 5, sample_size = 1)]
fn first_page(bencher: Bencher<'_, '_>, runs: usize) {
    let sweep = sweep(runs);
    bencher.bench_local(|| Running::start(sweep.path()).get("/").body.len());
}

/// The page after one of the runs has completed an epoch.
#[divan::bench(args = ARGS, sample_count = 5, sample_size = 1)]
fn page_after_a_change(bencher: Bencher<'_, '_>, runs: usize) {
    let sweep = sweep(runs);
    let server = Running::start(sweep.path());
    let (mut epochs, mut last) = (3, server.get("/").body);
    bencher.bench_local(|| {
        epochs += 1;
        unfinished(epochs).write(sweep.path());
        last = server.wait_until("/", |page| page != last);
    });
}

/// The page, if nothing has changed.
#[divan::bench(args = ARGS, sample_count = 20, sample_size = 1)]
fn page_again(bencher: Bencher<'_, '_>, runs: usize) {
    let sweep = sweep(runs);
    let server = Running::start(sweep.path());
    server.get("/");
    bencher.bench_local(|| server.get("/").body.len());
}

fn unfinished(epochs: usize) -> SampleRun {
    let run = SampleRun::new(9.0, 1, 1);
    let values = (0..epochs).map(|epoch| Some(0.5 + 1e-4 * epoch as f64)).collect();
    SampleRun { val_accuracies: values, ..run.ended(kiln_store::Status::Interrupted) }
}

fn sweep(runs: usize) -> TempDir {
    // `cargo test` runs the bench as well. Fifty thousand files are written only for a measurement.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let runs = if is_measured { runs } else { 12 };
    let directory = tempfile::tempdir().expect("a temporary directory");
    for number in 0..runs {
        let (combination, seed) = (number / 3, number % 3);
        let (rate, depth) = (combination / 8, combination % 8);
        let mut run = SampleRun::new(0.001 * (rate + 1) as f64, depth, seed as u64);
        run.val_accuracies =
            (0..10).map(|epoch| Some(0.7 + 0.01 * epoch as f64 + 1e-5 * number as f64)).collect();
        run.write(directory.path());
    }
    unfinished(3).write(directory.path());
    directory
}
