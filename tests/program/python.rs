//! Programs of others that run in Python.

use std::path::Path;
use std::process::Command;

/// A Python with these modules: `KILN_PYTHON`, or `python3`. Without one, the test is skipped.
#[expect(clippy::print_stderr, reason = "says what was skipped")]
pub(crate) fn python_with(modules: &str) -> Option<Python> {
    let program = std::env::var("KILN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = Command::new(&program).args(["-c", &format!("import {modules}")]).output();
    if imports.is_ok_and(|output| output.status.success()) {
        return Some(Python { program });
    }
    eprintln!("skipped: {program} does not have all of {modules}; set KILN_PYTHON");
    None
}

pub(crate) struct Python {
    program: String,
}

impl Python {
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.program)
    }

    /// Runs a script and returns what it prints. It must succeed.
    pub(crate) fn run(&self, script: &Path, arguments: &[&str]) -> String {
        let output = self.command().arg(script).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}
