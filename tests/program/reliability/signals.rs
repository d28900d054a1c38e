//! SIGINT, SIGTERM and SIGUSR1 at random moments of runs and sweeps.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::processes::{children, is_alive, signal_unless_ended, start, wait_until};
use super::run_state::{
    Results, assert_no_panic, assert_resumes, assert_valid, only_run, partial, record, status,
};
use super::{Generator, quick_world, short_or_long, tell};
use crate::sweep::{results, statuses};
use crate::world::{Ran, World};

/// The time that a signal may take to end a run or a sweep.
const PROMPT: Duration = Duration::from_secs(2);

/// SIGINT and SIGTERM, and the exit status of what they end.
const ENDS: [(&str, i32); 2] = [("-INT", 130), ("-TERM", 143)];

/// What a process leaves as its status that a signal has ended by itself: it came before anybody listened.
const BY_THE_SIGNAL: i32 = -1;

/// Steps take longer than what comes between epochs, and a checkpoint within an epoch is one that was asked for.
const OVERRIDES: [&str; 4] =
    ["batch_size=1", "layers.1.units=128", "learning_rate=0.001", "checkpoint.minutes=0.0"];

fn run(epochs: &'static str) -> Vec<&'static str> {
    [["run", "experiment.toml", epochs].as_slice(), &OVERRIDES].concat()
}

fn sweep(epochs: &'static str) -> Vec<&'static str> {
    let sweep = ["sweep", "experiment.toml", "seed=1,2,3,4", "--jobs=2", epochs];
    [sweep.as_slice(), &OVERRIDES].concat()
}

const RUN: &str = "epochs=20";
const SWEEP: &str = "epochs=12";
const ENDLESS: &str = "epochs=100000";

/// What the run comes to that nobody disturbs, and how long that takes.
fn undisturbed() -> (Results, Duration) {
    let once = || {
        let world = quick_world();
        let begun = Instant::now();
        let ran = world.kiln(&run(RUN));
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        (Results::of(&only_run(&world).unwrap()), begun.elapsed())
    };
    // The first has more to wait for.
    let (results, first) = once();
    let (again, second) = once();
    again.assert_same(&results, "undisturbed");
    (results, first.min(second))
}

/// Waits for a random moment of so long a process. One that has come to its end before was measured while the
/// machine had other things to do, and sets the length right.
fn let_pass(process: &mut Child, length: &mut Duration, chance: &mut Generator) {
    let moment = length.mul_f64(chance.fraction());
    let begun = Instant::now();
    while begun.elapsed() < moment {
        if process.try_wait().unwrap().is_some() {
            *length = begun.elapsed().min(*length);
            return;
        }
        sleep(Duration::from_millis(1));
    }
}

/// How promptly processes end that are told to. One in ten may be late, for the machine may have other things to do.
#[derive(Default)]
struct Promptness {
    ends: usize,
    late: usize,
}

impl Promptness {
    /// Waits for the end of what was told to end.
    fn end(&mut self, mut process: Child, context: &str) -> Ran {
        self.wait(context, || process.try_wait().unwrap().is_some());
        Ran::from(process.wait_with_output().unwrap())
    }

    fn wait(&mut self, context: &str, ended: impl FnMut() -> bool) {
        let took = wait_until(&format!("the end, {context},"), ended);
        self.ends += 1;
        self.late += usize::from(took > PROMPT);
    }

    fn assert(&self) {
        let Self { ends, late } = self;
        assert!(late * 10 <= *ends, "{late} of {ends} did not end within {PROMPT:?}");
    }
}

#[test]
fn a_run_that_is_told_to_end_does_and_goes_on_to_the_same_result() {
    let (undisturbed, mut length) = undisturbed();
    let rounds = short_or_long(10, 100);
    let mut promptness = Promptness::default();
    let (mut interrupted, mut within_epochs) = (0, 0);
    for (signal, exit) in ENDS {
        for round in 0..rounds {
            let world = quick_world();
            let context = format!("{signal}, round {round}");
            let mut process = start(&world, &self::run(RUN));
            let_pass(&mut process, &mut length, &mut Generator::new(signal, round));
            signal_unless_ended(&mut process, signal);
            let ran = promptness.end(process, &context);
            let context = format!("{context}:\n{}", ran.stderr);
            assert_no_panic(&ran, &context);
            let Some(run) = only_run(&world) else {
                assert!([exit, BY_THE_SIGNAL].contains(&ran.status), "{}, {context}", ran.status);
                continue;
            };
            assert_valid(&world, &run, &undisturbed, &context);
            if ran.status == 0 {
                assert_eq!(status(&run, &context).as_deref(), Some("finished"), "{context}");
            } else {
                assert_eq!(ran.status, exit, "{context}");
                assert_eq!(status(&run, &context).as_deref(), Some("interrupted"), "{context}");
                assert!(ran.stderr.contains("to resume: kiln resume"), "{context}");
                let checkpoints = fs::read_dir(run.join("checkpoints")).unwrap().count();
                assert!(checkpoints > 0, "no checkpoint, {context}");
                assert_eq!(partial(&run), Vec::<PathBuf>::new(), "{context}");
                interrupted += 1;
                let place = record(&run, &context).unwrap()["stop_reason"].to_string();
                within_epochs += usize::from(place.contains("after step"));
            }
            assert_resumes(&world, &undisturbed, &context);
        }
    }
    assert!(within_epochs > 0, "no signal met the midst of an epoch, and {interrupted} training");
    promptness.assert();
    tell(&format!(
        "INT and TERM to a run: {rounds} each, {interrupted} met it training, {within_epochs} within an epoch, {} late",
        promptness.late
    ));
}

#[test]
fn a_second_signal_ends_a_run_at_once() {
    let (undisturbed, mut length) = undisturbed();
    let mut promptness = Promptness::default();
    let rounds = short_or_long(4, 40);
    for (signal, exit) in ENDS {
        for round in 0..rounds {
            let world = quick_world();
            let mut chance = Generator::new("second", round);
            let mut process = start(&world, &run(RUN));
            let_pass(&mut process, &mut length, &mut chance);
            signal_unless_ended(&mut process, signal);
            // Within 20 ms it is taken for the same wish.
            sleep(Duration::from_millis(chance.below(40) as u64));
            signal_unless_ended(&mut process, signal);
            let context = format!("{signal} twice, round {round}");
            let ran = promptness.end(process, &context);
            assert_no_panic(&ran, &context);
            let nobody_listened = only_run(&world).is_none() && ran.status == BY_THE_SIGNAL;
            let is_right = [0, exit].contains(&ran.status) || nobody_listened;
            assert!(is_right, "{}, {context}\n{}", ran.status, ran.stderr);
            assert_resumes(&world, &undisturbed, &context);
        }
    }
    promptness.assert();
    tell(&format!("INT and TERM twice to a run: {rounds} each, {} late", promptness.late));
}

#[test]
fn a_run_that_is_asked_for_a_checkpoint_writes_one_and_comes_to_the_same_result() {
    let (undisturbed, mut length) = undisturbed();
    let rounds = short_or_long(10, 100);
    let (mut within_epochs, mut killed) = (0, 0);
    for round in 0..rounds {
        let world = quick_world();
        let mut chance = Generator::new("-USR1", round);
        let mut process = start(&world, &run(RUN));
        let_pass(&mut process, &mut length, &mut chance);
        signal_unless_ended(&mut process, "-USR1");
        let context = format!("-USR1, round {round}");
        let log = || {
            let run = only_run(&world).map(|run| run.join("log.jsonl"));
            run.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default()
        };
        let has_written = || log().contains(r#""message":"checkpoint""#);
        if chance.coin() {
            // What was written is then all that there is.
            wait_until("a checkpoint or the end", || {
                has_written() || process.try_wait().unwrap().is_some()
            });
            killed += usize::from(process.try_wait().unwrap().is_none());
            process.kill().unwrap();
        }
        let ran = Ran::from(process.wait_with_output().unwrap());
        assert_no_panic(&ran, &context);
        // It was killed, or the signal came before anybody listened.
        assert!([0, BY_THE_SIGNAL].contains(&ran.status), "{}, {context}", ran.status);
        within_epochs += usize::from(has_written());
        assert_resumes(&world, &undisturbed, &context);
    }
    assert!(within_epochs > 0, "no checkpoint within an epoch in {rounds} rounds");
    tell(&format!(
        "USR1 to a run: {rounds}, {within_epochs} checkpoints within epochs, {killed} killed then"
    ));
}

#[test]
fn a_sweep_passes_signals_on_and_leaves_no_orphan() {
    let begun = Instant::now();
    let whole = quick_world();
    let ran = whole.kiln(&sweep(SWEEP));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let (undisturbed, mut length) = (results(&whole, "runs/columns"), begun.elapsed());
    let mut promptness = Promptness::default();
    let rounds = short_or_long(4, 100);
    let mut interrupted = 0;
    for (signal, exit) in [ENDS[0], ENDS[1], ("-USR1", 0)] {
        for round in 0..rounds {
            let world = quick_world();
            let mut chance = Generator::new(&format!("sweep {signal}"), round);
            let mut sweep = start(&world, &sweep(SWEEP));
            let_pass(&mut sweep, &mut length, &mut chance);
            let runs = children(sweep.id());
            signal_unless_ended(&mut sweep, signal);
            let twice = exit != 0 && chance.coin();
            if twice {
                signal_unless_ended(&mut sweep, signal);
            }
            let context = format!("sweep, {signal}, twice: {twice}, round {round}");
            let ran = match exit {
                0 => Ran::from(sweep.wait_with_output().unwrap()),
                _ => promptness.end(sweep, &context),
            };
            assert_no_panic(&ran, &context);
            let nobody_listened = !is_recorded(&world) && ran.status == BY_THE_SIGNAL;
            let is_right = [0, exit].contains(&ran.status) || nobody_listened;
            assert!(is_right, "{}, {context}\n{}", ran.status, ran.stderr);
            let orphans: Vec<&u32> = runs.iter().filter(|run| is_alive(**run)).collect();
            assert!(orphans.is_empty(), "{orphans:?} are left, {context}");
            if ran.status == exit && exit != 0 {
                interrupted += 1;
                assert_none_is_running(&world, &context);
            }
            assert_sweep_resumes(&world, &context);
            assert!(results(&world, "runs/columns") == undisturbed, "another result, {context}");
        }
    }
    assert!(interrupted > 0, "no sweep was interrupted");
    promptness.assert();
    tell(&format!(
        "INT, TERM, USR1 to a sweep: {rounds} each, {interrupted} interrupted, {} late",
        promptness.late
    ));
}

/// Neither the sweep nor its runs would come to their end by themselves.
#[test]
fn an_endless_sweep_ends_with_its_runs() {
    let mut promptness = Promptness::default();
    let rounds = short_or_long(3, 50);
    for (signal, exit) in [ENDS[0], ENDS[1], ("-KILL", BY_THE_SIGNAL)] {
        for round in 0..rounds {
            let world = quick_world();
            let mut chance = Generator::new(&format!("endless {signal}"), round);
            let mut process = start(&world, &sweep(ENDLESS));
            wait_until("two runs", || children(process.id()).len() == 2);
            sleep(Duration::from_millis(chance.below(300) as u64));
            let runs = children(process.id());
            signal_unless_ended(&mut process, signal);
            let context = format!("endless sweep, {signal}, round {round}");
            let ran = promptness.end(process, &context);
            assert_eq!(ran.status, exit, "{context}\n{}", ran.stderr);
            let left = || runs.iter().any(|run| is_alive(*run));
            if signal == "-KILL" {
                promptness.wait(&format!("of the runs, {context}"), || !left());
            } else {
                assert!(!left(), "{runs:?} are left, {context}");
            }
            assert_none_is_running(&world, &context);
        }
    }
    promptness.assert();
    tell(&format!(
        "INT, TERM and KILL to an endless sweep: {rounds} each, {} late",
        promptness.late
    ));
}

fn assert_none_is_running(world: &World, context: &str) {
    for run in fs::read_dir(world.path("runs/columns")).into_iter().flatten().flatten() {
        let found = record(&run.path(), context).map(|record| record["status"].clone());
        assert!(found.as_ref().is_none_or(|status| status != "running"), "{found:?}, {context}");
    }
}

/// Whether the sweep has begun: from then on it listens.
fn is_recorded(world: &World) -> bool {
    world.path("runs/columns/.kiln/sweep.json").exists()
}

fn assert_sweep_resumes(world: &World, context: &str) {
    let (resume, again) = (vec!["resume", "runs/columns"], sweep(SWEEP));
    let ran = world.kiln(if is_recorded(world) { &resume } else { &again });
    assert_eq!(ran.status, 0, "{context}, then resumed:\n{}", ran.stderr);
    let found = statuses(world, "runs/columns");
    assert!(found.values().all(|status| status == "finished"), "{found:?}, {context}");
}
