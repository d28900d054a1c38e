//! Kiln side by side with PyTorch, Keras and JAX, on the experiment of `configs/fashion-mnist.toml`.
//!
//!     cargo bench --bench side_by_side                                   all of it: benches/RESULTS.md
//!     cargo bench --bench side_by_side -- --only step,run --repetitions 3 --without-peers
//!
//! What is measured is what a user waits for: processes, from their start to their end, and the epochs
//! that they report. Nothing here calls Kiln's code to time it. The peers, in `benches/peers`, train the
//! same network on the same rows with the same batches and leave a history and a test report too.
//!
//! Everything is repeated, and the contenders take turns: A B C A B C. A machine that is slower for a
//! while is slower for all, and a ratio within a repetition holds where a time does not. Results are
//! medians with their smallest and largest values; `targets` says what Kiln is to reach.
//!
//! The peers' packages are installed from `benches/peers/requirements.txt` into virtual environments
//! under `target/`, once. Without Python, or where that fails, the results say so and Kiln is measured
//! alone. `cargo test --benches` runs a tiny experiment through the same code and asserts no time.

#![expect(clippy::print_stdout, reason = "what a benchmark finds is its output")]

mod contest;
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

use crate::contest::Contest;
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
    let setting = Setting::article();
    let cores = Cores::find();
    let kiln = Kiln { setting: &setting, cores: &cores };
    let peers = if options.with_peers {
        Peers::prepare(&setting, &cores)
    } else {
        Peers::none("left out by --without-peers")
    };
    let mut contest = Contest::new(kiln, peers, &scratch().join("side_by_side.csv"))?;
    contest.hold(&options.parts, options.repetitions)?;

    let text = results::markdown(&contest, options);
    println!("\n{text}");
    if options.is_whole() {
        fs::write(at_root(RESULTS), text)?;
        println!("written to {RESULTS}");
    } else {
        println!("{RESULTS} is left as it was: this was not the whole of it");
    }
    Ok(())
}
