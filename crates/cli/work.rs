use std::io::{self, BufReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kiln_report::Status;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::logging;

/// One run of a sweep. What it says in words goes to standard error, which the sweep keeps.
pub(crate) fn work() -> anyhow::Result<ExitCode> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
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
