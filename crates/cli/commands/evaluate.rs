use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::ValueEnum;
use kiln_data::{Dataset, Part};
use kiln_report::{EvaluatedImages, ImageShape, TestImages, evaluation, show_evaluation};
use kiln_store::{
    EvaluationRecord, FileLock, RunDirectory, Tested, TestedWeights, TopK, files, printable, quoted,
};
use kiln_train::{Declaration, Predictor};

use super::predict::check_has_weights;
use crate::failure::Advised;
use crate::named_run::{self, RUN_HELP};
use crate::options::GlobalOptions;
use crate::output::{print, status, terminal, warning};

#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    #[arg(value_name = "RUN", help = RUN_HELP)]
    run: PathBuf,
    /// The labeled images: a named dataset, a directory or a file, as in data.source
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The images to evaluate [default: the test images of the source if it has some, else all]
    #[arg(long, value_enum, value_name = "PART")]
    part: Option<EvaluatedPart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EvaluatedPart {
    /// The training images of the source
    Training,
    /// The validation images of the source
    Validation,
    /// The test images of the source
    Test,
    /// All images
    All,
}

/// Warns if images that are evaluated were used in training.
fn warn_about_known_images(
    declaration: &Declaration,
    dataset: &Dataset,
    rows: &[u32],
) -> anyhow::Result<()> {
    let split = declaration.on_parts(&dataset.parts)?.split(dataset)?;
    let count = |part: &[u32]| {
        let part: HashSet<u32> = part.iter().copied().collect();
        rows.iter().filter(|row| part.contains(row)).count()
    };
    let (trained, validated) = (count(&split.training), count(&split.validation));
    if trained + validated > 0 {
        warning(format_args!(
            "this is the dataset of the run: {trained} of these images are training images of the run and {validated} are \
             validation images, so the result is too good; the run's own report has its test images"
        ));
    }
    Ok(())
}

pub(crate) fn evaluate(
    options: &GlobalOptions,
    arguments: &EvaluateArguments,
) -> anyhow::Result<ExitCode> {
    let run = named_run::open(options, &arguments.run)?;
    check_has_weights(&run)?;
    let predictor = Predictor::open(&run)?;
    let dataset = predictor.reading_of(&arguments.source).load(options.data())?;
    let rows = rows(&dataset, arguments.part)?;
    let labels = labels(&dataset, predictor.class_names())?;
    let labels_of_rows: Vec<u16> = rows.iter().map(|row| labels[*row as usize]).collect();

    let _lock = FileLock::of(&run)?;
    let mut record = run.read_record()?;
    let evaluated = predictor.evaluate(&dataset, labels, &rows)?;
    // The run's own report says which weights these are.
    let own = run.read_report()?;
    let declaration = Declaration::of_run(&run)?;
    if dataset.fingerprint == record.dataset.fingerprint {
        warn_about_known_images(&declaration, &dataset, &rows)?;
    }
    let experiment = declaration.experiment;
    let top_k = &experiment.training.top_k;
    let top_k: Vec<TopK> = top_k
        .iter()
        .filter_map(|k| Some(TopK { k: *k, accuracy: evaluated.metrics.top_k_accuracy(*k)? }))
        .collect();
    let tested = Tested {
        class_names: predictor.class_names(),
        labels: &labels_of_rows,
        predicted: &evaluated.predicted,
        probabilities: &evaluated.probabilities,
        loss: evaluated.metrics.loss(),
        smoothed_loss: evaluated.metrics.value("smoothed_loss"),
        weights: own.as_ref().map_or(TestedWeights::Last, |report| report.weights),
        epoch: own.as_ref().map_or(record.epochs, |report| report.epoch),
        flip: experiment.test.flip,
        top_k: &top_k,
        // The most frequent class of the training images of the run is not known here.
        most_frequent: None,
        optimism: None,
    };
    let shape = dataset.images.shape;
    let shape = ImageShape { channels: shape.channels, height: shape.height, width: shape.width };
    let names: Option<Vec<String>> = dataset
        .file_names
        .as_ref()
        .map(|names| rows.iter().map(|row| names[*row as usize].clone()).collect());
    let directory = new_directory(&run, &dataset)?;
    let path = run.path().join(&directory);
    let report = evaluation(
        &path,
        &record,
        &EvaluatedImages {
            dataset: &dataset.name,
            fingerprint: &dataset.fingerprint,
            tested: &tested,
            images: TestImages { pixels: &dataset.images.pixels, rows: &rows, shape },
            file_names: names.as_deref(),
        },
    )?;
    record.evaluations.push(EvaluationRecord {
        at: kiln_store::now(),
        dataset: dataset.name.clone(),
        fingerprint: dataset.fingerprint.clone(),
        images: rows.len(),
        report: directory,
    });
    run.write_record(&record)?;
    if !options.quiet {
        for note in &dataset.notes {
            status(format_args!("{}: {note}", printable(&dataset.name)));
        }
        let times = same_data(&record.evaluations, &dataset.fingerprint);
        if times > 1 {
            status(format_args!(
                "this run was evaluated on these images {times} times; a setting that is chosen by them needs other images for its final result"
            ));
        }
    }
    print(show_evaluation(&report, terminal()).trim_end())?;
    print(path.display())?;
    Ok(ExitCode::SUCCESS)
}

