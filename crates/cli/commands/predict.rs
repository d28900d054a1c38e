use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_store::space::Removable;
use kiln_store::{RunDirectory, Status, printable, quoted};
use kiln_train::Predictor;

use crate::failure::Advised;
use crate::named_run::{self, RUN_HELP};
use crate::options::GlobalOptions;
use crate::output::{error, print, status, with_causes};

/// The number of classes that are shown for an image.
const SHOWN_CLASSES: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    #[arg(value_name = "RUN", help = RUN_HELP)]
    run: PathBuf,
    /// The image files: PNG, JPEG, WebP, BMP, GIF or TIFF
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

pub(crate) fn predict(
    options: &GlobalOptions,
    arguments: &PredictArguments,
) -> anyhow::Result<ExitCode> {
    let run = named_run::open(options, &arguments.run)?;
    check_has_weights(&run)?;
    let predictor = Predictor::open(&run)?;
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

/// Returns an error with advice if the run is not finished or its weights were removed.
fn check_has_weights(run: &RunDirectory) -> anyhow::Result<()> {
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
