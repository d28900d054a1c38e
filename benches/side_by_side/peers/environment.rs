//! Virtual environments under `target/`. They are kept for the next benchmark.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::machine::first_line;
use crate::process;
use crate::samples::Subject;
use crate::setting::{at_root, scratch};

pub(crate) struct Environment {
    pub(crate) python: PathBuf,
}

/// The name of the Python interpreter, if there is one.
pub(crate) fn python() -> Option<&'static str> {
    ["python3", "python"].into_iter().find(|name| first_line(name, &["--version"]).is_some())
}

impl Environment {
    /// Returns the existing environment if the requirements have not changed, and creates a new one otherwise.
    pub(crate) fn prepare(
        python: &str,
        subject: Subject,
        packages: &[&str],
    ) -> anyhow::Result<Self> {
        let directory = scratch().join("peers").join(subject.name().to_lowercase());
        let environment = Self { python: directory.join("bin/python") };
        let requirements = at_root("benches/peers/requirements.txt");
        let wanted = fs::read_to_string(&requirements)
            .context("cannot read the requirements of the peers")?;
        let installed = directory.join("requirements.txt");
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
            return Ok(environment);
        }

        println!("Installing {} into {}", packages.join(", "), directory.display());
        let venv = ["-m", "venv", "--clear"];
        process::run(Command::new(python).args(venv).arg(&directory))
            .context("cannot create the virtual environment")?;
        let mut pip = Command::new(&environment.python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.arg("--constraint").arg(&requirements).arg("numpy").args(packages);
        process::run(&mut pip).context("cannot install its packages")?;
        fs::write(installed, wanted)?;
        Ok(environment)
    }

    /// The versions of Python and of the packages. Packages that report no version are omitted.
    pub(crate) fn versions(&self, packages: &[&str]) -> Vec<(String, String)> {
        let python = self.python.to_string_lossy();
        let evaluate = |code: &str| first_line(&python, &["-c", code]);
        let version = |package: &&str| {
            let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
            Some(((*package).to_owned(), evaluate(&code)?))
        };
        let mut versions: Vec<_> = ["numpy"].iter().chain(packages).filter_map(version).collect();
        let python = evaluate("import platform; print(platform.python_version())");
        versions.extend(python.map(|version| ("Python".to_owned(), version)));
        versions
    }
}
