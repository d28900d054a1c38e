//! Runs that earlier versions wrote can be read and resumed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::project::{CommandOutput, Project};
use crate::run_state::run_directories;
use crate::sweep::runs_trained;

/// The end of the name of a directory whose runs have convolutions.
const CONVOLUTION: &str = "-convolution";

/// A project for each version whose runs have dense layers, with the name of the version.
fn projects() -> Vec<(String, Project)> {
    projects_where(|name| !name.ends_with(CONVOLUTION))
}

/// Like [`projects`], for the runs with convolutions.
fn convolution_projects() -> Vec<(String, Project)> {
    projects_where(|name| name.ends_with(CONVOLUTION))
}

fn projects_where(is_wanted: impl Fn(&str) -> bool) -> Vec<(String, Project)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut versions: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && is_wanted(&file_name(path)))
        .collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions.iter().map(|path| (file_name(path), Project::copy_of(path))).collect()
}

/// The versions that another build must share with this one for a run to be resumed: `versions` in `run.json`.
fn versions_of(project: &Project, run: &str) -> serde_json::Value {
    project.read_json(format!("{run}/run.json"))["versions"].clone()
}

/// Asserts that `kiln resume` refuses the run and says why, if another version or revision of the arithmetic computed it.
/// Otherwise returns the output of `kiln resume`.
fn resume_if_same_versions(project: &Project, run: &str) -> Option<CommandOutput> {
    let other = Project::new();
    let new = other.train(&[]);
    let (then, now) = (versions_of(project, run), versions_of(&other, &new));
    let resumed = project.kiln(&["resume", run]);
    if then == now {
        return Some(resumed);
    }
    assert_eq!(resumed.status, 1, "{then}: {}", resumed.stderr);
    let is_same_release = then["kiln"] == now["kiln"];
    let what = if is_same_release {
        "the arithmetic of Kiln changed from revision"
    } else {
        "Kiln changed from"
    };
    assert!(resumed.stderr.contains(what), "{then}: {}", resumed.stderr);
    let help =
        "resume the run with the program that started it, or train it as a new one: kiln run ";
    assert!(resumed.stderr.contains(help), "{then}: {}", resumed.stderr);
    None
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The run directories of an experiment, relative to the project.
fn runs(project: &Project, name: &str) -> Vec<String> {
    let runs = run_directories(&project.path("runs").join(name));
    runs.iter().map(|run| format!("runs/{name}/{}", file_name(run))).collect()
}

/// The run directory of an experiment that has only one run.
fn run(project: &Project, name: &str) -> String {
    let runs = runs(project, name);
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

/// The test accuracy that `kiln show` prints, if the run has one.
fn shown_accuracy(project: &Project, run: &str) -> Option<f64> {
    let shown = project.kiln(&["show", run]);
    assert_eq!(shown.status, 0, "{}", shown.stderr);
    let line = shown.stdout.lines().find(|line| line.contains(" test images, with the "))?;
    let (_, rest) = line.split_once("accuracy ")?;
    rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
}

#[test]
fn show_reads_golden_runs() {
    for (version, project) in projects() {
        for (name, reason) in [
            ("columns", "finished: all epochs done"),
            ("normalized", "finished: all epochs done"),
            ("diverged", "diverged: the loss became NaN in epoch 1, step 3"),
            ("dropout", "interrupted in epoch 5, after step 46"),
        ] {
            let shown = project.kiln(&["show", &run(&project, name)]);
            assert_eq!(shown.status, 0, "{version}: {}", shown.stderr);
            assert!(shown.stdout.contains(reason), "{version}: {}", shown.stdout);
        }
        assert_eq!(shown_accuracy(&project, &run(&project, "columns")), Some(1.0));
        assert_eq!(shown_accuracy(&project, &run(&project, "normalized")), Some(0.9667));
        let is_pruned =
            |run: &&String| project.kiln(&["show", run]).stdout.contains("pruned after epoch 1");
        assert_eq!(runs(&project, "pruned").iter().filter(is_pruned).count(), 2, "{version}");
    }
}

#[test]
fn compare_reads_golden_runs() {
    for (version, project) in projects() {
        let compared = project.kiln(&["compare", "runs", "--json"]);
        assert_eq!(compared.status, 0, "{version}: {}", compared.stderr);
        let compared = compared.json();
        // Each run is in a combination. One was interrupted in two ways and counts once.
        let runs = |kind: &str| -> usize {
            let combinations = compared["combinations"].as_array().unwrap();
            combinations.iter().map(|row| row[kind].as_array().unwrap().len()).sum()
        };
        assert_eq!((runs("runs"), runs("copies")), (7, 1), "{version}");
        assert_eq!(compared["left_out"].as_array().unwrap().len(), 0, "{version}");
    }
}

#[test]
fn doctor_finds_no_damage_in_golden_runs() {
    for (version, project) in projects() {
        let examined = project.kiln(&["doctor", "runs"]);
        assert_eq!(examined.status, 0, "{version}: {}", examined.stdout);
        assert_eq!(examined.last_line(), "8 runs: 6 intact, 2 unfinished", "{version}");
        let advice = format!(
            "to resume (from epoch 6, step 39): kiln resume {}",
            run(&project, "dropout-state-2")
        );
        let has_advice = examined.stdout.lines().any(|line| line.ends_with(&advice));
        assert!(has_advice, "{version}: {}", examined.stdout);
    }
}

#[test]
fn predict_uses_golden_weights() {
    for (version, project) in projects() {
        // Column 2, the one of the class `right`, is bright.
        let picture =
            image::GrayImage::from_fn(4, 4, |x, _| image::Luma([20 + 180 * u8::from(x == 2)]));
        picture.save(project.path("right.png")).unwrap();
        for name in ["columns", "normalized"] {
            let predicted = project.kiln(&["predict", &run(&project, name), "right.png"]);
            assert_eq!(predicted.status, 0, "{version}: {}", predicted.stderr);
            assert!(predicted.stdout.starts_with("right.png: right "), "{}", predicted.stdout);
        }
    }
}

#[test]
fn interrupted_golden_run_resumes() {
    for (version, project) in projects() {
        let run = run(&project, "dropout-state-2");
        let Some(resumed) = resume_if_same_versions(&project, &run) else { continue };
        assert_eq!(resumed.status, 0, "{version}: {}", resumed.stderr);
        assert!(resumed.stderr.contains("resuming from epoch 6, step 39"), "{}", resumed.stderr);
        assert_eq!(project.read(format!("{run}/history.csv")).lines().count(), 13);
        assert!(shown_accuracy(&project, &run).unwrap() > 0.9, "{version}");
        let examined = project.kiln(&["doctor", &run]);
        assert_eq!(examined.last_line(), "1 run: 1 intact", "{version}: {}", examined.stdout);
    }
}

#[test]
fn resume_refuses_a_golden_run_with_an_older_checkpoint_format() {
    for (version, project) in projects() {
        let run = run(&project, "dropout");
        let examined = project.kiln(&["doctor", &run]);
        assert!(examined.stdout.contains("kiln resume refuses"), "{}", examined.stdout);
        let listing = project.listing();
        let resumed = project.kiln(&["resume", &run]);
        assert_eq!(resumed.status, 1, "{version}: {}", resumed.stderr);
        let problem = "its checkpoints have format version 1, but this version of Kiln reads 2";
        assert!(resumed.stderr.contains(problem), "{version}: {}", resumed.stderr);
        assert_eq!(project.listing(), listing, "{version}");
    }
}

#[test]
fn completed_golden_sweep_trains_nothing() {
    for (version, project) in projects() {
        // A later Kiln may have other settings. Then the ids of the runs are others, and they are trained again.
        if version == env!("CARGO_PKG_VERSION") {
            let again = project.kiln(&["resume", "runs/pruned", "--data", "data"]);
            assert_eq!(again.status, 0, "{}", again.stderr);
            assert!(again.stdout.contains(": 1 finished, 2 pruned"), "{}", again.stdout);
            assert_eq!(runs_trained(&again), 0, "{}", again.stderr);
        }
    }
}

#[test]
fn golden_sweep_is_trained_again_on_changed_data() {
    for (version, project) in projects() {
        let labels = project.path("data/columns/train-labels-idx1-ubyte");
        let mut bytes = fs::read(&labels).unwrap();
        *bytes.last_mut().unwrap() = (bytes[bytes.len() - 1] + 1) % 3;
        fs::write(&labels, bytes).unwrap();
        let before = runs(&project, "pruned").len();
        let again = project.kiln(&["resume", "runs/pruned", "--data", "data"]);
        assert_eq!(again.status, 0, "{version}: {}", again.stderr);
        if version == env!("CARGO_PKG_VERSION") {
            assert!(again.stderr.contains("the data has changed: 3 runs"), "{}", again.stderr);
        }
        assert_eq!(runs_trained(&again), 3, "{version}: {}", again.stderr);
        assert_eq!(runs(&project, "pruned").len(), before + 3, "{version}");
    }
}

#[test]
fn golden_runs_with_convolutions_are_read() {
    for (version, project) in convolution_projects() {
        let finished = run(&project, "convolution");
        let shown = project.kiln_ok(&["show", &finished]);
        assert!(shown.stdout.contains("finished: all epochs done"), "{version}: {}", shown.stdout);
        assert_eq!(shown_accuracy(&project, &finished), Some(0.9667), "{version}");
        let examined = project.kiln_ok(&["doctor", "runs"]);
        assert_eq!(examined.last_line(), "2 runs: 1 intact, 1 unfinished", "{}", examined.stdout);
        let compared = project.kiln_ok(&["compare", "runs", "--json"]).json();
        assert_eq!(compared["left_out"].as_array().unwrap().len(), 0, "{version}");

        // The weights still give the recorded accuracy.
        let evaluated = project.kiln_ok(&["evaluate", &finished, "data/columns"]);
        assert!(evaluated.stdout.contains("accuracy 0.9667"), "{version}: {}", evaluated.stdout);
    }
}

#[test]
fn interrupted_golden_run_with_convolutions_resumes() {
    for (version, project) in convolution_projects() {
        let run = run(&project, "convolution-interrupted");
        let Some(resumed) = resume_if_same_versions(&project, &run) else { continue };
        assert_eq!(resumed.status, 0, "{version}: {}", resumed.stderr);
        assert_eq!(project.read(format!("{run}/history.csv")).lines().count(), 13);
        let examined = project.kiln_ok(&["doctor", &run]);
        assert_eq!(examined.last_line(), "1 run: 1 intact", "{version}: {}", examined.stdout);
    }
}
