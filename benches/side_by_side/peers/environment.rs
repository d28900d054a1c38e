//! Virtual environments under `target/`, made once.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::machine::said;
use crate::process;
use crate::samples::Subject;
use crate::setting::{at_root, scratch};

pub(crate) struct Environment {
    pub(crate) python: PathBuf,
}

/// The interpreter that the environments are made with.
pub(crate) fn python() -> Option<&'static str> {
    ["python3", "python"].into_iter().find(|name| said(name, &["--version"]).is_some())
}

impl Environment {
    /// The environment of an earlier time, if the requirements are what they were, else a new one.
    pub(crate) fn prepare(
        python: &str,
        subject: Subject,
        packages: &[&str],
    ) -> anyhow::Result<Self> {
        let directory = scratch().join("peers").join(subject.name().to_lowercase());
        let environment = Self { python: directory.join("bin/python") };
        let requirements = at_root("benches/peers/requirements.txt");
        let wanted = fs::read_to_string(&requirements).context("the peers' requirements")?;
        let installed = directory.join("requirements.txt");
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
            return Ok(environment);
        }

        println!("Installing {} into {}", packages.join(", "), directory.display());
        let venv = ["-m", "venv", "--clear"];
        process::run(Command::new(python).args(venv).arg(&directory))
            .context("the virtual environment cannot be made")?;
        let mut pip = Command::new(&environment.python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.arg("--constraint").arg(&requirements).arg("numpy").args(packages);
        process::run(&mut pip).context("its packages cannot be installed")?;
        fs::write(installed, wanted)?;
        Ok(environment)
    }

    /// Python's version and the packages'; of one that says none there is nothing to tell.
    pub(crate) fn versions(&self, packages: &[&str]) -> Vec<(String, String)> {
        let python = self.python.to_string_lossy();
        let ask = |code: &str| said(&python, &["-c", code]);
        let version = |package: &&str| {
            let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
            Some(((*package).to_owned(), ask(&code)?))
        };
        let mut versions: Vec<_> = ["numpy"].iter().chain(packages).filter_map(version).collect();
        let python = ask("import platform; print(platform.python_version())");
        versions.extend(python.map(|version| ("Python".to_owned(), version)));
        versions
    }
}
