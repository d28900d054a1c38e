//! Compares the speed of Kiln with PyTorch, Keras and JAX, on the experiments of [`experiments`].
//!
//!     cargo bench --bench side_by_side                                   everything; writes benches/RESULTS.md
//!     cargo bench --bench side_by_side -- --experiment small-cnn --only step,run --repetitions 3 --without-peers
//!
//! The benchmark measures what a user waits for: processes, from start to end, and the epoch times that they report. It
//! never calls Kiln's code directly. The peers are the scripts in `benches/peers`. They train the same network on the
//! same rows in the same batches, and write a history and a test report, too.
//!
//! All measurements are repeated, and the subjects take turns: A B C A B C. If the machine is slower for a while, it is
//! slower for all of them, so that a ratio within a repetition is more reliable than a time. The results are medians with
//! the smallest and the largest value. Each experiment contains the values that Kiln has to reach.
//!
//! The first call installs the packages of `benches/peers/requirements.txt` into virtual environments under `target/`.
//! Without Python, or if the installation fails, only Kiln is measured, and the results report the reason. `cargo test
//! --benches` runs the same code once with a tiny experiment, without checking any time.

#![expect(clippy::print_stdout, reason = "the results of a benchmark are its output")]

mod benchmark;
mod experiments;
mod kiln;
mod machine;
mod options;
mod peers;
mod process;
mod results;
mod samples;
mod setting;
mod smoke;
mod targets;

use std::fs;

use crate::benchmark::Benchmark;
use crate::kiln::Kiln;
use crate::machine::Cores;
use crate::options::{Mode, Options};
use crate::peers::Peers;
use crate::setting::{Setting, at_root, scratch};

const RESULTS: &str = "benches/RESULTS.md";

fn main() -> anyhow::Result<()> {
    match Mode::parse(std::env::args().skip(1))? {
        Mode::Measure(options) => measure(&options),
        Mode::Smoke => smoke::run(),
        Mode::Help => {
            println!("{}", options::USAGE);
            Ok(())
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    for setting in experiments::all() {
        if options.measures(&setting) {
            measure_experiment(&setting, options)?;
        }
    }
    Ok(())
}

fn measure_experiment(setting: &Setting, options: &Options) -> anyhow::Result<()> {
    let cores = Cores::find();
    let kiln = Kiln { setting, cores: &cores };
    let peers = if options.with_peers {
        Peers::prepare(setting, &cores)
    } else {
        Peers::none("skipped, because of --without-peers")
    };
    let log = scratch().join(format!("{}.csv", setting.name));
    let mut benchmark = Benchmark::new(kiln, peers, &log)?;
    benchmark.run(&options.parts_of(setting), options.repetitions)?;

    let section = results::markdown(&benchmark, options);
    println!("\n{section}");
    if options.is_complete(setting) {
        let path = at_root(RESULTS);
        let before = fs::read_to_string(&path)?;
        fs::write(path, results::replace_section(&before, setting.heading, &section))?;
        println!("written to {RESULTS}");
    } else {
        println!("{RESULTS} was not changed, because not everything was measured");
    }
    Ok(())
}
