//! A run that was interrupted goes on to the very same result.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use kiln_report::{Checkpoints, Position, RunDirectory, Status};
use kiln_train::{
    Declaration, EpochEnd, Observer, Progress, Resumed, Run, RunLock, Stop, TrainingOutcome,
};

use crate::columns::EXPERIMENT;
use crate::common::World;

/// What must be the same bytes, and the history without its seconds.
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

/// Stops, or copies the run's directory as a kill would leave it, after a step counted over the whole run.
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

/// What is trained: layers, optimiser and all that keeps a state.
struct Case {
    what: &'static str,
    engine: &'static str,
    overrides: &'static [&'static str],
}

const LAYERS: &str = "layers=[{type='flatten'},{type='dense',units=12,activation='relu'},{type='dropout',rate=0.3},{type='dense',units=7,activation='tanh',name='hidden'},{type='dense',units='classes',activation='softmax'}]";
const NORMALIZED: &str = "layers=[{type='flatten'},{type='dense',units=12,activation='elu'},{type='batch_normalization'},{type='dropout',rate=0.2},{type='dense',units='classes',activation='softmax'}]";

const CASES: [Case; 12] = [
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
        what: "centred rmsprop, step schedule",
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
            "metrics=[balanced_accuracy]",
        ],
    },
    Case {
        what: "adagrad",
        engine: "fused",
        overrides: &[LAYERS, "optimizer={type='adagrad'}", "evaluate_training_set=true"],
    },
    Case {
        what: "sgd with normalisation",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='sgd'}", "shuffle=false"],
    },
    Case {
        what: "nesterov with normalisation",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='sgd',momentum=0.9,nesterov=true,weight_decay=0.01,clipvalue=0.1}",
        ],
    },
    Case {
        what: "adam with normalisation, best weights",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='adam',learning_rate=0.05}", "weights=best"],
    },
    Case {
        what: "adamw with normalisation",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='adamw'}",
            "schedule={type='exponential'}",
            "backend=ndarray",
        ],
    },
    Case {
        what: "rmsprop with normalisation",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='rmsprop',momentum=0.9,centered=true}"],
    },
    Case {
        what: "adagrad with normalisation",
        engine: "generic",
        overrides: &[NORMALIZED, "optimizer={type='adagrad'}"],
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

/// Steps of an epoch of the small experiment: 80 training rows, 16 at a time.
const STEPS: usize = 5;

#[test]
fn every_optimiser_schedule_and_engine_goes_on_to_the_same_bytes() {
    let world = World::new();
    for Case { what, engine, overrides } in CASES {
        let engine = format!("engine={engine}");
        let common = ["epochs=4", "batch_size=16", "validation=40", &engine];
        let overrides = [common.as_slice(), overrides].concat();
        let (run, outcome) = world.run(&overrides);
        assert_eq!(outcome.status, Status::Finished, "{what}");
        let whole = Results::of(&run);
        let epochs = run.read_history().unwrap().rows.len();
        // In the first epoch, in the midst of one, at the end of one, and after all but one step.
        for step in [2, STEPS + 3, 2 * STEPS, epochs * STEPS - 1] {
            let what = format!("{what}, after {step} steps");
            let runs = world.runs().join(step.to_string());
            let (run, outcome) = world.observed_run(&runs, &overrides, &mut At::stop(step));
            assert_eq!(outcome.status, Status::Interrupted, "{what}");
            assert!(!run.is_finished(), "{what}");
            // And again, a little later.
            let left = epochs * STEPS - step;
            if left > 3 {
                let outcome = resumed(&world, &run, &mut At::stop(3));
                assert_eq!(outcome.status, Status::Interrupted, "{what}");
            }
            let outcome = resumed(&world, &run, &mut ());
            assert_eq!(outcome.status, Status::Finished, "{what}: {}", outcome.reason);
            whole.assert_same(&Results::of(&run), &what);
            let record = run.read_record().unwrap();
            assert_eq!(record.resumed.len(), if left > 3 { 2 } else { 1 });
        }
        fs::remove_dir_all(world.runs()).unwrap();
    }
}

/// Leaves `copied` as a kill after `step` steps would have left the run, and gives the run's own results.
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
fn a_killed_run_goes_on_from_its_last_epoch() {
    let world = World::new();
    for (step, from) in [(3, None), (STEPS + 1, Some(1)), (3 * STEPS + 4, Some(3))] {
        let copied = world.runs().join("columns").join(format!("copied-{step}"));
        let whole = killed_at(&world, step, &SMALL, &copied);
        let run = RunDirectory::open(&copied).unwrap();
        assert_eq!(run.read_record().unwrap().status, Status::Running);
        let (found, run) = resume(&world, &run);
        assert_eq!(found.from, from.map(|epochs| Position { epochs, step: 0 }));
        assert_eq!(found.damage, Vec::<String>::new());
        found.run.train(&mut ()).unwrap();
        whole.assert_same(&Results::of(&run), &format!("killed after {step} steps"));
    }
}

/// Hands the run over to another machine at the end of its second epoch.
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
fn a_run_that_another_machine_has_taken_over_is_not_written_to_any_more() {
    let world = World::new();
    let run = world.prepared(&SMALL);
    let directory = run.directory().clone();
    let claims = kiln_report::hidden(directory.path().parent().unwrap());
    let claim = claims.join(format!("{}.claim", directory.id()));
    let error = run.train(&mut TakenOver(claim.clone())).unwrap_err();
    assert!(error.to_string().contains("was taken over by process 17 on ada"), "{error}");
    assert_eq!(directory.read_record().unwrap().status, Status::Running);
    assert_eq!(directory.read_history().unwrap().rows.len(), 2);
    assert!(!directory.model_path().exists() && claim.exists());
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let world = World::new();
    for file in ["manifest.json", "state.json", "tensors.safetensors"] {
        let copied = world.runs().join("columns").join(format!("copied-{file}"));
        let whole = killed_at(&world, 3 * STEPS + 2, &SMALL, &copied);
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
        whole.assert_same(&Results::of(&run), file);
    }
}

#[test]
fn a_history_cut_anywhere_is_written_again_from_the_checkpoint() {
    let world = World::new();
    let copied = world.runs().join("columns").join("copied");
    let whole = killed_at(&world, 3 * STEPS + 2, &SMALL, &copied);
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
        whole.assert_same(&Results::of(&run), &format!("cut at {length}"));
    }
}

