//! The command line. `cargo bench` adds `--bench` to it, and `cargo test --benches` does not.

use anyhow::{Context, bail, ensure};

use crate::experiments;
use crate::setting::Setting;

pub(crate) const USAGE: &str = "\
usage: cargo bench --bench side_by_side -- [OPTIONS]
  --experiment NAME  measure only this one of dense,small-cnn
  --repetitions N    number of repetitions [default: 5]
  --only PARTS       measure only these of step,run,sweep,commands,evaluation
  --without-peers    measure only Kiln
The section of an experiment in benches/RESULTS.md is written if all its parts and peers are measured with at least 5 repetitions.";

/// The minimum for a result to be published: the median of five tolerates two values that are off.
const REPETITIONS: usize = 5;

pub(crate) enum Mode {
    Measure(Options),
    /// Checks only that everything runs: `cargo test --benches`.
    Smoke,
    Help,
}

pub(crate) struct Options {
    /// The name of the only experiment to measure.
    pub(crate) experiment: Option<String>,
    pub(crate) repetitions: usize,
    pub(crate) parts: Vec<Part>,
    pub(crate) with_peers: bool,
}

/// A group of measurements that the subjects take turns with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A step of training, on one core.
    Step,
    /// A whole run, from start to report, on one core, with its peak memory.
    Run,
    /// Twelve runs on two cores.
    Sweep,
    /// Commands that train nothing.
    Commands,
    /// The share of validation in an epoch.
    Evaluation,
}

impl Part {
    pub(crate) const ALL: [Self; 5] =
        [Self::Step, Self::Run, Self::Sweep, Self::Commands, Self::Evaluation];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Run => "run",
            Self::Sweep => "sweep",
            Self::Commands => "commands",
            Self::Evaluation => "evaluation",
        }
    }

    fn named(name: &str) -> anyhow::Result<Self> {
        let part = Self::ALL.into_iter().find(|part| part.name() == name);
        part.with_context(|| format!("unknown part `{name}`\n{USAGE}"))
    }
}

impl Mode {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut benchmarking = false;
        let mut options = Options {
            experiment: None,
            repetitions: REPETITIONS,
            parts: Part::ALL.to_vec(),
            with_peers: true,
        };
        let mut unknown = None;
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => benchmarking = true,
                "--help" => return Ok(Self::Help),
                "--without-peers" => options.with_peers = false,
                "--experiment" => {
                    let name = value()?;
                    let known = experiments::all().iter().any(|setting| setting.name == name);
                    ensure!(known, "unknown experiment `{name}`\n{USAGE}");
                    options.experiment = Some(name);
                }
                "--only" => {
                    options.parts =
                        value()?.split(',').map(Part::named).collect::<anyhow::Result<_>>()?;
                }
                "--repetitions" => {
                    options.repetitions =
                        value()?.parse().context("--repetitions must be a number")?;
                }
                _ => unknown = Some(argument),
            }
        }
        // `cargo test` passes the options of its test runner, such as a filter. Ignore them.
        if !benchmarking {
            return Ok(Self::Smoke);
        }
        if let Some(argument) = unknown {
            bail!("unknown argument {argument}\n{USAGE}");
        }
        if options.repetitions == 0 {
            bail!("--repetitions must be at least 1");
        }
        Ok(Self::Measure(options))
    }
}

impl Options {
    /// The command line that gives these options.
    pub(crate) fn command(&self, setting: &Setting) -> String {
        let mut options = vec![format!("--experiment {}", setting.name)];
        if self.repetitions != REPETITIONS {
            options.push(format!("--repetitions {}", self.repetitions));
        }
        if self.parts != Part::ALL {
            let parts: Vec<_> = self.parts.iter().map(|part| part.name()).collect();
            options.push(format!("--only {}", parts.join(",")));
        }
        if !self.with_peers {
            options.push("--without-peers".to_owned());
        }
        format!("cargo bench --bench side_by_side -- {}", options.join(" "))
    }

    pub(crate) fn measures(&self, setting: &Setting) -> bool {
        self.experiment.as_deref().is_none_or(|name| name == setting.name)
    }

    /// The parts of the experiment that are measured.
    pub(crate) fn parts_of(&self, setting: &Setting) -> Vec<Part> {
        setting.parts.iter().copied().filter(|part| self.parts.contains(part)).collect()
    }

    /// Whether the results may be published: all parts, with peers and enough repetitions.
    pub(crate) fn is_complete(&self, setting: &Setting) -> bool {
        let all = setting.parts.iter().all(|part| self.parts.contains(part));
        all && self.with_peers && self.repetitions >= REPETITIONS
    }
}
