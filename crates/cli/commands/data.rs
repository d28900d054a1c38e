use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use kiln_data::DataError;
use kiln_report::{CaptionLine, CaptionedImage, IMAGE_SIDE, ImageShape, Tone, image_grid};
use kiln_store::number::bytes;

use crate::options::GlobalOptions;
use crate::output::{help, print, with_causes};

/// Images in a preview, and images in each of its rows.
const PREVIEW_IMAGES: usize = 25;
const PREVIEW_COLUMNS: usize = 5;

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// List the named datasets and where their files are
    List,
    /// Check the files of a dataset
    ///
    /// The content of each file is compared with its header and, if the dataset is a named one, with the published
    /// checksum. Images and labels must match each other.
    Verify {
        /// A named dataset, or a directory of IDX files
        #[arg(default_value = "fashion-mnist", value_name = "DATASET")]
        name: String,
    },
    /// Write a picture of the first 25 training images with their classes
    Preview {
        /// A named dataset, or a directory of IDX files
        #[arg(default_value = "fashion-mnist", value_name = "DATASET")]
        name: String,
        /// The picture, a PNG file
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        out: PathBuf,
    },
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
        DataCommand::Verify { name } => verify(options.data(), name),
        DataCommand::Preview { name, out } => preview(options.data(), name, out),
    }
}

fn list(data: &Path) -> anyhow::Result<ExitCode> {
    for listing in kiln_data::list(data) {
        let dataset = listing.dataset;
        let directory = listing.directory.display();
        let state = if listing.missing.is_empty() {
            format!("in {directory}")
        } else {
            format!("missing in {directory}: {}", listing.missing.join(", "))
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
        Some(Ok(dataset)) => print(format!(
            "ok      images and labels match; dataset sha256 {}",
            dataset.fingerprint
        ))?,
        Some(Err(error)) => print(format!("FAILED  {}", with_causes(error)))?,
        None => {}
    }
    Ok(if verification.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn preview(data: &Path, name: &str, out: &Path) -> anyhow::Result<ExitCode> {
    let dataset = kiln_data::load(name, data)?;
    let images = &dataset.images;
    let shape = ImageShape {
        channels: images.shape.channels,
        height: images.shape.height,
        width: images.shape.width,
    };
    let captioned: Vec<CaptionedImage<'_>> = (0..dataset.parts.training.len().min(PREVIEW_IMAGES))
        .map(|row| CaptionedImage {
            pixels: images.image(row),
            shape,
            caption: vec![CaptionLine::new(
                dataset.class_names[usize::from(images.labels[row])].as_str(),
                Tone::Plain,
            )],
        })
        .collect();
    kiln_store::files::write(out, image_grid(&captioned, PREVIEW_COLUMNS, IMAGE_SIDE)?)?;
    print(out.display())?;
    Ok(ExitCode::SUCCESS)
}
