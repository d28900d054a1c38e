//! `kill -9` at random moments of a sweep.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Rng, print_figures, short_or_long};
use crate::processes::{children, is_alive, start, try_signal, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{history_without_seconds, results, run_directories, statuses};

/// A sweep, and which of its processes are killed.
struct Attack<'a> {
    sweep: &'a [&'a str],
    victims: &'a [Victim],
    /// Whether the next sweep may start while runs of the killed sweep are still working.
    overlaps: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Sweep,
    /// One of the runs. The sweep is killed up to 20 ms later.
    RunThenSweep,
    RunAndSweep,
}

const ARGUMENTS: [&str; 5] =
    ["sweep", "experiment.toml", "seed=1,2,3,4,5,6", "epochs=15", "--jobs=2"];

#[test]
fn sweep_killed_repeatedly_gives_identical_results() {
    kill_repeatedly(&Project::new(), "kills", short_or_long(20, 500));
}

#[test]
fn sweep_of_convolutional_networks_killed_repeatedly_gives_identical_results() {
    let project = Project::new();
    project.write("experiment.toml", crate::convolution::EXPERIMENT);
    kill_repeatedly(&project, "kills of convolutional networks", short_or_long(8, 200));
}

/// Kills a sweep of `experiment.toml` this many times, and compares the results with those of an undisturbed one.
fn kill_repeatedly(project: &Project, test: &str, kills: usize) {
    let victims = [Victim::RunAndSweep, Victim::Sweep, Victim::RunThenSweep];
    let attack = Attack { sweep: &ARGUMENTS, victims: &victims, overlaps: true };
    let started = Instant::now();
    project.kiln_ok(&[ARGUMENTS.as_slice(), &["--runs=uninterrupted"]].concat());
    let mut duration = started.elapsed();
    let expected = results(project, "uninterrupted/columns");

    let (mut killed, mut sweeps, mut survivors) = (0, 0, 0);
    while killed < kills {
        let mut rng = Rng::new(test, sweeps);
        let mut finished: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        // A few kills are enough to complete a sweep. Then the directory is removed, and the next sweep follows.
        for attempt in 0..kills - killed {
            match kill_at(project, &attack, moment(duration, attempt, &mut rng), &mut rng) {
                Attempt::Killed => killed += 1,
                Attempt::Completed(took) => {
                    // The duration was measured while other tests were running, so correct it.
                    duration = if attempt == 0 { took } else { duration };
                    break;
                }
            }
            assert_finished_runs_are_kept(project, &mut finished);
        }
        survivors += finished.len();
        let output = project.kiln_ok(&ARGUMENTS);
        assert!(output.reports_all_finished(6), "{}", output.stdout);
        assert_finished_runs_are_kept(project, &mut finished);
        assert!(results(project, "runs/columns") == expected, "results differ, {killed} kills");
        fs::remove_dir_all(project.path("runs")).unwrap();
        sweeps += 1;
    }
    assert!(survivors > 0, "no run finished between two kills");
    print_figures(&format!(
        "{test}: {killed} of {sweeps} sweeps, {survivors} runs had finished before the last kill of theirs"
    ));
}

#[test]
fn killed_sweep_prunes_the_same_runs_with_any_number_of_jobs() {
    let kills = short_or_long(12, 200);
    let project = Project::new();
    project.write(
        "sweep.toml",
        "name = \"pruned\"\nexperiment = \"experiment.toml\"\n\
         [grid]\nlearning_rate = [0.03, 0.1, 0.3, 1e-3, 0.01, 1e-4]\n\
         [repeat]\nseed = [1, 2]\n\
         [prune]\nmetric = \"val_loss\"\nmin_epochs = 1\nreduction = 2\n",
    );
    let sweep = |jobs| ["sweep", "sweep.toml", "epochs=12", jobs];
    let started = Instant::now();
    project.kiln_ok(&[sweep("--jobs=1").as_slice(), &["--runs=uninterrupted"]].concat());
    let duration = started.elapsed();
    let expected = pruned_and_trained(&project, "uninterrupted/pruned");
    let pruned = expected.values().filter(|run| run.status == "pruned").count();
    // Of six runs of a seed, 3, 2, 1 and 1 continue after 1, 2, 4 and 8 epochs.
    assert_eq!(pruned, 10, "{:?}", expected.keys());

    let victims = [Victim::RunAndSweep, Victim::Sweep, Victim::RunThenSweep];
    let (mut killed, mut sweeps) = (0, 0);
    while killed < kills {
        let arguments = sweep(["--jobs=2", "--jobs=4", "--jobs=1"][sweeps % 3]);
        let attack = Attack { sweep: &arguments, victims: &victims, overlaps: true };
        let mut rng = Rng::new("pruned kills", sweeps);
        for attempt in 0..kills - killed {
            match kill_at(&project, &attack, moment(duration, attempt, &mut rng), &mut rng) {
                Attempt::Killed => killed += 1,
                Attempt::Completed(_) => break,
            }
        }
        project.kiln_ok(&arguments);
        let found = pruned_and_trained(&project, "runs/pruned");
        assert!(found == expected, "after {killed} kills: {found:?}, not {expected:?}");
        let doctor = project.kiln(&["doctor", "runs"]);
        assert_eq!(doctor.status, 0, "{}", doctor.stdout);
        fs::remove_dir_all(project.path("runs")).unwrap();
        sweeps += 1;
    }
    print_figures(&format!(
        "kills of pruning sweeps: {killed} of {sweeps} sweeps, of whose 12 runs {pruned} are pruned"
    ));
}

