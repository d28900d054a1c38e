//! Eight sweeps at once on one directory.

use std::process::Child;

use super::processes::start;
use super::{short_or_long, tell};
use crate::project::{CommandOutput, Project};
use crate::sweep::{statuses, trained_here};

const SWEEPS: usize = 8;
const RUNS: usize = 200;

#[test]
fn eight_sweeps_share_two_hundred_runs() {
    let rounds = short_or_long(1, 20);
    for round in 0..rounds {
        let project = Project::new();
        let seeds: Vec<String> = (1..=RUNS).map(|seed| seed.to_string()).collect();
        let seeds = format!("seed={}", seeds.join(","));
        let arguments = ["sweep", "experiment.toml", &seeds, "epochs=1", "--jobs=2"];
        let sweeps: Vec<Child> = (0..SWEEPS).map(|_| start(&project, &arguments)).collect();
        let waiting = sweeps.into_iter().map(|sweep| {
            std::thread::spawn(move || CommandOutput::from(sweep.wait_with_output().unwrap()))
        });
        let waiting: Vec<_> = waiting.collect();
        let output: Vec<CommandOutput> =
            waiting.into_iter().map(|output| output.join().unwrap()).collect();
        let table = table(&output[0]);
        for output in &output {
            assert_eq!(output.status, 0, "round {round}: {}", output.stderr);
            let all = format!("{RUNS} runs: {RUNS} finished; in ");
            assert!(output.stdout.contains(&all), "round {round}: {}", output.stdout);
            assert_eq!(self::table(output), table, "round {round}");
        }
        let trained: Vec<usize> = output.iter().map(trained_here).collect();
        assert_eq!(
            trained.iter().sum::<usize>(),
            RUNS,
            "round {round}, each run once: {trained:?}"
        );
        let found = statuses(&project, "runs/columns");
        assert_eq!(found.len(), RUNS, "round {round}");
        assert!(found.values().all(|status| status == "finished"), "round {round}: {found:?}");
    }
    tell(&format!("many sweeps: {rounds} times {SWEEPS} sweeps of {RUNS} runs"));
}

/// What a sweep says at its end, without how long it took.
fn table(output: &CommandOutput) -> Vec<&str> {
    output.stdout.lines().filter(|line| !line.contains(" finished; in ")).collect()
}
