//! Tests of the disk model itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Rng;
use super::disk_model::{Content, Disk};

/// A disk with the file `a/old`, which contains `old` and is durable.
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

fn file<'a>(content: &'a Content, path: &str) -> Option<&'a [u8]> {
    content.files.get(Path::new(path)).map(Vec::as_slice)
}

/// Asserts what a file contains after the disk loses power, or that it is gone.
fn assert_left(disk: &Disk, path: &str, expected: Option<&[u8]>) {
    assert_eq!(file(&disk.clone().lose_power(None), path), expected, "{path}");
}

#[test]
fn changes_to_a_file_are_durable_after_its_sync() {
    let mut disk = disk();
    disk.append(Path::new("a/old"), b" and new");
    assert_left(&disk, "a/old", Some(b"old"));
    disk.sync(Path::new("a/old"));
    assert_left(&disk, "a/old", Some(b"old and new"));
    disk.truncate(Path::new("a/old"), 1);
    assert_left(&disk, "a/old", Some(b"old and new"));
    disk.sync(Path::new("a/old"));
    assert_left(&disk, "a/old", Some(b"o"));
}

#[test]
fn names_are_durable_after_the_sync_of_their_directory() {
    let mut disk = disk();
    disk.create(Path::new("a/new"));
    disk.append(Path::new("a/new"), b"new");
    disk.sync(Path::new("a/new"));
    assert_left(&disk, "a/new", None);
    disk.sync(Path::new("a"));
    assert_left(&disk, "a/new", Some(b"new"));
    disk.remove(Path::new("a/new"));
    assert_left(&disk, "a/new", Some(b"new"));
    disk.sync(Path::new("a"));
    assert_left(&disk, "a/new", None);
}

#[test]
fn rename_is_durable_after_the_sync_of_its_directory() {
    let mut disk = disk();
    disk.create(Path::new("a/new"));
    disk.append(Path::new("a/new"), b"new");
    disk.rename(Path::new("a/new"), Path::new("a/old"));
    assert_left(&disk, "a/old", Some(b"old"));
    disk.sync(Path::new("a"));
    // The new name is durable, but the content of the renamed file is not.
    assert_left(&disk, "a/old", Some(b""));
    assert_left(&disk, "a/new", None);
    disk.sync(Path::new("a/old"));
    assert_left(&disk, "a/old", Some(b"new"));
}

#[test]
fn content_of_a_directory_is_lost_with_the_directory() {
    let mut disk = disk();
    disk.create_directory(Path::new("a/b"));
    disk.create(Path::new("a/b/c"));
    disk.sync(Path::new("a/b/c"));
    disk.sync(Path::new("a/b"));
    let left = disk.clone().lose_power(None);
    assert_eq!(left.directories, [Path::new(""), Path::new("a")]);
    disk.sync(Path::new("a"));
    assert_left(&disk, "a/b/c", Some(b""));
    disk.remove(Path::new("a/b"));
    disk.sync(Path::new("a"));
    assert_eq!(disk.lose_power(None).directories, [Path::new(""), Path::new("a")]);
}

#[test]
fn random_power_loss_gives_each_state_that_posix_allows() {
    let mut disk = disk();
    disk.append(Path::new("a/old"), b"er");
    disk.create(Path::new("a/new"));
    disk.rename(Path::new("a/new"), Path::new("a/newer"));
    let (mut contents, mut names) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..200 {
        let left = disk.clone().lose_power(Some(&mut Rng::new("disk", round)));
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
fn journal_is_applied_and_a_real_directory_is_copied() {
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
    assert!(Disk::with_content(directory.path(), "runs").lose_power(None) == left);
}
