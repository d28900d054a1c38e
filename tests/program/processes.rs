//! Starting processes, sending them signals and waiting for them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::Project;

/// Longer than anything in these tests takes, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Starts `kiln` with standard output and standard error captured.
pub(crate) fn start(project: &Project, arguments: &[&str]) -> Child {
    let mut command = project.command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Sends a signal such as `-INT` to a running process.
pub(crate) fn signal(process: u32, signal: &str) {
    assert!(try_signal(process, signal));
}

/// Returns whether the process still existed when the signal was sent.
pub(crate) fn try_signal(process: u32, signal: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args([signal, &process.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

/// Sends a signal to several processes at once. Those that have ended are skipped.
#[cfg(target_os = "linux")]
pub(crate) fn signal_all(processes: impl IntoIterator<Item = u32>, signal: &str) {
    let ids = processes.into_iter().map(|process| process.to_string());
    Command::new("kill").arg(signal).args(ids).stderr(Stdio::null()).status().unwrap();
}

/// Sends a signal to a child process, unless the child has already ended.
pub(crate) fn signal_unless_ended(process: &mut Child, signal: &str) {
    // Once an ended child has been waited for, the kernel may give its process id to another process.
    if process.try_wait().unwrap().is_none() {
        try_signal(process.id(), signal);
    }
}

/// The ids of the processes that a process has started.
#[cfg(target_os = "linux")]
pub(crate) fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Whether a process is running. A zombie, which has ended and has not been waited for, is not.
#[cfg(target_os = "linux")]
pub(crate) fn is_alive(process: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state follows the program's name. The name is in parentheses and may contain any character, even `)`.
    state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// Polls until the condition holds, and returns how long that took. Panics after [`TIMEOUT`].
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "timed out while waiting for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}
