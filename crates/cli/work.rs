use std::io::{self, BufReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kiln_report::Status;

use crate::logging;

/// One run of a sweep. What it says in words goes to standard error, which the sweep keeps.
pub(crate) fn work() -> anyhow::Result<ExitCode> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in crate::signals::stopping() {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let outcome =
        kiln_sweep::work(BufReader::new(io::stdin()), io::stdout(), interrupted, |run| {
            logging::start(false, run.directory())
        })?;
    Ok(match outcome.status {
        Status::Finished => ExitCode::SUCCESS,
        Status::Interrupted => ExitCode::from(130),
        _ => ExitCode::FAILURE,
    })
}