#[test]
fn a_history_that_is_damaged_or_gone_is_written_again_from_the_checkpoint() {
    let world = World::new();
    let copied = world.runs().join("columns").join("copied");
    let overrides = [SMALL.as_slice(), &["top_k=[2]"]].concat();
    let whole = killed_at(&world, 3 * STEPS + 2, &overrides, &copied);
    let text = fs::read_to_string(copied.join("history.csv")).unwrap();
    for (name, damaged, problem) in [
        ("behind", Some(text.clone() + "junk\n"), "history.csv, line 5"),
        ("header", Some(text.replacen("epoch,", "epo", 1)), "history.csv, line 1"),
        (
            "number",
            Some(text.replacen("0.", "1.", 1)),
            "history.csv is damaged: it is not what was written",
        ),
        ("gone", None, "history.csv: there is no such file"),
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
        whole.assert_same(&Results::of(&run), name);
    }
}

#[test]
fn a_header_that_was_cut_off_is_written_anew() {
    let world = World::new();
    let overrides = [SMALL.as_slice(), &["top_k=[2]"]].concat();
    let (run, _) = world.run(&overrides);
    let whole = Results::of(&run);
    let (run, _) = world.observed_run(&world.runs(), &overrides, &mut At::stop(2));
    fs::write(run.history_path(), "epoch,lo").unwrap();
    let (found, run) = resume(&world, &run);
    assert_eq!(found.from, Some(Position { epochs: 0, step: 2 }), "{:?}", found.damage);
    assert!(found.damage[0].contains("its last row is cut off"), "{:?}", found.damage);
    found.run.train(&mut ()).unwrap();
    whole.assert_same(&Results::of(&run), "a header cut off");
}

#[test]
fn what_has_changed_since_is_refused_with_the_difference() {
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
    assert!(error.contains("training.batch_size was 16 and is 8"), "{error}");

    // No result depends on how often checkpoints are written.
    fs::write(run.config_path(), config.replace("minutes = 10.0", "minutes = 5.0")).unwrap();
    assert_eq!(refusal(), "");
    fs::write(run.config_path(), &config).unwrap();

    let images = data.join("columns/train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&images, bytes).unwrap();
    let error = refusal();
    assert!(error.contains("its dataset has changed"), "{error}");
}

#[test]
fn what_is_over_is_not_gone_on_with() {
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
fn the_last_and_the_best_checkpoint_stay_unless_they_are_not_wanted() {
    let world = World::new();
    // Every image is soon classified rightly, and the first epoch that does is the best.
    let overrides = ["epochs=9", "weights=best", "training.monitor=val_accuracy"];
    let (run, _) = world.run(&overrides);
    let best = run.read_report().unwrap().unwrap().epoch;
    assert!(best < 8, "the best epoch is {best}");
    let at = |epochs| Position { epochs, step: 0 };
    assert_eq!(Checkpoints::of(&run).positions().unwrap(), [at(9), at(best)]);

    let (run, _) = world.run(&[overrides.as_slice(), &["checkpoint.keep=false"]].concat());
    assert!(!run.checkpoints_path().exists());
}

/// Wants a checkpoint after every step.
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
fn a_checkpoint_is_written_whenever_it_is_wanted_and_changes_nothing() {
    let world = World::new();
    let (run, _) = world.run(&SMALL);
    let whole = Results::of(&run);
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
    whole.assert_same(&Results::of(&directory), "with a checkpoint after each step");
}
