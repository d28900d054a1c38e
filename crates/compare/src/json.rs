use std::borrow::Cow;
use std::collections::BTreeMap;

use kiln_statistics::{Spread, Standing};
use kiln_store::{Optimism, Status, versioned};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use crate::answer::{Answer, MoreSeeds, NextStep};
use crate::column::Column;
use crate::columns::SOURCE;
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::effects::{Effect, EffectLevel};
use crate::error::Result;
use crate::measures::Measure;
use crate::metric::{AtEpoch, EpochValue};
use crate::ranking::{DEFAULT_METRIC, Ranking};
use crate::table::{ComparisonTable, Reader, TableOptions};
use crate::toml_text::typed;
use crate::verdict::Verdict;

/// The `format_version` that [`json`] writes.
pub const COMPARISON_VERSION: u32 = 2;

/// The comparison as JSON, with everything that Kiln knows: `format_version`, then
///
/// - `data` (`name`, `fingerprint`): the dataset of all runs
/// - `columns` (`key`, `label`): the settings that differ; `shared`: the other settings, by key
/// - `ranked_by` (`metric`, `at`, `better`, `heading`): what ranks, or `null` if no run has it
/// - `answer`: `level`, `judged`, `unjudged`, `possible_winners`, `worse`, `centered`, `resolution`, `sentence` and `more_seeds`;
///   `null` if fewer than two combinations could be judged
/// - `selected_test`: the test `accuracy` of the selected combination, with its `interval` over the choice of the `images`
/// - `selected`, `baseline.combination`: indices of `combinations`; `baseline` also has `comparisons` and `level`
/// - `combinations`: each with `settings` by key, `status`, the ranked `value`, `may_be_best`, `p_best`, `behind` (low,
///   high), `worse` and `p_worse`, the `verdict` against the baseline, its `runs`, and each measure by key; values over
///   runs have `mean`, `deviation` and `count`. A run has its `seed`, `id`, `path`, the ranked `value` and its `epoch`,
///   its `measures` by key, and the user's `tags` and `note`. `copies` are the paths of identical runs that do not count
/// - `optimism`: how much too high the ranked values are because each run's epoch was chosen by them, over runs
/// - `effects` (`setting`, `others`, `blocks`, `levels`) and `interactions` (`settings`, `f`, `freedom`, `p_value`): what each
///   setting of a grid does over all values of the others
/// - `other_data`: the same for the runs on each other dataset
/// - `next_step` (`sentence`, `command`): what would tell more about which combination is the best
/// - `left_out` (`path`, `problem`) and `notes`
///
/// Numbers have as many digits as the same `f64` needs, settings have their types, and missing values are `null`. The
/// options sort the combinations. They do not choose columns or rows: JSON has them all.
///
/// # Errors
///
/// [`CompareError::Request`](crate::error::CompareError::Request) if the column to sort by does not exist.
pub fn json(comparison: &Comparison, options: &TableOptions) -> Result<String> {
    Ok(versioned::to_json(COMPARISON_VERSION, &comparison_json(comparison, options)?)?)
}

fn comparison_json<'a>(
    comparison: &'a Comparison,
    options: &TableOptions,
) -> Result<ComparisonJson<'a>> {
    let options = TableOptions { sort: options.sort.clone(), ..TableOptions::default() };
    let table = ComparisonTable::new(comparison, &options, Reader::Program)?;
    let place = |index: usize| table.rows.iter().position(|row| row.index == index);
    let baseline = comparison.baseline.and_then(|baseline| {
        Some(BaselineJson {
            combination: place(baseline.combination)?,
            comparisons: baseline.comparisons,
            level: baseline.level,
        })
    });
    let others = comparison.other_data.iter();
    let others = others.map(|other| comparison_json(other, &options.known_to(other)));
    Ok(ComparisonJson {
        data: comparison
            .runs()
            .next()
            .map(|run| DataJson { name: &run.dataset, fingerprint: &run.fingerprint }),
        columns: comparison
            .columns
            .iter()
            .map(|column| ColumnJson { key: &column.key, label: &column.label })
            .collect(),
        shared: comparison
            .shared
            .iter()
            .map(|shared| (&*shared.column.key, setting(&shared.column.key, &shared.value)))
            .collect(),
        ranked_by: comparison.is_ranked().then(|| RankingJson::new(&comparison.ranking)),
        answer: comparison.answer.as_ref().map(AnswerJson::new),
        selected: comparison.selected_index().and_then(place),
        selected_test: comparison.selected_test().map(|test| SelectedTestJson {
            accuracy: test.accuracy,
            interval: [test.interval.0, test.interval.1],
            images: test.images,
        }),
        baseline,
        combinations: table
            .rows
            .iter()
            .map(|row| CombinationJson { comparison, combination: row.combination })
            .collect(),
        optimism: comparison.optimism().map(spread),
        effects: comparison
            .effects
            .settings
            .iter()
            .map(|effect| EffectJson::new(effect, &comparison.columns))
            .collect(),
        interactions: comparison
            .effects
            .interactions
            .iter()
            .map(|found| InteractionJson {
                settings: [found.columns.0, found.columns.1]
                    .map(|column| comparison.columns[column].key.as_str()),
                f: found.f,
                freedom: [found.freedom.0, found.freedom.1],
                p_value: found.p_value,
            })
            .collect(),
        next_step: comparison
            .next_step()
            .map(|NextStep { sentence, command }| NextStepJson { sentence, command }),
        other_data: others.collect::<Result<_>>()?,
        left_out: comparison
            .left_out
            .iter()
            .map(|left_out| LeftOutJson {
                path: left_out.path.to_string_lossy(),
                problem: &left_out.problem,
            })
            .collect(),
        notes: &comparison.notes,
    })
}