fn same_data(evaluations: &[EvaluationRecord], fingerprint: &str) -> usize {
    evaluations.iter().filter(|evaluation| evaluation.fingerprint == fingerprint).count()
}

/// The rows to evaluate.
fn rows(dataset: &Dataset, part: Option<EvaluatedPart>) -> anyhow::Result<Vec<u32>> {
    let all = || 0..u32::try_from(dataset.images.len()).unwrap_or(u32::MAX);
    let rows = match part {
        None if dataset.parts.test.is_empty() => all(),
        None | Some(EvaluatedPart::Test) => dataset.parts.of(Part::Test),
        Some(EvaluatedPart::Training) => dataset.parts.of(Part::Training),
        Some(EvaluatedPart::Validation) => dataset.parts.of(Part::Validation),
        Some(EvaluatedPart::All) => all(),
    };
    if rows.is_empty() {
        let message = format!("{} has no images of this part", dataset.name);
        return Err(
            Advised::new(message, "choose another --part, such as --part all".to_owned()).into()
        );
    }
    Ok(rows.collect())
}

/// The class of each image as an index into the classes of the network, matched by name.
fn labels(dataset: &Dataset, class_names: &[String]) -> anyhow::Result<Vec<u16>> {
    let index = |name: &String| {
        let index = class_names.iter().position(|class| class == name);
        index.and_then(|index| u16::try_from(index).ok())
    };
    let classes: Vec<Option<u16>> = dataset.class_names.iter().map(index).collect();
    let unknown: BTreeSet<&str> = dataset
        .images
        .labels
        .iter()
        .filter(|label| classes[usize::from(**label)].is_none())
        .map(|label| dataset.class_names[usize::from(*label)].as_str())
        .collect();
    if !unknown.is_empty() {
        let quote = |name: &&str| format!("{name:?}");
        let unknown: Vec<String> = unknown.iter().map(quote).collect();
        let known: Vec<String> = class_names.iter().map(|name| format!("{name:?}")).collect();
        let message = format!(
            "{} has classes that the run was not trained on: {}",
            dataset.name,
            unknown.join(", ")
        );
        let help = format!("rename or remove them; the classes of the run: {}", known.join(", "));
        return Err(Advised::new(message, help).into());
    }
    let labels = dataset.images.labels.iter();
    Ok(labels.filter_map(|label| classes[usize::from(*label)]).collect())
}

/// Creates the directory of the report and returns its path in that of the run. Evaluating the same images again replaces
/// the report, which is the same.
fn new_directory(run: &RunDirectory, dataset: &Dataset) -> anyhow::Result<String> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String =
        dataset.name.chars().map(|c| if is_plain(c) { c } else { '-' }).take(80).collect();
    let name = format!("{}-{}", name.trim_start_matches('.'), &dataset.fingerprint[..8]);
    let directory = format!("evaluations/{name}");
    let path = run.path().join(&directory);
    std::fs::create_dir_all(&path).map_err(|error| {
        anyhow::anyhow!("cannot create {}: {error}", quoted(&path.display().to_string()))
    })?;
    files::check_within(run.path(), &path)?;
    Ok(directory)
}
