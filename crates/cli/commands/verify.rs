use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use kiln_store::{RunDirectory, printable};
use kiln_train::{Difference, Verdict, Verification, Verifier};

use crate::commands::resume::data_of;
use crate::options::GlobalOptions;
use crate::output::{count, help, print, status, warning};
use crate::progress::ProgressReporter;

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The directory of the run
    run: PathBuf,
}

pub(crate) fn verify(
    options: &GlobalOptions,
    arguments: &VerifyArguments,
) -> anyhow::Result<ExitCode> {
    let directory = RunDirectory::open(&arguments.run)?;
    let scratch = tempfile::Builder::new()
        .prefix("kiln-verify-")
        .tempdir()
        .context("cannot create a temporary directory")?;
    let path = scratch.path().to_owned();
    let mut reporter = ProgressReporter::new(options.quiet, move || {
        // The process exits without running destructors, so the directory has to be removed here.
        let _ = std::fs::remove_dir_all(&path);
    })?;
    let data = data_of(options, &directory);
    let verifier = Verifier::prepare(directory, &data, scratch.path())?;
    reporter.start(verifier.record());
    let changes = verifier.changes();
    for change in &changes {
        warning(change);
    }
    let Verification { epochs, same, verdict } = verifier.verify(&mut reporter)?;
    let epochs = count(epochs, "epoch");
    match verdict {
        Verdict::Same => {
            print(format!("identical: {}", [vec![epochs.as_str()], same].concat().join(", ")))?;
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Different(differences) => {
            // A file that was damaged later is not a different result of the computation.
            let is_computed =
                |difference: &Difference| !matches!(difference, Difference::Damaged(_));
            let is_other_result = differences.iter().any(is_computed);
            for difference in differences {
                print(printable(&difference.to_string()))?;
            }
            if !same.is_empty() {
                print(format!("identical: {}", same.join(", ")))?;
            }
            if is_other_result && !options.quiet {
                help(if changes.is_empty() {
                    "the likely reason is another kind of processor, which rounds differently, or a changed file; \
                     `kiln doctor` checks the files"
                } else {
                    "the likely reason is a change since the run was trained, see the warnings above"
                });
            }
            Ok(ExitCode::FAILURE)
        }
        Verdict::Interrupted => {
            status(format_args!("interrupted: identical so far, {epochs}"));
            Ok(reporter.exit_code())
        }
    }
}
