//! The results as a page of Markdown.

use std::fmt::Write;

use crate::benchmark::Benchmark;
use crate::machine;
use crate::options::Options;
use crate::samples::{Samples, Subject};
use crate::targets::{Bound, TARGETS, Target};

const HEAD: &str = "\
# Kiln side by side

The experiment of `configs/fashion-mnist.toml` (784-300-100-100-100-10, ReLU, SGD 0.01, batch 32, 10 epochs, 55,000
training rows) in Kiln and in the scripts of `benches/peers`. The contenders took turns; given are medians, smallest and
largest of the repetitions. A ratio is that of the medians, its spread that of the ratios within the repetitions.

";

const MEANING: &str = "\
- **training step**: the median epoch of a run, without the first, over its steps. Kiln's run validates on a single row,
  so that its `seconds` are those of the training; the peers time the steps of an epoch and its shuffle alone.
- **run**: the whole process, from its start to its report. The peers' time includes what they import and compile. Kiln's
  includes pictures, predictions and weights, which the peers do not write. The build of PyTorch that pip installs on
  Linux loads its CUDA libraries, which costs time at the start and memory; one of the CPU alone is named `+cpu` below.
- **sweep**: the runs of 4 learning rates × 3 depths. Kiln: `kiln sweep` with two jobs. PyTorch: a process a run, two at a
  time. JAX: one process on both cores, the learning rates of a depth by `vmap`. *One run after another*: as many
  `kiln run` in a row; its rate over the sweep's is the sweep's time over its time.
- **peak memory**: the largest resident set of the process (`VmHWM`), in millions of bytes.
- **kiln --help, kiln summary**: the median of ten in each repetition.
- **validation's share of an epoch**: 1 − a step of a run that validates on one row over what a step comes to, validation
  included, in a run that validates on 5,000; each of its run's quickest epoch.
";

pub(crate) fn markdown(benchmark: &Benchmark<'_>, options: &Options) -> String {
    let samples = &benchmark.samples;
    let mut text = format!("{HEAD}```\n{}\n```\n", options.command());
    text += "\n## Targets\n\n";
    text += &targets(samples);
    text += "\n## Measurements\n\n";
    text += &measurements(samples);
    text += "\n## What they mean\n\n";
    text += MEANING;
    if !benchmark.peers.notes.is_empty() {
        text += "\n## What could not be measured\n\n";
        for note in &benchmark.peers.notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text += "\n## Where and with what\n\n| | |\n|---|---|\n";
    for (name, value) in facts(benchmark) {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

fn targets(samples: &Samples) -> String {
    let mut text = "| what | against | result | min–max | target | met |\n".to_owned();
    text += "|---|---|---|---|---|---|\n";
    for target in &TARGETS {
        let (what, against) = (target.title(), target.against_title());
        let bound = match target.bound {
            Bound::AtMost(bound) => format!("at most {}", target.format(bound)),
            Bound::AtLeast(bound) => format!("at least {}", target.format(bound)),
        };
        let (result, spread, met) = match target.reached(samples) {
            None => ("not measured".to_owned(), String::new(), ""),
            Some(reached) => (
                target.format(reached.value),
                target.format_range(reached.min, reached.max),
                if reached.met { "yes" } else { "**no**" },
            ),
        };
        let _ = writeln!(text, "| {what} | {against} | {result} | {spread} | {bound} | {met} |");
    }
    text
}

fn measurements(samples: &Samples) -> String {
    let mut text =
        "| what | who | median | min–max | repetitions |\n|---|---|---|---|---|\n".to_owned();
    for (quantity, subject, series) in samples.iter() {
        let (what, who, count) = (quantity.name(), subject.name(), series.len());
        let median = quantity.format(series.median());
        let span = quantity.format_range(series.min(), series.max());
        let _ = writeln!(text, "| {what} | {who} | {median} | {span} | {count} |");
    }
    text
}

impl Target {
    fn title(&self) -> &'static str {
        match self.subject {
            Subject::KilnOneByOne => "sweep's time, two cores",
            _ => self.quantity.name(),
        }
    }

    fn against_title(&self) -> &'static str {
        match (self.subject, self.against) {
            (own @ Subject::KilnOneByOne, _) => own.name(),
            (_, Some(against)) => against.name(),
            (_, None) => "",
        }
    }

    /// Formats a ratio, or a value with its unit.
    fn format(&self, value: f64) -> String {
        match self.against {
            Some(_) => format!("{value:.2}"),
            None => self.quantity.format(value),
        }
    }

    fn format_range(&self, min: f64, max: f64) -> String {
        match self.against {
            Some(_) => format!("{min:.2}–{max:.2}"),
            None => self.quantity.format_range(min, max),
        }
    }
}

/// The properties of the machine and the versions of the programs.
fn facts(benchmark: &Benchmark<'_>) -> Vec<(String, String)> {
    let record = &benchmark.record;
    let commit = record.git_commit.as_deref().unwrap_or("unknown");
    let kiln = format!(
        "{} (commit {}, backend {}, engine {})",
        record.versions.kiln,
        commit.get(..12).unwrap_or(commit),
        record.backend,
        record.engine,
    );
    let mut facts = vec![("Date".to_owned(), record.started.strftime("%F").to_string())];
    facts.extend(machine::describe().into_iter().map(|(name, value)| (name.to_owned(), value)));
    facts.push(("Cores used (taskset)".to_owned(), benchmark.kiln.cores.describe()));
    facts.push(("Kiln".to_owned(), kiln));
    facts.push(("Burn".to_owned(), record.versions.burn.clone()));
    facts.extend(
        machine::first_line("rustc", &["--version"]).map(|line| ("rustc".to_owned(), line)),
    );
    facts.extend(benchmark.peers.versions());
    facts
}