#[test]
fn killed_race_trains_the_same_runs() {
    let kills = short_or_long(6, 100);
    let race = |jobs| ["sweep", "experiment.toml", "learning_rate=0.3,1e-9,1e-8", "--race", jobs];
    let project = Project::new();
    let started = Instant::now();
    project.kiln_ok(&[race("--jobs=1").as_slice(), &["--runs=uninterrupted"]].concat());
    let duration = started.elapsed();
    let expected = results(&project, "uninterrupted/columns");
    assert!((9..30).contains(&expected.len()), "no combination was stopped: {}", expected.len());

    let victims = [Victim::RunAndSweep, Victim::Sweep, Victim::RunThenSweep];
    let (mut killed, mut sweeps) = (0, 0);
    while killed < kills {
        let arguments = race(["--jobs=2", "--jobs=4", "--jobs=1"][sweeps % 3]);
        let attack = Attack { sweep: &arguments, victims: &victims, overlaps: true };
        let mut rng = Rng::new("race kills", sweeps);
        for attempt in 0..kills - killed {
            match kill_at(&project, &attack, moment(duration, attempt, &mut rng), &mut rng) {
                Attempt::Killed => killed += 1,
                Attempt::Completed(_) => break,
            }
        }
        project.kiln_ok(&arguments);
        assert!(results(&project, "runs/columns") == expected, "results differ, {killed} kills");
        fs::remove_dir_all(project.path("runs")).unwrap();
        sweeps += 1;
    }
    print_figures(&format!(
        "kills of races: {killed} of {sweeps} races of {} runs",
        expected.len()
    ));
}

/// A random moment of a sweep that takes so long.
fn moment(duration: Duration, attempt: usize, rng: &mut Rng) -> Duration {
    // Early enough that a sweep takes several attempts, and later with each attempt, so that the sweep completes even
    // on a machine that has become slow.
    duration.mul_f64((0.4 + 0.1 * attempt as f64) * rng.fraction())
}

/// How a run ended, and what it has computed.
#[derive(PartialEq)]
struct EndedRun {
    status: String,
    stop_reason: String,
    /// The history without seconds.
    history: String,
    model: Vec<u8>,
}

impl std::fmt::Debug for EndedRun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.status, self.stop_reason, self.history.lines().count())
    }
}

fn pruned_and_trained(project: &Project, sweep: &str) -> BTreeMap<String, EndedRun> {
    let ended = |(run, status): (String, String)| {
        let path = format!("{sweep}/{run}");
        let record = project.read_json(format!("{path}/run.json"));
        let ended = EndedRun {
            status,
            stop_reason: record["stop_reason"].to_string(),
            history: history_without_seconds(&project.read(format!("{path}/history.csv"))),
            model: fs::read(project.path(format!("{path}/model.safetensors"))).unwrap(),
        };
        (run, ended)
    };
    statuses(project, sweep).into_iter().map(ended).collect()
}

enum Attempt {
    Killed,
    /// The sweep completed before it was killed, after this time.
    Completed(Duration),
}

/// Starts the sweep, and kills it after `moment`.
fn kill_at(project: &Project, attack: &Attack<'_>, moment: Duration, rng: &mut Rng) -> Attempt {
    let mut sweep = start(project, attack.sweep);
    let started = Instant::now();
    while started.elapsed() < moment && sweep.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if sweep.try_wait().unwrap().is_some() {
        let took = started.elapsed();
        let output = CommandOutput::from(sweep.wait_with_output().unwrap());
        assert_eq!(output.status, 0, "{}", output.stderr);
        return Attempt::Completed(took);
    }
    let runs = children(sweep.id());
    let victim = attack.victims[rng.below(attack.victims.len())];
    if let (Some(run), true) = (runs.get(rng.below(runs.len())), victim != Victim::Sweep) {
        // The run may have ended in the meantime.
        try_signal(*run, "-KILL");
        if victim == Victim::RunThenSweep {
            // Long enough that the sweep sometimes handles the end of the run.
            std::thread::sleep(Duration::from_millis(rng.below(20) as u64));
        }
    }
    sweep.kill().unwrap();
    sweep.wait().unwrap();
    if !attack.overlaps || rng.coin() {
        wait_until("the end of the runs", || !runs.iter().any(|run| is_alive(*run)));
    }
    Attempt::Killed
}

/// Asserts that runs that were finished earlier are still there and were not trained again. Adds newly finished ones.
fn assert_finished_runs_are_kept(project: &Project, finished: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for run in run_directories(&project.path("runs/columns")) {
        if run.join("report.json").exists() {
            let record = fs::read(run.join("run.json")).unwrap();
            let before = finished.entry(run).or_insert_with(|| record.clone());
            assert!(*before == record, "a finished run was trained again");
        }
    }
    for run in finished.keys() {
        assert!(run.join("report.json").exists(), "{} is gone", run.display());
    }
}
