use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kiln_store::{RunDirectory, printable};
use kiln_train::Predictor;

use crate::arguments::Arguments;
use crate::{complain, say, say_styled, terminal, with_causes};

/// How many of the classes are shown for an image.
const SHOWN: usize = 3;

pub(crate) fn show(run: &Path) -> anyhow::Result<ExitCode> {
    let run = RunDirectory::open(run)?;
    say_styled(kiln_report::show(&run, terminal())?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn predict(
    arguments: &Arguments,
    run: &Path,
    images: &[PathBuf],
) -> anyhow::Result<ExitCode> {
    let predictor = Predictor::open(&RunDirectory::open(run)?)?;
    let mut failed = false;
    for path in images {
        let image = match kiln_data::read_image(path, predictor.image_shape()) {
            Ok(image) => image,
            Err(error) => {
                // One bad file does not keep the others from their answer.
                complain(format_args!("error: {}", with_causes(&error)));
                failed = true;
                continue;
            }
        };
        if !arguments.quiet {
            let adjustments = image.adjustments.iter().map(ToString::to_string);
            let hints = image.hints.iter().map(ToString::to_string);
            for note in adjustments.chain(hints) {
                complain(format_args!("{}: {note}", printable(&path.to_string_lossy())));
            }
        }
        let guesses = predictor.predict(&image.pixels)?;
        let shown: Vec<String> = guesses
            .iter()
            .take(SHOWN)
            .map(|guess| format!("{} {:.1} %", printable(&guess.class), 100.0 * guess.probability))
            .collect();
        say(format!("{}: {}", printable(&path.to_string_lossy()), shown.join(", ")))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
