//! Stand-ins for the commands of Slurm, scripts on PATH that record their arguments and answer from files, and for functions of
//! the C library.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project::{CommandOutput, Project};

/// A directory with `sbatch`, `squeue`, `scancel` and `scontrol`.
pub(super) struct StandIns<'a> {
    project: &'a Project,
    directory: PathBuf,
}

impl<'a> StandIns<'a> {
    /// Jobs are accepted and get the ids 4711, 4712, …; the queue is empty.
    pub(super) fn new(project: &'a Project) -> Self {
        let directory = project.path("slurm-commands");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("next"), "4711").unwrap();
        for file in ["queue", "config", "canceled", "requeued"] {
            fs::write(directory.join(file), "").unwrap();
        }
        let commands = Self { project, directory };
        commands.set("sbatch", "id=$(cat next); echo $((id + 1)) > next; echo $id");
        commands.set("squeue", "cat queue");
        commands.set("scancel", "echo \"$@\" >> canceled; : > queue");
        commands.set(
            "scontrol",
            "case $1 in show) cat config ;; requeue) echo \"$2\" >> requeued ;; esac",
        );
        commands
    }

    /// Changes what a command does. Its working directory is that of the stand-ins.
    pub(super) fn set(&self, command: &str, script: &str) {
        let path = self.directory.join(command);
        let directory = self.directory.display();
        fs::write(&path, format!("#!/bin/sh\ncd {directory} || exit 1\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn write(&self, file: &str, content: &str) {
        fs::write(self.directory.join(file), content).unwrap();
    }

    pub(super) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap()
    }

    /// `kiln` without arguments yet, with the stand-ins on PATH.
    pub(super) fn command(&self) -> Command {
        let mut command = self.project.command();
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.directory.display()));
        for variable in ["SLURM_CONF", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID"] {
            command.env_remove(variable);
        }
    }

    pub(super) fn kiln(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::from(self.command().args(arguments).output().unwrap())
    }

    pub(super) fn kiln_ok(&self, arguments: &[&str]) -> CommandOutput {
        let output = self.kiln(arguments);
        assert_eq!(output.status, 0, "{arguments:?}: {}{}", output.stdout, output.stderr);
        output
    }

    /// Runs the batch script of a job as Slurm would: in the directory of the submission, with the variables of the task.
    pub(super) fn task(&self, script: &Path, job: &str, index: usize, count: usize) -> Command {
        let mut command = Command::new("bash");
        command.arg(script).current_dir(self.project.path("."));
        self.prepare(&mut command);
        command
            .env("SLURM_JOB_ID", format!("{job}{index}"))
            .env("SLURM_ARRAY_JOB_ID", job)
            .env("SLURM_ARRAY_TASK_ID", index.to_string())
            .env("SLURM_ARRAY_TASK_COUNT", count.to_string());
        command
    }
}

/// Compiles a library that replaces functions of the C library for programs that preload it. `None` if there is no C compiler.
#[cfg(target_os = "linux")]
pub(super) fn preloaded(project: &Project, name: &str, source: &str) -> Option<PathBuf> {
    let library = project.path(format!("{name}.so"));
    if !library.exists() {
        let path = format!("{name}.c");
        project.write(&path, source);
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(project.path(path));
        compiler.status().ok().filter(std::process::ExitStatus::success)?;
    }
    Some(library)
}
