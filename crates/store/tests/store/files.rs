use kiln_store::StoreError;
use kiln_store::files::{self, Appender};

use crate::samples::{directory, listing};

#[test]
fn write_replaces_the_whole_file() {
    let directory = directory();
    let path = directory.path().join("report.md");
    files::write(&path, "the first and longer text").expect("written");
    files::write(&path, "the second").expect("written");
    assert_eq!(files::read(&path, 1000).expect("read"), "the second");
    assert_eq!(listing(directory.path()), ["report.md"]);
}

#[test]
fn failed_write_names_the_file_and_leaves_no_partial_file() {
    let directory = directory();
    let path = directory.path().join("report.md");
    std::fs::create_dir(&path).expect("a directory in the way");
    let error = files::write(&path, "text").expect_err("a directory is in the way").to_string();
    assert!(error.starts_with(&format!("cannot write {}: ", path.display())), "{error}");
    assert_eq!(listing(directory.path()), ["report.md"]);

    let path = directory.path().join("missing").join("report.md");
    let error = files::write(&path, "text").expect_err("there is no directory").to_string();
    let expected = format!("cannot write {}: no such file or directory", path.display());
    assert_eq!(error, expected);
    assert_eq!(listing(directory.path()), ["report.md"]);
}

#[cfg(unix)]
#[test]
fn written_file_has_the_default_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let (written, ordinary) = (directory.path().join("written"), directory.path().join("ordinary"));
    files::write(&written, "").expect("written");
    std::fs::write(&ordinary, "").expect("written");
    let mode = |path| std::fs::metadata(path).expect("metadata").permissions().mode();
    assert_eq!(mode(&written), mode(&ordinary));
}

#[test]
fn invalid_utf_8_is_reported_with_its_line() {
    let directory = directory();
    let path = directory.path().join("run.json");
    std::fs::write(&path, b"{\n\"name\": \"caf\xe9\"\n}").expect("written");
    let error = files::read(&path, 1000).expect_err("not UTF-8");
    assert_eq!(error.to_string(), format!("{}, line 2: this is not UTF-8 text", path.display()));
}

#[test]
fn appender_keeps_existing_content_and_creates_only_new_files() {
    let directory = directory();
    let path = directory.path().join("log.jsonl");
    let mut appender = Appender::create(&path, "head\n").expect("created");
    appender.append("one\n").expect("appended");
    drop(appender);
    Appender::open(&path).expect("opened").append("two\n").expect("appended");
    assert_eq!(files::read(&path, 1000).expect("read"), "head\none\ntwo\n");

    let error = Appender::create(&path, "other").expect_err("it exists").to_string();
    assert!(error.starts_with(&format!("cannot create {}: ", path.display())), "{error}");
    assert_eq!(files::read(&path, 1000).expect("read"), "head\none\ntwo\n");
    assert_eq!(listing(directory.path()), ["log.jsonl"]);
}

/// Writing to `/dev/full` fails like writing to a full disk.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_reported_with_advice() {
    let mut appender = Appender::open("/dev/full".as_ref()).expect("opened");
    let error = appender.append("a record\n").expect_err("it is full");
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert_eq!(error.to_string(), "cannot write /dev/full: the disk is full; free some space");
}
