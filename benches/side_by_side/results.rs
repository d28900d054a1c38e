//! Writes the results as a Markdown page.

use std::fmt::Write;

use crate::benchmark::Benchmark;
use crate::machine;
use crate::options::Options;
use crate::samples::{Samples, Subject};
use crate::setting::Setting;
use crate::targets::{Bound, Target};

const INTRODUCTION: &str = "\
The programs take turns. The tables show the median, the smallest and the largest value of all repetitions. A ratio is
the ratio of two medians; its range is that of the ratios within each repetition.
";

const MEANING: &str = "\
- **training step**: the duration of the median epoch, not counting the first, divided by its number of steps. Kiln's run
  validates on a single image, so that its `seconds` are training time. The scripts time only the steps of an epoch and
  its shuffling.
- **run**: the whole process, from its start to its report. For the scripts, this includes imports and compilation. For
  Kiln, it includes charts, predictions and weights, which the scripts do not write. The PyTorch build that pip installs
  on Linux loads its CUDA libraries, which takes time and memory. The version of a CPU-only build ends in `+cpu` below.
- **sweep**: twelve runs. Kiln: `kiln sweep` with two jobs. PyTorch: one process per run, two at a time. JAX: one process on both cores that trains the learning rates of one depth together with `vmap`. *One run
  after another*: twelve `kiln run` commands in a row, with one thread each. Its rate divided by the rate of the sweep is the time of the sweep
  divided by its time.
- **peak memory**: the largest resident set of the process (`VmHWM`), in millions of bytes.
- **kiln --help, kiln summary**: the median of ten measurements in each repetition.
- **validation's share of an epoch**: the step time of a run that validates on one image is compared with the step time,
  including validation, of a run that validates on 5,000 images. The share is 1 minus their ratio. Both times come from
  the fastest epoch of their run.
";

/// The section of an experiment. It begins with a heading of level 1.
pub(crate) fn markdown(benchmark: &Benchmark<'_>, options: &Options) -> String {
    let (setting, samples) = (benchmark.kiln.setting, &benchmark.samples);
    let (heading, about, command) = (setting.heading, setting.about, options.command(setting));
    let mut text = format!("{heading}\n\n{about}\n{INTRODUCTION}\n```\n{command}\n```\n");
    text += "\n## Targets\n\n";
    text += &targets(setting, samples);
    text += "\n## Measurements\n\n";
    text += &measurements(samples);
    text += "\n## How each value is measured\n\n";
    text += MEANING;
    if !benchmark.peers.notes.is_empty() {
        text += "\n## Not measured\n\n";
        for note in &benchmark.peers.notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text += "\n## Machine and versions\n\n| | |\n|---|---|\n";
    for (name, value) in facts(benchmark) {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

/// The page with a new section in place of the one with this heading, or at its end.
pub(crate) fn replace_section(page: &str, heading: &str, section: &str) -> String {
    let start = page.find(&format!("{heading}\n")).unwrap_or(page.len());
    let after = &page[start..];
    let end = after.find("\n# ").map_or(page.len(), |end| start + end + 1);
    let gap = if end < page.len() { "\n" } else { "" };
    format!("{}{section}{gap}{}", &page[..start], &page[end..])
}

fn targets(setting: &Setting, samples: &Samples) -> String {
    let mut text = "| value | compared with | result | min–max | target | met |\n".to_owned();
    text += "|---|---|---|---|---|---|\n";
    for target in setting.targets {
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
        "| value | program | median | min–max | repetitions |\n|---|---|---|---|---|\n".to_owned();
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