#[derive(Serialize)]
struct ComparisonJson<'a> {
    data: Option<DataJson<'a>>,
    columns: Vec<ColumnJson<'a>>,
    shared: BTreeMap<&'a str, Value>,
    ranked_by: Option<RankingJson<'a>>,
    answer: Option<AnswerJson<'a>>,
    selected: Option<usize>,
    selected_test: Option<SelectedTestJson>,
    baseline: Option<BaselineJson>,
    combinations: Vec<CombinationJson<'a>>,
    optimism: Option<SpreadJson>,
    effects: Vec<EffectJson<'a>>,
    interactions: Vec<InteractionJson<'a>>,
    next_step: Option<NextStepJson>,
    other_data: Vec<ComparisonJson<'a>>,
    left_out: Vec<LeftOutJson<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct DataJson<'a> {
    name: &'a str,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct ColumnJson<'a> {
    key: &'a str,
    label: &'a str,
}

#[derive(Serialize)]
struct RankingJson<'a> {
    metric: &'a str,
    at: &'static str,
    better: &'static str,
    heading: &'a str,
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    level: f64,
    judged: usize,
    unjudged: usize,
    possible_winners: usize,
    worse: usize,
    centered: bool,
    resolution: f64,
    sentence: String,
    more_seeds: Option<MoreSeedsJson<'a>>,
}

#[derive(Serialize)]
struct MoreSeedsJson<'a> {
    seeds: usize,
    difference: f64,
    new_seeds: &'a [u64],
    new_difference: f64,
    command: Option<&'a str>,
}

#[derive(Serialize)]
struct NextStepJson {
    sentence: String,
    command: Option<String>,
}

#[derive(Serialize)]
struct SelectedTestJson {
    accuracy: f64,
    interval: [f64; 2],
    images: usize,
}

#[derive(Serialize)]
struct EffectJson<'a> {
    setting: &'a str,
    others: usize,
    blocks: usize,
    levels: Vec<LevelJson>,
}

#[derive(Serialize)]
struct LevelJson {
    value: Value,
    mean: f64,
    may_be_best: bool,
    p_best: f64,
    behind: [f64; 2],
    worse: bool,
    p_worse: f64,
}

#[derive(Serialize)]
struct InteractionJson<'a> {
    settings: [&'a str; 2],
    f: f64,
    freedom: [f64; 2],
    p_value: f64,
}

#[derive(Serialize)]
struct BaselineJson {
    combination: usize,
    comparisons: usize,
    level: f64,
}

#[derive(Serialize)]
struct LeftOutJson<'a> {
    path: Cow<'a, str>,
    problem: &'a str,
}

struct CombinationJson<'a> {
    comparison: &'a Comparison,
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
    interval: [f64; 2],
    p_value: f64,
}

#[derive(Serialize)]
struct RunJson<'a> {
    seed: u64,
    id: &'a str,
    path: Cow<'a, str>,
    value: Option<f64>,
    epoch: Option<usize>,
    name: &'a str,
    status: Status,
    stop_reason: Option<&'a str>,
    epochs: usize,
    validation_rows: usize,
    validation_fingerprint: Option<&'a str>,
    optimism: Option<Optimism>,
    best_val_accuracy: Option<EpochValueJson>,
    last_val_accuracy: Option<EpochValueJson>,
    kept_val_accuracy: Option<EpochValueJson>,
    test: Option<TestJson>,
    training_seconds: Option<f64>,
    fingerprint: &'a str,
    measures: BTreeMap<&'a str, Option<f64>>,
    tags: Option<&'a [String]>,
    note: Option<&'a str>,
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
        let Self { comparison, combination } = self;
        let Combination { standing, verdict, runs, copies, .. } = combination;
        let measures = comparison.measures();
        let runs: Vec<RunJson<'_>> =
            runs.iter().map(|run| RunJson::new(run, &comparison.ranking, &measures)).collect();
        let copies: Vec<_> =
            copies.iter().map(|run| run.directory.path().to_string_lossy()).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("settings", &settings(&comparison.columns, combination))?;
        map.serialize_entry("status", &combination.status())?;
        map.serialize_entry("value", &comparison.ranking.of(combination).map(spread))?;
        let of = |value: fn(&Standing) -> bool| standing.as_ref().map(value);
        map.serialize_entry("may_be_best", &of(|standing| standing.may_be_best))?;
        map.serialize_entry("p_best", &standing.map(|standing| standing.p_best))?;
        let behind = standing.map(|standing| [standing.behind.0, standing.behind.1]);
        map.serialize_entry("behind", &behind)?;
        map.serialize_entry("worse", &of(|standing| standing.worse))?;
        map.serialize_entry("p_worse", &standing.map(|standing| standing.p_worse))?;
        map.serialize_entry("verdict", &verdict.as_ref().map(verdict_json))?;
        map.serialize_entry("runs", &runs)?;
        map.serialize_entry("copies", &copies)?;
        for measure in &measures {
            map.serialize_entry(measure.key, &measure.of(combination).map(spread))?;
        }
        map.end()
    }
}

