//! A resumed run ends with exactly the result of an uninterrupted one.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use kiln_store::{Checkpoints, Position, RunDirectory, Status};
use kiln_train::{
    Declaration, EpochEnd, Observer, Progress, Resumed, Run, RunLock, Stop, TrainingOutcome,
};

use crate::columns::EXPERIMENT;
use crate::common::World;

/// The files that must be identical, and the history without its seconds.
#[derive(PartialEq, Eq)]
struct Results {
    files: Vec<(&'static str, Vec<u8>)>,
    history: String,
}

impl Results {
    fn of(run: &RunDirectory) -> Self {
        let names = ["model.safetensors", "report.json", "predictions.csv", "mistakes.png"];
        let read = |name| (name, fs::read(run.path().join(name)).unwrap());
        let history = fs::read_to_string(run.history_path()).unwrap();
        let without_seconds = |line: &str| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.remove(6);
            cells.join(",")
        };
        Self {
            files: names.map(read).into(),
            history: history.lines().map(without_seconds).collect::<Vec<_>>().join("\n"),
        }
    }

    fn assert_same(&self, other: &Self, what: &str) {
        assert_eq!(self.history, other.history, "{what}: the history");
        for ((name, ours), (_, theirs)) in self.files.iter().zip(&other.files) {
            assert!(ours == theirs, "{what}: {name} differs");
        }
    }
}

/// Interrupts the run after `step` steps. With a `snapshot`, from one directory to another, copies the directory of the
/// run instead, in the state in which a kill would leave it.
struct At {
    step: usize,
    done: usize,
    snapshot: Option<(PathBuf, PathBuf)>,
}

impl At {
    fn stop(step: usize) -> Self {
        Self { step, done: 0, snapshot: None }
    }
}

impl Observer for At {
    fn on_epoch_end(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }

    fn on_step_end(&mut self, _: Progress<'_>) -> ControlFlow<Stop> {
        self.done += 1;
        match (&self.snapshot, self.done == self.step) {
            (Some((from, to)), true) => copy(from, to),
            (None, true) => return ControlFlow::Break(Stop::Interrupted),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Layers, an optimizer, and whatever else has a state that a checkpoint must contain.
struct Case {
    what: &'static str,
    engine: &'static str,
    overrides: &'static [&'static str],
}

const LAYERS: &str = "layers=[{type='flatten'},{type='dense',units=12,activation='relu'},{type='dropout',rate=0.3},{type='dense',units=7,activation='tanh',name='hidden'},{type='dense',units='classes',activation='softmax'}]";
const NORMALIZED: &str = "layers=[{type='flatten'},{type='dense',units=12,activation='elu'},{type='batch_normalization'},{type='dropout',rate=0.2},{type='dense',units='classes',activation='softmax'}]";

/// No epoch but the first improves by this much, so the rate drops in every epoch from the third on.
const PLATEAU: &str = "schedule={type='reduce_on_plateau',patience=1,factor=0.5,min_delta=100}";

const CASES: &[Case] = &[
    Case { what: "plain sgd", engine: "fused", overrides: &[LAYERS, "optimizer={type='sgd'}"] },
    Case {
        what: "nesterov, clipping",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='sgd',momentum=0.9,nesterov=true,weight_decay=0.01,global_clipnorm=0.5}",
            "schedule={type='cosine',warmup_epochs=1.5}",
        ],
    },
    Case {
        what: "adam, best weights",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='adam',learning_rate=0.1}",
            "weights=best",
            "training.monitor=val_accuracy",
        ],
    },
    Case {
        what: "adamw, early stopping",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='adamw',learning_rate=0.5}",
            "early_stopping={patience=2,restore_best=true}",
            "epochs=40",
        ],
    },
    Case {
        what: "centered rmsprop, step schedule",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='rmsprop',momentum=0.5,centered=true}",
            "schedule={type='step',every_epochs=1.5,factor=0.5}",
            "top_k=[2]",
        ],
    },
    Case {
        what: "sgd, metrics that count classes",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='sgd'}",
            "weights=best",
            "training.monitor=val_macro_f1",
            "metrics=['balanced_accuracy']",
        ],
    },
    Case {
        what: "adagrad",
        engine: "fused",
        overrides: &[LAYERS, "optimizer={type='adagrad'}", "evaluate_training_set=true"],
    },
    Case { what: "nadam", engine: "fused", overrides: &[LAYERS, "optimizer={type='nadam'}"] },
    Case {
        what: "momentum and rate in one cycle",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='sgd',momentum=0.9}",
            "schedule={type='one_cycle',cycle_momentum=true,peak=0.4}",
        ],
    },
    Case {
        what: "adam, a rate that drops on plateaus",
        engine: "fused",
        overrides: &[LAYERS, "optimizer={type='adam'}", PLATEAU],
    },
    Case {
        what: "lion",
        engine: "fused",
        overrides: &[LAYERS, "optimizer={type='lion',weight_decay=0.1}"],
    },
    Case {
        what: "sgd with normalization",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='sgd'}", "shuffle=false"],
    },
    Case {
        what: "nesterov with normalization",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='sgd',momentum=0.9,nesterov=true,weight_decay=0.01,clipvalue=0.1}",
        ],
    },
    Case {
        what: "adam with normalization, best weights",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='adam',learning_rate=0.05}", "weights=best"],
    },
    Case {
        what: "adamw with normalization",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='adamw'}",
            "schedule={type='exponential'}",
            "backend=ndarray",
        ],
    },
    Case {
        what: "rmsprop with normalization",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='rmsprop',momentum=0.9,centered=true}"],
    },
    Case {
        what: "adagrad with normalization",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='adagrad'}"],
    },
    Case {
        what: "nadam with normalization",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='nadam'}"],
    },
    Case {
        what: "adamw in one cycle with normalization",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='adamw'}",
            "schedule={type='one_cycle',cycle_momentum=true,annealing='linear',warmup_epochs=0.5}",
        ],
    },
    Case {
        what: "nesterov with normalization, a rate that drops on plateaus",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='sgd',momentum=0.9,nesterov=true}", PLATEAU],
    },
    Case {
        what: "lion with normalization",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='lion',weight_decay=0.1}"],
    },
];

