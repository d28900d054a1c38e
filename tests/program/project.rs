//! A tiny project: a directory with a dataset and an experiment, and the program let loose in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::columns;

/// A dataset of three classes in `data/columns`, and `experiment.toml`, which trains on it.
pub(crate) struct Project {
    directory: TempDir,
}

/// What came of a command.
pub(crate) struct CommandOutput {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// In a directory that is gone with it.
    pub(crate) fn within(directory: TempDir) -> Self {
        let project = Self { directory };
        project.write("experiment.toml", columns::EXPERIMENT);
        columns::write(&project.path("data/columns"));
        project.write("data/columns/classes.txt", "left\nmiddle\nright\n");
        project
    }

    /// A project with a copy of all that lies in a directory, for the program may change it.
    pub(crate) fn copy_of(original: &Path) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        copy(original, project.directory.path());
        project
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(relative), content).unwrap();
    }

    pub(crate) fn read(&self, relative: impl AsRef<Path>) -> String {
        fs::read_to_string(self.directory.path().join(relative)).unwrap()
    }

    /// The program, to be run in the project's directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(self.directory.path()).env_remove("NO_COLOR");
        command
    }

    pub(crate) fn kiln(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::from(self.command().args(arguments).output().unwrap())
    }

    /// Runs `experiment.toml` to its end and gives the run directory, from the project's.
    pub(crate) fn trained(&self, overrides: &[&str]) -> String {
        let output = self.kiln(&[["run", "experiment.toml"].as_slice(), overrides].concat());
        assert_eq!(output.status, 0, "{}", output.stderr);
        output.last_line()
    }

    /// Everything in the project, and in the directory above it that a name could climb to.
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

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl CommandOutput {
    pub(crate) fn last_line(&self) -> String {
        self.stdout.lines().last().unwrap_or_default().to_owned()
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
