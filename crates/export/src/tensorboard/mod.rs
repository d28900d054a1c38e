//! Event files for TensorBoard: <https://www.tensorflow.org/tensorboard>.
//!
//! Each run has a directory with one file: the columns of its history by epoch, its hyperparameters and their results, the
//! confusion matrix, and the pictures of the run. The file in the directory above declares the hyperparameters, which are
//! the settings that differ between the runs. A repeated export replaces the files, so that no step is there twice.
//! [`LiveLog`] writes the same events while a run trains.

mod live;
mod messages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_compare::{AtEpoch, Combination, Comparison, RunSummary};
use kiln_config::read_bytes;
use kiln_report::confusion_picture;
use kiln_store::{EpochRow, RunRecord, Skipped, Status, files};
use prost::Message;

use crate::ExportError;
use messages::{
    Content, Dimension, Event, Experiment, Hyperparameters, Image, Kind, Metadata, MetricInfo,
    MetricName, Part, Plugin, SessionEnd, SessionStart, SessionStatus, SettingInfo, SettingType,
    SettingValue, Summary, Tensor, TensorShape, Value, What,
};

pub use live::LiveLog;

/// The name of each file. TensorBoard reads files with `tfevents` in their names. It is always the same, so that an export
/// replaces an earlier one.
const FILE: &str = "events.out.tfevents.0.kiln";
/// The plugin of TensorBoard for hyperparameters.
const PLUGIN: &str = "hparams";
/// The numbers of the table of hyperparameters, and where a run has them: a metric of its history, or its test.
const AT: [AtEpoch; 2] = [AtEpoch::Kept, AtEpoch::Best];
const METRICS: [&str; 2] = ["val_accuracy", "val_loss"];

/// The pictures of a run.
const MISTAKES: &str = "mistakes.png";
const FILTERS: &str = "filters.png";

/// Pictures of runs have some hundred kilobytes.
const MAX_PICTURE_BYTES: u64 = 16 << 20;

/// The result of an export.
pub struct Written {
    /// The number of runs.
    pub runs: usize,
    /// The directories that were skipped because they cannot be read.
    pub left_out: Vec<Skipped>,
}

/// Writes event files for all runs below `paths` to a directory.
///
/// # Errors
///
/// A path leads to no run, or a file cannot be read or written.
pub fn write(paths: &[impl AsRef<Path>], directory: &Path) -> Result<Written, ExportError> {
    let mut comparison = Comparison::ranked(paths)?;
    let others = std::mem::take(&mut comparison.other_data);
    let mut runs = 0;
    let mut left_out = std::mem::take(&mut comparison.left_out);
    let several = !others.is_empty();
    for comparison in std::iter::once(comparison).chain(others) {
        // Runs on different data have no common table.
        let directory = match comparison.runs().next() {
            Some(run) if several => directory.join(name_of_data(run)),
            _ => directory.to_owned(),
        };
        let settings = Settings::of(&comparison);
        write_file(&directory, &settings.experiment())?;
        for combination in &comparison.combinations {
            for run in &combination.runs {
                match events(run, combination, &settings) {
                    Ok(events) => {
                        write_file(&directory.join(&run.name).join(&run.id), &events)?;
                        runs += 1;
                    }
                    // A run that is removed or damaged meanwhile does not stop the others.
                    Err(error) => {
                        let path: PathBuf = run.directory.path().into();
                        left_out.push(Skipped { path, problem: error.to_string() });
                    }
                }
            }
        }
    }
    Ok(Written { runs, left_out })
}

/// A directory for the runs on a dataset: its name and the beginning of its fingerprint.
fn name_of_data(run: &RunSummary) -> String {
    let fingerprint: String = run.fingerprint.chars().take(8).collect();
    let name = run.dataset.replace(['/', '\\'], "_");
    format!("{name}-{fingerprint}")
}

fn write_file(directory: &Path, events: &[Event]) -> Result<(), ExportError> {
    files::create_directories(directory)?;
    Ok(files::write(&directory.join(FILE), encode(events))?)
}

/// An event file: a record for each event.
fn encode(events: &[Event]) -> Vec<u8> {
    let version = What::FileVersion("brain.Event:2".to_owned());
    let wall_time = events.first().map_or(0.0, |event| event.wall_time);
    let first = Event { wall_time, step: 0, what: Some(version) };
    std::iter::once(&first).chain(events).flat_map(record).collect()
}

