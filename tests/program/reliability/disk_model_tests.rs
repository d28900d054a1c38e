//! The disk of the power cuts is itself put to the test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Generator;
use super::disk_model::{Disk, Left};

fn file<'a>(left: &'a Left, path: &str) -> Option<&'a [u8]> {
    left.files.get(Path::new(path)).map(Vec::as_slice)
}

/// A disk with the file `a/old`, which is safe and holds `old`.
fn disk() -> Disk {
    let mut disk = Disk::empty();
    disk.create_directory(Path::new("a"));
    disk.create(Path::new("a/old"));
    disk.append(Path::new("a/old"), b"old");
    for path in ["a/old", "a", "."] {
        disk.sync(Path::new(path));
    }
    disk
}

#[test]
fn what_was_not_synced_is_lost_and_what_was_is_not() {
    let mut disk = disk();
    disk.append(Path::new("a/old"), b" and new");
    assert_eq!(file(&disk.clone().lose_power(None), "a/old"), Some(b"old".as_slice()));
    disk.sync(Path::new("a/old"));
    assert_eq!(file(&disk.clone().lose_power(None), "a/old"), Some(b"old and new".as_slice()));
    disk.truncate(Path::new("a/old"), 1);
    assert_eq!(file(&disk.clone().lose_power(None), "a/old"), Some(b"old and new".as_slice()));
    disk.sync(Path::new("a/old"));
    assert_eq!(file(&disk.lose_power(None), "a/old"), Some(b"o".as_slice()));
}

#[test]
fn a_name_lasts_when_its_directory_is_synced() {
    let mut disk = disk();
    disk.create(Path::new("a/new"));
    disk.append(Path::new("a/new"), b"new");
    disk.sync(Path::new("a/new"));
    assert_eq!(file(&disk.clone().lose_power(None), "a/new"), None);
    disk.sync(Path::new("a"));
    assert_eq!(file(&disk.clone().lose_power(None), "a/new"), Some(b"new".as_slice()));
    disk.remove(Path::new("a/new"));
    assert_eq!(file(&disk.clone().lose_power(None), "a/new"), Some(b"new".as_slice()));
    disk.sync(Path::new("a"));
    assert_eq!(file(&disk.lose_power(None), "a/new"), None);
}

#[test]
fn a_rename_lasts_when_its_directory_is_synced_with_what_was_safe_of_the_file() {
    let mut disk = disk();
    disk.create(Path::new("a/new"));
    disk.append(Path::new("a/new"), b"new");
    disk.rename(Path::new("a/new"), Path::new("a/old"));
    assert_eq!(file(&disk.clone().lose_power(None), "a/old"), Some(b"old".as_slice()));
    disk.sync(Path::new("a"));
    // The file that was written and renamed without a sync: the name is there, and nothing behind it.
    let left = disk.clone().lose_power(None);
    assert_eq!((file(&left, "a/old"), file(&left, "a/new")), (Some(b"".as_slice()), None));
    disk.sync(Path::new("a/old"));
    assert_eq!(file(&disk.lose_power(None), "a/old"), Some(b"new".as_slice()));
}

#[test]
fn a_directory_that_does_not_last_takes_with_it_what_is_in_it() {
    let mut disk = disk();
    disk.create_directory(Path::new("a/b"));
    disk.create(Path::new("a/b/c"));
    disk.sync(Path::new("a/b/c"));
    disk.sync(Path::new("a/b"));
    let left = disk.clone().lose_power(None);
    assert_eq!(left.directories, [Path::new(""), Path::new("a")]);
    disk.sync(Path::new("a"));
    assert_eq!(file(&disk.clone().lose_power(None), "a/b/c"), Some(b"".as_slice()));
    disk.remove(Path::new("a/b"));
    disk.sync(Path::new("a"));
    assert_eq!(disk.lose_power(None).directories, [Path::new(""), Path::new("a")]);
}

#[test]
fn by_chance_some_of_it_arrives() {
    let mut disk = disk();
    disk.append(Path::new("a/old"), b"er");
    disk.create(Path::new("a/new"));
    disk.rename(Path::new("a/new"), Path::new("a/newer"));
    let (mut contents, mut names) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..200 {
        let left = disk.clone().lose_power(Some(&mut Generator::new("disk", round)));
        contents.insert(file(&left, "a/old").unwrap().to_owned());
        names.insert(left.files.keys().map(|path| path.display().to_string()).collect::<Vec<_>>());
    }
    let expected = [b"old".as_slice(), b"old\0\0", b"olde", b"olde\0", b"older"];
    assert_eq!(contents, expected.map(<[u8]>::to_owned).into());
    let expected = [vec!["a/old"], vec!["a/new", "a/old"], vec!["a/newer", "a/old"]];
    let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
    assert_eq!(names, expected.into());
}

#[test]
fn a_journal_is_done_again_and_a_real_directory_is_taken_in() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = Disk::empty();
    for line in [
        r#"{"operation": "create_directory", "path": "runs"}"#,
        r#"{"operation": "sync_directory", "path": "."}"#,
        r#"{"operation": "create", "path": "runs/new"}"#,
        r#"{"operation": "write", "path": "runs/new", "bytes": "YWJj"}"#,
        r#"{"operation": "truncate", "path": "runs/new", "length": 2}"#,
        r#"{"operation": "sync", "path": "runs/new"}"#,
        r#"{"operation": "rename", "path": "runs/new", "to": "runs/file"}"#,
        r#"{"operation": "remove", "path": "runs/missing"}"#,
        r#"{"operation": "sync_directory", "path": "runs"}"#,
    ] {
        disk.apply(line);
    }
    let left = disk.lose_power(None);
    assert_eq!(file(&left, "runs/file"), Some(b"ab".as_slice()));
    left.write(directory.path());
    assert_eq!(fs::read(directory.path().join("runs/file")).unwrap(), b"ab");
    assert!(Disk::holding(directory.path(), "runs").lose_power(None) == left);
}
