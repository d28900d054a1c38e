use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use kiln_store::printable;
use kiln_train::{Mismatch, Verification, VerificationResult, Verifier};

use crate::commands::resume::data_of;
use crate::named_run::{self, RUN_HELP};
use crate::options::GlobalOptions;
use crate::output::{count, help, print, status, warning};
use crate::progress::ProgressReporter;

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[arg(value_name = "RUN", help = RUN_HELP)]
    run: PathBuf,
}

pub(crate) fn verify(
    options: &GlobalOptions,
    arguments: &VerifyArguments,
) -> anyhow::Result<ExitCode> {
    let directory = named_run::open(options, &arguments.run)?;
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
    let engine = verifier.record().engine.clone();
    for change in &changes {
        warning(change);
    }
    let Verification { epochs, identical, result } = verifier.verify(&mut reporter)?;
    let epochs = count(epochs, "epoch");
    match result {
        VerificationResult::Reproduced => {
            let identical = [vec![epochs.as_str()], identical].concat();
            print(format!("identical: {}", identical.join(", ")))?;
            Ok(ExitCode::SUCCESS)
        }
        VerificationResult::Different(mismatches) => {
            // A file that was damaged later is not a different result of the computation.
            let is_computed = |mismatch: &Mismatch| matches!(mismatch, Mismatch::Result(_));
            let is_other_result = mismatches.iter().any(is_computed);
            for mismatch in mismatches {
                print(printable(&mismatch.to_string()))?;
            }
            if !identical.is_empty() {
                print(format!("identical: {}", identical.join(", ")))?;
            }
            if is_other_result && !options.quiet {
                help(if !changes.is_empty() {
                    "the likely reason is a change since the run was trained, see the warnings above"
                } else if engine == "fused" {
                    "the fused engine computes the same on every processor, so the likely reason is a changed file, which \
                     `kiln doctor` finds, or an error of the memory or the processor"
                } else {
                    "the likely reason is another kind of processor, which rounds differently, or a changed file; \
                     `kiln doctor` checks the files"
                });
            }
            Ok(ExitCode::FAILURE)
        }
        VerificationResult::Interrupted => {
            status(format_args!("interrupted: identical so far, {epochs}"));
            Ok(reporter.exit_code())
        }
    }
}