fn resume(world: &World, run: &RunDirectory) -> (Resumed, RunDirectory) {
    let data = world.runs().parent().unwrap().to_owned();
    let run = RunDirectory::open(run.path()).unwrap();
    (Run::resume(run.clone(), &data, RunLock::Caller(None)).unwrap(), run)
}

fn resumed(world: &World, run: &RunDirectory, observer: &mut dyn Observer) -> TrainingOutcome {
    resume(world, run).0.run.train(observer).unwrap()
}

/// Steps per epoch of the small experiment: 80 training rows in batches of 16.
const STEPS: usize = 5;

#[test]
fn a_resumed_run_is_identical_with_every_optimizer_schedule_and_engine() {
    let world = World::new();
    for Case { what, engine, overrides } in CASES {
        let engine = format!("engine={engine}");
        let common = ["epochs=4", "batch_size=16", "validation=40", &engine];
        let overrides = [common.as_slice(), overrides].concat();
        let (run, outcome) = world.run(&overrides);
        assert_eq!(outcome.status, Status::Finished, "{what}");
        let uninterrupted = Results::of(&run);
        let epochs = run.read_history().unwrap().rows.len();
        // In the first epoch, within a later one, at the end of an epoch, and before the last step.
        for step in [2, STEPS + 3, 2 * STEPS, epochs * STEPS - 1] {
            let what = format!("{what}, after {step} steps");
            let runs = world.runs().join(step.to_string());
            let (run, outcome) = world.observed_run(&runs, &overrides, &mut At::stop(step));
            assert_eq!(outcome.status, Status::Interrupted, "{what}");
            assert!(!run.is_finished(), "{what}");
            // Interrupt it once more, a little later.
            let remaining = epochs * STEPS - step;
            if remaining > 3 {
                let outcome = resumed(&world, &run, &mut At::stop(3));
                assert_eq!(outcome.status, Status::Interrupted, "{what}");
            }
            let outcome = resumed(&world, &run, &mut ());
            assert_eq!(outcome.status, Status::Finished, "{what}: {}", outcome.reason);
            uninterrupted.assert_same(&Results::of(&run), &what);
            let record = run.read_record().unwrap();
            assert_eq!(record.resumed.len(), if remaining > 3 { 2 } else { 1 });
        }
        fs::remove_dir_all(world.runs()).unwrap();
    }
}

/// Trains a run, and copies it to `copied` in the state in which a kill after `step` steps would leave it. Returns the
/// results of the uninterrupted run.
fn killed_at(world: &World, step: usize, overrides: &[&str], copied: &Path) -> Results {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let declaration = Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap();
    let data = world.runs().parent().unwrap().to_owned();
    let run = Run::prepare(declaration, &data, &world.runs(), None).unwrap();
    let directory = run.directory().clone();
    let snapshot = Some((directory.path().to_owned(), copied.to_owned()));
    run.train(&mut At { step, done: 0, snapshot }).unwrap();
    Results::of(&directory)
}

const SMALL: [&str; 5] =
    ["epochs=4", "batch_size=16", "validation=40", "optimizer={type='adam'}", "weights=best"];

