//! `kiln data check`: what may be wrong with a dataset.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use kiln_config::{Document, Override};
use kiln_data::{
    Broken, DataCheck, DataConfig, DataError, Dataset, Finding, ImageShape, Part, PartCounts,
    Severity, Split, SplitError, Thoroughness,
};
use kiln_store::versioned;
use kiln_train::Declaration;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::options::GlobalOptions;
use crate::output::{count, print};

/// The version of the JSON that `kiln data check --json` prints.
const CHECK_VERSION: u32 = 1;

/// Classes in the table; the others are only counted.
const MAX_CLASSES: usize = 40;

/// An experiment on a dataset with the defaults of all keys. The network does not matter.
const EXPERIMENT: &str = r#"
name = "data"
[data]
source = ""
[model]
layers = [{ type = "flatten" }, { type = "dense", units = "classes", activation = "softmax" }]
[optimizer]
type = "sgd"
learning_rate = 0.01
"#;

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// A named dataset, a directory or a file
    #[arg(default_value = "fashion-mnist", value_name = "SOURCE")]
    source: String,
    #[arg(
        value_name = "KEY=VALUE",
        help = "Keys of the [data] table, such as image=[64,64], validation=0.1 or split=stratified, and the seed"
    )]
    overrides: Vec<String>,
    /// Print JSON with the counts of all classes
    #[arg(long)]
    json: bool,
    /// Exit with status 1 for warnings, too
    #[arg(long)]
    strict: bool,
}

/// The experiment on a dataset, with changes.
pub(crate) fn declaration(source: &str, overrides: &[String]) -> anyhow::Result<Declaration> {
    let mut changes = vec![Override::text("data.source", source)];
    for argument in overrides {
        changes.push(Override::parse(argument)?);
    }
    Ok(Declaration::new(Document::parse("experiment", EXPERIMENT)?, &changes)?)
}

