use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use kiln_store::{Claim, RunDirectory, StoreError, hidden};

use crate::samples::directory;

fn is_claimed(taken: &Result<Claim, StoreError>) -> bool {
    matches!(taken, Err(StoreError::Claimed { .. }))
}

/// Writes the claim of a process on another machine.
fn claim_elsewhere(runs: &Path, id: &str, age: Duration) {
    fs::create_dir_all(hidden(runs)).expect("a directory");
    let path = hidden(runs).join(format!("{id}.claim"));
    let text = r#"{"format_version": 1, "machine": "kiln-\u001b7", "boot": "another", "process": 17,
        "since": "2026-01-02T03:04:05Z"}"#;
    fs::write(&path, text).expect("a claim");
    let file = File::options().write(true).open(&path).expect("the claim");
    file.set_modified(SystemTime::now() - age).expect("its time");
}

#[test]
fn run_can_be_claimed_again_after_the_claim_is_dropped() {
    let runs = directory();
    let claim = Claim::take(runs.path(), "one").expect("a claim");
    assert!(Claim::is_taken(runs.path(), "one"));
    let second = Claim::take(runs.path(), "one");
    assert!(is_claimed(&second));
    let message = second.expect_err("it is taken").to_string();
    assert!(message.contains(&format!("process {} on ", std::process::id())), "{message}");
    let other = Claim::take(runs.path(), "two").expect("another run");
    drop((claim, other));
    assert!(!Claim::is_taken(runs.path(), "one"));
    drop(Claim::take(runs.path(), "one").expect("a claim again"));
    assert!(!hidden(runs.path()).join("one.claim").exists());
}

#[test]
fn only_one_of_many_concurrent_claims_succeeds() {
    let runs = directory();
    let claims: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Claim::take(runs.path(), "one"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1);
    assert_eq!(claims.iter().filter(|claim| is_claimed(claim)).count(), 7);
}

#[test]
fn recent_heartbeat_of_another_machine_counts_as_a_claim() {
    let runs = directory();
    claim_elsewhere(runs.path(), "one", Duration::from_secs(20));
    assert!(Claim::is_taken(runs.path(), "one"));
    let taken = Claim::take(runs.path(), "one");
    assert!(is_claimed(&taken));
    let message = taken.expect_err("it is taken").to_string();
    assert!(
        message.contains(r"process 17 on kiln-\u{1b}7, since 2026-01-02T03:04:05Z"),
        "{message}"
    );

    // A heartbeat may be newer than the time at which this process read its clock.
    let path = hidden(runs.path()).join("one.claim");
    let file = File::options().write(true).open(&path).expect("the claim");
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).expect("its time");
    assert!(Claim::is_taken(runs.path(), "one"));
    assert!(is_claimed(&Claim::take(runs.path(), "one")));

    claim_elsewhere(runs.path(), "one", Duration::from_secs(600));
    assert!(!Claim::is_taken(runs.path(), "one"), "the last heartbeat is too old");
    drop(Claim::take(runs.path(), "one").expect("a claim"));
}

#[test]
fn lost_claim_is_reported() {
    let runs = directory();
    let claim = Claim::take(runs.path(), "one").expect("a claim");
    let held = claim.held().clone();
    held.check().expect("it holds");
    fs::remove_file(hidden(runs.path()).join("one.claim")).expect("the claim");
    let lost = held.check().expect_err("another process had it");
    assert!(
        lost.to_string()
            .contains("taken over by another process that has ended, or its claim was removed"),
        "{lost}"
    );
    claim_elsewhere(runs.path(), "one", Duration::ZERO);
    let lost = held.check().expect_err("another process has it");
    assert!(matches!(lost, StoreError::TakenOver { .. }), "{lost}");
    // Dropping the lost claim does not remove the claim of the other process.
    drop(claim);
    assert!(hidden(runs.path()).join("one.claim").exists());
}

#[cfg(unix)]
#[test]
fn all_paths_to_a_run_share_one_claim() {
    let runs = directory();
    fs::create_dir_all(runs.path().join("own/one")).expect("a run");
    fs::create_dir_all(runs.path().join("links")).expect("a directory");
    std::os::unix::fs::symlink("../own/one", runs.path().join("links/it")).expect("a link");
    let run = |path: &str| RunDirectory::at(&runs.path().join(path));
    let claim = Claim::of(&run("own/one")).expect("a claim");
    for path in [
        "own/one/",
        "own/./one",
        "own/one/.",
        "own/../own/one",
        "links/it",
        "links/it/",
        "links/it/.",
    ] {
        let second = Claim::of(&run(path));
        assert!(is_claimed(&second), "{path}");
        let message = second.expect_err("it is claimed").to_string();
        assert!(message.starts_with(&runs.path().join(path).display().to_string()), "{message}");
    }
    assert!(!runs.path().join("links/.kiln").exists());
    drop(claim);
}

#[test]
fn unreadable_claim_can_be_taken() {
    let runs = directory();
    fs::create_dir_all(hidden(runs.path())).expect("a directory");
    fs::write(hidden(runs.path()).join("one.claim"), "{\"format_version\": 1, \"mach")
        .expect("half");
    drop(Claim::take(runs.path(), "one").expect("a claim"));
}
