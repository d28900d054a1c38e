use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use kiln_store::{FileLock, RunDirectory, StoreError, hidden};

use crate::samples::directory;

fn is_locked(taken: &Result<FileLock, StoreError>) -> bool {
    matches!(taken, Err(StoreError::Locked { .. }))
}

/// Writes the lock of a process on another machine.
fn lock_elsewhere(runs: &Path, id: &str, age: Duration) {
    fs::create_dir_all(hidden(runs)).expect("a directory");
    let path = hidden(runs).join(format!("{id}.claim"));
    let text = r#"{"format_version": 1, "machine": "kiln-\u001b7", "boot": "another", "process": 17,
        "since": "2026-01-02T03:04:05Z"}"#;
    fs::write(&path, text).expect("a lock");
    let file = File::options().write(true).open(&path).expect("the lock");
    file.set_modified(SystemTime::now() - age).expect("its time");
}

#[test]
fn run_can_be_locked_again_after_the_lock_is_dropped() {
    let runs = directory();
    let lock = FileLock::take(runs.path(), "one").expect("a lock");
    assert!(FileLock::is_taken(runs.path(), "one"));
    let second = FileLock::take(runs.path(), "one");
    assert!(is_locked(&second));
    let message = second.expect_err("it is taken").to_string();
    assert!(message.contains(&format!("process {} on ", std::process::id())), "{message}");
    let other = FileLock::take(runs.path(), "two").expect("another run");
    drop((lock, other));
    assert!(!FileLock::is_taken(runs.path(), "one"));
    drop(FileLock::take(runs.path(), "one").expect("a lock again"));
    assert!(!hidden(runs.path()).join("one.claim").exists());
}

#[test]
fn only_one_of_many_concurrent_locks_succeeds() {
    let runs = directory();
    let locks: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| FileLock::take(runs.path(), "one"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(locks.iter().filter(|lock| lock.is_ok()).count(), 1);
    assert_eq!(locks.iter().filter(|lock| is_locked(lock)).count(), 7);
}

#[test]
fn recent_heartbeat_of_another_machine_counts_as_a_lock() {
    let runs = directory();
    lock_elsewhere(runs.path(), "one", Duration::from_secs(20));
    assert!(FileLock::is_taken(runs.path(), "one"));
    let taken = FileLock::take(runs.path(), "one");
    assert!(is_locked(&taken));
    let message = taken.expect_err("it is taken").to_string();
    assert!(
        message.contains(r"process 17 on kiln-\u{1b}7, since 2026-01-02T03:04:05Z"),
        "{message}"
    );

    // A heartbeat may be newer than the time at which this process read its clock.
    let path = hidden(runs.path()).join("one.claim");
    let file = File::options().write(true).open(&path).expect("the lock");
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).expect("its time");
    assert!(FileLock::is_taken(runs.path(), "one"));
    assert!(is_locked(&FileLock::take(runs.path(), "one")));

    lock_elsewhere(runs.path(), "one", Duration::from_secs(600));
    assert!(!FileLock::is_taken(runs.path(), "one"), "the last heartbeat is too old");
    drop(FileLock::take(runs.path(), "one").expect("a lock"));
}

#[test]
fn lost_lock_is_reported() {
    let runs = directory();
    let lock = FileLock::take(runs.path(), "one").expect("a lock");
    let token = lock.token().clone();
    token.check().expect("it holds");
    fs::remove_file(hidden(runs.path()).join("one.claim")).expect("the lock");
    let lost = token.check().expect_err("another process had it");
    assert!(
        lost.to_string()
            .contains("taken over by another process that has ended, or its lock file was removed"),
        "{lost}"
    );
    lock_elsewhere(runs.path(), "one", Duration::ZERO);
    let lost = token.check().expect_err("another process has it");
    assert!(matches!(lost, StoreError::TakenOver { .. }), "{lost}");
    // Dropping the lost lock does not remove the lock of the other process.
    drop(lock);
    assert!(hidden(runs.path()).join("one.claim").exists());
}

#[cfg(unix)]
#[test]
fn all_paths_to_a_run_share_one_lock() {
    let runs = directory();
    fs::create_dir_all(runs.path().join("own/one")).expect("a run");
    fs::create_dir_all(runs.path().join("links")).expect("a directory");
    std::os::unix::fs::symlink("../own/one", runs.path().join("links/it")).expect("a link");
    let run = |path: &str| RunDirectory::at(&runs.path().join(path));
    let lock = FileLock::of(&run("own/one")).expect("a lock");
    for path in [
        "own/one/",
        "own/./one",
        "own/one/.",
        "own/../own/one",
        "links/it",
        "links/it/",
        "links/it/.",
    ] {
        let second = FileLock::of(&run(path));
        assert!(is_locked(&second), "{path}");
        let message = second.expect_err("it is claimed").to_string();
        assert!(message.starts_with(&runs.path().join(path).display().to_string()), "{message}");
    }
    assert!(!runs.path().join("links/.kiln").exists());
    drop(lock);
}

#[test]
fn unreadable_lock_can_be_taken() {
    let runs = directory();
    fs::create_dir_all(hidden(runs.path())).expect("a directory");
    fs::write(hidden(runs.path()).join("one.claim"), "{\"format_version\": 1, \"mach")
        .expect("half");
    drop(FileLock::take(runs.path(), "one").expect("a lock"));
}
