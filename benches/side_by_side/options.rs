//! The command line. Cargo adds `--bench` where it benchmarks, and nothing where it tests.

use anyhow::{Context, bail};

pub(crate) const USAGE: &str = "\
usage: cargo bench --bench side_by_side -- [OPTIONS]
  --repetitions N    how often to measure each value [default: 5]
  --only PARTS       measure only these, comma-separated: step,run,sweep,commands,evaluation
  --without-peers    measure only Kiln
benches/RESULTS.md is written if all parts and all programs are measured, with at least 5 repetitions.";

/// Fewer are no result: of five, the median bears two that something else disturbed.
const REPETITIONS: usize = 5;

pub(crate) enum Mode {
    Measure(Options),
    /// `cargo test --benches`: that it runs, not how fast.
    Smoke,
    Help,
}

pub(crate) struct Options {
    pub(crate) repetitions: usize,
    pub(crate) parts: Vec<Part>,
    pub(crate) with_peers: bool,
}

/// What is measured together, in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A step of training, on one core.
    Step,
    /// Script to result, on one core, with its peak memory.
    Run,
    /// Twelve runs on two cores.
    Sweep,
    /// Commands that train nothing.
    Commands,
    /// What validation adds to an epoch.
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
        part.with_context(|| format!("there is no part `{name}`\n{USAGE}"))
    }
}

impl Mode {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut benchmarking = false;
        let mut options =
            Options { repetitions: REPETITIONS, parts: Part::ALL.to_vec(), with_peers: true };
        let mut unknown = None;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} of what?"));
            match argument.as_str() {
                "--bench" => benchmarking = true,
                "--help" => return Ok(Self::Help),
                "--without-peers" => options.with_peers = false,
                "--only" => {
                    options.parts =
                        value()?.split(',').map(Part::named).collect::<anyhow::Result<_>>()?;
                }
                "--repetitions" => {
                    options.repetitions = value()?.parse().context("--repetitions is a number")?;
                }
                _ => unknown = Some(argument),
            }
        }
        // Options of the test runner, such as a name to filter by, are none of ours.
        if !benchmarking {
            return Ok(Self::Smoke);
        }
        if let Some(argument) = unknown {
            bail!("what is {argument}?\n{USAGE}");
        }
        if options.repetitions == 0 {
            bail!("--repetitions is at least 1");
        }
        Ok(Self::Measure(options))
    }
}

impl Options {
    /// What was typed to get here.
    pub(crate) fn command(&self) -> String {
        let mut options = Vec::new();
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
        let dashes = if options.is_empty() { "" } else { " -- " };
        format!("cargo bench --bench side_by_side{dashes}{}", options.join(" "))
    }

    /// Whether the results are the ones to keep.
    pub(crate) fn is_whole(&self) -> bool {
        let all = Part::ALL.iter().all(|part| self.parts.contains(part));
        all && self.with_peers && self.repetitions >= REPETITIONS
    }
}
