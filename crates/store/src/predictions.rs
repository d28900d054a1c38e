//! `predictions.csv`: one row per test image, in test-set order.
//!
//! ```text
//! index,label,predicted,probability,T-shirt/top,Trouser,…
//! 0,9,9,0.9612,1.2e-6,3.1e-8,…
//! ```
//!
//! `label` and `predicted` are class indices from 0; `probability` is that of the predicted class. Every class has a
//! further column under its name, in the order of the indices. Read these columns by position, because a class may be
//! called "label". Numbers have as many digits as needed to restore the same `f32`.
//!
//! With more than 256 classes, the file has the five most probable classes and the probability of the true class:
//!
//! ```text
//! index,label,predicted,top1_class,top1_probability,…,top5_class,top5_probability,label_probability
//! 0,712,712,712,0.9612,41,0.0123,…,0.9612
//! ```
//!
//! Their names are in `report.json`: `per_class`, in the order of the indices.

use std::path::Path;

use crate::error::{Result, StoreError};
use crate::files;
use crate::test_report::MAX_MATRIX_CLASSES;
use crate::tested::{PROBABILITIES, Prediction, Tested};

/// The maximum size of the file: about four million test images with ten classes, or 200,000 with 256.
pub(crate) const MAX_BYTES: u64 = 512 << 20;

const COLUMNS: [&str; 4] = ["index", "label", "predicted", "probability"];

/// The number of classes per image in the file of many classes.
pub const TOP: usize = 5;

const TOP_COLUMNS: [&str; 3 + 2 * TOP + 1] = [
    "index",
    "label",
    "predicted",
    "top1_class",
    "top1_probability",
    "top2_class",
    "top2_probability",
    "top3_class",
    "top3_probability",
    "top4_class",
    "top4_probability",
    "top5_class",
    "top5_probability",
    "label_probability",
];

/// Writes the file.
///
/// # Errors
///
/// [`StoreError::Inconsistent`] as [`Tested::check`], [`StoreError::Io`] if it cannot be written.
pub fn write(path: &Path, tested: &Tested<'_>) -> Result<()> {
    tested.check()?;
    let text = to_csv(tested)
        .map_err(|error| StoreError::Inconsistent(format!("predictions: {error}")))?;
    files::write(path, text)
}

