use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use kiln_data::{
    DataConfig, DataError, Fitting, Hint, ReadImage, Resize, picture_files, read_image_as,
    read_unlabeled,
};
use kiln_store::space::Removable;
use kiln_store::{RunDirectory, Status, printable, quoted};
use kiln_train::{Classification, Predictor};
use serde::Serialize;

use crate::failure::Advised;
use crate::named_run::{self, RUN_HELP};
use crate::options::GlobalOptions;
use crate::output::{error, print, status, with_causes};

/// Images are classified when this many were read, so that a large directory does not fill the memory.
const CHUNK: usize = 256;

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    #[arg(value_name = "RUN", help = RUN_HELP)]
    run: PathBuf,
    /// Image files, directories of them, patterns such as 'photos/*.jpg', or CSV tables of pixels
    ///
    /// PNG, JPEG, WebP, BMP, GIF (the first frame) and TIFF are recognized by their content. A file that ends in .csv or
    /// .csv.gz is a table with the pixels of an image in each row, such as test.csv of a competition.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The number of classes to show for each image
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Print one JSON document with the probabilities of all classes
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print a CSV table with the probabilities of all classes
    #[arg(long)]
    csv: bool,
    /// Invert the images: for black drawings on white if the training images are white on black
    #[arg(long)]
    invert: bool,
    /// How to bring images to the size of the network [default: as in the training]
    #[arg(long, value_name = "HOW", value_parser = resize_parser())]
    resize: Option<Resize>,
}

fn resize_parser() -> impl TypedValueParser<Value = Resize> {
    let of = |text: String| Resize::ALL.iter().copied().find(|resize| resize.as_str() == text);
    PossibleValuesParser::new(Resize::ALL.iter().map(|resize| resize.as_str()))
        .try_map(move |text| of(text).ok_or("unknown"))
}

pub(crate) fn predict(
    options: &GlobalOptions,
    arguments: &PredictArguments,
) -> anyhow::Result<ExitCode> {
    let run = named_run::open(options, &arguments.run)?;
    check_has_weights(&run)?;
    let predictor = Predictor::open(&run)?;
    let (files, mut failures) = find_images(&arguments.paths);
    for failure in &failures {
        error(&failure.message);
    }
    let fitting = Fitting {
        shape: predictor.image_shape(),
        resize: arguments.resize.unwrap_or(predictor.resize()),
        background: predictor.background(),
    };
    let table = DataConfig { resize: fitting.resize, ..predictor.reading_of_table() };
    let mut output = Output::new(arguments, &predictor, &run)?;
    let mut inputs = Vec::new();
    for path in &files {
        let read = if is_table(path) {
            read_table(path, &table)
        } else {
            read_image_as(path, &fitting)
                .map(|image| vec![Input::of(path, image, arguments.invert)])
        };
        match read {
            Ok(read) => inputs.extend(read),
            Err(problem) => {
                // The other images can still be classified.
                let message = with_causes(&problem);
                error(&message);
                failures.push(Failure { file: path.clone(), message });
            }
        }
        if inputs.len() >= CHUNK {
            classify(std::mem::take(&mut inputs), options.quiet, arguments.invert, &mut output)?;
        }
    }
    classify(inputs, options.quiet, arguments.invert, &mut output)?;
    let failed = !failures.is_empty();
    output.finish(failures)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An image for the network.
struct Input {
    /// The file, or the table and the number of the row.
    name: PathBuf,
    /// Notes for the user about the image, as sentences without a final full stop.
    notes: Vec<String>,
    /// `[channels, height, width]`
    pixels: Vec<u8>,
}

impl Input {
    fn of(path: &Path, image: ReadImage, invert: bool) -> Self {
        let adjustments = image.adjustments.iter().map(ToString::to_string);
        // The background was light before the image was inverted, which is what the user does about it.
        let hints = image.hints.iter().filter(|hint| !invert || **hint != Hint::LightBackground);
        let notes = adjustments.chain(hints.map(ToString::to_string)).collect();
        Self { name: path.to_owned(), notes, pixels: image.pixels }
    }
}

fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.ends_with(".csv") || name.ends_with(".csv.gz")
}

