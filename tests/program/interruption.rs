//! Ctrl-C during `kiln run`.

use crate::processes::{signal, start, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{has_epochs, run_directories};

#[test]
fn ctrl_c_stops_a_run_and_keeps_its_epochs() {
    let project = Project::new();
    let child = start(&project, &["run", "experiment.toml", "epochs=100000"]);
    wait_until("two epochs", || {
        let runs = run_directories(&project.path("runs/columns"));
        runs.iter().any(|run| has_epochs(run, 2))
    });
    signal(child.id(), "-INT");
    let output = CommandOutput::from(child.wait_with_output().unwrap());
    assert_eq!(output.status, 130);

    let run = output.last_line();
    let record = project.read_json(format!("{run}/run.json"));
    assert_eq!(record["status"], "interrupted");
    let epochs = record["epochs"].as_u64().unwrap() as usize;
    assert_eq!(project.read(format!("{run}/history.csv")).lines().count(), epochs + 1);
    assert!(!project.path(&run).join("report.json").exists());

    let shown = project.kiln_ok(&["show", &run]);
    assert!(shown.stdout.contains("  interrupted "), "{}", shown.stdout);
}
