use std::io::{self, BufReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kiln_store::Status;
use kiln_sweep::Requests;

use crate::logging;
use crate::signals::{self, SignalRequest};

/// Trains one run of a sweep. Standard output carries messages to the sweep, and text for people goes to standard
/// error, which the sweep stores in a file.
pub(crate) fn work() -> anyhow::Result<ExitCode> {
    let requests = Arc::new(Requests::default());
    let shared = Arc::clone(&requests);
    let stop_signal = signals::listen(move |request| match request {
        SignalRequest::Checkpoint => shared.checkpoint.store(true, Ordering::Relaxed),
        SignalRequest::Stop { count, .. } => shared.stops.store(count, Ordering::Relaxed),
    })?;
    let outcome = kiln_sweep::work(BufReader::new(io::stdin()), io::stdout(), requests, |run| {
        logging::start_for(false, run)
    })?;
    Ok(match outcome.status {
        Status::Finished => ExitCode::SUCCESS,
        Status::Interrupted => stop_signal.exit_code(),
        _ => ExitCode::FAILURE,
    })
}
