//! Runs that appear, grow, end, vanish, or cannot be read.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kiln_serve::ServeOptions;
use kiln_store::{FileLock, Status};

use crate::client::Running;
use crate::tree::SampleRun;

/// A run with so many epochs on which a process works.
fn running(sweep: &Path, epochs: usize) -> SampleRun {
    let values = (0..epochs).map(|epoch| Some(0.5 + 0.01 * epoch as f64)).collect();
    let run = SampleRun { val_accuracies: values, ..SampleRun::new(0.1, 1, 1) };
    let run = run.ended(Status::Running);
    run.write(sweep);
    run
}

#[test]
fn readers_learn_of_every_change_and_of_nothing_else() {
    let above = tempfile::tempdir().expect("a directory");
    let sweep = above.path().join("runs").join("sweep");
    let server = Running::start(&above.path().join("runs"));
    assert!(server.get("/").body.contains("does not exist yet."));
    let mut events = server.events();
    let mut last = events.next().expect("the present state");
    assert!(events.is_silent_for(Duration::from_millis(700)));
    let mut changes = || {
        let next = events.next().expect("an event");
        assert!(next > last, "{next} after {last}");
        last = next;
    };
    // The first run of a directory that did not exist.
    fs::create_dir_all(&sweep).expect("a directory");
    let lock = FileLock::take(&sweep, "0.1-1-1").expect("a lock");
    running(&sweep, 1);
    changes();
    server.wait_for("/", "epoch 1 of 3, val_accuracy 0.5000");
    // An epoch, as the run appends it.
    let history = sweep.join("0.1-1-1").join("history.csv");
    let row =
        fs::read_to_string(&history).expect("a history") + "2,0.5,0.75,0.5,0.875,0.01,0.500\n";
    fs::write(&history, row).expect("written");
    changes();
    server.wait_for("/", "epoch 2 of 3, val_accuracy 0.8750");
    // A further run.
    SampleRun::new(0.2, 1, 1).write(&sweep);
    changes();
    server.wait_for("/", "2 combinations of settings in 2 runs");
    // The process is killed: no file changes.
    drop(lock);
    changes();
    server.wait_for("/", "1 run is marked as running, but no process works on it");
    // The run ends.
    SampleRun::new(0.1, 1, 1).write(&sweep);
    changes();
    server.wait_for("/", "in 2 runs: 2 finished");
    // A run is removed.
    fs::remove_dir_all(sweep.join("0.2-1-1")).expect("removed");
    changes();
    server.wait_for("/", "in 1 run: 1 finished");
    // Everything is removed, and appears again.
    fs::remove_dir_all(above.path().join("runs")).expect("removed");
    changes();
    server.wait_for("/", "does not exist yet.");
    SampleRun::new(0.3, 1, 1).write(&sweep);
    changes();
    server.wait_for("/", "in 1 run: 1 finished");
}

#[test]
fn nothing_is_sent_for_heartbeats_logs_and_temporary_files() {
    let sweep = tempfile::tempdir().expect("a directory");
    running(sweep.path(), 2);
    let lock = FileLock::take(sweep.path(), "0.1-1-1").expect("a lock");
    let server = Running::start(sweep.path());
    server.wait_for("/", "epoch 2 of 3");
    let mut events = server.events();
    events.next().expect("the present state");
    while !events.is_silent_for(Duration::from_millis(700)) {}
    let run = sweep.path().join("0.1-1-1");
    for (path, text) in [
        (sweep.path().join(".kiln").join("0.1-1-1.claim"), "{}"),
        (sweep.path().join(".kiln").join("note"), "x"),
        (run.join("log.jsonl"), "{}\n"),
        (run.join(".partial-1-1"), "x"),
        (sweep.path().join(".partial-1-2"), "x"),
        (run.join("model.safetensors"), "x"),
    ] {
        fs::write(path, text).expect("written");
    }
    fs::create_dir(run.join("checkpoints")).expect("a directory");
    assert!(events.is_silent_for(Duration::from_millis(1200)));
    drop(lock);
}

#[test]
fn a_run_that_cannot_be_read_does_not_affect_the_others() {
    let sweep = tempfile::tempdir().expect("a directory");
    SampleRun::new(0.1, 1, 1).write(sweep.path());
    let damaged = SampleRun::new(0.2, 1, 1).write(sweep.path());
    fs::write(damaged.join("run.json"), "{\"format_version\": 1,").expect("written");
    let cut = SampleRun::new(0.3, 1, 1).write(sweep.path());
    fs::write(cut.join("history.csv"), "epoch,loss\nnonsense").expect("written");
    let not_begun = sweep.path().join("not-begun");
    fs::create_dir(&not_begun).expect("a directory");
    fs::write(not_begun.join("config.toml"), "x").expect("written");
    fs::create_dir(sweep.path().join("empty")).expect("a directory");
    let server = Running::start(sweep.path());
    let page = server.get("/").body;
    assert!(page.contains("in 1 run: 1 finished"), "{page}");
    let (_, skipped) = page.split_once("id=\"left-out\"").expect("the skipped directories");
    for directory in ["0.2-1-1", "0.3-1-1", "not-begun", "empty"] {
        assert!(skipped.contains(directory), "{directory}: {skipped}");
    }
    // It is complete a moment later.
    SampleRun::new(0.2, 1, 1).write(sweep.path());
    server.wait_for("/", "in 2 runs: 2 finished");
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_listed_is_shown_as_such() {
    use std::os::unix::fs::PermissionsExt;
    let above = tempfile::tempdir().expect("a directory");
    SampleRun::new(0.1, 1, 1).write(&above.path().join("open"));
    let closed = above.path().join("closed");
    SampleRun::new(0.2, 1, 1).write(&closed);
    let set = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).expect("set");
    set(0o000);
    // A privileged user can read it anyway.
    let is_closed = fs::read_dir(&closed).is_err();
    let server = Running::start(above.path());
    let page = server.get("/");
    set(0o755);
    assert_eq!(page.status, 200);
    assert!(page.body.contains(if is_closed { "cannot be listed" } else { "in 2 runs" }));
    server.wait_for("/", "in 2 runs: 2 finished");
}

