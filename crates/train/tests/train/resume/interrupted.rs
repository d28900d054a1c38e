//! Runs that were interrupted or killed, with every optimizer, schedule and engine.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use kiln_store::{Checkpoints, Position, RunDirectory, Status};
use kiln_train::{Declaration, EpochEnd, Observer, Progress, Run, RunLock, Stop};
use serde_json::Value;

use super::{At, Results, SMALL, STEPS, killed_at, resume, resumed};
use crate::columns::EXPERIMENT;
use crate::common::World;

/// Layers, an optimizer, and whatever else has a state that a checkpoint must contain.
struct Case {
    what: &'static str,
    engine: &'static str,
    overrides: &'static [&'static str],
}

pub(super) const LAYERS: &str = "layers=[{type='flatten'},{type='dense',units=12,activation='relu'},{type='dropout',rate=0.3},{type='dense',units=7,activation='tanh',name='hidden'},{type='dense',units='classes',activation='softmax'}]";
pub(super) const NORMALIZED: &str = "layers=[{type='flatten'},{type='dense',units=12,activation='elu'},{type='batch_normalization'},{type='dropout',rate=0.2},{type='dense',units='classes',activation='softmax'}]";

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
        what: "sgd, class weights and balanced sampling",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='sgd'}",
            "class_weights=balanced",
            "sampling=balanced",
        ],
    },
    Case {
        what: "adagrad",
        engine: "fused",
        overrides: &[LAYERS, "optimizer={type='adagrad'}", "evaluate_training_set=true"],
    },
    Case {
        what: "adam on augmented and mixed images",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='adam'}",
            "augment=[{type='random_flip'},{type='random_rotation',factor=0.1},{type='cut_mix'}]",
        ],
    },
    Case {
        what: "sgd with normalization on mixed images",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='sgd'}",
            "label_smoothing=0.1",
            "augment=[{type='random_translation',height=1,width=1},{type='mix_up'}]",
        ],
    },
    Case {
        what: "plain sgd, average of the weights",
        engine: "fused",
        overrides: &[LAYERS, "optimizer={type='sgd'}", "weights=average", "average_decay=0.8"],
    },
    Case {
        what: "adam with normalization, best average of the weights",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='adam',learning_rate=0.05}",
            "weights=average",
            "average_decay=0.5",
            "early_stopping={patience=3,restore_best=true}",
        ],
    },
    Case {
        what: "sgd, a rate for each layer and frozen layers",
        engine: "fused",
        overrides: &[
            LAYERS,
            "optimizer={type='sgd',momentum=0.9,weight_decay=0.1,exclude_from_weight_decay=['bias']}",
            "layers.1.trainable=false",
            "hidden.learning_rate_factor=0.1",
        ],
    },
    Case {
        what: "adamw with normalization, a rate for each layer and frozen layers",
        engine: "generic",
        overrides: &[
            NORMALIZED,
            "optimizer={type='adamw',exclude_from_weight_decay=['bias','normalization']}",
            "layers.2.trainable=false",
            "layers.1.learning_rate_factor=10",
        ],
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

/// Earlier versions of Kiln did not store what cross-fitting needs. Such a run is resumed, and has no number that ignores its
/// first epochs.
#[test]
fn a_run_resumed_from_an_earlier_checkpoint_has_no_optimism() {
    let world = World::new();
    let copied = world.runs().join("columns").join("copied");
    let uninterrupted = killed_at(&world, 2 * STEPS + 1, &SMALL, &copied);
    let run = RunDirectory::open(&copied).unwrap();
    let checkpoints = Checkpoints::of(&run);
    let position = checkpoints.positions().unwrap()[0];
    let mut files = checkpoints.read(position, 1 << 20).unwrap();
    let mut state: Value = serde_json::from_slice(&files["state.json"]).unwrap();
    assert!(state["keeper"].as_object_mut().unwrap().remove("cross_fit").is_some());
    files.insert("state.json".to_owned(), state.to_string().into_bytes());
    checkpoints.remove().unwrap();
    let content: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    checkpoints.write(position, &content).unwrap();

    let (found, run) = resume(&world, &run);
    assert_eq!(found.from, Some(position));
    assert_eq!(found.damage, Vec::<String>::new());
    found.run.train(&mut ()).unwrap();
    assert_eq!(run.read_record().unwrap().optimism, None);
    let resumed = Results::of(&run);
    let same = |results: &Results, name| results.files.iter().find(|file| file.0 == name).cloned();
    for name in ["model.safetensors", "predictions.csv"] {
        assert!(same(&resumed, name) == same(&uninterrupted, name), "{name}");
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
fn a_finished_or_diverged_run_is_not_resumed() {
    let world = World::new();
    let data = world.runs().parent().unwrap().to_owned();
    for (overrides, problem) in
        [(["learning_rate=0.1"], "it is finished"), (["learning_rate=1e30"], "diverge")]
    {
        let (run, _) = world.run(&overrides);
        let error = Run::resume(run, &data, RunLock::Caller(None), None).err().unwrap().to_string();
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
