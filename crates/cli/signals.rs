use std::ffi::c_int;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// Two signals within this time are one wish: `timeout` signals its child, and then the group that the child is in.
const ONE_WISH: Duration = Duration::from_millis(20);

/// What a signal asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    /// The end; how often that was asked by now, and the exit status that belongs to it.
    End(usize, ExitStatus),
    /// A checkpoint.
    Checkpoint,
}

/// Which signal ends the process.
#[derive(Debug, Default)]
pub(crate) struct Signalled {
    /// The first that asked for the end; 0 is none.
    end: AtomicI32,
}

impl Signalled {
    pub(crate) fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed) != 0
    }

    /// The exit status of what a signal has ended: 130 for SIGINT, 143 for SIGTERM, as shells have it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.end.load(Ordering::Relaxed) {
            0 => ExitCode::from(130),
            signal => ExitCode::from(u8::try_from(128 + signal).unwrap_or(130)),
        }
    }
}

/// Listens from now on, and tells of each signal.
pub(crate) fn listen(
    mut tell: impl FnMut(Asked) + Send + 'static,
) -> std::io::Result<Arc<Signalled>> {
    let signalled = Arc::new(Signalled::default());
    let mut signals = Signals::new(ending().into_iter().chain([SIGUSR1]))?;
    let shared = Arc::clone(&signalled);
    std::thread::spawn(move || {
        let mut ends = 0;
        let mut last = None::<Instant>;
        for signal in signals.forever() {
            if signal == SIGUSR1 {
                tell(Asked::Checkpoint);
                continue;
            }
            if last.replace(Instant::now()).is_some_and(|last| last.elapsed() < ONE_WISH) {
                continue;
            }
            ends += 1;
            let _ = shared.end.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
            tell(Asked::End(ends, ExitStatus(128 + signal)));
        }
    });
    Ok(signalled)
}

/// The exit status of a process that a signal ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExitStatus(c_int);

impl ExitStatus {
    /// Ends the process at once.
    pub(crate) fn exit(self) -> ! {
        std::process::exit(self.0)
    }
}

/// The signals that end a run or a sweep in good order. A hang-up is not one where it was ignored when the
/// program started: `nohup` means that it shall go on.
fn ending() -> Vec<c_int> {
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// Whether the program was started with a signal ignored. Where Linux's /proc is not there to tell, it was
/// not, as far as anybody knows.
fn is_ignored(signal: c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
