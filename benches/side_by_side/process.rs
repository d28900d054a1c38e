//! Runs a process and measures its time and peak memory.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A reading takes about ten microseconds on another core, so that this does not slow down the process.
const READING_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) struct ProcessResult {
    pub(crate) seconds: f64,
    /// Set by [`run_with_peak_memory`] if the system has `/proc`.
    pub(crate) peak_bytes: Option<f64>,
    pub(crate) stdout: String,
}

/// Runs a command. An exit status other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<ProcessResult> {
    timed(command, |_, _| None)
}

/// Runs a command as [`run`] does, and measures its peak resident memory.
pub(crate) fn run_with_peak_memory(command: &mut Command) -> anyhow::Result<ProcessResult> {
    timed(command, |process, ended| {
        let status = format!("/proc/{process}/status");
        let mut peak = None;
        // The kernel tracks the peak. The readings miss only what the process allocates in its last milliseconds.
        while !ended.load(Ordering::Relaxed) {
            peak =
                fs::read_to_string(&status).ok().and_then(|text| high_water_mark(&text)).or(peak);
            thread::sleep(READING_INTERVAL);
        }
        peak
    })
}

fn timed(
    command: &mut Command,
    watch: impl FnOnce(u32, &AtomicBool) -> Option<f64> + Send,
) -> anyhow::Result<ProcessResult> {
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let (process, ended) = (child.id(), AtomicBool::new(false));
    let (output, seconds, peak_bytes) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(process, &ended));
        let output = child.wait_with_output();
        let seconds = started.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (output, seconds, watcher.join().ok().flatten())
    });
    let output = output?;
    if !output.status.success() {
        bail!("{}: {}", output.status, error_line(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(ProcessResult {
        seconds,
        peak_bytes,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
    })
}

/// The first line that starts with `error`, or the last line if there is none.
fn error_line(stderr: &str) -> &str {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find(|line| line.to_lowercase().starts_with("error"));
    error.or_else(|| lines.next_back()).unwrap_or("no error message")
}

/// The peak resident memory in bytes, from the content of `/proc/PID/status`.
fn high_water_mark(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}
