//! Measures the peers: Python scripts, each with its own virtual environment.

mod environment;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use serde_json::Value as Json;

use crate::kiln::{fresh_directory, median_without_first, runs_per_hour};
use crate::machine::{Affinity, Cores};
use crate::peers::environment::Environment;
use crate::process::{self, ProcessResult};
use crate::samples::{Quantity, Subject, Value};
use crate::setting::{Peer, Setting, at_root};

/// The peers that can be measured on this machine, and notes on why the others cannot.
pub(crate) struct Peers<'a> {
    available: Vec<AvailablePeer<'a>>,
    pub(crate) notes: Vec<String>,
}

/// A peer whose packages are installed and which has trained an epoch.
pub(crate) struct AvailablePeer<'a> {
    peer: &'static Peer,
    environment: Environment,
    setting: &'a Setting,
    cores: &'a Cores,
}

impl<'a> Peers<'a> {
    pub(crate) fn none(reason: &str) -> Self {
        Self { available: Vec::new(), notes: vec![format!("The peers: {reason}")] }
    }

    /// Installs the missing packages, and trains an epoch with each peer.
    pub(crate) fn prepare(setting: &'a Setting, cores: &'a Cores) -> Self {
        let Some(python) = environment::python() else {
            return Self::none("Python is not installed");
        };
        let mut peers = Self { available: Vec::new(), notes: Vec::new() };
        for peer in setting.peers {
            let available = Environment::prepare(python, peer.subject, peer.packages)
                .map(|environment| AvailablePeer { peer, environment, setting, cores })
                .and_then(|available| available.train(1).map(|_| available));
            match available {
                Ok(available) => peers.available.push(available),
                Err(error) => peers.remove(peer.subject, &error),
            }
        }
        peers
    }

    pub(crate) fn get(&self, subject: Subject) -> Option<&AvailablePeer<'a>> {
        self.available.iter().find(|available| available.peer.subject == subject)
    }

    /// Removes a peer that has failed, and notes why.
    pub(crate) fn remove(&mut self, subject: Subject, error: &anyhow::Error) {
        let note = format!("{}: {error:#}", subject.name());
        println!("{note}");
        self.notes.push(note);
        self.available.retain(|available| available.peer.subject != subject);
    }

    /// The versions of Python and of the packages.
    pub(crate) fn versions(&self) -> Vec<(String, String)> {
        let versions = |peer: &AvailablePeer<'_>| peer.environment.versions(peer.peer.packages);
        let mut versions: Vec<_> = self.available.iter().flat_map(versions).collect();
        versions.sort();
        versions.dedup();
        versions
    }
}

impl AvailablePeer<'_> {
    /// The milliseconds of a training step. The times that the peers report do not include validation.
    pub(crate) fn step(&self) -> anyhow::Result<Vec<Value>> {
        let process = self.train(self.setting.step_epochs)?;
        let steps: Vec<f64> = json_lines(&process.stdout)?
            .iter()
            .filter(|line| line["epoch"].is_u64())
            .filter_map(|epoch| epoch["ms_a_step"].as_f64())
            .collect();
        Ok(vec![(Quantity::Step, median_without_first(&steps))])
    }

    /// The whole process, from its start to its report, with its peak memory and its accuracies.
    pub(crate) fn run(&self) -> anyhow::Result<Vec<Value>> {
        let process = self.train(self.setting.run_epochs)?;
        let lines = json_lines(&process.stdout)?;
        let last = lines.last().context("the run printed no results")?;
        let mut values = vec![(Quantity::Run, process.seconds)];
        values.extend(process.peak_bytes.map(|bytes| (Quantity::PeakMemory, bytes / 1e6)));
        let accuracy = |name: &str| last[name].as_f64().with_context(|| format!("no {name}"));
        values.push((Quantity::ValidationAccuracy, accuracy("val_accuracy")?));
        values.push((Quantity::TestAccuracy, accuracy("test_accuracy")?));
        Ok(values)
    }

    /// All runs of the sweep, in the way that is fastest for this peer on two cores.
    pub(crate) fn sweep(&self) -> anyhow::Result<Vec<Value>> {
        let seconds = match self.peer.sweep_script {
            Some(script) => self.in_one_process(script)?,
            None => self.two_at_a_time()?,
        };
        Ok(vec![(Quantity::RunsPerHour, runs_per_hour(self.setting.runs(), seconds))])
    }

    /// One process, which trains all runs. Returns seconds.
    fn in_one_process(&self, script: &str) -> anyhow::Result<f64> {
        let out = fresh_directory()?;
        let mut command = self.command(script, Affinity::TwoCores, out.path());
        command.args(["--epochs", &self.setting.sweep_epochs.to_string()]);
        for axis in &self.setting.axes {
            command.arg(axis.option).arg(axis.values.join(","));
        }
        let process = process::run(&mut command)?;
        let done = json_lines(&process.stdout)?.iter().filter(|line| line["done"] == true).count();
        ensure!(done == self.setting.runs(), "{done} of {} runs finished", self.setting.runs());
        Ok(process.seconds)
    }

    /// One process per run, two at a time. Returns seconds.
    fn two_at_a_time(&self) -> anyhow::Result<f64> {
        let combinations: Vec<_> = self.setting.combinations().collect();
        let next = AtomicUsize::new(0);
        let worker = || {
            while let Some(values) = combinations.get(next.fetch_add(1, Ordering::Relaxed)) {
                let out = fresh_directory()?;
                let mut command = self.command(self.peer.script, Affinity::TwoCores, out.path());
                command.args(["--epochs", &self.setting.sweep_epochs.to_string()]);
                for (axis, value) in self.setting.axes.iter().zip(values) {
                    command.args([axis.option, value]);
                }
                process::run(&mut command)?;
            }
            anyhow::Ok(())
        };
        let started = std::time::Instant::now();
        let ended = thread::scope(|scope| {
            [scope.spawn(worker), scope.spawn(worker)].map(thread::ScopedJoinHandle::join)
        });
        for worker in ended {
            worker.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn train(&self, epochs: usize) -> anyhow::Result<ProcessResult> {
        let out = fresh_directory()?;
        let mut command = self.command(self.peer.script, Affinity::OneCore, out.path());
        process::run_with_peak_memory(command.args(["--epochs", &epochs.to_string()]))
    }

    fn command(&self, script: &str, affinity: Affinity, out: &Path) -> Command {
        let mut command = self.cores.command(&self.environment.python, affinity);
        command.arg(at_root("benches/peers").join(script));
        command.arg("--data").arg(self.setting.data.join("fashion-mnist")).arg("--out").arg(out);
        // Do not write `__pycache__` next to the scripts. Compiling their few lines takes a millisecond, and `pip` has
        // compiled the packages.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// Parses the lines of JSON. The scripts may print other lines, too.
fn json_lines(stdout: &str) -> anyhow::Result<Vec<Json>> {
    let lines = stdout.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
