//! Runs the commands of a page, in order, in a temporary directory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::fence::{Fence, fences};
use super::{output, small};
use crate::python::python_with;
use crate::run_state::run_directories;

/// The disk operation at which a `killed` command dies: while it writes the checkpoint of the second epoch.
const DEATH: &str = "die@60";

/// Runs every block of a page and returns its problems, each with its line.
pub(super) fn check(page: &str, text: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    small::write(directory.path());
    let mut problems = Vec::new();
    let mut printed: Option<String> = None;
    let mut python = String::new();
    for fence in fences(text) {
        let result = block(&directory, &fence, printed.as_deref(), &mut python);
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

/// Runs or checks one block. `previous` is the output of the block before it, if that was run, and `python` the code of the
/// page so far.
fn block(
    directory: &TempDir,
    fence: &Fence,
    previous: Option<&str>,
    python: &mut String,
) -> Result<Option<String>, String> {
    let (kind, reason) = fence.note.split_once(':').unwrap_or((&fence.note, ""));
    match (fence.language.as_str(), kind, reason.trim()) {
        ("sh", "", "") => run(directory.path(), &fence.text, None, true).map(Some),
        ("sh", "fails", "") => run(directory.path(), &fence.text, None, false).map(Some),
        ("sh", "killed", "") => run(directory.path(), &fence.text, Some(DEATH), false).map(Some),
        ("python", "needs", modules) if !modules.is_empty() => {
            run_python(directory.path(), modules, python, &fence.text)
        }
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

/// What is printed between the output of the earlier blocks and that of the last one.
const MARKER: &str = "--- the last block ---";

/// Runs a block of Python after those before it, and returns its output. A block whose modules are missing is skipped, and
/// not part of the code for the blocks after it.
fn run_python(
    directory: &Path,
    modules: &str,
    earlier: &mut String,
    code: &str,
) -> Result<Option<String>, String> {
    let Some(python) = python_with(modules) else { return Ok(None) };
    let mut code = code.to_owned();
    while let Some((before, after)) = code.split_once("/ID") {
        let start = before.rfind(['"', ' ']).map_or(0, |index| index + 1);
        let runs = run_directories(&directory.join(&before[start..]));
        let newest = runs.last().and_then(|run| run.file_name()).unwrap_or_default();
        code = format!("{before}/{}{after}", newest.to_string_lossy());
    }
    let script = directory.join("script.py");
    fs::write(&script, format!("{earlier}\nprint({MARKER:?})\n{code}")).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = python
        .command()
        .arg(&script)
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", directory.join("bin").display()))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} of\n{code}\n{printed}{error}", output.status));
    }
    earlier.push_str(&code);
    let printed = printed.split_once(&format!("{MARKER}\n")).map_or("", |(_, last)| last);
    Ok(Some(printed.to_owned()))
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
