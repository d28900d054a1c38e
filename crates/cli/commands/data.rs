use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kiln_data::{Batch, DataError, Dataset, EpochAugmenter, Normalize, Parts, gather_augmented};
use kiln_report::{CaptionLine, CaptionedImage, IMAGE_SIDE, ImageShape, Tone, image_grid};
use kiln_store::number::bytes;
use kiln_store::{grouped, printable};
use kiln_train::Declaration;
use kiln_train::random::{Purpose, stream};

use crate::commands::data_check::{CheckArguments, check, declaration};
use crate::commands::data_fetch::{FetchArguments, fetch};
use crate::options::GlobalOptions;
use crate::output::{help, print, status, with_causes};

/// Images in a preview, and images in each of its rows.
const PREVIEW_IMAGES: usize = 25;
const PREVIEW_COLUMNS: usize = 5;

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// List the named datasets and where their files are
    List,
    /// Download a named dataset into the directory of the named datasets
    ///
    /// Only missing files are downloaded. Each is compared with its published checksum before it is used. A download that
    /// was interrupted is resumed.
    #[command(after_help = "Examples:\n  \
        kiln data fetch mnist\n  \
        kiln data fetch cifar-10 --from http://localhost:8000/")]
    Fetch(FetchArguments),
    /// Check the files of a dataset
    ///
    /// The content of each file is compared with its header and, if the dataset is a named one, with the published
    /// checksum. Images and labels must match each other.
    Verify {
        /// A named dataset, a directory or a file
        #[arg(default_value = "fashion-mnist", value_name = "DATASET")]
        name: String,
    },
    /// Report what may be wrong with a dataset: labels, classes, copies, broken images and the split
    ///
    /// Shows the number of images by class and split. Errors make every result meaningless, and `kiln run` refuses them.
    /// Warnings are also printed by `kiln run` and recorded in run.json.
    #[command(after_help = "Examples:\n  \
        kiln data check fashion-mnist validation=5000\n  \
        kiln data check photos 'image=[64,64]' validation=0.1 test=0.1 split=stratified --json\n\n\
        Exit status: 0 without errors, 1 with errors (with --strict, also with warnings)")]
    Check(CheckArguments),
    /// Write a picture of 25 training images of all classes
    #[command(after_help = "Examples:\n  \
        kiln data preview fashion-mnist --out preview.png\n  \
        kiln data preview photos 'image=[64,64]' resize=crop --out preview.png\n  \
        kiln data preview fashion-mnist --augment experiment.toml --out augmented.png")]
    Preview(PreviewArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PreviewArguments {
    /// A named dataset, a directory or a file
    #[arg(default_value = "fashion-mnist", value_name = "SOURCE")]
    source: String,
    #[arg(
        value_name = "KEY=VALUE",
        help = "Keys of the [data] table, such as image=[64,64] or resize=crop"
    )]
    overrides: Vec<String>,
    #[arg(
        long,
        value_name = "EXPERIMENT",
        help = "Show five images, each with what the network gets in the first four epochs of this experiment with [[augment]]"
    )]
    augment: Option<PathBuf>,
    /// The picture, a PNG file
    #[arg(long, value_name = "FILE.png", value_parser = png_path)]
    out: PathBuf,
}

/// Accepts only the names of PNG files, so that a mistyped name does not overwrite another kind of file.
fn png_path(argument: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(argument);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if is_png { Ok(path) } else { Err("the file name must end in .png".into()) }
}

pub(crate) fn data(options: &GlobalOptions, command: &DataCommand) -> anyhow::Result<ExitCode> {
    match command {
        DataCommand::List => list(options.data()),
        DataCommand::Fetch(arguments) => fetch(options, arguments),
        DataCommand::Check(arguments) => check(options, arguments),
        DataCommand::Verify { name } => verify(options.data(), name),
        DataCommand::Preview(arguments) => preview(options.data(), arguments),
    }
}

