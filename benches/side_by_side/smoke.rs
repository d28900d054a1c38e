//! `cargo test --benches`: everything but the peers, once, on a tiny experiment. That it runs, not how fast.

#[expect(clippy::unwrap_used, reason = "shared with tests, where what cannot go on has failed")]
#[path = "../../tests/program/columns.rs"]
mod columns;

use std::fs;

use anyhow::ensure;

use crate::contest::Contest;
use crate::kiln::Kiln;
use crate::machine::Cores;
use crate::options::{Options, Part};
use crate::peers::Peers;
use crate::results;
use crate::setting::Setting;

pub(crate) fn run() -> anyhow::Result<()> {
    let world = tempfile::tempdir()?;
    columns::write(&world.path().join("data/columns"));
    let config = world.path().join("experiment.toml");
    fs::write(&config, columns::EXPERIMENT)?;
    let setting = Setting {
        config,
        data: world.path().join("data"),
        batch: 10,
        step_epochs: 3,
        learning_rates: &["0.1", "0.2"],
        depths: &["1", "2"],
    };
    let cores = Cores::find();
    let kiln = Kiln { setting: &setting, cores: &cores };
    let peers = Peers::none("left out of a test");
    let mut contest = Contest::new(kiln, peers, &world.path().join("samples.csv"))?;
    let options = Options { repetitions: 1, parts: Part::ALL.to_vec(), with_peers: false };
    contest.hold(&options.parts, options.repetitions)?;

    let text = results::markdown(&contest, &options);
    for (quantity, ..) in contest.samples.iter() {
        ensure!(text.contains(quantity.name()), "{} is not in the results", quantity.name());
    }
    println!("all parts ran on a tiny experiment, and nothing was written");
    Ok(())
}
