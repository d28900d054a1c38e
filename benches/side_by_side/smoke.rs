//! Runs everything except the peers once, with a tiny experiment. `cargo test --benches` checks that it works, not its speed.

#[expect(clippy::unwrap_used, reason = "shared with tests, where a failure may panic")]
#[path = "../../tests/program/columns.rs"]
mod tiny_dataset;

use std::fs;

use anyhow::ensure;

use crate::benchmark::Benchmark;
use crate::experiments;
use crate::kiln::Kiln;
use crate::machine::Cores;
use crate::options::{Options, Part};
use crate::peers::Peers;
use crate::results;
use crate::setting::{Axis, Setting};

pub(crate) fn run() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    tiny_dataset::write(&directory.path().join("data/columns"));
    let config = directory.path().join("experiment.toml");
    fs::write(&config, tiny_dataset::EXPERIMENT)?;
    let [first, second] = experiments::all().remove(0).axes;
    let setting = Setting {
        config,
        data: directory.path().join("data"),
        batch: 10,
        step_epochs: 3,
        axes: [Axis { values: &["0.1", "0.2"], ..first }, Axis { values: &["1", "2"], ..second }],
        ..experiments::all().remove(0)
    };
    let cores = Cores::find();
    let kiln = Kiln { setting: &setting, cores: &cores };
    let peers = Peers::none("skipped in tests");
    let mut benchmark = Benchmark::new(kiln, peers, &directory.path().join("samples.csv"))?;
    let options =
        Options { experiment: None, repetitions: 1, parts: Part::ALL.to_vec(), with_peers: false };
    benchmark.run(&options.parts, options.repetitions)?;

    let text = results::markdown(&benchmark, &options);
    for (quantity, ..) in benchmark.samples.iter() {
        ensure!(text.contains(quantity.name()), "{} is not in the results", quantity.name());
    }
    let page = results::replace_section("# A\n1\n\n# B\n2\n", "# A", "# A\nnew\n");
    ensure!(page == "# A\nnew\n\n# B\n2\n", "the other sections of the results changed");
    println!("all parts work with a tiny experiment; no results were written");
    Ok(())
}
