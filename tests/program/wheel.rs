//! The Python package: a wheel with the program, built by maturin and installed by pip.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::project::Project;
use crate::python::python_with;

/// `cargo` as maturin calls it. The program is built already, so this one only reports it.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
    rustc) cat "$(dirname "$0")/artifact.json" ;;
    *) exec "$REAL_CARGO" "$@" ;;
esac
"#;

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_wheel_installs_the_program() {
    let Some(python) = python_with("maturin, venv") else { return };
    let project = Project::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // maturin moves the file.
    let program = project.path("built/kiln");
    let artifact = serde_json::json!({
        "reason": "compiler-artifact",
        "package_id": format!("path+file://{}#kiln@{}", root.display(), env!("CARGO_PKG_VERSION")),
        "manifest_path": root.join("Cargo.toml"),
        "target": {
            "kind": ["bin"], "crate_types": ["bin"], "name": "kiln", "edition": "2024",
            "src_path": root.join("crates/cli/main.rs"), "doc": true, "doctest": false, "test": true,
        },
        "profile": {
            "opt_level": "0", "debuginfo": 0, "debug_assertions": true, "overflow_checks": true, "test": false,
        },
        "features": [],
        "filenames": [program],
        "executable": program,
        "fresh": true,
    });
    fs::create_dir(project.path("bin")).unwrap();
    fs::create_dir(project.path("built")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_kiln"), &program).unwrap();
    project.write("bin/artifact.json", format!("{artifact}\n"));
    project.write("bin/cargo", CARGO);
    fs::set_permissions(project.path("bin/cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let wheels = project.path("wheels");
    let mut build = python.command();
    build.args(["-m", "maturin", "build", "--profile", "dev", "--compatibility", "linux"]);
    build.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--out").arg(&wheels);
    build.env("PATH", format!("{}:{path}", project.path("bin").display()));
    build.env("REAL_CARGO", std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    build.env("CARGO_TARGET_DIR", project.path("target")).env_remove("CARGO");
    succeeds(&mut build);

    let built: Vec<_> = fs::read_dir(&wheels).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [wheel] = built.as_slice() else { panic!("{built:?}") };
    let name = wheel.file_name().unwrap().to_string_lossy();
    let start = format!("kiln-{}-py3-none-linux_", env!("CARGO_PKG_VERSION"));
    assert!(name.starts_with(&start), "{name}");
    let environment = project.path("environment");
    succeeds(python.command().args(["-m", "venv"]).arg(&environment));
    let pip = ["-m", "pip", "install", "--no-index", "--quiet"];
    succeeds(Command::new(environment.join("bin/python")).args(pip).arg(wheel));
    let version = succeeds(Command::new(environment.join("bin/kiln")).arg("--version"));
    assert!(version.starts_with(concat!("kiln ", env!("CARGO_PKG_VERSION"))), "{version}");
    let package =
        succeeds(Command::new(environment.join("bin/python")).args(["-m", "pip", "show", "kiln"]));
    for line in ["Name: kiln", "Summary: Trains many image classifiers"] {
        assert!(package.contains(line), "{package}");
    }
}
