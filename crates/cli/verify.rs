use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use kiln_store::{RunDirectory, printable};
use kiln_train::{Mismatch, Verification, VerificationResult, Verifier};

use crate::arguments::Arguments;
use crate::progress::Reporter;
use crate::resume::data_of;
use crate::{complain, say};

/// Trains a run again where nobody looks, and says whether the same comes of it.
pub(crate) fn verify(arguments: &Arguments, run: &Path) -> anyhow::Result<ExitCode> {
    let directory = RunDirectory::open(run)?;
    let scratch = tempfile::Builder::new()
        .prefix("kiln-verify-")
        .tempdir()
        .context("cannot make a directory for temporary files")?;
    let path = scratch.path().to_owned();
    let mut reporter = Reporter::new(arguments.quiet, move || {
        // The process ends at once, and nothing is dropped.
        let _ = std::fs::remove_dir_all(&path);
    })?;
    let data = data_of(arguments, &directory);
    let verifier = Verifier::prepare(directory, &data, scratch.path())?;
    reporter.begin(verifier.record());
    let changes = verifier.changes();
    for change in &changes {
        complain(format_args!("warning: {}", printable(change)));
    }
    let Verification { epochs, identical, result } = verifier.verify(&mut reporter)?;
    let epochs = if epochs == 1 { "1 epoch".to_owned() } else { format!("{epochs} epochs") };
    match result {
        VerificationResult::Reproduced => {
            let same = [vec![epochs.as_str()], identical].concat();
            say(format!("the same bytes: {}", same.join(", ")))?;
            Ok(ExitCode::SUCCESS)
        }
        VerificationResult::Different(mismatches) => {
            let is_computed = |mismatch: &Mismatch| matches!(mismatch, Mismatch::Result(_));
            let has_reason = mismatches.iter().any(is_computed);
            for mismatch in mismatches {
                say(printable(&mismatch.to_string()))?;
            }
            if !identical.is_empty() {
                say(format!("the same are: {}", identical.join(", ")))?;
            }
            if has_reason && !arguments.quiet {
                complain(if changes.is_empty() {
                    "the likely reason: another machine, which computes other last digits, or files that were changed \
                     (kiln doctor tells)"
                } else {
                    "the likely reason: what has changed since it was trained, as told above"
                });
            }
            Ok(ExitCode::FAILURE)
        }
        VerificationResult::Interrupted => {
            complain(format_args!("interrupted: the same so far, {epochs}"));
            Ok(reporter.exit_code())
        }
    }
}
