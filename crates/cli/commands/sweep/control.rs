use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kiln_sweep::Requests;

use crate::output::status;
use crate::signals::{self, SignalRequest, StopSignal};

/// Passes the requests of signals on to a sweep.
pub(crate) struct SweepControl {
    pub(super) requests: Arc<Requests>,
    pub(super) stop_signal: Arc<StopSignal>,
    /// Whether there are runs to stop.
    pub(super) has_runs: Arc<AtomicBool>,
}

impl SweepControl {
    /// Starts to handle signals. Before the first run is started and after the last has ended, a signal that asks the
    /// process to stop ends it immediately.
    pub(crate) fn listen(quiet: bool) -> std::io::Result<Self> {
        let requests = Arc::new(Requests::default());
        let has_runs = Arc::new(AtomicBool::new(false));
        let (shared, has_runs_now) = (Arc::clone(&requests), Arc::clone(&has_runs));
        let stop_signal = signals::listen(move |request| match request {
            SignalRequest::Checkpoint => {
                if has_runs_now.load(Ordering::Relaxed) {
                    if !quiet {
                        status("writing a checkpoint of every run in progress");
                    }
                    shared.checkpoint.store(true, Ordering::Relaxed);
                }
            }
            // After the second signal the runs are killed. If even that takes too long, a third one ends the sweep.
            SignalRequest::Stop { count: 3.., status } => status.exit(),
            SignalRequest::Stop { status, .. } if !has_runs_now.load(Ordering::Relaxed) => {
                status.exit()
            }
            SignalRequest::Stop { count, .. } => {
                match count {
                    _ if quiet => {}
                    1 => status(
                        "\nstopping after the current steps; press Ctrl-C again to stop immediately",
                    ),
                    _ => status("stopping immediately"),
                }
                shared.stops.store(count, Ordering::Relaxed);
            }
        })?;
        Ok(Self { requests, stop_signal, has_runs })
    }
}