#[test]
fn the_page_of_a_run_follows_it() {
    let sweep = tempfile::tempdir().expect("a directory");
    running(sweep.path(), 1);
    let lock = FileLock::take(sweep.path(), "0.1-1-1").expect("a lock");
    let server = Running::start(sweep.path());
    let page = server.wait_for("/", "/run/");
    let (_, key) = page.split_once("/run/").expect("a link");
    let key: String = key.chars().take_while(char::is_ascii_hexdigit).collect();
    let address = format!("/run/{key}");
    server.wait_for(&address, "epoch 1 of 3");
    running(sweep.path(), 2);
    server.wait_for(&address, "epoch 2 of 3");
    drop(lock);
    server.wait_for(&address, "killed: marked as running, but no process works on it");
    SampleRun::new(0.1, 1, 1).write(sweep.path());
    server.wait_for(&address, "Test result");
    fs::write(sweep.path().join("0.1-1-1").join("run.json"), "{").expect("written");
    server.wait_for(&address, "The run cannot be read");
    fs::remove_dir_all(sweep.path().join("0.1-1-1")).expect("removed");
    server.wait_until(&address, |body| body == "there is no such run\n");
}

#[test]
fn end_of_the_server_closes_streams_and_frees_the_port() {
    let sweep = tempfile::tempdir().expect("a directory");
    SampleRun::new(0.1, 1, 1).write(sweep.path());
    let mut server = Running::start(sweep.path());
    let mut events: Vec<_> = (0..10).map(|_| server.events()).collect();
    events.iter_mut().for_each(|events| assert!(events.next().is_some()));
    // A client that sends nothing does not delay the end.
    let silent = server.connect();
    let start = std::time::Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for events in &mut events {
        while events.next().is_some() {}
    }
    drop(silent);
    assert!(std::net::TcpListener::bind(server.address).is_ok());
}

#[test]
fn unreported_changes_are_polled_while_a_page_is_open() {
    let above = tempfile::tempdir().expect("a directory");
    let sweep = above.path().join("sweep");
    SampleRun::new(0.1, 1, 1).write(&sweep);
    let poll = Some(Duration::from_millis(100));
    let server = Running::with(&ServeOptions { poll, ..ServeOptions::new(above.path()) });
    let page = server.get("/").body;
    assert!(page.contains("Changes are looked for") && page.contains("in 1 run: 1 finished"));
    let mut events = server.events();
    let first = events.next().expect("the present state");
    running(&sweep, 1);
    SampleRun::new(0.2, 1, 1).write(&sweep);
    assert!(events.next().expect("an event") > first);
    server.wait_for("/", "in 2 runs");
    fs::write(sweep.join("0.2-1-1").join("history.csv"), "nonsense").expect("written");
    server.wait_for("/", "id=\"left-out\"");
    fs::remove_dir_all(&sweep).expect("removed");
    server.wait_for("/", "has no run yet");
}

#[test]
fn a_single_run_can_be_served() {
    let above = tempfile::tempdir().expect("a directory");
    let lock = FileLock::take(above.path(), "0.1-1-1").expect("a lock");
    running(above.path(), 1);
    let server = Running::start(&above.path().join("0.1-1-1"));
    server.wait_for("/", "epoch 1 of 3");
    let mut events = server.events();
    let first = events.next().expect("the present state");
    running(above.path(), 2);
    assert!(events.next().expect("an event") > first);
    server.wait_for("/", "epoch 2 of 3");
    drop(lock);
    events.next().expect("the end of the process");
    server.wait_for("/", "no process works on it");
}

#[test]
fn a_run_that_begins_is_not_called_killed() {
    let sweep = tempfile::tempdir().expect("a directory");
    SampleRun::new(0.1, 1, 1).write(sweep.path());
    let lock = FileLock::take(sweep.path(), "0.2-1-1").expect("a lock");
    let begun = sweep.path().join("0.2-1-1");
    fs::create_dir(&begun).expect("a directory");
    fs::write(begun.join("config.toml"), "x").expect("written");
    let server = Running::start(sweep.path());
    assert!(!server.get("/").body.contains("id=\"left-out\""));
    drop(lock);
    server.wait_for("/", "id=\"left-out\"");
}
