//! Files that no version of Kiln wrote.

use std::fs;
use std::path::Path;

use kiln_store::{History, Predictions, RunDirectory, StoreError, TestReport, files, find};

use crate::finished;
use crate::samples::directory;
use crate::tree::SampleRun;

const FILE: &str = "file";

/// The problem of a malformed file, and its line.
fn malformed<T: std::fmt::Debug>(read: kiln_store::Result<T>) -> (u64, String) {
    match read {
        Err(StoreError::Malformed { line, problem, path }) if path == Path::new(FILE) => {
            (line, problem)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn columns_and_classes_are_limited() {
    let many: String = (0..257).map(|index| format!(",c{index}")).collect();
    let head = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds";
    let history = History::parse(Path::new(FILE), &format!("{head}{many}\n"));
    let problem = "there are more than 256 columns of further metrics".to_owned();
    assert_eq!(malformed(history), (1, problem));

    let head = format!("index,label,predicted,probability{many}\n");
    let predictions = Predictions::parse(Path::new(FILE), &head);
    assert_eq!(malformed(predictions), (1, "257 classes; at most 256 are supported".to_owned()));
}

#[test]
fn confusion_matrix_must_be_square_with_one_row_per_class() {
    let root = directory();
    let run = finished(root.path());
    let original = fs::read_to_string(run.report_path()).expect("a report");
    let report = TestReport::parse(Path::new(FILE), &original).expect("a report");
    assert_eq!(report.to_json().expect("JSON"), original);
    let line =
        1 + original.lines().position(|line| line.contains("\"confusion\"")).expect("a line");

    let classes = report.per_class.len();
    let mut ragged = report.clone();
    ragged.confusion[1].pop();
    let mut short = report;
    short.confusion.pop();
    for report in [ragged, short] {
        let text = report.to_json().expect("JSON");
        let problem = format!(
            "the confusion matrix has {} rows or columns, but there are {classes} classes",
            classes - 1
        );
        assert_eq!(malformed(TestReport::parse(Path::new(FILE), &text)), (line as u64, problem));
    }
}

#[test]
fn nesting_of_json_is_limited() {
    let depth = 1 << 20;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let text = format!("{{\"format_version\": 1,\n\"notes\": {open}{close}}}");
    let (line, _) = malformed(TestReport::parse(Path::new(FILE), &text));
    assert_eq!(line, 2);
}

#[cfg(unix)]
#[test]
fn find_follows_links_out_of_a_directory_only_if_they_are_named() {
    use std::os::unix::fs::symlink;

    let root = directory();
    let at = |path: &str| root.path().join(path);
    let inner = SampleRun::new(0.1, 1, 1).write(&at("runs/a"));
    let outer = SampleRun::new(0.2, 1, 1).write(&at("elsewhere"));
    symlink(&outer, at("runs/a/out")).expect("a link");
    symlink(at("elsewhere"), at("runs/all-out")).expect("a link");
    symlink(&inner, at("runs/a/in")).expect("a link");

    let found = find(&[at("runs")]).expect("runs");
    assert_eq!(found.runs.len(), 1, "{found:?}");
    let left_out: Vec<_> = found.left_out.iter().map(|it| it.path.clone()).collect();
    assert_eq!(left_out, [at("runs/a/out"), at("runs/all-out")]);
    assert_eq!(find(&[at("runs/a/out")]).expect("a run").runs, [at("runs/a/out")]);
    assert_eq!(find(&[at("runs/a/*")]).expect("runs").runs.len(), 2);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_or_read_through_a_link() {
    use std::os::unix::fs::symlink;

    let root = directory();
    let at = |path: &str| root.path().join(path);
    fs::create_dir_all(at("runs/own")).expect("a directory");
    fs::create_dir(at("elsewhere")).expect("a directory");
    symlink(at("elsewhere"), at("runs/out")).expect("a link");
    symlink(at("nothing"), at("runs/dangling")).expect("a link");
    symlink(at("runs/own"), at("runs/in")).expect("a link");
    for name in ["own", "in", "new"] {
        files::check_within(&at("runs"), &at("runs").join(name)).expect("within");
        RunDirectory::create(&at("runs"), name, Some("id-1"))
            .or_else(|_| RunDirectory::create(&at("runs"), name, Some("id-2")))
            .expect("a run");
    }
    for name in ["out", "dangling"] {
        let error = files::check_within(&at("runs"), &at("runs").join(name)).expect_err("outside");
        assert!(error.to_string().contains("is a symbolic link that leaves"), "{error}");
        RunDirectory::create(&at("runs"), name, Some("id")).expect_err("outside");
    }
    assert_eq!(fs::read_dir(at("elsewhere")).expect("a directory").count(), 0);
    assert!(!at("nothing").exists());

    fs::write(at("text"), "text").expect("a file");
    symlink(at("text"), at("link")).expect("a link");
    let error = files::read(&at("link"), 100).expect_err("a link");
    assert!(error.to_string().ends_with("it is a symbolic link, not an ordinary file"));
}

#[cfg(unix)]
#[test]
fn nothing_is_appended_through_a_link() {
    let root = directory();
    fs::create_dir_all(root.path().join("run")).expect("a directory");
    fs::write(root.path().join("precious"), "precious").expect("a file");
    let link = root.path().join("run/log.jsonl");
    std::os::unix::fs::symlink(root.path().join("precious"), &link).expect("a link");
    for error in [
        files::LineWriter::open(&link).map(|_| ()).expect_err("a refusal"),
        files::Appender::open(&link).map(|_| ()).expect_err("a refusal"),
    ] {
        assert!(matches!(error, StoreError::LeadsOut { .. }), "{error}");
    }
}