pub(crate) fn check(
    options: &GlobalOptions,
    arguments: &CheckArguments,
) -> anyhow::Result<ExitCode> {
    let declaration = declaration(&arguments.source, &arguments.overrides)?;
    let dataset = read(&declaration, options.data())?;
    let config = &declaration.experiment.data;
    let on_parts = declaration.on_parts(&dataset.parts)?;
    let (split, problem) = match on_parts.split(&dataset) {
        Ok(split) => (split, None),
        Err(error) => match on_parts.experiment.data.split_counts(&dataset.parts) {
            // The split of the source shows what is there.
            Err(problem) => (parts_of(&dataset), Some(problem)),
            Ok(_) => return Err(error.into()),
        },
    };
    let mut check = dataset.check(config, &split, Thoroughness::Complete);
    if let Some(error) = problem {
        check.add(split_problem(&error));
    }
    if arguments.json {
        print(json(&dataset, &check)?.trim_end())?;
    } else {
        print(text(&dataset, &check).trim_end())?;
    }
    let fails = |severity| check.of(severity).next().is_some();
    let is_problem = fails(Severity::Error) || arguments.strict && fails(Severity::Warning);
    Ok(if is_problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads the dataset. If images cannot be read, it is read without them, so that everything else is checked, too.
fn read(declaration: &Declaration, data: &Path) -> anyhow::Result<Dataset> {
    let error = match declaration.dataset(data) {
        Ok(dataset) => return Ok(dataset),
        Err(error) => error,
    };
    let config = &declaration.experiment.data;
    let without = DataConfig { broken: Broken::Skip, ..config.clone() };
    match without.load(data) {
        Ok(dataset) if config.broken == Broken::Error => Ok(dataset),
        _ => Err(error.into()),
    }
}

/// The parts of the source, without drawing rows from the training part.
fn parts_of(dataset: &Dataset) -> Split {
    let rows = |part| dataset.parts.of(part).collect();
    Split {
        training: rows(Part::Training),
        validation: rows(Part::Validation),
        test: rows(Part::Test),
        notes: Vec::new(),
    }
}

/// A split that a run would refuse.
fn split_problem(error: &DataError) -> Finding {
    let is_missing = matches!(error, DataError::Split(SplitError::NoTestRows));
    Finding {
        kind: "split_impossible",
        // Without `test`, the dataset was not meant to be split yet.
        severity: if is_missing { Severity::Hint } else { Severity::Error },
        message: match error {
            DataError::Split(SplitError::NoTestRows) => {
                "the dataset has no test images of its own".to_owned()
            }
            error => error.to_string(),
        },
        help: "split some from the others: data.test=0.1 data.validation=0.1 data.split=stratified"
            .to_owned(),
        count: 0,
        examples: Vec::new(),
    }
}

#[derive(Serialize)]
struct CheckJson<'a> {
    name: &'a str,
    format: &'a str,
    fingerprint: &'a str,
    images: usize,
    shape: ImageShape,
    notes: &'a [String],
    #[serde(flatten)]
    check: &'a DataCheck,
}

fn json(dataset: &Dataset, check: &DataCheck) -> anyhow::Result<String> {
    let body = CheckJson {
        name: &dataset.name,
        format: dataset.format,
        fingerprint: &dataset.fingerprint,
        images: dataset.images.len(),
        shape: dataset.images.shape,
        notes: &dataset.notes,
        check,
    };
    Ok(versioned::to_json(CHECK_VERSION, &body)?)
}

fn text(dataset: &Dataset, check: &DataCheck) -> String {
    let mut text = format!(
        "{}: {} of {}, {}, read as {}\n\n{}\n",
        dataset.name,
        count(dataset.images.len(), "image"),
        dataset.images.shape,
        classes(check.classes.0.len()),
        dataset.format,
        table(&check.classes.0)
    );
    for note in &dataset.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let copies = check.copies;
    let numbers = [
        (copies.in_training, "of validation and test are in training"),
        (copies.in_validation, "of test are in validation"),
        (copies.other_labels, "have another label elsewhere"),
        (copies.within_splits, "are repeated within a split"),
    ];
    let found: Vec<String> =
        numbers.iter().filter(|it| it.0 > 0).map(|it| format!("{} {}", it.0, it.1)).collect();
    text.push_str(&match found.is_empty() {
        true => "exact copies: none\n".to_owned(),
        false => format!("exact copies: {}\n", found.join(", ")),
    });
    for finding in &check.findings {
        text.push_str(&format!("\n{}: {}\n", finding.severity, finding.message));
        for example in &finding.examples {
            text.push_str(&format!("  {example}\n"));
        }
        text.push_str(&format!("  help: {}\n", finding.help));
    }
    let number = |severity| check.of(severity).count();
    let all = [
        (number(Severity::Error), "error"),
        (number(Severity::Warning), "warning"),
        (number(Severity::Hint), "hint"),
    ];
    let found: Vec<String> =
        all.iter().filter(|it| it.0 > 0).map(|&(number, noun)| count(number, noun)).collect();
    let found = if found.is_empty() { "no problems found".to_owned() } else { found.join(", ") };
    text + &format!("\n{found}\n")
}

fn classes(number: usize) -> String {
    if number == 1 { "1 class".to_owned() } else { format!("{number} classes") }
}

/// The number of images by class and part, as a table with aligned columns.
fn table(counts: &[PartCounts]) -> String {
    let row = |name: &str, count: &dyn Fn(Part) -> usize| {
        let [training, validation, test] =
            [Part::Training, Part::Validation, Part::Test].map(|part| count(part).to_string());
        [name.to_owned(), training, validation, test]
    };
    let mut rows = vec![["class", "training", "validation", "test"].map(str::to_owned)];
    let shown = if counts.len() > MAX_CLASSES + 1 { MAX_CLASSES } else { counts.len() };
    rows.extend(counts[..shown].iter().map(|class| row(&class.name, &|part| class.of(part))));
    if shown < counts.len() {
        let sum = |part| counts[shown..].iter().map(|class| class.of(part)).sum();
        rows.push(row(&format!("{} more classes", counts.len() - shown), &sum));
    }
    rows.push(row("all", &|part| counts.iter().map(|class| class.of(part)).sum()));
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
    let line = |row: &[String; 4]| {
        let padding = " ".repeat(widths[0] - row[0].width());
        let [_, training, validation, test] = widths;
        format!(
            "{}{padding}  {:>training$}  {:>validation$}  {:>test$}\n",
            row[0], row[1], row[2], row[3]
        )
    };
    rows.iter().map(line).collect()
}
