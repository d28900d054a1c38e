//! Ctrl-C and other ends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::{CommandOutput, Project};

#[test]
fn an_interrupted_run_says_so_and_keeps_what_it_has() {
    let project = Project::new();
    let child = project
        .command()
        .args(["run", "experiment.toml", "epochs=100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let trains = || {
        let entries = std::fs::read_dir(project.path("runs/columns")).ok()?;
        let histories = entries.flatten().map(|entry| entry.path().join("history.csv"));
        let mut histories = histories.flat_map(std::fs::read_to_string);
        histories.any(|history| history.lines().count() > 2).then_some(())
    };
    while trains().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never began to train");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = CommandOutput::from(child.wait_with_output().unwrap());
    assert_eq!(output.status, 130);

    let run = output.last_line();
    let record: serde_json::Value =
        serde_json::from_str(&project.read(format!("{run}/run.json"))).unwrap();
    assert_eq!(record["status"], "interrupted");
    let epochs = record["epochs"].as_u64().unwrap() as usize;
    assert_eq!(project.read(format!("{run}/history.csv")).lines().count(), epochs + 1);
    assert!(!project.path(&run).join("report.json").exists());

    let shown = project.kiln(&["show", &run]);
    assert_eq!(shown.status, 0);
    assert!(shown.stdout.contains("interrupted: "), "{}", shown.stdout);
}
