use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_store::{RunDirectory, printable};
use kiln_train::Predictor;

use crate::options::GlobalOptions;
use crate::output::{error, print, status, with_causes};

/// The number of classes that are shown for an image.
const SHOWN_CLASSES: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// The directory of the run, which must be finished
    run: PathBuf,
    /// The image files, PNG or JPEG
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

pub(crate) fn predict(
    options: &GlobalOptions,
    arguments: &PredictArguments,
) -> anyhow::Result<ExitCode> {
    let predictor = Predictor::open(&RunDirectory::open(&arguments.run)?)?;
    let mut failed = false;
    for path in &arguments.images {
        let image = match kiln_data::read_image(path, predictor.image_shape()) {
            Ok(image) => image,
            Err(problem) => {
                // The other images can still be classified.
                error(with_causes(&problem));
                failed = true;
                continue;
            }
        };
        if !options.quiet {
            let adjustments = image.adjustments.iter().map(ToString::to_string);
            let hints = image.hints.iter().map(ToString::to_string);
            for note in adjustments.chain(hints) {
                status(format_args!("{}: {note}", printable(&path.to_string_lossy())));
            }
        }
        let guesses = predictor.predict(&image.pixels)?;
        let shown: Vec<String> = guesses
            .iter()
            .take(SHOWN_CLASSES)
            .map(|guess| format!("{} {:.1} %", printable(&guess.class), 100.0 * guess.probability))
            .collect();
        print(format!("{}: {}", printable(&path.to_string_lossy()), shown.join(", ")))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
