use std::borrow::Cow;
use std::collections::BTreeMap;

use kiln_store::{Status, versioned};
use serde::Serialize;

use crate::combination::{Combination, EpochValue, RunSummary};
use crate::comparison::Comparison;
use crate::error::Result;
use crate::statistics::Spread;
use crate::table::{Table, TableOptions};
use crate::verdict::{BaselineChoice, Verdict};

/// The version of the JSON that this build writes.
pub const COMPARISON_VERSION: u32 = 1;

/// The comparison as JSON, with everything in it: `format_version`, then
///
/// - `columns` (`key`, `label`): the settings that differ; `shared`: those that do not, by key
/// - `ranked_by`: `val_accuracy`, or `null` where no run has any
/// - `selected`, `baseline.combination`: indices of `combinations`; `baseline` also has `chosen` (`given` or `best`),
///   `comparisons` and `level`
/// - `combinations`: each with `settings` by key, `status`, the numbers as `mean`, `deviation` and `count`, the `verdict`
///   against the baseline, and its `runs` with all that is known of each
/// - `left_out` (`path`, `problem`) and `notes`
///
/// Numbers have as many digits as bring back the same `f64`; what is not there is `null`. The options sort the
/// combinations; columns and rows are not theirs to choose here.
///
/// # Errors
///
/// [`CompareError::Request`](crate::error::CompareError::Request) for a column that there is not.
pub fn json(comparison: &Comparison, options: &TableOptions) -> Result<String> {
    let options = TableOptions { sort: options.sort.clone(), ..TableOptions::default() };
    let table = Table::new(comparison, &options)?;
    let place = |index: usize| table.rows.iter().position(|row| row.index == index);
    let selected = comparison.selected_index().and_then(place);
    let baseline = comparison.baseline.and_then(|baseline| {
        Some(BaselineJson {
            combination: place(baseline.combination)?,
            chosen: match baseline.chosen {
                BaselineChoice::Given => "given",
                BaselineChoice::Best => "best",
            },
            comparisons: baseline.comparisons,
            level: baseline.level,
        })
    });
    let columns = comparison.columns.iter();
    let body = ComparisonJson {
        columns: columns
            .map(|column| ColumnJson { key: &column.key, label: &column.label })
            .collect(),
        shared: comparison
            .shared
            .iter()
            .map(|shared| (shared.column.key.as_str(), shared.value.as_str()))
            .collect(),
        ranked_by: comparison.is_ranked().then_some("val_accuracy"),
        selected,
        baseline,
        combinations: table
            .rows
            .iter()
            .map(|row| CombinationJson::new(comparison, row.combination))
            .collect(),
        left_out: comparison
            .left_out
            .iter()
            .map(|left_out| LeftOutJson {
                path: left_out.path.to_string_lossy(),
                problem: &left_out.problem,
            })
            .collect(),
        notes: &comparison.notes,
    };
    Ok(versioned::to_json(COMPARISON_VERSION, &body)?)
}

#[derive(Serialize)]
struct ComparisonJson<'a> {
    columns: Vec<ColumnJson<'a>>,
    shared: BTreeMap<&'a str, &'a str>,
    ranked_by: Option<&'static str>,
    selected: Option<usize>,
    baseline: Option<BaselineJson>,
    combinations: Vec<CombinationJson<'a>>,
    left_out: Vec<LeftOutJson<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct ColumnJson<'a> {
    key: &'a str,
    label: &'a str,
}

#[derive(Serialize)]
struct BaselineJson {
    combination: usize,
    chosen: &'static str,
    comparisons: usize,
    level: f64,
}

#[derive(Serialize)]
struct LeftOutJson<'a> {
    path: Cow<'a, str>,
    problem: &'a str,
}

#[derive(Serialize)]
struct CombinationJson<'a> {
    settings: BTreeMap<&'a str, Option<&'a str>>,
    status: String,
    best_epoch: Option<SpreadJson>,
    best_val_accuracy: Option<SpreadJson>,
    last_val_accuracy: Option<SpreadJson>,
    test_loss: Option<SpreadJson>,
    test_accuracy: Option<SpreadJson>,
    training_seconds: Option<SpreadJson>,
    verdict: Option<VerdictJson>,
    runs: Vec<RunJson<'a>>,
}

#[derive(Serialize)]
struct SpreadJson {
    mean: f64,
    deviation: Option<f64>,
    count: usize,
}

#[derive(Serialize)]
struct VerdictJson {
    outcome: &'static str,
    difference: f64,
    interval: Option<[f64; 2]>,
    p_value: f64,
    method: &'static str,
    accuracy: &'static str,
}

#[derive(Serialize)]
struct RunJson<'a> {
    directory: Cow<'a, str>,
    name: &'a str,
    id: &'a str,
    seed: u64,
    status: Status,
    stop_reason: Option<&'a str>,
    epochs: usize,
    best_val_accuracy: Option<EpochValueJson>,
    last_val_accuracy: Option<EpochValueJson>,
    test: Option<TestJson>,
    training_seconds: Option<f64>,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct EpochValueJson {
    epoch: usize,
    value: f64,
}

#[derive(Serialize)]
struct TestJson {
    loss: Option<f64>,
    accuracy: f64,
    examples: usize,
}

impl<'a> CombinationJson<'a> {
    fn new(comparison: &'a Comparison, combination: &'a Combination) -> Self {
        let settings = comparison.columns.iter().zip(&combination.settings);
        Self {
            settings: settings
                .map(|(column, value)| (column.key.as_str(), value.as_deref()))
                .collect(),
            status: combination.status(),
            best_epoch: combination.best_epoch().map(spread),
            best_val_accuracy: combination.best().map(spread),
            last_val_accuracy: combination.last().map(spread),
            test_loss: combination.test_loss().map(spread),
            test_accuracy: combination.test_accuracy().map(spread),
            training_seconds: combination.training_seconds().map(spread),
            verdict: combination.verdict.as_ref().map(verdict),
            runs: combination.runs.iter().map(RunJson::new).collect(),
        }
    }
}

impl<'a> RunJson<'a> {
    fn new(run: &'a RunSummary) -> Self {
        Self {
            directory: run.directory.path().to_string_lossy(),
            name: &run.name,
            id: &run.id,
            seed: run.seed,
            status: run.status,
            stop_reason: run.stop_reason.as_deref(),
            epochs: run.epochs,
            best_val_accuracy: run.best.map(epoch_value),
            last_val_accuracy: run.last.map(epoch_value),
            test: run.test.map(|test| TestJson {
                loss: test.loss,
                accuracy: test.accuracy,
                examples: test.examples,
            }),
            training_seconds: run.training_seconds,
            fingerprint: &run.fingerprint,
        }
    }
}

fn epoch_value(EpochValue { epoch, value }: EpochValue) -> EpochValueJson {
    EpochValueJson { epoch, value }
}

fn spread(Spread { mean, deviation, count }: Spread) -> SpreadJson {
    SpreadJson { mean, deviation, count }
}

fn verdict(verdict: &Verdict) -> VerdictJson {
    VerdictJson {
        outcome: verdict.outcome.as_str(),
        difference: verdict.difference,
        interval: verdict.interval.map(|(low, high)| [low, high]),
        p_value: verdict.p_value,
        method: verdict.method.as_str(),
        accuracy: verdict.accuracy.as_str(),
    }
}
