use std::ffi::c_int;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// Signals within this time count once. `timeout` signals the process and then its process group, so the same request
/// arrives twice.
const SAME_REQUEST: Duration = Duration::from_millis(20);

/// The request that a signal makes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SignalRequest {
    /// Stop. `count` is the number of such requests so far, `status` the exit status for the signal.
    Stop { count: usize, status: ExitStatus },
    /// Write a checkpoint and continue.
    Checkpoint,
}

/// The first signal that asked the process to stop.
#[derive(Debug, Default)]
pub(crate) struct StopSignal {
    /// The number of the signal; 0 if there was none.
    number: AtomicI32,
}

impl StopSignal {
    pub(crate) fn is_received(&self) -> bool {
        self.number.load(Ordering::Relaxed) != 0
    }

    /// The exit status of an interrupted command, as shells define it: 130 for SIGINT, 143 for SIGTERM.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.number.load(Ordering::Relaxed) {
            0 => ExitCode::from(130),
            number => ExitCode::from(u8::try_from(128 + number).unwrap_or(130)),
        }
    }
}

/// Handles signals in a thread, which calls `handle` for each.
pub(crate) fn listen(
    handle: impl FnMut(SignalRequest) + Send + 'static,
) -> std::io::Result<Arc<StopSignal>> {
    listen_to(&[SIGUSR1], handle, || {})
}

/// Like [`listen`], in a job of a cluster. SIGUSR2 comes before its time limit, and calls `at_time_limit`.
pub(crate) fn listen_in_job(
    handle: impl FnMut(SignalRequest) + Send + 'static,
    at_time_limit: impl FnMut() + Send + 'static,
) -> std::io::Result<Arc<StopSignal>> {
    listen_to(&[SIGUSR1, SIGUSR2], handle, at_time_limit)
}

fn listen_to(
    requests: &[c_int],
    mut handle: impl FnMut(SignalRequest) + Send + 'static,
    mut at_time_limit: impl FnMut() + Send + 'static,
) -> std::io::Result<Arc<StopSignal>> {
    let stop_signal = Arc::new(StopSignal::default());
    let mut signals = Signals::new(stop_signals().iter().chain(requests))?;
    let shared = Arc::clone(&stop_signal);
    std::thread::spawn(move || {
        let mut count = 0;
        let mut last = None::<Instant>;
        for signal in signals.forever() {
            if signal == SIGUSR1 {
                handle(SignalRequest::Checkpoint);
                continue;
            }
            if signal == SIGUSR2 {
                at_time_limit();
                continue;
            }
            if last.replace(Instant::now()).is_some_and(|last| last.elapsed() < SAME_REQUEST) {
                continue;
            }
            count += 1;
            // Keep the first signal, because it determines the exit status.
            let first = &shared.number;
            let _ = first.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
            handle(SignalRequest::Stop { count, status: ExitStatus(128 + signal) });
        }
    });
    Ok(stop_signal)
}

/// The exit status of a process that stops because of a signal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExitStatus(c_int);

impl ExitStatus {
    /// Ends the process immediately.
    pub(crate) fn exit(self) -> ! {
        std::process::exit(self.0)
    }
}

/// The signals that stop a run or a sweep. SIGHUP is not one of them if it was ignored when the program started,
/// because `nohup` ignores it to let the program continue after its terminal is closed.
fn stop_signals() -> Vec<c_int> {
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// Whether the program was started with a signal ignored. Only Linux has this information in /proc; elsewhere the
/// answer is no.
fn is_ignored(signal: c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
