use std::fs;
use std::path::Path;

use kiln_store::find;

use crate::samples::directory;
use crate::tree::SampleRun;

/// The runs that are found, relative to `root`.
fn found(root: &Path, paths: &[&str]) -> Vec<String> {
    let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
    let found = find(&paths).expect("runs");
    let relative = |path: &Path| path.strip_prefix(root).expect("below").display().to_string();
    found.runs.iter().map(|path| relative(path)).collect()
}

fn problem(path: &Path) -> String {
    let error = find(&[path]).expect_err("no run").to_string();
    error.replace(&path.display().to_string(), "<path>")
}

#[test]
fn runs_are_found_by_directory_parent_and_pattern() {
    let root = directory();
    for (sweep, seed) in [("runs/b", 1), ("runs/b", 2), ("runs/a", 1)] {
        SampleRun::new(0.1, 1, seed).write(&root.path().join(sweep));
    }
    let all = ["runs/a/0.1-1-1", "runs/b/0.1-1-1", "runs/b/0.1-1-2"];
    assert_eq!(found(root.path(), &["runs"]), all);
    assert_eq!(found(root.path(), &["runs/b"]), all[1..]);
    assert_eq!(found(root.path(), &["runs/b/0.1-1-2"]), all[2..]);
    assert_eq!(found(root.path(), &["runs/*/0.1-1-1"]), all[..2]);
    assert_eq!(found(root.path(), &["runs/[b]"]), all[1..]);
    assert_eq!(found(root.path(), &["runs/**"]), all);
    // The runs are sorted, and each run is listed once, even if several arguments match it.
    assert_eq!(found(root.path(), &["runs/b/0.1-1-2", "runs/b/./", "runs/*/*", "runs"]), all);
}

#[test]
fn existing_name_with_pattern_characters_is_a_name() {
    let root = directory();
    SampleRun::new(0.1, 1, 1).write(&root.path().join("lr[1]"));
    assert_eq!(found(root.path(), &["lr[1]"]), ["lr[1]/0.1-1-1"]);
}

#[test]
fn the_readme_of_the_directory_of_all_runs_is_skipped() {
    let root = directory();
    SampleRun::new(0.1, 1, 1).write(&root.path().join("runs/a"));
    fs::write(root.path().join("runs/README.md"), "# Runs").expect("a file");
    assert_eq!(found(root.path(), &["runs"]), ["runs/a/0.1-1-1"]);
    assert_eq!(found(root.path(), &["runs/*"]), ["runs/a/0.1-1-1"]);
    // As a shell expands `runs/*`.
    assert_eq!(found(root.path(), &["runs/README.md", "runs/a"]), ["runs/a/0.1-1-1"]);
    let paths = [root.path().join("runs/README.md"), root.path().join("runs/a")];
    let examined = kiln_store::doctor::find(&paths).expect("runs");
    assert_eq!(examined.runs, [root.path().join("runs/a/0.1-1-1")]);
    assert_eq!(examined.directories, [root.path().join("runs/a")]);

    let alone = problem(&root.path().join("runs/README.md"));
    assert!(alone.starts_with("<path>: it is a file"), "{alone}");
}

#[cfg(unix)]
#[test]
fn link_to_a_run_is_the_same_run() {
    let root = directory();
    let run = SampleRun::new(0.1, 1, 1).write(&root.path().join("runs/a"));
    std::os::unix::fs::symlink(&run, root.path().join("runs/a/latest")).expect("a link");
    assert_eq!(found(root.path(), &["runs"]).len(), 1);
}

#[test]
fn hidden_directories_are_skipped_and_incomplete_runs_reported() {
    let root = directory();
    let run = SampleRun::new(0.1, 1, 1).write(root.path());
    SampleRun::new(0.1, 1, 2).write(&root.path().join(".kiln"));
    fs::create_dir(root.path().join("empty")).expect("a directory");
    fs::create_dir_all(root.path().join("notes/2026")).expect("a directory");
    fs::write(root.path().join("notes/2026/mine.txt"), "…").expect("a file");
    fs::create_dir(root.path().join("next")).expect("a directory");
    fs::write(root.path().join("next/config.toml"), "").expect("a file");
    let found = find(&[root.path()]).expect("runs");
    assert_eq!(found.runs, [run]);
    let left_out: Vec<_> = found
        .left_out
        .iter()
        .map(|it| format!("{}: {}", it.path.file_name().expect("a name").display(), it.problem))
        .collect();
    assert_eq!(
        left_out,
        [
            "empty: it has no run.json: the run was killed at its start",
            "next: the run did not start: it has a config.toml but no run.json",
        ]
    );
}

#[test]
fn error_about_a_path_without_runs_gives_advice() {
    const INSTEAD: &str = "give a run directory, a sweep directory, the directory of all runs, or a pattern such as 'runs/*/*'";
    let root = directory();
    let run = SampleRun::new(0.1, 1, 1).write(root.path());
    let cases = [
        ("missing", "it does not exist"),
        ("missing/*", "the pattern matches nothing"),
        ("0.1-1-1/run.json", "it is a file"),
        ("0.1-1-1/*.csv", "it contains no run"),
        ("[", "the pattern is wrong at character"),
    ];
    for (path, expected) in cases {
        let problem = problem(&root.path().join(path));
        assert!(problem.starts_with(&format!("<path>: {expected}")), "{problem}");
        assert!(problem.ends_with(INSTEAD), "{problem}");
    }
    // One wrong path is an error, even if the other paths have runs.
    assert!(find(&[run, root.path().join("missing")]).is_err());
}