/// The images of a table of pixels. Rows count from 0.
fn read_table(path: &Path, config: &DataConfig) -> Result<Vec<Input>, DataError> {
    let images = read_unlabeled(path, config)?;
    let rows = images.pixels.chunks_exact(images.shape.values()).enumerate();
    let input = |(row, pixels): (usize, &[u8])| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{row}"));
        Input { name: name.into(), notes: Vec::new(), pixels: pixels.to_vec() }
    };
    Ok(rows.map(input).collect())
}

/// Classifies images and prints the results.
fn classify(
    mut inputs: Vec<Input>,
    quiet: bool,
    invert: bool,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let mut pixels: Vec<Vec<u8>> =
        inputs.iter_mut().map(|input| std::mem::take(&mut input.pixels)).collect();
    if invert {
        pixels.iter_mut().flatten().for_each(|pixel| *pixel = 255 - *pixel);
    }
    let classified = output.predictor().classify(&pixels)?;
    for (Input { name, notes, .. }, classification) in inputs.into_iter().zip(classified) {
        if !quiet {
            notes.iter().for_each(|note| status(format_args!("{}: {note}", shown(&name))));
        }
        output.add(&name, notes, classification)?;
    }
    Ok(())
}

/// An image that cannot be classified.
#[derive(Debug, Serialize)]
struct Failure {
    file: PathBuf,
    #[serde(rename = "error")]
    message: String,
}

