//! The peers' side: Python scripts, each in a virtual environment of its own.

mod environment;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use serde_json::Value as Json;

use crate::kiln::{fresh_directory, runs_an_hour, steady};
use crate::machine::{Cores, On};
use crate::peers::environment::Environment;
use crate::process::{self, Ran};
use crate::samples::{Quantity, Subject, Value};
use crate::setting::{Setting, at_root};

/// A peer: what it is installed from, and its script.
struct Peer {
    subject: Subject,
    packages: &'static [&'static str],
    script: &'static str,
}

const PEERS: [Peer; 3] = [
    Peer { subject: Subject::Jax, packages: &["jax", "jaxlib"], script: "jax_scan.py" },
    Peer { subject: Subject::PyTorch, packages: &["torch"], script: "pytorch_eager.py" },
    Peer {
        subject: Subject::Keras,
        packages: &["keras", "tensorflow-cpu"],
        script: "keras_fit.py",
    },
];

/// The peers that can be measured here, and why the others cannot.
pub(crate) struct Peers<'a> {
    ready: Vec<Ready<'a>>,
    pub(crate) notes: Vec<String>,
}

/// A peer that has shown that it trains.
pub(crate) struct Ready<'a> {
    peer: &'static Peer,
    environment: Environment,
    setting: &'a Setting,
    cores: &'a Cores,
}

impl<'a> Peers<'a> {
    pub(crate) fn none(reason: &str) -> Self {
        Self { ready: Vec::new(), notes: vec![format!("The peers: {reason}")] }
    }

    /// Installs what is not there yet, and trains an epoch with each.
    pub(crate) fn prepare(setting: &'a Setting, cores: &'a Cores) -> Self {
        let Some(python) = environment::python() else {
            return Self::none("there is no Python here");
        };
        let mut peers = Self { ready: Vec::new(), notes: Vec::new() };
        for peer in &PEERS {
            let ready = Environment::prepare(python, peer.subject, peer.packages)
                .map(|environment| Ready { peer, environment, setting, cores })
                .and_then(|ready| ready.train(1).map(|_| ready));
            match ready {
                Ok(ready) => peers.ready.push(ready),
                Err(error) => peers.give_up(peer.subject, &error),
            }
        }
        peers
    }

    pub(crate) fn get(&self, subject: Subject) -> Option<&Ready<'a>> {
        self.ready.iter().find(|ready| ready.peer.subject == subject)
    }

    /// Measures a peer no more, and says why.
    pub(crate) fn give_up(&mut self, subject: Subject, error: &anyhow::Error) {
        let note = format!("{}: {error:#}", subject.name());
        println!("{note}");
        self.notes.push(note);
        self.ready.retain(|ready| ready.peer.subject != subject);
    }

    /// Python's version and the packages'.
    pub(crate) fn versions(&self) -> Vec<(String, String)> {
        let all =
            self.ready.iter().flat_map(|ready| ready.environment.versions(ready.peer.packages));
        let mut versions: Vec<_> = all.collect();
        versions.sort();
        versions.dedup();
        versions
    }
}

impl Ready<'_> {
    /// Of the training alone; validation is outside of what the peers time.
    pub(crate) fn step(&self) -> anyhow::Result<Vec<Value>> {
        let said = epochs(&self.train(self.setting.step_epochs)?.stdout)?;
        let steps: Vec<f64> = said.iter().filter_map(|epoch| epoch["ms_a_step"].as_f64()).collect();
        Ok(vec![(Quantity::Step, steady(&steps))])
    }

    /// The whole process, from its start to its report.
    pub(crate) fn run(&self) -> anyhow::Result<Vec<Value>> {
        let ran = self.train(10)?;
        let said = lines(&ran.stdout)?;
        let last = said.last().context("the run said nothing")?;
        let mut values = vec![(Quantity::Run, ran.seconds)];
        values.extend(ran.peak_bytes.map(|bytes| (Quantity::PeakMemory, bytes / 1e6)));
        let accuracy = |name: &str| last[name].as_f64().with_context(|| format!("no {name}"));
        values.push((Quantity::ValidationAccuracy, accuracy("val_accuracy")?));
        values.push((Quantity::TestAccuracy, accuracy("test_accuracy")?));
        Ok(values)
    }

    /// All runs of the sweep, as this peer makes the most of two cores.
    pub(crate) fn sweep(&self) -> anyhow::Result<Vec<Value>> {
        let seconds = match self.peer.subject {
            Subject::Jax => self.vectorized()?,
            _ => self.two_at_a_time()?,
        };
        Ok(vec![(Quantity::RunsAnHour, runs_an_hour(self.setting.runs(), seconds))])
    }

    /// One process; the learning rates of a depth are one program.
    fn vectorized(&self) -> anyhow::Result<f64> {
        let out = fresh_directory()?;
        let mut command = self.command("jax_vmap.py", On::TwoCores, out.path());
        command.args(["--learning-rates", &self.setting.learning_rates.join(",")]);
        command.args(["--hidden", &self.setting.depths.join(",")]);
        let ran = process::run(&mut command)?;
        let done = lines(&ran.stdout)?.iter().filter(|line| line["done"] == true).count();
        ensure!(done == self.setting.runs(), "{done} of {} runs finished", self.setting.runs());
        Ok(ran.seconds)
    }

    /// A process a run, as many as there are cores.
    fn two_at_a_time(&self) -> anyhow::Result<f64> {
        let combinations: Vec<_> = self.setting.combinations().collect();
        let next = AtomicUsize::new(0);
        let worker = || {
            while let Some((rate, depth)) = combinations.get(next.fetch_add(1, Ordering::Relaxed)) {
                let out = fresh_directory()?;
                let mut command = self.command(self.peer.script, On::TwoCores, out.path());
                process::run(command.args(["--learning-rate", rate, "--hidden", depth]))?;
            }
            anyhow::Ok(())
        };
        let begun = std::time::Instant::now();
        let ended = thread::scope(|scope| {
            [scope.spawn(worker), scope.spawn(worker)].map(thread::ScopedJoinHandle::join)
        });
        for worker in ended {
            worker.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    fn train(&self, epochs: usize) -> anyhow::Result<Ran> {
        let out = fresh_directory()?;
        let mut command = self.command(self.peer.script, On::OneCore, out.path());
        process::run_watched(command.args(["--epochs", &epochs.to_string()]))
    }

    fn command(&self, script: &str, on: On, out: &Path) -> Command {
        let mut command = self.cores.command(&self.environment.python, on);
        command.arg(at_root("benches/peers").join(script));
        command.arg("--data").arg(self.setting.data.join("fashion-mnist")).arg("--out").arg(out);
        // Their own few lines are compiled each time, in a millisecond; the packages were when installed.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

fn lines(stdout: &str) -> anyhow::Result<Vec<Json>> {
    let lines = stdout.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn epochs(stdout: &str) -> anyhow::Result<Vec<Json>> {
    let mut lines = lines(stdout)?;
    lines.retain(|line| line["epoch"].is_u64());
    Ok(lines)
}