#[test]
fn a_killed_run_resumes_from_its_last_completed_epoch() {
    let world = World::new();
    for (step, from) in [(3, None), (STEPS + 1, Some(1)), (3 * STEPS + 4, Some(3))] {
        let copied = world.runs().join("columns").join(format!("copied-{step}"));
        let uninterrupted = killed_at(&world, step, &SMALL, &copied);
        let run = RunDirectory::open(&copied).unwrap();
        assert_eq!(run.read_record().unwrap().status, Status::Running);
        let (found, run) = resume(&world, &run);
        assert_eq!(found.from, from.map(|epochs| Position { epochs, step: 0 }));
        assert_eq!(found.damage, Vec::<String>::new());
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), &format!("killed after {step} steps"));
    }
}

/// Lets another machine take over the run at the end of its second epoch.
struct TakenOver(PathBuf);

impl Observer for TakenOver {
    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        if end.row.epoch == 2 {
            let holder = r#"{"format_version": 1, "machine": "ada", "boot": "another", "process": 17,
                "since": "2026-01-02T03:04:05Z"}"#;
            fs::write(&self.0, holder).unwrap();
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn a_run_writes_nothing_after_another_machine_has_taken_it_over() {
    let world = World::new();
    let run = world.prepared(&SMALL);
    let directory = run.directory().clone();
    let claims = kiln_store::hidden(directory.path().parent().unwrap());
    let claim = claims.join(format!("{}.claim", directory.id()));
    let error = run.train(&mut TakenOver(claim.clone())).unwrap_err();
    assert!(error.to_string().contains("was taken over by process 17 on ada"), "{error}");
    assert_eq!(directory.read_record().unwrap().status, Status::Running);
    assert_eq!(directory.read_history().unwrap().rows.len(), 2);
    assert!(!directory.model_path().exists() && claim.exists());
}

#[test]
fn a_damaged_checkpoint_is_reported_and_the_previous_one_used() {
    let world = World::new();
    for file in ["manifest.json", "state.json", "tensors.safetensors"] {
        let copied = world.runs().join("columns").join(format!("copied-{file}"));
        let uninterrupted = killed_at(&world, 3 * STEPS + 2, &SMALL, &copied);
        let run = RunDirectory::open(&copied).unwrap();
        let last = Checkpoints::of(&run).path(Position { epochs: 3, step: 0 }).join(file);
        let mut bytes = fs::read(&last).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x04;
        fs::write(&last, bytes).unwrap();
        let (found, run) = resume(&world, &run);
        assert_eq!(found.from, Some(Position { epochs: 2, step: 0 }), "{file}");
        assert!(found.damage[0].contains("epoch-00003"), "{:?}", found.damage);
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), file);
    }
}

#[test]
fn a_truncated_history_is_restored_from_the_checkpoint() {
    let world = World::new();
    let copied = world.runs().join("columns").join("copied");
    let uninterrupted = killed_at(&world, 3 * STEPS + 2, &SMALL, &copied);
    let text = fs::read_to_string(copied.join("history.csv")).unwrap();
    let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    for length in [0, 10, lines[0], lines[1] + 3, lines[2], lines[3] - 1] {
        let again = world.runs().join("columns").join(format!("cut-{length}"));
        copy(&copied, &again);
        fs::write(again.join("history.csv"), &text[..length]).unwrap();
        let (found, run) = resume(&world, &RunDirectory::open(&again).unwrap());
        assert_eq!(found.from, Some(Position { epochs: 3, step: 0 }), "{length}");
        let rows = lines.iter().filter(|end| **end <= length).count().saturating_sub(1);
        let ends = format!("history.csv is damaged: it ends after epoch {rows} of 3");
        assert!(found.damage[0].contains(&ends), "{length}: {:?}", found.damage);
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), &format!("truncated to {length} bytes"));
    }
}

#[test]
fn a_damaged_or_missing_history_is_restored_from_the_checkpoint() {
    let world = World::new();
    let copied = world.runs().join("columns").join("copied");
    let overrides = [SMALL.as_slice(), &["top_k=[2]"]].concat();
    let uninterrupted = killed_at(&world, 3 * STEPS + 2, &overrides, &copied);
    let text = fs::read_to_string(copied.join("history.csv")).unwrap();
    for (name, damaged, problem) in [
        ("extra line", Some(text.clone() + "junk\n"), "history.csv, line 5"),
        ("header", Some(text.replacen("epoch,", "epo", 1)), "history.csv, line 1"),
        (
            "number",
            Some(text.replacen("0.", "1.", 1)),
            "history.csv is damaged: it differs from the history in the checkpoint",
        ),
        ("missing", None, "history.csv: no such file"),
    ] {
        let again = world.runs().join("columns").join(name);
        copy(&copied, &again);
        match damaged {
            Some(text) => fs::write(again.join("history.csv"), text).unwrap(),
            None => fs::remove_file(again.join("history.csv")).unwrap(),
        }
        let (found, run) = resume(&world, &RunDirectory::open(&again).unwrap());
        assert_eq!(found.from, Some(Position { epochs: 3, step: 0 }), "{name}: {:?}", found.damage);
        assert!(found.damage[0].contains(problem), "{name}: {:?}", found.damage);
        found.run.train(&mut ()).unwrap();
        uninterrupted.assert_same(&Results::of(&run), name);
    }
}