/// The image files that the paths name, each once, in their order, and the paths that name none.
fn find_images(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<Failure>) {
    let (mut files, mut failures) = (Vec::new(), Vec::new());
    for path in paths {
        let found = if path.is_dir() {
            picture_files(path).map_err(|problem| with_causes(&problem))
        } else if path.exists() || !is_pattern(path) {
            // If a file is missing, reading it is the error.
            Ok(vec![path.clone()])
        } else {
            matches(path)
        };
        match found {
            Ok(found) if found.is_empty() => {
                let message = format!("{}: no image was found", shown(path));
                failures.push(Failure { file: path.clone(), message });
            }
            Ok(found) => files.extend(found),
            Err(message) => failures.push(Failure { file: path.clone(), message }),
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|path| seen.insert(path.clone()));
    (files, failures)
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// The files that a pattern matches. Directories that it matches are skipped.
fn matches(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let text = pattern.to_string_lossy();
    // As in a shell, `*` does not match hidden names.
    let options =
        glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let wrong = |problem: &str| format!("{}: {problem}", shown(pattern));
    let found = glob::glob_with(&text, options).map_err(|error| wrong(error.msg))?;
    let mut files = Vec::new();
    for entry in found {
        let path = entry.map_err(|error| wrong(&error.to_string()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Prints classifications in the requested form.
enum Output<'a> {
    /// A line for each image.
    Text { predictor: &'a Predictor, top: usize },
    /// A row for each image, written as soon as it is known.
    Csv { predictor: &'a Predictor, writer: Box<csv::Writer<std::io::Stdout>> },
    /// One document.
    Json { predictor: &'a Predictor, document: Document },
}

#[derive(Serialize)]
struct Document {
    format_version: u32,
    run: PathBuf,
    class_names: Vec<String>,
    images: Vec<ClassifiedImage>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct ClassifiedImage {
    file: PathBuf,
    predicted: String,
    probability: f32,
    /// In the order of `class_names`.
    probabilities: Vec<f32>,
    notes: Vec<String>,
}

impl<'a> Output<'a> {
    fn new(
        arguments: &PredictArguments,
        predictor: &'a Predictor,
        run: &RunDirectory,
    ) -> anyhow::Result<Self> {
        if arguments.json {
            let document = Document {
                format_version: 1,
                run: run.path().to_owned(),
                class_names: predictor.class_names().to_vec(),
                images: Vec::new(),
                failures: Vec::new(),
            };
            return Ok(Self::Json { predictor, document });
        }
        if arguments.csv {
            let mut writer = Box::new(csv::Writer::from_writer(std::io::stdout()));
            let columns = ["file", "predicted", "probability"].into_iter();
            writer
                .write_record(columns.chain(predictor.class_names().iter().map(String::as_str)))
                .context("cannot write to standard output")?;
            return Ok(Self::Csv { predictor, writer });
        }
        Ok(Self::Text { predictor, top: usize::from(arguments.top) })
    }

    fn predictor(&self) -> &'a Predictor {
        match self {
            Self::Text { predictor, .. }
            | Self::Csv { predictor, .. }
            | Self::Json { predictor, .. } => predictor,
        }
    }

    fn add(
        &mut self,
        path: &Path,
        notes: Vec<String>,
        classification: Classification,
    ) -> anyhow::Result<()> {
        let Classification { ranking, probabilities } = classification;
        match self {
            Self::Text { predictor, top } => {
                let of = |class: &usize| {
                    let name = printable(&predictor.class_names()[*class]);
                    format!("{name} {:.1} %", 100.0 * probabilities[*class])
                };
                let guesses: Vec<String> = ranking.iter().take(*top).map(of).collect();
                print(format!("{}: {}", shown(path), guesses.join(", ")))
            }
            Self::Csv { predictor, writer } => {
                let predicted = ranking[0];
                // `{:?}` is the shortest decimal that restores the same f32, as in predictions.csv.
                let numbers = std::iter::once(&probabilities[predicted]).chain(&probabilities);
                let cells = [path.to_string_lossy().into_owned()]
                    .into_iter()
                    .chain([predictor.class_names()[predicted].clone()])
                    .chain(numbers.map(|number| format!("{number:?}")));
                writer.write_record(cells).context("cannot write to standard output")
            }
            Self::Json { predictor, document } => {
                let predicted = ranking[0];
                document.images.push(ClassifiedImage {
                    file: path.to_owned(),
                    predicted: predictor.class_names()[predicted].clone(),
                    probability: probabilities[predicted],
                    probabilities,
                    notes,
                });
                Ok(())
            }
        }
    }

    fn finish(self, failures: Vec<Failure>) -> anyhow::Result<()> {
        match self {
            Self::Text { .. } => Ok(()),
            Self::Csv { mut writer, .. } => {
                writer.flush().context("cannot write to standard output")
            }
            Self::Json { mut document, .. } => {
                document.failures = failures;
                print(serde_json::to_string_pretty(&document)?)
            }
        }
    }
}

/// Returns an error with advice if the run is not finished or its weights were removed.
pub(crate) fn check_has_weights(run: &RunDirectory) -> anyhow::Result<()> {
    let record = run.read_record()?;
    let path = run.path().display();
    let resume = format!("to finish it: kiln resume {}", quoted(&path.to_string()));
    let again = || {
        let config = quoted(&run.config_path().display().to_string());
        format!("to train it again: kiln run {config}")
    };
    let status = record.status;
    let (message, help) = match status {
        Status::Finished if record.removed.contains_key(Removable::Weights.name()) => {
            (format!("the weights of {path} were removed by kiln clean"), again())
        }
        Status::Finished => return Ok(()),
        Status::Interrupted | Status::Running | Status::Failed | Status::Pruned => {
            (format!("{path} is not finished ({status}); only finished runs can predict"), resume)
        }
        Status::Diverged => {
            let help = "train it with other settings, such as a lower learning_rate".to_owned();
            (format!("{path} is not finished ({status}); only finished runs can predict"), help)
        }
    };
    Err(Advised::new(message, help).into())
}
