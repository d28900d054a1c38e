use std::borrow::Cow;
use std::collections::BTreeMap;

use kiln_store::{Status, versioned};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::column::Column;
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::error::Result;
use crate::measures::{MEASURES, Measure, Shown};
use crate::metric::{AtEpoch, EpochValue};
use crate::ranking::DEFAULT_METRIC;
use crate::table::{ComparisonTable, TableOptions};
use crate::verdict::{BaselineChoice, Verdict};
use kiln_statistics::Spread;

/// The `format_version` that [`json`] writes.
pub const COMPARISON_VERSION: u32 = 1;

/// The comparison as JSON, with everything that Kiln knows: `format_version`, then
///
/// - `columns` (`key`, `label`): the settings that differ; `shared`: the other settings, by key
/// - `ranked_by`: the metric that ranks, or `null` if no run has it
/// - `selected`, `baseline.combination`: indices of `combinations`; `baseline` also has `chosen` (`given` or `best`),
///   `comparisons` and `level`
/// - `combinations`: each with `settings` by key, `status`, each measure by key as `mean`, `deviation` and `count`, the
///   `verdict` against the baseline, and its `runs`; a run has its `measures` by key
/// - `left_out` (`path`, `problem`) and `notes`
///
/// Numbers have as many digits as the same `f64` needs; missing values are `null`. The options sort the combinations.
/// They do not choose columns or rows: JSON has them all.
///
/// # Errors
///
/// [`CompareError::Request`](crate::error::CompareError::Request) if the column to sort by does not exist.
pub fn json(comparison: &Comparison, options: &TableOptions) -> Result<String> {
    let options = TableOptions { sort: options.sort.clone(), ..TableOptions::default() };
    let table = ComparisonTable::new(comparison, &options)?;
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
        ranked_by: comparison.is_ranked().then_some(&*comparison.ranking.metric),
        selected,
        baseline,
        combinations: table
            .rows
            .iter()
            .map(|row| CombinationJson {
                columns: &comparison.columns,
                combination: row.combination,
            })
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
    ranked_by: Option<&'a str>,
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

struct CombinationJson<'a> {
    columns: &'a [Column],
    combination: &'a Combination,
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
    measures: BTreeMap<&'static str, Option<f64>>,
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

// Written by hand, because the measures are keys of the same object as the fields.
impl Serialize for CombinationJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { columns, combination } = self;
        let values = combination.settings.iter().map(Option::as_deref);
        let settings: BTreeMap<&str, Option<&str>> =
            columns.iter().map(|column| column.key.as_str()).zip(values).collect();
        let runs: Vec<RunJson<'_>> = combination.runs.iter().map(RunJson::new).collect();
        let measured = |measure: &Measure| measure.of(combination).map(spread);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("settings", &settings)?;
        map.serialize_entry("status", &combination.status())?;
        for measure in MEASURES.iter().filter(|measure| measure.shown == Shown::Always) {
            map.serialize_entry(measure.key, &measured(measure))?;
        }
        map.serialize_entry("verdict", &combination.verdict.as_ref().map(verdict))?;
        map.serialize_entry("runs", &runs)?;
        // In the order of the columns of a table; see `Shown::IfDifferent`.
        for measure in MEASURES.iter().filter(|measure| measure.shown != Shown::Always) {
            map.serialize_entry(measure.key, &measured(measure))?;
        }
        map.end()
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
            best_val_accuracy: run.metric(DEFAULT_METRIC, AtEpoch::Best).map(epoch_value),
            last_val_accuracy: run.metric(DEFAULT_METRIC, AtEpoch::Last).map(epoch_value),
            test: run.test.map(|test| TestJson {
                loss: test.loss,
                accuracy: test.accuracy,
                examples: test.examples,
            }),
            training_seconds: run.training_seconds,
            fingerprint: &run.fingerprint,
            measures: MEASURES.iter().map(|it| (it.key, (it.of_run)(run))).collect(),
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
