//! Runs the commands of a page, in order, in a temporary directory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::fence::{Fence, fences};
use super::{output, small};

/// The disk operation at which a `killed` command dies: while it writes the checkpoint of the second epoch.
const DEATH: &str = "die@60";

/// Runs every block of a page and returns its problems, each with its line.
pub(super) fn check(page: &str, text: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    small::write(directory.path());
    let mut problems = Vec::new();
    let mut printed: Option<String> = None;
    for fence in fences(text) {
        let result = block(&directory, &fence, printed.as_deref());
        printed = match result {
            Ok(output) => output,
            Err(problem) => {
                problems.push(format!("{page}:{}: {problem}", fence.line));
                None
            }
        };
    }
    problems
}

/// Runs or checks one block. `previous` is the output of the block before it, if that was run.
fn block(
    directory: &TempDir,
    fence: &Fence,
    previous: Option<&str>,
) -> Result<Option<String>, String> {
    let (kind, reason) = fence.note.split_once(':').unwrap_or((&fence.note, ""));
    match (fence.language.as_str(), kind, reason.trim()) {
        ("sh", "", "") => run(directory.path(), &fence.text, None, true).map(Some),
        ("sh", "fails", "") => run(directory.path(), &fence.text, None, false).map(Some),
        ("sh", "killed", "") => run(directory.path(), &fence.text, Some(DEATH), false).map(Some),
        ("sh" | "python", "no-run", reason) if !reason.is_empty() => Ok(None),
        ("text", "", "") if fence.follows => match previous {
            Some(printed) if output::matches(&fence.text, printed) => Ok(None),
            Some(printed) => Err(format!("the program printed something else:\n{printed}")),
            None => Err("the command before this output was not run".to_owned()),
        },
        ("text", "sample", reason) if !reason.is_empty() => Ok(None),
        ("toml", "new", path) if !path.is_empty() => {
            fs::write(directory.path().join(path), small::shortened(&fence.text)).unwrap();
            Ok(None)
        }
        ("toml", path, "") if path.starts_with("configs/") => {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let file = fs::read_to_string(file).map_err(|error| format!("{path}: {error}"))?;
            if file.contains(&fence.text) {
                Ok(None)
            } else {
                Err(format!("this is not in {path}"))
            }
        }
        _ => Err(format!("unknown kind of block: {} {}", fence.language, fence.note)),
    }
}

/// Runs a block as a shell script and returns its output.
fn run(
    directory: &Path,
    script: &str,
    fault: Option<&str>,
    succeeds: bool,
) -> Result<String, String> {
    let script = with_ids(script);
    // One file for both streams keeps their lines in order.
    let log = directory.join("output");
    let file = File::create(&log).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command
        .args(["-e", "-c", &script])
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", directory.join("bin").display()))
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    if let Some(fault) = fault {
        command.env("KILN_FAULT", fault);
    }
    let status = command.status().unwrap();
    let output = fs::read_to_string(&log).unwrap();
    if status.success() == succeeds {
        Ok(output)
    } else {
        Err(format!("{status} of\n{script}\n{output}"))
    }
}

/// A shell function that prints the name of a run: `id DIRECTORY 1` the newest, `id DIRECTORY 2` the one before it.
const ID: &str = "id() { ls -1 \"$1\" | tail -n \"$2\" | head -n 1; }\n";

/// The script with `id` in place of the placeholders, so that the shell looks for a run when it needs one.
fn with_ids(script: &str) -> String {
    let mut text = script.to_owned();
    for (placeholder, age) in [("/ID", 1), ("/OTHER", 2)] {
        while let Some((before, after)) = text.split_once(placeholder) {
            let start = before.rfind([' ', '\n']).map_or(0, |index| index + 1);
            let directory = &before[start..];
            text = format!("{before}/$(id {directory} {age}){after}");
        }
    }
    ID.to_owned() + &text
}
