//! SIGINT, SIGTERM and SIGUSR1 at random moments of runs and sweeps.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Rng, in_memory_project, print_figures, short_or_long};
use crate::processes::{children, is_alive, signal_unless_ended, start, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{
    Results, assert_resumes, assert_valid, only_run, partial_files, record, results,
    run_directories, status, statuses,
};

/// How long a run or a sweep may take to stop after a signal.
const TIME_TO_STOP: Duration = Duration::from_secs(2);

/// The signals that stop a run or a sweep, and the exit status that follows.
const STOP_SIGNALS: [(&str, i32); 2] = [("-INT", 130), ("-TERM", 143)];

/// The exit status if the signal itself ended the process, because it had not installed its handlers yet.
const KILLED_BY_SIGNAL: i32 = -1;

/// With these settings the steps take most of the time of a run, so that many signals arrive within an epoch. A
/// checkpoint within an epoch is written only when a signal asks for it.
const OVERRIDES: [&str; 4] =
    ["batch_size=1", "layers.1.units=128", "learning_rate=0.001", "checkpoint.minutes=0.0"];

fn run_arguments(epochs: &'static str) -> Vec<&'static str> {
    [["run", "experiment.toml", epochs].as_slice(), &OVERRIDES].concat()
}

fn sweep_arguments(epochs: &'static str) -> Vec<&'static str> {
    let sweep = ["sweep", "experiment.toml", "seed=1,2,3,4", "--jobs=2", epochs];
    [sweep.as_slice(), &OVERRIDES].concat()
}

const RUN_EPOCHS: &str = "epochs=20";
const SWEEP_EPOCHS: &str = "epochs=12";
const ENDLESS: &str = "epochs=100000";

/// The results and the duration of an uninterrupted run.
fn uninterrupted() -> (Results, Duration) {
    let once = || {
        let project = in_memory_project();
        let started = Instant::now();
        project.kiln_ok(&run_arguments(RUN_EPOCHS));
        (Results::of(&only_run(&project).unwrap()), started.elapsed())
    };
    // The first run also loads the program from the disk, so it may take longer.
    let (results, first) = once();
    let (again, second) = once();
    again.assert_same(&results, "uninterrupted");
    (results, first.min(second))
}

/// Waits for a random moment of a process that is expected to take `duration`.
fn wait_for_random_moment(process: &mut Child, duration: &mut Duration, rng: &mut Rng) {
    let moment = duration.mul_f64(rng.fraction());
    let started = Instant::now();
    while started.elapsed() < moment {
        if process.try_wait().unwrap().is_some() {
            // The duration was measured while the machine was busy with other things, so correct it.
            *duration = started.elapsed().min(*duration);
            return;
        }
        sleep(Duration::from_millis(1));
    }
}

/// Counts the processes that took longer than [`TIME_TO_STOP`] to end after a signal. One in ten may, since the machine
/// may be busy with other things.
#[derive(Default)]
struct StopTimes {
    stopped: usize,
    late: usize,
}

impl StopTimes {
    /// Waits for the end of a process that was signaled.
    fn wait(&mut self, mut process: Child, context: &str) -> CommandOutput {
        self.wait_until(context, || process.try_wait().unwrap().is_some());
        CommandOutput::from(process.wait_with_output().unwrap())
    }

    fn wait_until(&mut self, context: &str, ended: impl FnMut() -> bool) {
        let took = wait_until(&format!("the end, {context}"), ended);
        self.stopped += 1;
        self.late += usize::from(took > TIME_TO_STOP);
    }

    fn assert_prompt(&self) {
        let Self { stopped, late } = self;
        // The short form runs beside other tests, on machines of any speed.
        let allowed = stopped / short_or_long(2, 10);
        assert!(*late <= allowed, "{late} of {stopped} did not end within {TIME_TO_STOP:?}");
    }
}

#[test]
fn signaled_run_stops_and_resumes_to_identical_results() {
    let (expected, mut duration) = uninterrupted();
    let rounds = short_or_long(10, 100);
    let mut stop_times = StopTimes::default();
    let (mut interrupted, mut within_epochs) = (0, 0);
    for (signal, exit) in STOP_SIGNALS {
        for round in 0..rounds {
            let project = in_memory_project();
            let context = format!("{signal}, round {round}");
            let mut process = start(&project, &run_arguments(RUN_EPOCHS));
            let mut rng = Rng::new(signal, round);
            wait_for_random_moment(&mut process, &mut duration, &mut rng);
            signal_unless_ended(&mut process, signal);
            let output = stop_times.wait(process, &context);
            let context = format!("{context}:\n{}", output.stderr);
            output.assert_no_panic(&context);
            let Some(run) = only_run(&project) else {
                let is_expected = [exit, KILLED_BY_SIGNAL].contains(&output.status);
                assert!(is_expected, "exit status {}, {context}", output.status);
                continue;
            };
            assert_valid(&project, &run, &expected, &context);
            if output.status == 0 {
                assert_eq!(status(&run, &context).as_deref(), Some("finished"), "{context}");
            } else {
                assert_eq!(output.status, exit, "{context}");
                assert_eq!(status(&run, &context).as_deref(), Some("interrupted"), "{context}");
                assert!(output.stderr.contains("to resume: kiln resume"), "{context}");
                let checkpoints = fs::read_dir(run.join("checkpoints")).unwrap().count();
                assert!(checkpoints > 0, "no checkpoint, {context}");
                assert_eq!(partial_files(&run), Vec::<PathBuf>::new(), "{context}");
                interrupted += 1;
                let position = record(&run, &context).unwrap()["stop_reason"].to_string();
                within_epochs += usize::from(position.contains("step"));
            }
            assert_resumes(&project, &expected, &context);
        }
    }
    assert!(within_epochs > 0, "of {interrupted} interrupted runs none stopped within an epoch");
    stop_times.assert_prompt();
    print_figures(&format!(
        "INT and TERM to a run: {rounds} each, {interrupted} interrupted it, {within_epochs} within an epoch, {} late",
        stop_times.late
    ));
}

#[test]
fn second_signal_stops_a_run_immediately() {
    let (expected, mut duration) = uninterrupted();
    let mut stop_times = StopTimes::default();
    let rounds = short_or_long(4, 40);
    for (signal, exit) in STOP_SIGNALS {
        for round in 0..rounds {
            let project = in_memory_project();
            let mut rng = Rng::new("second", round);
            let mut process = start(&project, &run_arguments(RUN_EPOCHS));
            wait_for_random_moment(&mut process, &mut duration, &mut rng);
            signal_unless_ended(&mut process, signal);
            // Kiln treats two signals within 20 ms as one. Both cases are tested.
            sleep(Duration::from_millis(rng.below(40) as u64));
            signal_unless_ended(&mut process, signal);
            let context = format!("{signal} twice, round {round}");
            let output = stop_times.wait(process, &context);
            output.assert_no_panic(&context);
            let was_starting = only_run(&project).is_none() && output.status == KILLED_BY_SIGNAL;
            let is_expected = [0, exit].contains(&output.status) || was_starting;
            assert!(is_expected, "{}, {context}\n{}", output.status, output.stderr);
            assert_resumes(&project, &expected, &context);
        }
    }
    stop_times.assert_prompt();
    print_figures(&format!("INT and TERM twice to a run: {rounds} each, {} late", stop_times.late));
}

#[test]
fn sigusr1_writes_a_checkpoint_and_does_not_change_the_results() {
    let (expected, mut duration) = uninterrupted();
    let rounds = short_or_long(10, 100);
    let (mut within_epochs, mut killed) = (0, 0);
    for round in 0..rounds {
        let project = in_memory_project();
        let mut rng = Rng::new("-USR1", round);
        let mut process = start(&project, &run_arguments(RUN_EPOCHS));
        wait_for_random_moment(&mut process, &mut duration, &mut rng);
        signal_unless_ended(&mut process, "-USR1");
        let context = format!("-USR1, round {round}");
        let log = || {
            let run = only_run(&project).map(|run| run.join("log.jsonl"));
            run.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default()
        };
        let has_checkpoint = || log().contains(r#""message":"checkpoint""#);
        if rng.coin() {
            // Kill the run after the checkpoint, so that it must resume from there.
            wait_until("a checkpoint or the end", || {
                has_checkpoint() || process.try_wait().unwrap().is_some()
            });
            killed += usize::from(process.try_wait().unwrap().is_none());
            process.kill().unwrap();
        }
        let output = CommandOutput::from(process.wait_with_output().unwrap());
        output.assert_no_panic(&context);
        // SIGKILL, or SIGUSR1 before its handler was installed, ends the process.
        let is_expected = [0, KILLED_BY_SIGNAL].contains(&output.status);
        assert!(is_expected, "exit status {}, {context}", output.status);
        within_epochs += usize::from(has_checkpoint());
        assert_resumes(&project, &expected, &context);
    }
    assert!(within_epochs > 0, "no checkpoint within an epoch in {rounds} rounds");
    print_figures(&format!(
        "USR1 to a run: {rounds}, {within_epochs} checkpoints within epochs, {killed} killed then"
    ));
}

#[test]
fn signaled_sweep_stops_its_runs_and_resumes_to_identical_results() {
    let started = Instant::now();
    let uninterrupted = in_memory_project();
    uninterrupted.kiln_ok(&sweep_arguments(SWEEP_EPOCHS));
    let mut duration = started.elapsed();
    let expected = results(&uninterrupted, "runs/columns");
    let mut stop_times = StopTimes::default();
    let rounds = short_or_long(4, 100);
    let mut interrupted = 0;
    for (signal, exit) in [STOP_SIGNALS[0], STOP_SIGNALS[1], ("-USR1", 0)] {
        for round in 0..rounds {
            let project = in_memory_project();
            let mut rng = Rng::new(&format!("sweep {signal}"), round);
            let mut sweep = start(&project, &sweep_arguments(SWEEP_EPOCHS));
            wait_for_random_moment(&mut sweep, &mut duration, &mut rng);
            let runs = children(sweep.id());
            signal_unless_ended(&mut sweep, signal);
            let twice = exit != 0 && rng.coin();
            if twice {
                signal_unless_ended(&mut sweep, signal);
            }
            let context = format!("sweep, {signal}, twice: {twice}, round {round}");
            let output = match exit {
                0 => CommandOutput::from(sweep.wait_with_output().unwrap()),
                _ => stop_times.wait(sweep, &context),
            };
            output.assert_no_panic(&context);
            let was_starting = !has_sweep_record(&project) && output.status == KILLED_BY_SIGNAL;
            let is_expected = [0, exit].contains(&output.status) || was_starting;
            assert!(is_expected, "{}, {context}\n{}", output.status, output.stderr);
            let orphans: Vec<&u32> = runs.iter().filter(|run| is_alive(**run)).collect();
            assert!(orphans.is_empty(), "orphaned processes: {orphans:?}, {context}");
            if output.status == exit && exit != 0 {
                interrupted += 1;
                assert_none_is_running(&project, &context);
            }
            assert_sweep_resumes(&project, &context);
            assert!(results(&project, "runs/columns") == expected, "results differ, {context}");
        }
    }
    assert!(interrupted > 0, "no sweep was interrupted");
    stop_times.assert_prompt();
    print_figures(&format!(
        "INT, TERM, USR1 to a sweep: {rounds} each, {interrupted} interrupted, {} late",
        stop_times.late
    ));
}

#[test]
fn sweep_signaled_while_it_starts_its_first_run_leaves_no_process() {
    let rounds = short_or_long(10, 100);
    for round in 0..rounds {
        let project = in_memory_project();
        let mut sweep = start(&project, &sweep_arguments(ENDLESS));
        let mut runs = Vec::new();
        // Without a pause between two looks, so that the signal arrives while the process starts.
        while runs.is_empty() {
            runs = children(sweep.id());
            assert!(sweep.try_wait().unwrap().is_none(), "the sweep ended, round {round}");
        }
        signal_unless_ended(&mut sweep, "-TERM");
        let output = CommandOutput::from(sweep.wait_with_output().unwrap());
        assert_eq!(output.status, 143, "round {round}\n{}", output.stderr);
        let orphans: Vec<&u32> = runs.iter().filter(|run| is_alive(**run)).collect();
        assert!(orphans.is_empty(), "orphaned processes: {orphans:?}, round {round}");
        assert_none_is_running(&project, &format!("round {round}"));
    }
}

/// With an endless sweep, a process that has ended was ended by the signal.
#[test]
fn signaled_or_killed_endless_sweep_ends_with_its_runs() {
    let mut stop_times = StopTimes::default();
    let rounds = short_or_long(3, 50);
    for (signal, exit) in [STOP_SIGNALS[0], STOP_SIGNALS[1], ("-KILL", KILLED_BY_SIGNAL)] {
        for round in 0..rounds {
            let project = in_memory_project();
            let mut rng = Rng::new(&format!("endless {signal}"), round);
            let mut process = start(&project, &sweep_arguments(ENDLESS));
            wait_until("two runs", || children(process.id()).len() == 2);
            sleep(Duration::from_millis(rng.below(300) as u64));
            let runs = children(process.id());
            signal_unless_ended(&mut process, signal);
            let context = format!("endless sweep, {signal}, round {round}");
            let output = stop_times.wait(process, &context);
            assert_eq!(output.status, exit, "{context}\n{}", output.stderr);
            let any_alive = || runs.iter().any(|run| is_alive(*run));
            if signal == "-KILL" {
                // The runs notice that the sweep is gone, and then stop.
                stop_times.wait_until(&format!("the runs, {context}"), || !any_alive());
            } else {
                assert!(!any_alive(), "orphaned processes among {runs:?}, {context}");
            }
            assert_none_is_running(&project, &context);
        }
    }
    stop_times.assert_prompt();
    print_figures(&format!(
        "INT, TERM and KILL to an endless sweep: {rounds} each, {} late",
        stop_times.late
    ));
}

fn assert_none_is_running(project: &Project, context: &str) {
    for run in run_directories(&project.path("runs/columns")) {
        let found = status(&run, context);
        assert!(found.as_deref() != Some("running"), "{} is running, {context}", run.display());
    }
}

/// Whether the sweep has written its record. It has installed its signal handlers by then.
fn has_sweep_record(project: &Project) -> bool {
    project.path("runs/columns/.kiln/sweep.json").exists()
}

fn assert_sweep_resumes(project: &Project, context: &str) {
    // Without its record the sweep cannot be resumed; start it again.
    let (resume, again) = (vec!["resume", "runs/columns"], sweep_arguments(SWEEP_EPOCHS));
    let output = project.kiln(if has_sweep_record(project) { &resume } else { &again });
    assert_eq!(output.status, 0, "{context}, then resumed:\n{}", output.stderr);
    let found = statuses(project, "runs/columns");
    assert!(found.values().all(|status| status == "finished"), "{found:?}, {context}");
}