fn list(data: &Path) -> anyhow::Result<ExitCode> {
    for listing in kiln_data::list(data) {
        let dataset = listing.dataset;
        let directory = listing.directory.display();
        let state = if listing.missing.is_empty() {
            format!("in {directory}")
        } else {
            format!(
                "missing in {directory}: {}; to download: kiln data fetch {}{}",
                listing.missing.join(", "),
                dataset.name,
                dataset.download_bytes().map_or_else(String::new, |bytes| {
                    format!(" ({:.0} MB)", bytes as f64 / 1e6)
                })
            )
        };
        print(format!(
            "{}  {}\n  {} training and {} test images of {}, {} classes\n  license: {}\n  {state}",
            dataset.name,
            dataset.title,
            dataset.training_examples,
            dataset.test_examples,
            dataset.shape,
            dataset.class_names.len(),
            dataset.license,
        ))?;
    }
    let cache = kiln_data::cache_size(data);
    if cache > 0 {
        let directory = kiln_data::cache_directory(data);
        print(format!("cache of decoded images  {} in {}", bytes(cache), directory.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(data: &Path, name: &str) -> anyhow::Result<ExitCode> {
    let verification = kiln_data::verify(name, data)?;
    for check in &verification.files {
        match &check.outcome {
            Ok(file) => {
                let published = match check.published_sha256 {
                    Some(_) => "matches the published checksum",
                    None => "no published checksum",
                };
                print(format!(
                    "ok      {}  sha256 {} ({published})",
                    file.path.display(),
                    file.sha256
                ))?;
            }
            Err(error) => print(format!("FAILED  {}", with_causes(error)))?,
        }
    }
    let advice = verification.files.iter().find_map(|check| match &check.outcome {
        Err(DataError::MissingFile { advice, .. }) => Some(advice),
        _ => None,
    });
    if let Some(advice) = advice {
        help(advice);
    }
    match &verification.dataset {
        Some(Ok(dataset)) => {
            print(format!(
                "ok      images and labels match; dataset sha256 {}",
                dataset.fingerprint
            ))?;
            let Parts { training, validation, test } = &dataset.parts;
            print(format!(
                "{}: {} training, {} validation and {} test images of {}, {} classes",
                dataset.format,
                grouped(training.len() as u64),
                grouped(validation.len() as u64),
                grouped(test.len() as u64),
                dataset.images.shape,
                grouped(dataset.class_names.len() as u64),
            ))?;
            dataset.notes.iter().for_each(|note| status(format_args!("note: {}", printable(note))));
        }
        Some(Err(error)) => print(format!("FAILED  {}", with_causes(error)))?,
        None => {}
    }
    Ok(if verification.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn preview(data: &Path, arguments: &PreviewArguments) -> anyhow::Result<ExitCode> {
    let declaration = declaration(&arguments.source, &arguments.overrides)?;
    let dataset = declaration.dataset(data)?;
    let shape = dataset.images.shape;
    let pictures = match &arguments.augment {
        None => spread_over_classes(&dataset, PREVIEW_IMAGES)
            .into_iter()
            .map(|row| Picture::original(&dataset, row))
            .collect(),
        Some(config) => {
            let training = declaration.split(&dataset).map(|split| split.training);
            let candidates = training.unwrap_or_else(|_| dataset.parts.training.clone().collect());
            augmented(&dataset, &Declaration::open(config, &[])?, &candidates)?
        }
    };
    let shape = ImageShape { channels: shape.channels, height: shape.height, width: shape.width };
    let captioned: Vec<CaptionedImage<'_>> = pictures
        .iter()
        .map(|Picture { pixels, caption }| CaptionedImage {
            pixels,
            shape,
            caption: caption.iter().map(|line| CaptionLine::new(line, Tone::Plain)).collect(),
        })
        .collect();
    let picture = image_grid(&captioned, PREVIEW_COLUMNS, IMAGE_SIDE)?;
    kiln_store::files::write(&arguments.out, picture)?;
    print(arguments.out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// An image of a preview and the lines below it.
struct Picture {
    pixels: Vec<u8>,
    caption: Vec<String>,
}

impl Picture {
    fn original(dataset: &Dataset, row: usize) -> Self {
        let class = dataset.class_names[usize::from(dataset.images.labels[row])].clone();
        Self { pixels: dataset.images.image(row).to_vec(), caption: vec![class] }
    }
}

/// In each row, an image and what the network gets in the first epochs of the experiment. `candidates` are the rows whose
/// images may be mixed in.
fn augmented(
    dataset: &Dataset,
    experiment: &Declaration,
    candidates: &[u32],
) -> anyhow::Result<Vec<Picture>> {
    let augment = &experiment.experiment.augment;
    if augment.is_empty() {
        return Err(experiment.error_at("augment", "the experiment has no [[augment]]").into());
    }
    let images = &dataset.images;
    if let Err((position, problem)) = augment.check(images.shape) {
        return Err(experiment.error_at(&format!("augment.{position}"), problem).into());
    }
    // The preview shows pixels, so they stay in the range 0 to 255.
    let normalizer = Normalize::None.fit(images, &[])?;
    let mut batch = Batch::new(images.shape);
    let mut pictures = Vec::new();
    for row in spread_over_classes(dataset, PREVIEW_IMAGES / PREVIEW_COLUMNS) {
        pictures.push(Picture::original(dataset, row));
        for epoch in 1..PREVIEW_COLUMNS {
            let generator = |epoch| stream(experiment.experiment.seed, Purpose::Augment, epoch);
            let augmenter = EpochAugmenter::new(augment, epoch, generator);
            let row = u32::try_from(row)?;
            gather_augmented(images, &[row], candidates, &augmenter, &normalizer, &mut batch);
            // The conversion saturates.
            let pixels = batch.pixels.iter().map(|pixel| pixel.round() as u8).collect();
            let mixed = batch.mix.first().map(|mix| {
                let class = &dataset.class_names[usize::from(mix.label)];
                format!("{:.0} % {class}", mix.weight * 100.0)
            });
            let caption = std::iter::once(format!("epoch {epoch}")).chain(mixed).collect();
            pictures.push(Picture { pixels, caption });
        }
    }
    Ok(pictures)
}

/// Up to `count` training images, equally many of each class if possible and from all over its rows. With more classes than
/// `count`, every n-th class.
fn spread_over_classes(dataset: &Dataset, count: usize) -> Vec<usize> {
    let mut classes = vec![Vec::new(); dataset.class_names.len()];
    for row in dataset.parts.training.clone() {
        classes[usize::from(dataset.images.labels[row as usize])].push(row as usize);
    }
    classes.retain(|rows| !rows.is_empty());
    let chosen = classes.len().min(count);
    let mut classes: Vec<&Vec<usize>> =
        (0..chosen).map(|place| &classes[place * classes.len() / chosen]).collect();
    // Small classes first, so that large ones take the places that they leave.
    let order: Vec<usize> = classes.iter().map(|rows| rows[0]).collect();
    classes.sort_by_key(|rows| rows.len());
    let mut remaining = count;
    let mut of_class: Vec<(usize, Vec<usize>)> = Vec::new();
    for (place, rows) in classes.iter().enumerate() {
        let share = rows.len().min(remaining.div_ceil(chosen - place));
        remaining -= share;
        let taken = (0..share).map(|number| rows[number * rows.len() / share]).collect();
        of_class.push((rows[0], taken));
    }
    of_class.sort_by_key(|(first, _)| order.iter().position(|row| row == first));
    of_class.into_iter().flat_map(|(_, rows)| rows).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kiln_data::{LabeledImages, Parts};

    use super::*;

    fn rows(labels: Vec<u16>, classes: usize) -> Vec<usize> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let listed = kiln_data::load("fashion-mnist", &data).expect("the repository holds it");
        let dataset = Dataset {
            class_names: (0..classes).map(|class| class.to_string()).collect(),
            parts: Parts::new(labels.len(), 0, 0),
            images: LabeledImages { labels, ..listed.images },
            ..listed
        };
        spread_over_classes(&dataset, 25)
    }

    #[test]
    fn a_preview_has_images_of_all_classes() {
        // Three classes of 10, 100 and 2 images.
        let labels = [vec![0; 10], vec![1; 100], vec![2; 2]].concat();
        let chosen = rows(labels, 3);
        assert_eq!(chosen.len(), 25);
        let of =
            |range: std::ops::Range<usize>| chosen.iter().filter(|row| range.contains(row)).count();
        assert_eq!((of(0..10), of(10..110), of(110..112)), (10, 13, 2));
        assert!(chosen.is_sorted());
        // More classes than images.
        assert_eq!(rows((0..100).collect(), 100), (0..25).map(|it| it * 4).collect::<Vec<_>>());
        assert_eq!(rows(vec![0, 1], 2), [0, 1]);
    }
}
