//! `kill -9` at random moments of a sweep.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::processes::{children, is_alive, start, try_signal, wait_until};
use super::{Generator, short_or_long, tell};
use crate::project::{CommandOutput, Project};
use crate::sweep::{results, statuses};

/// What is killed, and how it is begun again.
struct Attack<'a> {
    sweep: &'a [&'a str],
    /// The sweep and one of its runs, the sweep alone, or a run alone.
    victims: &'a [&'a str],
    /// Whether the next sweep may meet runs that are still at work.
    overlaps: bool,
}

const ARGUMENTS: [&str; 5] =
    ["sweep", "experiment.toml", "seed=1,2,3,4,5,6", "epochs=15", "--jobs=2"];

#[test]
fn a_sweep_that_is_killed_again_and_again_ends_as_if_it_never_was() {
    let kills = short_or_long(20, 500);
    let attack = Attack { sweep: &ARGUMENTS, victims: &["both", "sweep", "run"], overlaps: true };
    let project = Project::new();
    let begun = Instant::now();
    let undisturbed = project.kiln(&[ARGUMENTS.as_slice(), &["--runs=undisturbed"]].concat());
    assert_eq!(undisturbed.status, 0, "{}", undisturbed.stderr);
    let mut length = begun.elapsed();
    let undisturbed = results(&project, "undisturbed/columns");

    let (mut killed, mut sweeps, mut survivors) = (0, 0, 0);
    while killed < kills {
        let mut chance = Generator::new("kills", sweeps);
        let mut finished: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        // Each sweep is done after a few kills; then comes the next.
        for attempt in 0..kills - killed {
            // Some of the way, so that several are needed for the whole of it; further each time, so that a machine
            // that has become slow comes to the end as well.
            let most = 0.4 + 0.1 * attempt as f64;
            let moment = length.mul_f64(most * chance.fraction());
            match kill_at(&project, &attack, moment, &mut chance) {
                Sweep::Killed => killed += 1,
                Sweep::Done(took) => {
                    // It was measured while other things were going on.
                    length = if attempt == 0 { took } else { length };
                    break;
                }
            }
            note_finished(&project, &mut finished);
        }
        survivors += finished.len();
        let output = project.kiln(&ARGUMENTS);
        assert_eq!(output.status, 0, "after {killed} kills: {}", output.stderr);
        assert!(output.stdout.contains("6 runs: 6 finished"), "{}", output.stdout);
        note_finished(&project, &mut finished);
        assert!(results(&project, "runs/columns") == undisturbed, "another result, {killed} kills");
        fs::remove_dir_all(project.path("runs")).unwrap();
        sweeps += 1;
    }
    assert!(survivors > 0, "no run came to its end between two kills");
    tell(&format!(
        "kills: {killed} of {sweeps} sweeps, {survivors} runs had finished before the last kill of theirs"
    ));
}

/// One run at a time: several come to the rungs in an order that nobody decides.
#[test]
fn a_sweep_that_prunes_and_is_killed_prunes_the_same_runs() {
    let kills = short_or_long(8, 200);
    let sweep = ["sweep", "sweep.toml", "epochs=12", "--jobs=1"];
    let attack = Attack { sweep: &sweep, victims: &["both"], overlaps: false };
    let project = Project::new();
    project.write(
        "sweep.toml",
        "name = \"pruned\"\nexperiment = \"experiment.toml\"\n\
         [grid]\nlearning_rate = [0.03, 0.1, 0.3, 1e-3, 0.01, 1e-4]\n\
         [prune]\nmetric = \"val_loss\"\nmin_epochs = 1\nreduction = 2\n",
    );
    let begun = Instant::now();
    let undisturbed = project.kiln(&[sweep.as_slice(), &["--runs=undisturbed"]].concat());
    assert_eq!(undisturbed.status, 0, "{}", undisturbed.stderr);
    let length = begun.elapsed();
    let undisturbed = endings(&project, "undisturbed/pruned");
    let pruned = undisturbed.values().filter(|(status, _)| *status == "pruned").count();
    assert!((1..6).contains(&pruned), "{undisturbed:?}");

    let (mut killed, mut sweeps) = (0, 0);
    while killed < kills {
        let mut chance = Generator::new("pruned kills", sweeps);
        for attempt in 0..kills - killed {
            let moment = length.mul_f64((0.4 + 0.1 * attempt as f64) * chance.fraction());
            match kill_at(&project, &attack, moment, &mut chance) {
                Sweep::Killed => killed += 1,
                Sweep::Done(_) => break,
            }
        }
        let output = project.kiln(&sweep);
        assert_eq!(output.status, 0, "after {killed} kills: {}", output.stderr);
        assert_eq!(endings(&project, "runs/pruned"), undisturbed, "after {killed} kills");
        fs::remove_dir_all(project.path("runs")).unwrap();
        sweeps += 1;
    }
    tell(&format!(
        "kills of pruning sweeps: {killed} of {sweeps} sweeps, of whose 6 runs {pruned} are pruned"
    ));
}

/// How each run ended, and its history without seconds.
fn endings(project: &Project, sweep: &str) -> BTreeMap<String, (String, String)> {
    let ending = |(run, status): (String, String)| {
        let history = project.read(format!("{sweep}/{run}/history.csv"));
        let without_seconds = |line: &str| {
            let (numbers, _) = line.rsplit_once(',').unwrap();
            numbers.to_owned()
        };
        (run, (status, history.lines().map(without_seconds).collect()))
    };
    statuses(project, sweep).into_iter().map(ending).collect()
}

enum Sweep {
    Killed,
    /// After this time, before it was killed.
    Done(Duration),
}

/// Starts the sweep and kills at this moment.
fn kill_at(
    project: &Project,
    attack: &Attack<'_>,
    moment: Duration,
    chance: &mut Generator,
) -> Sweep {
    let mut sweep = start(project, attack.sweep);
    let begun = Instant::now();
    while begun.elapsed() < moment && sweep.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if sweep.try_wait().unwrap().is_some() {
        let took = begun.elapsed();
        let output = CommandOutput::from(sweep.wait_with_output().unwrap());
        assert_eq!(output.status, 0, "{}", output.stderr);
        return Sweep::Done(took);
    }
    let runs = children(sweep.id());
    let victim = attack.victims[chance.below(attack.victims.len())];
    if let (Some(run), "run" | "both") = (runs.get(chance.below(runs.len())), victim) {
        // It may have ended just now.
        try_signal(*run, "-KILL");
        if victim == "run" {
            // The sweep has time to hear of it, or not.
            std::thread::sleep(Duration::from_millis(chance.below(20) as u64));
        }
    }
    sweep.kill().unwrap();
    sweep.wait().unwrap();
    if !attack.overlaps || chance.coin() {
        // Else the next sweep meets them still at work.
        wait_until("the end of the runs", || !runs.iter().any(|run| is_alive(*run)));
    }
    Sweep::Killed
}

/// What has a report stays as it is.
fn note_finished(project: &Project, finished: &mut BTreeMap<String, Vec<u8>>) {
    for run in fs::read_dir(project.path("runs/columns")).into_iter().flatten().flatten() {
        if run.path().join("report.json").exists() {
            let record = fs::read(run.path().join("run.json")).unwrap();
            let name = run.file_name().into_string().unwrap();
            let before = finished.entry(name).or_insert_with(|| record.clone());
            assert!(*before == record, "a finished run was trained again");
        }
    }
    for run in finished.keys() {
        assert!(
            project.path("runs/columns").join(run).join("report.json").exists(),
            "{run} is lost"
        );
    }
}