/// A record of the TFRecord format: the length, its checksum, the content, its checksum.
fn record(event: &Event) -> Vec<u8> {
    let content = event.encode_to_vec();
    let length = (content.len() as u64).to_le_bytes();
    let (first, second) = (masked_checksum(&length), masked_checksum(&content));
    [&length[..], &first[..], &content[..], &second[..]].concat()
}

/// CRC-32C, rotated and shifted by a constant, as the format requires.
fn masked_checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// The hyperparameters of a comparison.
struct Settings {
    /// The labels of the settings that differ, and the type of their values.
    columns: Vec<(String, SettingType)>,
}

impl Settings {
    fn of(comparison: &Comparison) -> Self {
        let columns = comparison.columns.iter().enumerate().map(|(index, column)| {
            let values: Vec<&str> = comparison
                .combinations
                .iter()
                .filter_map(|combination| combination.settings.get(index)?.as_deref())
                .collect();
            let all = |test: fn(&str) -> bool| values.iter().all(|value| test(value));
            let kind = if all(|value| value.parse::<f64>().is_ok()) {
                SettingType::Number
            } else if all(|value| value.parse::<bool>().is_ok()) {
                SettingType::Bool
            } else {
                SettingType::Text
            };
            (column.label.clone(), kind)
        });
        Self { columns: columns.collect() }
    }

