//! A process, from its start to its end.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Seldom enough to cost a run nothing: a reading takes some ten microseconds, on another core.
const BETWEEN_READINGS: Duration = Duration::from_millis(5);

pub(crate) struct Ran {
    pub(crate) seconds: f64,
    /// Only of a process that was watched, and where there is /proc.
    pub(crate) peak_bytes: Option<f64>,
    pub(crate) stdout: String,
}

/// Runs a command to its end; that it fails is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Ran> {
    timed(command, |_, _| None)
}

/// Runs a command to its end and reads meanwhile how much memory it has had resident at most.
///
/// The kernel keeps that mark itself, so what a reading misses is only what the process adds in its
/// last milliseconds.
pub(crate) fn run_watched(command: &mut Command) -> anyhow::Result<Ran> {
    timed(command, |process, ended| {
        let status = format!("/proc/{process}/status");
        let mut peak = None;
        while !ended.load(Ordering::Relaxed) {
            peak =
                fs::read_to_string(&status).ok().and_then(|text| high_water_mark(&text)).or(peak);
            thread::sleep(BETWEEN_READINGS);
        }
        peak
    })
}

fn timed(
    command: &mut Command,
    watch: impl FnOnce(u32, &AtomicBool) -> Option<f64> + Send,
) -> anyhow::Result<Ran> {
    let begun = Instant::now();
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
        let seconds = begun.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (output, seconds, watcher.join().ok().flatten())
    });
    let output = output?;
    if !output.status.success() {
        bail!("{}: {}", output.status, complaint(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(Ran { seconds, peak_bytes, stdout: String::from_utf8_lossy(&output.stdout).into_owned() })
}

/// The line that says what went wrong: the first that calls itself an error, else the last.
fn complaint(stderr: &str) -> &str {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find(|line| line.to_lowercase().starts_with("error"));
    error.or_else(|| lines.next_back()).unwrap_or("it said nothing")
}

fn high_water_mark(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}
