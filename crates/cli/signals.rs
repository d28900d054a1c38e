use std::ffi::c_int;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signals that end a run or a sweep in good order. A hang-up is not one where it was ignored when the
/// program started: `nohup` means that it shall go on.
pub(crate) fn stopping() -> Vec<c_int> {
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
