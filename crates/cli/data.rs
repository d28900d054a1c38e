use std::path::Path;
use std::process::ExitCode;

use kiln_report::{CaptionLine, CaptionedImage, IMAGE_SIDE, ImageShape, Tone, image_grid};

use crate::arguments::{Arguments, DataCommand};
use crate::{say, with_causes};

pub(crate) fn data(arguments: &Arguments, command: &DataCommand) -> anyhow::Result<ExitCode> {
    match command {
        DataCommand::List => list(arguments.data()),
        DataCommand::Verify { name } => verify(arguments.data(), name),
        DataCommand::Preview { name, out } => preview(arguments.data(), name, out),
    }
}

fn list(data: &Path) -> anyhow::Result<ExitCode> {
    for listing in kiln_data::list(data) {
        let dataset = listing.dataset;
        let state = if listing.missing.is_empty() {
            format!("in {}", listing.directory.display())
        } else {
            format!("not in {}: {}", listing.directory.display(), listing.missing.join(", "))
        };
        say(format!(
            "{}  {}\n  {} training and {} test images of {}, {} classes, {}\n  {state}",
            dataset.name,
            dataset.title,
            dataset.training_examples,
            dataset.test_examples,
            dataset.shape,
            dataset.class_names.len(),
            dataset.license,
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(data: &Path, name: &str) -> anyhow::Result<ExitCode> {
    let verification = kiln_data::verify(name, data)?;
    for check in &verification.files {
        match &check.outcome {
            Ok(file) => {
                let published = match check.published_sha256 {
                    Some(_) => "as published",
                    None => "no published sum",
                };
                say(format!(
                    "ok      {}  sha256 {} ({published})",
                    file.path.display(),
                    file.sha256
                ))?;
            }
            Err(error) => say(format!("FAILED  {}", with_causes(error)))?,
        }
    }
    match &verification.dataset {
        Some(Ok(dataset)) => {
            say(format!("ok      the files fit each other; fingerprint {}", dataset.fingerprint))?
        }
        Some(Err(error)) => say(format!("FAILED  {}", with_causes(error)))?,
        None => {}
    }
    Ok(if verification.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The article's picture: the first 25 training images, five in a row, each with its class.
fn preview(data: &Path, name: &str, out: &Path) -> anyhow::Result<ExitCode> {
    let dataset = kiln_data::load(name, data)?;
    let images = &dataset.train;
    let shape = ImageShape {
        channels: images.shape.channels,
        height: images.shape.height,
        width: images.shape.width,
    };
    let captioned: Vec<CaptionedImage<'_>> = (0..images.len().min(25))
        .map(|row| CaptionedImage {
            pixels: images.image(row),
            shape,
            caption: vec![CaptionLine::new(
                dataset.class_names[usize::from(images.labels[row])].as_str(),
                Tone::Plain,
            )],
        })
        .collect();
    kiln_store::files::write(out, image_grid(&captioned, 5, IMAGE_SIDE)?)?;
    say(out.display())?;
    Ok(ExitCode::SUCCESS)
}