#[test]
fn a_truncated_header_is_restored() {
    let world = World::new();
    let overrides = [SMALL.as_slice(), &["top_k=[2]"]].concat();
    let (run, _) = world.run(&overrides);
    let uninterrupted = Results::of(&run);
    let (run, _) = world.observed_run(&world.runs(), &overrides, &mut At::stop(2));
    fs::write(run.history_path(), "epoch,lo").unwrap();
    let (found, run) = resume(&world, &run);
    assert_eq!(found.from, Some(Position { epochs: 0, step: 2 }), "{:?}", found.damage);
    assert!(found.damage[0].contains("its last row is incomplete"), "{:?}", found.damage);
    found.run.train(&mut ()).unwrap();
    uninterrupted.assert_same(&Results::of(&run), "a truncated header");
}

#[test]
fn a_changed_configuration_or_dataset_is_rejected_with_the_difference() {
    let world = World::new();
    let data = world.runs().parent().unwrap().to_owned();
    let (run, _) = world.observed_run(&world.runs(), &SMALL, &mut At::stop(STEPS + 2));
    let refusal = || {
        let run = RunDirectory::open(run.path()).unwrap();
        Run::resume(run, &data, RunLock::Caller(None))
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let config = fs::read_to_string(run.config_path()).unwrap();
    fs::write(run.config_path(), config.replace("batch_size = 16", "batch_size = 8")).unwrap();
    let error = refusal();
    assert!(error.contains("training.batch_size from 16 to 8"), "{error}");

    // The interval of checkpoints does not affect the result.
    fs::write(run.config_path(), config.replace("minutes = 10.0", "minutes = 5.0")).unwrap();
    assert_eq!(refusal(), "");
    fs::write(run.config_path(), &config).unwrap();

    let images = data.join("columns/train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&images, bytes).unwrap();
    let error = refusal();
    assert!(error.contains("its dataset columns changed from"), "{error}");
}

#[test]
fn a_finished_or_diverged_run_is_not_resumed() {
    let world = World::new();
    let data = world.runs().parent().unwrap().to_owned();
    for (overrides, problem) in
        [(["learning_rate=0.1"], "it is finished"), (["learning_rate=1e30"], "diverge")]
    {
        let (run, _) = world.run(&overrides);
        let error = Run::resume(run, &data, RunLock::Caller(None)).err().unwrap().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn the_last_and_the_best_checkpoint_are_kept_if_the_experiment_keeps_them() {
    let world = World::new();
    // The run soon classifies every image correctly. The first epoch that does is the best one.
    let overrides = ["epochs=9", "weights=best", "training.monitor=val_accuracy"];
    let (run, _) = world.run(&overrides);
    let best = run.read_report().unwrap().unwrap().epoch;
    assert!(best < 8, "the best epoch is {best}");
    let at = |epochs| Position { epochs, step: 0 };
    assert_eq!(Checkpoints::of(&run).positions().unwrap(), [at(9), at(best)]);

    let (run, _) = world.run(&[overrides.as_slice(), &["checkpoint.keep=false"]].concat());
    assert!(!run.checkpoints_path().exists());
}

/// Asks for a checkpoint after every step, and collects the newest one before each.
struct Always(RunDirectory, Vec<Position>);

impl Observer for Always {
    fn on_epoch_end(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }

    fn on_step_end(&mut self, _: Progress<'_>) -> ControlFlow<Stop> {
        self.1.extend(Checkpoints::of(&self.0).positions().unwrap().first());
        ControlFlow::Continue(())
    }

    fn wants_checkpoint(&mut self) -> bool {
        true
    }
}

#[test]
fn a_checkpoint_is_written_when_the_observer_asks_and_changes_no_result() {
    let world = World::new();
    let (run, _) = world.run(&SMALL);
    let uninterrupted = Results::of(&run);
    let overrides = SMALL.map(str::to_owned);
    let declaration = Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap();
    let data = world.runs().parent().unwrap().to_owned();
    let run = Run::prepare(declaration, &data, &world.runs(), None).unwrap();
    let directory = run.directory().clone();
    let mut always = Always(directory.clone(), Vec::new());
    run.train(&mut always).unwrap();
    let expected: Vec<Position> = (0..4)
        .flat_map(|epochs| (0..STEPS).map(move |step| Position { epochs, step }))
        .skip(1)
        .collect();
    assert_eq!(always.1, expected);
    uninterrupted.assert_same(&Results::of(&directory), "with a checkpoint after each step");
}
