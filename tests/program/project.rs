//! A temporary project directory with a small dataset and an experiment, in which tests run `kiln`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::columns;

/// A directory with `experiment.toml` and its dataset of three classes, `data/columns`.
pub(crate) struct Project {
    directory: TempDir,
}

/// The result of a command. The exit status is -1 if a signal ended the process.
pub(crate) struct CommandOutput {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::in_directory(tempfile::tempdir().unwrap())
    }

    /// A project in memory, if the system has `/dev/shm`: its runs do not wait for a disk.
    pub(crate) fn in_memory() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_directory(directory.unwrap())
    }

    pub(crate) fn in_directory(directory: TempDir) -> Self {
        let project = Self { directory };
        project.write("experiment.toml", columns::EXPERIMENT);
        columns::write(&project.path("data/columns"));
        project.write("data/columns/classes.txt", "left\nmiddle\nright\n");
        project
    }

    /// A copy of a directory, so that the program may change it.
    pub(crate) fn copy_of(original: &Path) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        copy_directory(original, project.directory.path());
        project
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(relative)
    }

    pub(crate) fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        fs::write(self.path(relative), content).unwrap();
    }

    pub(crate) fn read(&self, relative: impl AsRef<Path>) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    pub(crate) fn read_json(&self, relative: impl AsRef<Path>) -> Value {
        serde_json::from_str(&self.read(relative)).unwrap()
    }

    /// Changes the `run.json` of a run and removes its checksum, as if a Kiln without checksums had written it.
    pub(crate) fn edit_record(&self, run: &str, change: impl FnOnce(&mut Value)) {
        let path = format!("{run}/run.json");
        let mut record = self.read_json(&path);
        record.as_object_mut().unwrap().remove("checksum");
        change(&mut record);
        self.write(path, record.to_string());
    }

    /// Flips one bit in the middle of a file.
    pub(crate) fn flip_bit(&self, relative: impl AsRef<Path>) {
        let path = self.path(relative);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// `kiln` without arguments yet, in the project directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(self.directory.path()).env_remove("NO_COLOR");
        command
    }

    pub(crate) fn kiln(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::from(self.command().args(arguments).output().unwrap())
    }

    /// Runs a command and asserts that it exits with 0.
    pub(crate) fn kiln_ok(&self, arguments: &[&str]) -> CommandOutput {
        let output = self.kiln(arguments);
        assert_eq!(output.status, 0, "{arguments:?}: {}{}", output.stdout, output.stderr);
        output
    }

    /// Trains `experiment.toml` and returns the run directory, relative to the project.
    pub(crate) fn train(&self, overrides: &[&str]) -> String {
        self.kiln_ok(&[["run", "experiment.toml"].as_slice(), overrides].concat()).last_line()
    }

    /// All paths in the project, sorted. If `../escape` exists, it is included: a hostile name must not create it.
    pub(crate) fn listing(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.path("../escape")];
        paths.retain(|path| path.exists());
        let mut directories = vec![self.path(".")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path.clone());
                }
                paths.push(path);
            }
        }
        paths.sort();
        paths
    }
}

/// Copies a directory with everything in it.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl CommandOutput {
    pub(crate) fn last_line(&self) -> String {
        self.stdout.lines().last().unwrap_or_default().to_owned()
    }

    /// Whether a sweep reports that all its `runs` are finished, by its own work or by that of an earlier or another sweep.
    pub(crate) fn reports_all_finished(&self, runs: usize) -> bool {
        [format!("{runs} runs: {runs} finished"), format!("{runs} runs: all already finished")]
            .iter()
            .any(|count| self.stdout.contains(count))
    }

    /// Standard output, parsed as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    pub(crate) fn assert_no_panic(&self, context: &str) {
        let panicked = [&self.stdout, &self.stderr].iter().any(|text| text.contains("panicked"));
        assert!(!panicked, "{context}\n{}{}", self.stdout, self.stderr);
    }
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
