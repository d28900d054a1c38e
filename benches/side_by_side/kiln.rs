//! Measures the `kiln` program, as a user runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use kiln_store::{RunDirectory, RunRecord};
use tempfile::TempDir;

use crate::machine::{Affinity, Cores};
use crate::process::{self, ProcessResult};
use crate::samples::{Quantity, Value, median};
use crate::setting::{Setting, scratch};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kiln");

/// How often a command that takes milliseconds is run in one turn. The value of the turn is the median.
const COMMANDS_PER_TURN: usize = 10;

pub(crate) struct Kiln<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) cores: &'a Cores,
}

/// The result of `kiln run`.
struct TrainedRun {
    process: ProcessResult,
    record: RunRecord,
    /// The seconds of each epoch, including validation.
    epochs: Vec<f64>,
    accuracies: Vec<Value>,
}

impl Kiln<'_> {
    /// Trains one epoch, so that the files are in the page cache. Returns the record of the run.
    pub(crate) fn warm_up(&self) -> anyhow::Result<RunRecord> {
        Ok(self.train(Affinity::OneCore, &["training.epochs=1".to_owned()])?.record)
    }

    /// The milliseconds of a training step. The run validates on a single row, so that an epoch is almost only training.
    pub(crate) fn step(&self) -> anyhow::Result<Vec<Value>> {
        let epochs = format!("training.epochs={}", self.setting.step_epochs);
        let trained = self.train(Affinity::OneCore, &[epochs, "data.validation=1".to_owned()])?;
        let seconds = median_without_first(&trained.epochs) / self.steps(&trained);
        Ok(vec![(Quantity::Step, seconds * 1e3)])
    }

    /// The whole process, from its start to its report, with its peak memory and its accuracies.
    pub(crate) fn run(&self) -> anyhow::Result<Vec<Value>> {
        let epochs = format!("training.epochs={}", self.setting.run_epochs);
        let trained = self.train(Affinity::OneCore, &[epochs])?;
        let mut values = trained.accuracies;
        values.push((Quantity::Run, trained.process.seconds));
        values.extend(trained.process.peak_bytes.map(|bytes| (Quantity::PeakMemory, bytes / 1e6)));
        Ok(values)
    }

    /// All combinations with `kiln sweep`, two at a time.
    pub(crate) fn sweep(&self) -> anyhow::Result<Vec<Value>> {
        let runs = fresh_directory()?;
        let axes = self.setting.axes.map(|axis| format!("{}={}", axis.key, axis.values.join(",")));
        let mut command = self.command(Affinity::TwoCores, runs.path());
        command.arg("sweep").arg(&self.setting.config).args(axes).arg(self.sweep_epochs());
        command.args(["--jobs", "2"]);
        let process = process::run(&mut command)?;
        let sweep =
            process.stdout.lines().last().context("the sweep did not print its directory")?;
        let entries = std::fs::read_dir(sweep)?;
        let finished = entries.flatten().filter(|entry| entry.path().join("report.json").exists());
        let (finished, runs) = (finished.count(), self.setting.runs());
        ensure!(finished == runs, "{finished} of {runs} runs finished");
        Ok(vec![(Quantity::RunsPerHour, runs_per_hour(runs, process.seconds))])
    }

    /// The same combinations with `kiln run`, one after another, with one thread each as in the sweep. So the comparison shows
    /// what the second core contributes to the sweep.
    pub(crate) fn one_by_one(&self) -> anyhow::Result<Vec<Value>> {
        let mut seconds = 0.0;
        let [first, second] = self.setting.axes.map(|axis| axis.key);
        for [a, b] in self.setting.combinations() {
            let overrides = [
                format!("{first}={a}"),
                format!("{second}={b}"),
                self.sweep_epochs(),
                "device.threads=1".to_owned(),
            ];
            seconds += self.train(Affinity::TwoCores, &overrides)?.process.seconds;
        }
        Ok(vec![(Quantity::RunsPerHour, runs_per_hour(self.setting.runs(), seconds))])
    }

    /// The milliseconds of commands that train nothing.
    pub(crate) fn commands(&self) -> anyhow::Result<Vec<Value>> {
        let runs = fresh_directory()?;
        let milliseconds = |arguments: &[&Path]| {
            let times = (0..COMMANDS_PER_TURN).map(|_| {
                let mut command = self.command(Affinity::Any, runs.path());
                Ok(process::run(command.args(arguments))?.seconds * 1e3)
            });
            Ok::<_, anyhow::Error>(median(&times.collect::<anyhow::Result<Vec<_>>>()?))
        };
        let help = milliseconds(&["--help".as_ref()])?;
        let summary = milliseconds(&["summary".as_ref(), &self.setting.config])?;
        Ok(vec![(Quantity::Help, help), (Quantity::Summary, summary)])
    }

    /// The share of validation in the time of an epoch, in percent. It is the difference between a run that validates and
    /// one that validates on a single row.
    pub(crate) fn evaluation(&self) -> anyhow::Result<Vec<Value>> {
        // The difference is small compared with the noise in the time of an epoch. So compare the fastest epochs, of runs
        // that are twice as long.
        let epochs = format!("training.epochs={}", 2 * self.setting.step_epochs);
        let fastest_step = |overrides: &[String]| {
            let trained = self.train(Affinity::OneCore, overrides)?;
            let fastest = trained.epochs.iter().copied().fold(f64::INFINITY, f64::min);
            anyhow::Ok(fastest / self.steps(&trained))
        };
        let validating = fastest_step(std::slice::from_ref(&epochs))?;
        let training = fastest_step(&[epochs, "data.validation=1".to_owned()])?;
        Ok(vec![(Quantity::ValidationShare, (1.0 - training / validating) * 100.0)])
    }

    fn sweep_epochs(&self) -> String {
        format!("training.epochs={}", self.setting.sweep_epochs)
    }

    /// The number of steps in an epoch.
    fn steps(&self, trained: &TrainedRun) -> f64 {
        trained.record.dataset.training_rows.div_ceil(self.setting.batch) as f64
    }

    fn train(&self, affinity: Affinity, overrides: &[String]) -> anyhow::Result<TrainedRun> {
        let runs = fresh_directory()?;
        let mut command = self.command(affinity, runs.path());
        command.arg("run").arg(&self.setting.config).args(overrides);
        let process = process::run_with_peak_memory(&mut command)?;
        let directory = process.stdout.lines().last();
        let directory = directory.context("the run did not print its directory")?;
        let directory = RunDirectory::open(directory)?;
        let report = directory.read_report()?.context("the run has no report")?;
        let history = directory.read_history()?.rows;
        let validation = history.last().and_then(|row| row.metric("val_accuracy"));
        let mut accuracies = vec![(Quantity::TestAccuracy, report.accuracy)];
        accuracies.extend(validation.map(|share| (Quantity::ValidationAccuracy, share)));
        Ok(TrainedRun {
            process,
            record: directory.read_record()?,
            epochs: history.iter().map(|row| row.seconds).collect(),
            accuracies,
        })
    }

    fn command(&self, affinity: Affinity, runs: &Path) -> Command {
        let mut command = self.cores.command(Path::new(PROGRAM), affinity);
        command.arg("--runs").arg(runs).arg("--data").arg(&self.setting.data);
        command
    }
}

/// The median of all epochs but the first, in which caches are cold and some peers compile.
pub(crate) fn median_without_first(epochs: &[f64]) -> f64 {
    median(epochs.get(1..).unwrap_or_default())
}

pub(crate) fn runs_per_hour(runs: usize, seconds: f64) -> f64 {
    runs as f64 * 3600.0 / seconds
}

/// A temporary directory for runs.
pub(crate) fn fresh_directory() -> anyhow::Result<TempDir> {
    tempfile::tempdir_in(scratch()).context("cannot create a directory for the runs")
}
