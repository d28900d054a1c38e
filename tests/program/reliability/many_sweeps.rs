//! Eight sweeps at once on one directory.

use std::process::Child;

use super::processes::start;
use super::{short_or_long, tell};
use crate::sweep::{statuses, trained_here};
use crate::world::{Ran, World};

const SWEEPS: usize = 8;
const RUNS: usize = 200;

#[test]
fn eight_sweeps_share_two_hundred_runs() {
    let rounds = short_or_long(1, 20);
    for round in 0..rounds {
        let world = World::new();
        let seeds: Vec<String> = (1..=RUNS).map(|seed| seed.to_string()).collect();
        let seeds = format!("seed={}", seeds.join(","));
        let arguments = ["sweep", "experiment.toml", &seeds, "epochs=1", "--jobs=2"];
        let sweeps: Vec<Child> = (0..SWEEPS).map(|_| start(&world, &arguments)).collect();
        let waiting = sweeps
            .into_iter()
            .map(|sweep| std::thread::spawn(move || Ran::from(sweep.wait_with_output().unwrap())));
        let waiting: Vec<_> = waiting.collect();
        let ran: Vec<Ran> = waiting.into_iter().map(|ran| ran.join().unwrap()).collect();
        let table = table(&ran[0]);
        for ran in &ran {
            assert_eq!(ran.status, 0, "round {round}: {}", ran.stderr);
            let all = format!("{RUNS} runs: {RUNS} finished; in ");
            assert!(ran.stdout.contains(&all), "round {round}: {}", ran.stdout);
            assert_eq!(self::table(ran), table, "round {round}");
        }
        let trained: Vec<usize> = ran.iter().map(trained_here).collect();
        assert_eq!(
            trained.iter().sum::<usize>(),
            RUNS,
            "round {round}, each run once: {trained:?}"
        );
        let found = statuses(&world, "runs/columns");
        assert_eq!(found.len(), RUNS, "round {round}");
        assert!(found.values().all(|status| status == "finished"), "round {round}: {found:?}");
    }
    tell(&format!("many sweeps: {rounds} times {SWEEPS} sweeps of {RUNS} runs"));
}

/// What a sweep says at its end, without how long it took.
fn table(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().filter(|line| !line.contains(" finished; in ")).collect()
}
