use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiln_sweep::Requests;

use crate::output::status;
use crate::signals::{self, SignalRequest, StopSignal};

/// Passes the requests of signals on to a sweep.
pub(crate) struct SweepControl {
    pub(super) requests: Arc<Requests>,
    pub(super) stop_signal: Arc<StopSignal>,
    pub(super) has_runs: HasRuns,
}

/// Whether a sweep has processes that must be stopped before it exits. It is set before the first process is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct HasRuns(Arc<Mutex<Runs>>);

/// The processes that a signal has to reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Runs {
    /// There are none.
    #[default]
    None,
    /// This process has started them.
    Own,
    /// A job is being submitted, and its workers may exist already.
    Submitting,
    /// Workers elsewhere have started them, and continue.
    Elsewhere,
}

impl HasRuns {
    pub(super) fn set(&self, has_runs: bool) {
        let mut runs = self.lock();
        match (*runs, has_runs) {
            (Runs::Submitting | Runs::Elsewhere, true) => {}
            (_, true) => *runs = Runs::Own,
            (_, false) => *runs = Runs::None,
        }
    }

    /// Sets that a job is being submitted. A first signal waits for the answer of the queue.
    pub(super) fn set_submitting(&self) {
        *self.lock() = Runs::Submitting;
    }

    /// Sets that workers elsewhere train the runs, and that this process only watches.
    pub(super) fn set_elsewhere(&self) {
        *self.lock() = Runs::Elsewhere;
    }

    /// While the guard exists, no sweep starts its first process: [`set`](Self::set) waits for it.
    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SweepControl {
    /// Whether a signal asked the sweep to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.requests.stops.load(Ordering::Relaxed) > 0
    }

    /// Starts to handle signals. Before the first run is started and after the last has ended, a signal that asks the
    /// process to stop ends it immediately.
    pub(crate) fn listen(quiet: bool) -> std::io::Result<Self> {
        let requests = Arc::new(Requests::default());
        let has_runs = HasRuns::default();
        let (shared, runs) = (Arc::clone(&requests), has_runs.clone());
        let stop_signal = signals::listen(move |request| {
            // Locked until the process exits: a run that is started in between would be left behind.
            let has_runs = runs.lock();
            match request {
                SignalRequest::Checkpoint => {
                    if *has_runs == Runs::Own {
                        if !quiet {
                            status("writing a checkpoint of every run in progress");
                        }
                        shared.checkpoint.store(true, Ordering::Relaxed);
                    }
                }
                // After the second signal the runs are killed. If even that takes too long, a third one ends the sweep.
                SignalRequest::Stop { count: 3.., status } => status.exit(),
                SignalRequest::Stop { status, .. } if *has_runs == Runs::None => status.exit(),
                SignalRequest::Stop { count, .. } => {
                    match (*has_runs, count) {
                        _ if quiet => {}
                        (Runs::Submitting, 1) => status(
                            "\nwaiting until the job is submitted; press Ctrl-C twice to exit at once",
                        ),
                        (Runs::Submitting | Runs::Elsewhere, _) => {}
                        (_, 1) => status(
                            "\nstopping after the current steps; press Ctrl-C again to stop immediately",
                        ),
                        _ => status("stopping immediately"),
                    }
                    shared.stops.store(count, Ordering::Relaxed);
                }
            }
        })?;
        Ok(Self { requests, stop_signal, has_runs })
    }
}
