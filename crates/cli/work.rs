use std::io::{self, BufReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kiln_store::Status;
use kiln_sweep::Requests;

use crate::logging;
use crate::signals::{self, Asked};

/// One run of a sweep. What it says in words goes to standard error, which the sweep keeps.
pub(crate) fn work() -> anyhow::Result<ExitCode> {
    let requests = Arc::new(Requests::default());
    let shared = Arc::clone(&requests);
    let signalled = signals::listen(move |asked| match asked {
        Asked::Checkpoint => shared.checkpoint.store(true, Ordering::Relaxed),
        Asked::End(times, _) => shared.stops.store(times, Ordering::Relaxed),
    })?;
    let outcome = kiln_sweep::work(BufReader::new(io::stdin()), io::stdout(), requests, |run| {
        logging::start(false, run.directory())
    })?;
    Ok(match outcome.status {
        Status::Finished => ExitCode::SUCCESS,
        Status::Interrupted => signalled.exit_code(),
        _ => ExitCode::FAILURE,
    })
}