fn settings<'a>(columns: &'a [Column], combination: &Combination) -> BTreeMap<&'a str, Value> {
    let typed = |(column, value): (&'a Column, &Option<String>)| {
        let value = value.as_deref().map_or(Value::Null, |value| setting(&column.key, value));
        (column.key.as_str(), value)
    };
    columns.iter().zip(&combination.settings).map(typed).collect()
}

/// A setting with its type. Only the name of the data is a string that may look like a number.
fn setting(key: &str, text: &str) -> Value {
    if key == SOURCE { text.into() } else { typed(text) }
}

impl<'a> EffectJson<'a> {
    fn new(effect: &Effect, columns: &'a [Column]) -> Self {
        let key = &columns[effect.column].key;
        let level = |level: &EffectLevel| LevelJson {
            value: level.value.as_deref().map_or(Value::Null, |value| setting(key, value)),
            mean: level.standing.mean,
            may_be_best: level.standing.may_be_best,
            p_best: level.standing.p_best,
            behind: [level.standing.behind.0, level.standing.behind.1],
            worse: level.standing.worse,
            p_worse: level.standing.p_worse,
        };
        Self {
            setting: key,
            others: effect.others,
            blocks: effect.blocks,
            levels: effect.levels.iter().map(level).collect(),
        }
    }
}

impl<'a> RankingJson<'a> {
    fn new(ranking: &'a Ranking) -> Self {
        Self {
            metric: ranking.metric(),
            at: ranking.at().as_str(),
            better: match ranking.better() {
                kiln_store::Direction::Higher => "higher",
                kiln_store::Direction::Lower => "lower",
            },
            heading: ranking.heading(),
        }
    }
}

impl<'a> AnswerJson<'a> {
    fn new(answer: &'a Answer) -> Self {
        let more_seeds = |more: &'a MoreSeeds| MoreSeedsJson {
            seeds: more.seeds,
            difference: more.difference,
            new_seeds: &more.new_seeds,
            new_difference: more.new_difference,
            command: more.command.as_deref(),
        };
        Self {
            level: answer.level,
            judged: answer.judged,
            unjudged: answer.unjudged,
            possible_winners: answer.possible_winners,
            worse: answer.worse,
            centered: answer.centered,
            resolution: answer.resolution,
            sentence: answer.sentence(),
            more_seeds: answer.more_seeds.as_ref().map(more_seeds),
        }
    }
}

impl<'a> RunJson<'a> {
    fn new(run: &'a RunSummary, ranking: &Ranking, measures: &[Measure<'a>]) -> Self {
        let ranked = run.metric(ranking.metric(), ranking.at());
        let val_accuracy = |at| run.metric(DEFAULT_METRIC, at).map(epoch_value);
        Self {
            seed: run.seed,
            id: &run.id,
            path: run.directory.path().to_string_lossy(),
            value: ranked.map(|ranked| ranked.value),
            epoch: ranked.map(|ranked| ranked.epoch),
            name: &run.name,
            status: run.status,
            stop_reason: run.stop_reason.as_deref(),
            epochs: run.epochs,
            validation_rows: run.validation_rows,
            validation_fingerprint: run.validation_fingerprint.as_deref(),
            optimism: run.optimism,
            best_val_accuracy: val_accuracy(AtEpoch::Best),
            last_val_accuracy: val_accuracy(AtEpoch::Last),
            kept_val_accuracy: val_accuracy(AtEpoch::Kept),
            test: run.test.map(|test| TestJson {
                loss: test.loss,
                accuracy: test.accuracy,
                examples: test.examples,
            }),
            training_seconds: run.training_seconds,
            fingerprint: &run.fingerprint,
            measures: measures.iter().map(|measure| (measure.key, measure.of_run(run))).collect(),
            tags: run.annotations.as_ref().map(|annotations| annotations.tags.as_slice()),
            note: run.note(),
        }
    }
}

fn epoch_value(EpochValue { epoch, value }: EpochValue) -> EpochValueJson {
    EpochValueJson { epoch, value }
}

fn spread(Spread { mean, deviation, count }: Spread) -> SpreadJson {
    SpreadJson { mean, deviation, count }
}

fn verdict_json(verdict: &Verdict) -> VerdictJson {
    VerdictJson {
        outcome: verdict.outcome.as_str(),
        difference: verdict.difference,
        interval: [verdict.interval.0, verdict.interval.1],
        p_value: verdict.p_value,
    }
}