fn to_csv(tested: &Tested<'_>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if tested.class_names.len() > MAX_MATRIX_CLASSES {
        writer.write_record(TOP_COLUMNS)?;
        for prediction in tested.predictions() {
            let Prediction { index, label, predicted, .. } = prediction;
            let top = TopClasses::of(&prediction);
            let places = [index, label, predicted].map(|place| place.to_string());
            let classes = top.classes.iter().zip(top.probabilities);
            let classes =
                classes.flat_map(|(class, probability)| [class.to_string(), shortest(probability)]);
            let label_probability = shortest(top.label_probability);
            writer.write_record(places.into_iter().chain(classes).chain([label_probability]))?;
        }
        return writer.into_inner().map_err(|error| error.into_error().into());
    }
    writer
        .write_record(COLUMNS.into_iter().chain(tested.class_names.iter().map(String::as_str)))?;
    for prediction in tested.predictions() {
        let Prediction { index, label, predicted, probabilities } = prediction;
        let places = [index, label, predicted].map(|place| place.to_string());
        let probabilities =
            std::iter::once(prediction.probability()).chain(probabilities.iter().copied());
        writer.write_record(places.into_iter().chain(probabilities.map(shortest)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// `{:?}` is the shortest decimal that restores the same f32, with an exponent if that is shorter.
fn shortest(value: f32) -> String {
    format!("{value:?}")
}

/// The content of `predictions.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The class names, by index. Empty if there are more than 256 classes: then only `report.json` has the names.
    pub class_names: Vec<String>,
    /// The true class of each image.
    pub labels: Vec<u16>,
    /// The predicted class of each image.
    pub predicted: Vec<u16>,
    /// `[images, classes]`, row-major. Empty if there are more than 256 classes.
    pub probabilities: Vec<f32>,
    /// The most probable classes of each image. Empty unless there are more than 256 classes.
    pub top: Vec<TopClasses>,
}

/// The most probable classes of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopClasses {
    /// By descending probability, the predicted class first.
    pub classes: [u16; TOP],
    /// The probability of each of them.
    pub probabilities: [f32; TOP],
    /// The probability of the true class.
    pub label_probability: f32,
}

impl TopClasses {
    /// Those of a prediction with at least [`TOP`] classes.
    fn of(prediction: &Prediction<'_>) -> Self {
        let Prediction { label, predicted, probabilities, .. } = *prediction;
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        // Rounding makes probabilities equal, so the predicted class may not be the only one with the highest.
        let before = |a: &usize, b: &usize| {
            let descending = probabilities[*b].total_cmp(&probabilities[*a]);
            descending.then((*a != predicted).cmp(&(*b != predicted))).then(a.cmp(b))
        };
        if order.len() > TOP {
            order.select_nth_unstable_by(TOP - 1, before);
            order.truncate(TOP);
        }
        order.sort_by(before);
        let place = |place: usize| order.get(place).copied().unwrap_or_default();
        Self {
            classes: std::array::from_fn(|at| u16::try_from(place(at)).unwrap_or(u16::MAX)),
            probabilities: std::array::from_fn(|at| probabilities[place(at)]),
            label_probability: probabilities[label],
        }
    }
}

impl Predictions {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] or [`StoreError::Unreadable`] if it cannot be read, and those of [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &files::read(path, MAX_BYTES)?)
    }

    /// Reads the text of a `predictions.csv`; `path` is used in messages.
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`] with the line if it is not what [`write`](fn@write) writes.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| malformed(path, &error))?;
        let class_names = class_names(path, header)?;
        let mut read = Self {
            class_names: class_names.clone().unwrap_or_default(),
            labels: vec![],
            predicted: vec![],
            probabilities: vec![],
            top: vec![],
        };
        for record in reader.records() {
            let record = record.map_err(|error| malformed(path, &error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let pushed = match class_names {
                Some(_) => read.push(&record),
                None => read.push_top(&record),
            };
            pushed.map_err(|problem| StoreError::malformed(path, line, problem))?;
        }
        Ok(read)
    }

    /// Adds one row. The CSV reader has checked that it has as many cells as the header.
    fn push(&mut self, record: &csv::StringRecord) -> Result<(), String> {
        let next = self.labels.len();
        if record[0].parse() != Ok(next) {
            return Err(format!("index `{}` where {next} comes next", &record[0]));
        }
        self.labels.push(self.class(&record[1])?);
        self.predicted.push(self.class(&record[2])?);
        // Only checked: it is also the probability of the predicted class.
        probability(&record[3])?;
        for cell in record.iter().skip(COLUMNS.len()) {
            self.probabilities.push(probability(cell)?);
        }
        Ok(())
    }

    /// Like [`push`](Self::push), for a row with the most probable classes.
    fn push_top(&mut self, record: &csv::StringRecord) -> Result<(), String> {
        let next = self.labels.len();
        if record[0].parse() != Ok(next) {
            return Err(format!("index `{}` where {next} comes next", &record[0]));
        }
        let class = |cell: &str| cell.parse().map_err(|_| format!("`{cell}` is not a class"));
        let (label, predicted) = (class(&record[1])?, class(&record[2])?);
        let mut top = TopClasses {
            classes: [0; TOP],
            probabilities: [0.0; TOP],
            label_probability: probability(&record[TOP_COLUMNS.len() - 1])?,
        };
        for at in 0..TOP {
            top.classes[at] = class(&record[3 + 2 * at])?;
            top.probabilities[at] = probability(&record[4 + 2 * at])?;
        }
        if top.classes[0] != predicted {
            return Err(format!(
                "class {} is above the predicted one, {predicted}",
                top.classes[0]
            ));
        }
        if !top.probabilities.is_sorted_by(|a, b| a >= b) {
            return Err("the probabilities are not in descending order".to_owned());
        }
        self.labels.push(label);
        self.predicted.push(predicted);
        self.top.push(top);
        Ok(())
    }

    fn class(&self, cell: &str) -> Result<u16, String> {
        match cell.parse::<u16>() {
            Ok(class) if usize::from(class) < self.class_names.len() => Ok(class),
            _ => Err(format!(
                "`{cell}` is not the index of one of the {} classes",
                self.class_names.len()
            )),
        }
    }
}

/// The class names: the columns after the first four. `None` for a file with the most probable classes.
pub(crate) fn class_names(path: &Path, header: &csv::StringRecord) -> Result<Option<Vec<String>>> {
    if header.iter().eq(TOP_COLUMNS) {
        return Ok(None);
    }
    if !header.iter().take(COLUMNS.len()).eq(COLUMNS) {
        let problem = format!("predictions must begin with the columns `{}`", COLUMNS.join(","));
        return Err(StoreError::malformed(path, 1, problem));
    }
    let names: Vec<String> = header.iter().skip(COLUMNS.len()).map(str::to_owned).collect();
    if names.len() > MAX_MATRIX_CLASSES {
        let problem =
            format!("{} classes; at most {MAX_MATRIX_CLASSES} are supported", names.len());
        return Err(StoreError::malformed(path, 1, problem));
    }
    Ok(Some(names))
}

fn probability(cell: &str) -> Result<f32, String> {
    match cell.parse() {
        Ok(value) if PROBABILITIES.contains(&value) => Ok(value),
        _ => Err(format!("`{cell}` is not a probability")),
    }
}

fn malformed(path: &Path, error: &csv::Error) -> StoreError {
    let line = error.position().map_or(1, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells, but the header has {expected_len}")
        }
        _ => error.to_string(),
    };
    StoreError::malformed(path, line, problem)
}
