//! Kiln's side: the program under test, as its user runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use kiln_store::{RunDirectory, RunRecord};
use tempfile::TempDir;

use crate::machine::{Cores, On};
use crate::process::{self, Ran};
use crate::samples::{Quantity, Value, median};
use crate::setting::{Setting, scratch};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kiln");

/// A command that takes milliseconds is run so often in one turn, and the median is its value.
const COMMANDS_A_TURN: usize = 10;

pub(crate) struct Kiln<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) cores: &'a Cores,
}

/// What a run left, and how its process went.
struct Trained {
    ran: Ran,
    record: RunRecord,
    /// Seconds of each epoch, validation included.
    epochs: Vec<f64>,
    accuracies: Vec<Value>,
}

impl Kiln<'_> {
    /// One epoch, so that files are in the page cache, and what the run says of the program.
    pub(crate) fn warm_up(&self) -> anyhow::Result<RunRecord> {
        Ok(self.train(On::OneCore, &["training.epochs=1".to_owned()])?.record)
    }

    /// Of the epochs of a run that validates on a single row, so that an epoch is its training.
    pub(crate) fn step(&self) -> anyhow::Result<Vec<Value>> {
        let epochs = format!("training.epochs={}", self.setting.step_epochs);
        let trained = self.train(On::OneCore, &[epochs, "data.validation=1".to_owned()])?;
        let seconds = steady(&trained.epochs) / self.steps(&trained);
        Ok(vec![(Quantity::Step, seconds * 1e3)])
    }

    /// The whole process, from its start to its report.
    pub(crate) fn run(&self) -> anyhow::Result<Vec<Value>> {
        let trained = self.train(On::OneCore, &[])?;
        let mut values = trained.accuracies;
        values.push((Quantity::Run, trained.ran.seconds));
        values.extend(trained.ran.peak_bytes.map(|bytes| (Quantity::PeakMemory, bytes / 1e6)));
        Ok(values)
    }

    /// All combinations by `kiln sweep`, two at a time.
    pub(crate) fn sweep(&self) -> anyhow::Result<Vec<Value>> {
        let Setting { learning_rates, depths, .. } = self.setting;
        let runs = fresh_directory()?;
        let axes = [
            format!("learning_rate={}", learning_rates.join(",")),
            format!("hidden.repeat={}", depths.join(",")),
        ];
        let mut command = self.command(On::TwoCores, runs.path());
        command.arg("sweep").arg(&self.setting.config).args(axes).args(["--jobs", "2"]);
        let ran = process::run(&mut command)?;
        let sweep = ran.stdout.lines().last().context("the sweep did not name its directory")?;
        let entries = std::fs::read_dir(sweep)?;
        let finished = entries.flatten().filter(|entry| entry.path().join("report.json").exists());
        let (finished, runs) = (finished.count(), self.setting.runs());
        ensure!(finished == runs, "{finished} of {runs} runs finished");
        Ok(vec![(Quantity::RunsAnHour, runs_an_hour(runs, ran.seconds))])
    }

    /// The same combinations by `kiln run`, on the same two cores, one after another.
    pub(crate) fn one_by_one(&self) -> anyhow::Result<Vec<Value>> {
        let mut seconds = 0.0;
        for (rate, depth) in self.setting.combinations() {
            let overrides = [format!("learning_rate={rate}"), format!("hidden.repeat={depth}")];
            seconds += self.train(On::TwoCores, &overrides)?.ran.seconds;
        }
        Ok(vec![(Quantity::RunsAnHour, runs_an_hour(self.setting.runs(), seconds))])
    }

    /// Commands that answer at once.
    pub(crate) fn commands(&self) -> anyhow::Result<Vec<Value>> {
        let runs = fresh_directory()?;
        let milliseconds = |arguments: &[&Path]| {
            let times = (0..COMMANDS_A_TURN).map(|_| {
                let mut command = self.command(On::Any, runs.path());
                Ok(process::run(command.args(arguments))?.seconds * 1e3)
            });
            Ok::<_, anyhow::Error>(median(&times.collect::<anyhow::Result<Vec<_>>>()?))
        };
        let help = milliseconds(&["--help".as_ref()])?;
        let summary = milliseconds(&["summary".as_ref(), &self.setting.config])?;
        Ok(vec![(Quantity::Help, help), (Quantity::Summary, summary)])
    }

    /// What an epoch takes beyond its steps, in per cent. The steps' time is that of a run which validates
    /// on a single row. The difference is small beside what disturbs an epoch now and then, so here the
    /// quickest epochs are compared, of runs twice as long.
    pub(crate) fn evaluation(&self) -> anyhow::Result<Vec<Value>> {
        let epochs = format!("training.epochs={}", 2 * self.setting.step_epochs);
        let quickest = |overrides: &[String]| {
            let trained = self.train(On::OneCore, overrides)?;
            let quickest = trained.epochs.iter().copied().fold(f64::INFINITY, f64::min);
            anyhow::Ok(quickest / self.steps(&trained))
        };
        let validating = quickest(std::slice::from_ref(&epochs))?;
        let training = quickest(&[epochs, "data.validation=1".to_owned()])?;
        Ok(vec![(Quantity::EvaluationShare, (1.0 - training / validating) * 100.0)])
    }

    /// How many steps an epoch has.
    fn steps(&self, trained: &Trained) -> f64 {
        trained.record.dataset.training_rows.div_ceil(self.setting.batch) as f64
    }

    fn train(&self, on: On, overrides: &[String]) -> anyhow::Result<Trained> {
        let runs = fresh_directory()?;
        let mut command = self.command(on, runs.path());
        command.arg("run").arg(&self.setting.config).args(overrides);
        let ran = process::run_watched(&mut command)?;
        let directory = ran.stdout.lines().last().context("the run did not name its directory")?;
        let directory = RunDirectory::open(directory)?;
        let report = directory.read_report()?.context("the run left no report")?;
        let history = directory.read_history()?.rows;
        let validation = history.last().and_then(|row| row.metric("val_accuracy"));
        let mut accuracies = vec![(Quantity::TestAccuracy, report.accuracy)];
        accuracies.extend(validation.map(|share| (Quantity::ValidationAccuracy, share)));
        Ok(Trained {
            ran,
            record: directory.read_record()?,
            epochs: history.iter().map(|row| row.seconds).collect(),
            accuracies,
        })
    }

    fn command(&self, on: On, runs: &Path) -> Command {
        let mut command = self.cores.command(Path::new(PROGRAM), on);
        command.arg("--runs").arg(runs).arg("--data").arg(&self.setting.data);
        command
    }
}

/// The median of the epochs after the first, which finds cold caches, or compiles.
pub(crate) fn steady(epochs: &[f64]) -> f64 {
    median(epochs.get(1..).unwrap_or_default())
}

pub(crate) fn runs_an_hour(runs: usize, seconds: f64) -> f64 {
    runs as f64 * 3600.0 / seconds
}

/// Removed with all that runs left in it.
pub(crate) fn fresh_directory() -> anyhow::Result<TempDir> {
    tempfile::tempdir_in(scratch()).context("cannot make a directory for the runs")
}
