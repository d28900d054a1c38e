//! Processes that are started, waited for, signalled and looked at.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::Project;

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn start(project: &Project, arguments: &[&str]) -> Child {
    let mut command = project.command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub(crate) fn signal(process: u32, signal: &str) {
    assert!(try_signal(process, signal));
}

/// Whether the process was still there to get the signal.
pub(crate) fn try_signal(process: u32, signal: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args([signal, &process.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

/// Signals a process of the test's own. Once it was waited for, its number may be another's.
pub(crate) fn signal_unless_ended(process: &mut Child, signal: &str) {
    if process.try_wait().unwrap().is_none() {
        try_signal(process.id(), signal);
    }
}

/// The processes that a process has started.
#[cfg(target_os = "linux")]
pub(crate) fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Whether a process computes: one that has ended and was not waited for does not.
#[cfg(target_os = "linux")]
pub(crate) fn is_alive(process: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program, which is in front, may hold anything but ends with the last bracket.
    state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// How long it took.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
    begun.elapsed()
}
