//! The licenses in the archives of a release.

use std::path::Path;

use crate::project::Project;
use crate::python::python_with;

#[test]
fn licenses_of_all_linked_crates_are_collected_without_a_network() {
    let Some(python) = python_with("argparse, json") else { return };
    let project = Project::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = project.path("THIRD-PARTY-LICENSES.txt");
    let output = python
        .command()
        .current_dir(root)
        .args([".ci/third-party-licenses", &file.to_string_lossy(), "--offline"])
        .output()
        .unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    if problems.contains("--offline") {
        // A crate for another system was never downloaded here.
        return;
    }
    assert!(output.status.success(), "{problems}");
    let text = std::fs::read_to_string(&file).unwrap();
    for part in
        ["burn-core 0.22", "axum 0.8", "mimalloc", "Apache License", "Permission is hereby granted"]
    {
        assert!(text.contains(part), "{part}");
    }
    // Neither Kiln itself nor crates that only tests or the build use.
    for part in ["kiln-", "divan", "serde_derive"] {
        assert!(!text.contains(&format!("\n{part}")), "{part}");
    }
}