    fn experiment(&self) -> Vec<Event> {
        let settings = self
            .columns
            .iter()
            .map(|(name, kind)| SettingInfo { name: name.clone(), r#type: (*kind).into() });
        let metric = |tag: String| MetricInfo { name: Some(MetricName { tag }) };
        let history = METRICS.iter().flat_map(|name| AT.map(|at| metric(tag_of(at, name))));
        let test = ["test/accuracy", "test/loss"].map(|tag| metric(tag.to_owned()));
        let experiment =
            Experiment { settings: settings.collect(), metrics: history.chain(test).collect() };
        vec![plugin_event("experiment", Part::Experiment(experiment), 0.0)]
    }

    /// The values of a combination.
    fn values(&self, combination: &Combination) -> BTreeMap<String, SettingValue> {
        let values = self.columns.iter().zip(&combination.settings);
        let value = |(name, kind): &(String, SettingType), value: &str| {
            let kind = match kind {
                SettingType::Number => Kind::Number(value.parse().ok()?),
                SettingType::Bool => Kind::Bool(value.parse().ok()?),
                SettingType::Text | SettingType::Unset => Kind::Text(value.to_owned()),
            };
            Some((name.clone(), SettingValue { kind: Some(kind) }))
        };
        values.filter_map(|(column, text)| value(column, text.as_deref()?)).collect()
    }
}

fn tag_of(at: AtEpoch, name: &str) -> String {
    format!("{}/{name}", at.as_str())
}

/// All events of a run, in the order of time.
fn events(
    run: &RunSummary,
    combination: &Combination,
    settings: &Settings,
) -> Result<Vec<Event>, ExportError> {
    let record = run.directory.read_record()?;
    run.directory.check(&record, &["history.csv", "report.json", MISTAKES, FILTERS])?;
    let start = seconds(record.started);
    let group = combination.runs.first().map(|run| format!("{}/{}", run.name, run.id));
    let session = SessionStart {
        settings: settings.values(combination),
        group: group.unwrap_or_default(),
        start,
    };
    let mut events = vec![plugin_event("session_start_info", Part::Start(session), start)];
    let mut time = start;
    events.extend(epoch_events(&run.directory.read_history()?.rows, &mut time));
    let end = record.ended.map_or(time, seconds);
    events.extend(result_events(run, &record, end)?);
    events.extend(session_end(&record, end));
    Ok(events)
}

/// The columns of the history, by epoch. `time` is when the first epoch began, and then when the last one ended.
fn epoch_events(rows: &[EpochRow], time: &mut f64) -> Vec<Event> {
    let of_row = |row: &EpochRow| {
        *time += row.seconds;
        event(*time, row.epoch, scalars(row))
    };
    rows.iter().map(of_row).collect()
}

/// The kept and the best values of a run, its test and its pictures.
fn result_events(
    run: &RunSummary,
    record: &RunRecord,
    end: f64,
) -> Result<Vec<Event>, ExportError> {
    let mut results = Vec::new();
    for metric in METRICS {
        for at in AT {
            if let Some(value) = run.metric(metric, at) {
                results.push((value.epoch, scalar(tag_of(at, metric), value.value)));
            }
        }
    }
    let report = run.directory.read_report()?.filter(|_| record.status == Status::Finished);
    if let Some(report) = &report {
        results.push((report.epoch, scalar("test/accuracy".to_owned(), report.accuracy)));
        if let Some(loss) = report.loss {
            results.push((report.epoch, scalar("test/loss".to_owned(), loss)));
        }
    }
    let results = results.into_iter().map(|(epoch, value)| event(end, epoch, vec![value]));
    let mut events: Vec<Event> = results.collect();
    if let Some(report) = &report {
        let mut pictures = Vec::new();
        if !report.confusion.is_empty() {
            let names = report.per_class.iter().map(|class| class.class.clone());
            let picture = confusion_picture(&names.collect::<Vec<_>>(), &report.confusion)?;
            pictures.extend(image("test/confusion", picture));
        }
        for (tag, file) in [("test/mistakes", MISTAKES), ("weights/filters", FILTERS)] {
            let path = run.directory.path().join(file);
            if files::exists(&path)? {
                let unreadable = |cause: kiln_config::Unreadable| ExportError::Picture {
                    path: path.display().to_string(),
                    cause: cause.to_string(),
                };
                let picture = read_bytes(&path, MAX_PICTURE_BYTES).map_err(unreadable)?;
                pictures.extend(image(tag, picture));
            }
        }
        events.extend(pictures.into_iter().map(|value| event(end, report.epoch, vec![value])));
    }
    Ok(events)
}

/// The event for the end of a run; `None` for a run that is training or can be resumed.
fn session_end(record: &RunRecord, end: f64) -> Option<Event> {
    let status = match record.status {
        Status::Running | Status::Interrupted => return None,
        Status::Finished | Status::Pruned => SessionStatus::Success,
        Status::Failed | Status::Diverged => SessionStatus::Failure,
    };
    let part = Part::End(SessionEnd { status: status.into(), end });
    Some(plugin_event("session_end_info", part, end))
}

/// The columns of an epoch that have a value.
fn scalars(row: &EpochRow) -> Vec<Value> {
    let metrics = row.metrics.iter().map(|(name, value)| (&**name, *value));
    let others = [("learning_rate", row.learning_rate), ("seconds", row.seconds)];
    let finite = metrics.chain(others).filter(|(_, value)| value.is_finite());
    finite.map(|(name, value)| scalar(name.to_owned(), value)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the scalars of TensorBoard are f32")]
fn scalar(tag: String, value: f64) -> Value {
    Value { tag, metadata: None, content: Some(Content::Scalar(value as f32)) }
}

/// A PNG picture; `None` if it is not one.
fn image(tag: &str, encoded: Vec<u8>) -> Option<Value> {
    // The header of a PNG file: eight bytes, then the chunk IHDR with the width and the height.
    let number = |at: usize| {
        let bytes = encoded.get(at..at + 4)?.try_into().ok()?;
        i32::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let (width, height) = (number(16)?, number(20)?);
    let content = Some(Content::Image(Image { height, width, colorspace: 3, encoded }));
    Some(Value { tag: tag.to_owned(), metadata: None, content })
}

fn event(wall_time: f64, step: usize, value: Vec<Value>) -> Event {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    Event { wall_time, step, what: Some(What::Summary(Summary { value })) }
}

/// A value of the plugin for hyperparameters: metadata without numbers.
fn plugin_event(name: &str, part: Part, wall_time: f64) -> Event {
    let content = Hyperparameters { part: Some(part) }.encode_to_vec();
    let plugin = Some(Plugin { name: PLUGIN.to_owned(), content });
    let shape = Some(TensorShape { dim: vec![Dimension { size: 0 }] });
    let value = Value {
        tag: format!("_hparams_/{name}"),
        metadata: Some(Metadata { plugin }),
        content: Some(Content::Tensor(Tensor { dtype: 1, shape })),
    };
    event(wall_time, 0, vec![value])
}

fn seconds(time: kiln_store::Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
