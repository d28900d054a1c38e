//! Eight sweeps run at the same time on one directory.

use std::process::Child;

use super::{print_figures, short_or_long};
use crate::processes::start;
use crate::project::{CommandOutput, Project};
use crate::run_state::statuses;
use crate::sweep::runs_trained;

const SWEEPS: usize = 8;
const RUNS: usize = 200;

#[test]
fn eight_concurrent_sweeps_train_each_of_200_runs_once() {
    let rounds = short_or_long(1, 20);
    for round in 0..rounds {
        let project = Project::new();
        let seeds: Vec<String> = (1..=RUNS).map(|seed| seed.to_string()).collect();
        let seeds = format!("seed={}", seeds.join(","));
        let arguments = ["sweep", "experiment.toml", &seeds, "epochs=1", "--jobs=2"];
        let sweeps: Vec<Child> = (0..SWEEPS).map(|_| start(&project, &arguments)).collect();
        // One thread reads the output of each sweep: a sweep whose pipe is full would wait.
        let readers: Vec<_> = sweeps
            .into_iter()
            .map(|sweep| {
                let wait = move || CommandOutput::from(sweep.wait_with_output().unwrap());
                std::thread::spawn(wait)
            })
            .collect();
        let outputs: Vec<CommandOutput> =
            readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        let table = table_without_duration(&outputs[0]);
        for output in &outputs {
            assert_eq!(output.status, 0, "round {round}: {}", output.stderr);
            assert!(output.reports_all_finished(RUNS), "round {round}: {}", output.stdout);
            assert_eq!(table_without_duration(output), table, "round {round}");
        }
        let trained: Vec<usize> = outputs.iter().map(runs_trained).collect();
        assert_eq!(trained.iter().sum::<usize>(), RUNS, "round {round}: {trained:?}");
        let found = statuses(&project, "runs/columns");
        assert_eq!(found.len(), RUNS, "round {round}");
        assert!(found.values().all(|status| status == "finished"), "round {round}: {found:?}");
    }
    print_figures(&format!("many sweeps: {rounds} times {SWEEPS} sweeps of {RUNS} runs"));
}

/// The output of a sweep at its end, without the line that contains the duration.
fn table_without_duration(output: &CommandOutput) -> Vec<&str> {
    output.stdout.lines().filter(|line| !line.starts_with(&format!("{RUNS} runs: "))).collect()
}
