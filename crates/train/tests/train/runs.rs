//! Complete runs and their files.

use std::fs;
use std::ops::ControlFlow;

use kiln_data::ImageShape;
use kiln_model::Weights;
use kiln_store::{Direction, RunDirectory, Status};
use kiln_train::{EpochEnd, Observer, Progress, Run, Stop, TrainError};
use sha2::{Digest, Sha256};

use crate::common::{World, declaration, error_without_own_validation};

fn weights(run: &RunDirectory) -> Weights {
    Weights::from_safetensors(&fs::read(run.model_path()).unwrap()).unwrap().0
}

/// The history without the column of seconds.
fn history_without_seconds(run: &RunDirectory) -> String {
    let text = fs::read_to_string(run.history_path()).unwrap();
    let without = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [&cells[..6], &cells[7..]].concat().join(",")
    };
    text.lines().map(|line| without(line) + "\n").collect()
}

#[test]
fn a_finished_run_writes_every_file_and_learns() {
    let world = World::new();
    let (run, outcome) = world.run(&["epochs=12", "save_initial=true"]);
    for file in RunDirectory::FILES {
        // The binary writes the log, not this crate; only convolutions have filters; users write notes.
        let is_written = !["log.jsonl", "filters.png", "notes.json"].contains(&file.name);
        assert_eq!(run.path().join(file.name).exists(), is_written, "{}", file.name);
    }
    let report = outcome.report.unwrap();
    assert_eq!(report.examples, 30);
    assert!(report.accuracy > 0.9, "bright columns are easy to classify: {}", report.accuracy);
    let record = run.read_record().unwrap();
    assert_eq!(record.status, Status::Finished);
    assert_eq!(record.parameters, (16 * 8 + 8) + (8 * 3 + 3));
    let rows = &record.dataset;
    assert_eq!((rows.training_rows, rows.validation_rows, rows.test_rows), (96, 24, 30));
    let splits = fs::read_to_string(run.splits_path()).unwrap();
    assert_eq!(splits, "first,last,part\n0,23,validation\n24,119,training\n120,149,test\n");
    assert!(record.files.contains_key("splits.csv"));
    assert_eq!(record.normalization.unwrap().method, "unit");
}

#[test]
fn an_experiment_is_reproducible_byte_for_byte_while_another_one_runs() {
    let world = World::new();
    let layers = "model.layers=[{type='flatten'}, {type='dense', units=16, activation='relu'}, \
        {type='dropout', rate=0.3}, {type='batch_normalization'}, \
        {type='dense', units='classes', activation='softmax'}]";
    let overrides = ["save_initial=true", layers];
    let elsewhere = world.runs().join("elsewhere");
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| world.run(&["seed=99"]));
        let first = world.run(&overrides).0;
        let second = world.observed_run(&elsewhere, &overrides, &mut ()).0;
        other.join().unwrap();
        (first, second)
    });
    assert_eq!(history_without_seconds(&first), history_without_seconds(&second));
    for file in ["model.safetensors", "initial.safetensors", "predictions.csv", "config.toml"] {
        let bytes = |run: &RunDirectory| fs::read(run.path().join(file)).unwrap();
        assert!(bytes(&first) == bytes(&second), "{file} differs");
    }
}

#[test]
fn another_seed_gives_other_results() {
    let world = World::new();
    let (first, second) = (world.run(&[]).0, world.run(&["seed=2"]).0);
    assert_ne!(history_without_seconds(&first), history_without_seconds(&second));
    assert_ne!(weights(&first), weights(&second));
}

#[test]
fn config_toml_reproduces_the_run() {
    let world = World::new();
    let (first, _) = world.run(&["seed=5", "hidden.activation=gelu"]);
    let config = fs::read_to_string(first.config_path()).unwrap();
    let declaration = kiln_train::Declaration::parse("config.toml", &config, &[]).unwrap();
    let data = world.runs().parent().unwrap().to_owned();
    let run = Run::prepare(declaration, &data, &world.runs(), None).unwrap();
    let second = run.directory().clone();
    run.train(&mut ()).unwrap();
    assert_eq!(history_without_seconds(&first), history_without_seconds(&second));
    assert_eq!(weights(&first), weights(&second));
}

#[test]
fn the_validation_columns_are_empty_without_validation_rows() {
    let world = World::new();
    let (run, _) = world.run(&["validation=0"]);
    for row in run.read_history().unwrap().rows {
        assert_eq!(["val_loss", "val_accuracy"].map(|name| row.metric(name)), [None, None]);
        assert!(row.metric("loss").is_some());
    }
}

#[test]
fn the_validation_fingerprint_names_the_validation_images() {
    let world = World::new();
    let fingerprint = |overrides: &[&str]| {
        let record = world.prepared(overrides).record().clone();
        (record.validation_fingerprint, record.dataset.fingerprint)
    };
    let (head, dataset) = fingerprint(&[]);
    // The first 24 rows, as 32-bit numbers in little-endian order.
    let mut hash = Sha256::new_with_prefix(dataset);
    (0..24_u8).for_each(|row| hash.update([row, 0, 0, 0]));
    let expected: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(head.as_deref(), Some(expected.as_str()));

    let same = ["seed=2", "learning_rate=0.5", "normalize=standardize", "validation=0.2"];
    for overrides in same {
        assert_eq!(fingerprint(&[overrides]).0, head, "{overrides}");
    }
    let shuffled = fingerprint(&["split=shuffled"]).0;
    assert_ne!(shuffled, head);
    assert_ne!(fingerprint(&["split=shuffled", "seed=2"]).0, shuffled);
    assert_ne!(fingerprint(&["validation=25"]).0, head);
    assert_eq!(fingerprint(&["validation=0"]).0, None);
}

#[test]
fn optional_metrics_have_columns_and_run_json_lists_all_metrics() {
    let world = World::new();
    let overrides = [
        "top_k=[2]",
        "evaluate_training_set=true",
        "metrics=['macro_f1']",
        "training.monitor=val_balanced_accuracy",
        "learning_rate=1e-300",
    ];
    let (run, _) = world.run(&overrides);
    let text = fs::read_to_string(run.history_path()).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,\
         top_2_accuracy,macro_f1,balanced_accuracy,\
         val_top_2_accuracy,val_macro_f1,val_balanced_accuracy,\
         train_loss,train_accuracy,train_macro_f1,train_balanced_accuracy"
    );
    for row in run.read_history().unwrap().rows {
        for name in ["macro_f1", "balanced_accuracy"] {
            let value = row.metric(name).unwrap();
            assert!((0.0..=1.0).contains(&value), "{name} {value}");
            // The weights do not change, so the value over the epoch is the value after it.
            assert_eq!(row.metric(&format!("train_{name}")), Some(value));
        }
    }
    let metrics = run.read_record().unwrap().metrics;
    let lower = metrics.iter().filter(|metric| metric.better == Direction::Lower);
    let lower: Vec<&str> = lower.map(|metric| metric.name.as_str()).collect();
    assert_eq!(lower, ["loss", "val_loss", "train_loss"]);
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names[..5], ["loss", "accuracy", "val_loss", "val_accuracy", "top_2_accuracy"]);
    assert_eq!(names.len(), 14);
}

#[test]
fn configured_metrics_follow_the_usual_columns() {
    let world = World::new();
    let (run, outcome) =
        world.run(&["top_k=[2]", "evaluate_training_set=true", "learning_rate=1e-300"]);
    let text = fs::read_to_string(run.history_path()).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,\
         top_2_accuracy,val_top_2_accuracy,train_loss,train_accuracy"
    );
    for row in run.read_history().unwrap().rows {
        // The weights do not change, so the average over the epoch is the average after it.
        assert!((row.metric("train_loss").unwrap() - row.metric("loss").unwrap()).abs() < 1e-6);
        assert_eq!(row.metric("train_accuracy"), row.metric("accuracy"));
        assert!(row.metric("top_2_accuracy") >= row.metric("accuracy"));
        assert!(row.metric("val_top_2_accuracy") >= row.metric("val_accuracy"));
    }
    let report = outcome.report.unwrap();
    assert_eq!(report.top_k.iter().map(|top| top.k).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_history_has_the_learning_rate_of_the_last_step_of_each_epoch() {
    let schedule = "schedule={type=\"step\", every_epochs=1, factor=0.5}";
    let world = World::new();
    let (run, _) = world.run(&[schedule]);
    let rows = run.read_history().unwrap().rows;
    let rates: Vec<f64> = rows.iter().map(|row| row.learning_rate).collect();
    assert_eq!(rates, [0.1, 0.05, 0.025]);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_as_diverged() {
    // No activation bounds the features, so at this rate the weights grow with each step.
    let world = World::new();
    let (run, outcome) = world.run(&["learning_rate=1e30", "epochs=5"]);
    assert_eq!(outcome.status, Status::Diverged);
    assert!(outcome.report.is_none());
    assert!(!run.is_finished(), "no test report was written");
    let record = run.read_record().unwrap();
    assert_eq!(record.status, Status::Diverged);
    assert!(record.stop_reason.unwrap().contains("epoch 1"));
    assert!(weights(&run).are_finite());
    let history = run.read_history().unwrap();
    assert_eq!(history.rows.len(), record.epochs);
    assert!(run.markdown_path().exists(), "a diverged run still has report.md");
}

#[test]
fn a_run_whose_test_loss_is_not_finite_has_diverged() {
    // The only step breaks the weights. Without validation rows, the test is the first to evaluate them.
    let world = World::new();
    let overrides = ["validation=0", "batch_size=200", "epochs=1", "learning_rate=1e30"];
    let (run, outcome) = world.run(&overrides);
    assert_eq!(outcome.status, Status::Diverged, "{}", outcome.reason);
    assert!(!run.is_finished());
}

#[test]
fn a_validation_fraction_of_zero_means_no_validation() {
    let text = crate::columns::EXPERIMENT.replace("validation = 24", "validation = 0.0");
    let overrides = ["training.weights=best".to_owned()];
    let error = error_without_own_validation("columns.toml", &text, &overrides);
    assert!(error.contains("needs validation images"), "{error}");
}

/// Interrupts the run in this epoch, after the third step.
struct InterruptIn(usize);

impl Observer for InterruptIn {
    fn on_epoch_end(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }

    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        if progress.epoch == self.0 && progress.step == 3 {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn an_interrupted_run_keeps_its_history_and_the_weights_of_its_last_epoch() {
    let world = World::new();
    let (run, outcome) = world.observed_run(&world.runs(), &["epochs=5"], &mut InterruptIn(3));
    assert_eq!(outcome.status, Status::Interrupted);
    assert_eq!(outcome.reason, "in epoch 3 at step 3; saved the weights of epoch 2");
    assert!(!run.is_finished());
    assert_eq!(run.read_history().unwrap().rows.len(), 2);
    let (two_epochs, _) = world.run(&["epochs=2"]);
    assert_eq!(weights(&run), weights(&two_epochs));
}

/// Prunes the run after its second epoch.
struct Prune;

impl Observer for Prune {
    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        if end.row.epoch == 2 {
            ControlFlow::Break(Stop::Pruned)
        } else {
            ControlFlow::Continue(())
        }
    }
}

#[test]
fn a_pruned_run_keeps_its_epochs_and_is_not_tested() {
    let world = World::new();
    let (run, outcome) = world.observed_run(&world.runs(), &["epochs=5"], &mut Prune);
    assert_eq!(outcome.status, Status::Pruned);
    assert_eq!(outcome.reason, "after epoch 2; saved the weights of epoch 2");
    assert!(!run.is_finished());
    let record = run.read_record().unwrap();
    assert_eq!((record.status, record.epochs), (Status::Pruned, 2));
    assert_eq!(run.read_history().unwrap().rows.len(), 2);
}

#[test]
fn initial_safetensors_has_the_weights_before_the_first_step() {
    let world = World::new();
    let (run, _) = world.run(&["save_initial=true", "learning_rate=1e-300"]);
    let initial = fs::read(run.initial_path()).unwrap();
    assert!(
        initial == fs::read(run.model_path()).unwrap(),
        "the rate is too small to change the weights"
    );
}

#[test]
fn an_invalid_experiment_leaves_no_run_directory() {
    let world = World::new();
    let data = world.runs().parent().unwrap().to_owned();
    for (overrides, problem) in [
        (["validation=120"], "leave at least one for training"),
        (["top_k=[3]"], "k must be below the number of classes, 3"),
        (["source=elsewhere"], "no dataset is called `elsewhere`"),
        (["hidden.type=flatten"], "units"),
    ] {
        let overrides = overrides.map(str::to_owned);
        let prepared =
            kiln_train::Declaration::parse("columns.toml", crate::columns::EXPERIMENT, &overrides)
                .map_err(TrainError::from)
                .and_then(|declaration| Run::prepare(declaration, &data, &world.runs(), None));
        let error = prepared.err().unwrap().to_string();
        assert!(error.contains(problem), "{error}");
    }
    assert!(!world.runs().exists());
}

#[test]
fn the_error_for_a_missing_backend_names_its_feature() {
    if cfg!(feature = "cuda") {
        return;
    }
    let world = World::new();
    let declaration = declaration(&["backend=cuda"]);
    let error = Run::prepare(declaration, &world.runs(), &world.runs(), None).err().unwrap();
    assert!(error.to_string().contains("--features cuda"), "{error}");
}

/// With a learning rate at which no weight changes, evaluations are the same with and without augmentation; only the columns
/// of the training steps differ.
#[test]
fn only_the_images_of_training_steps_are_augmented() {
    let world = World::new();
    let metrics = |overrides: &[&str]| {
        let fixed = ["epochs=1", "learning_rate=1e-30", "evaluate_training_set=true"];
        let (run, outcome) = world.run(&[&fixed, overrides].concat());
        let history = run.read_history().unwrap();
        let row = &history.rows[0];
        let values = ["loss", "val_loss", "train_loss"].map(|name| row.metric(name).unwrap());
        (values, outcome.report.unwrap().loss)
    };
    let (plain, plain_test) = metrics(&[]);
    for augment in ["[{type='random_brightness',factor=0.5}]", "[{type='mix_up',alpha=1}]"] {
        let (augmented, test) = metrics(&[&format!("augment={augment}")]);
        assert_ne!(augmented[0], plain[0], "{augment}");
        assert_eq!(augmented[1..], plain[1..], "{augment}");
        assert_eq!(test, plain_test, "{augment}");
    }
}

/// The transforms of an image do not depend on the batches, so the mean over an epoch does not either.
#[test]
fn augmentation_does_not_depend_on_the_batch_size() {
    let world = World::new();
    let loss = |batch_size: &str| {
        let augment = "augment=[{type='random_flip'},{type='random_erasing'},{type='cut_mix'}]";
        let (run, _) = world.run(&["epochs=1", "learning_rate=1e-30", augment, batch_size]);
        run.read_history().unwrap().rows[0].metric("loss").unwrap()
    };
    let (small, large) = (loss("batch_size=3"), loss("batch_size=16"));
    assert!((small - large).abs() < 1e-5, "{small} {large}");
}

#[test]
fn augmentation_that_does_not_fit_the_images_is_an_error_at_its_place() {
    let error = declaration(&["augment=[{type='random_flip'},{type='random_hue',factor=0.1}]"])
        .architecture(ImageShape { channels: 1, height: 6, width: 6 }, 3)
        .unwrap_err()
        .to_string();
    assert!(error.contains("random_hue: the images are gray"), "{error}");
}

#[test]
fn an_experiment_without_augmentation_is_written_as_before() {
    let text = |overrides: &[&str]| declaration(overrides).experiment.to_toml().unwrap();
    assert!(!text(&[]).contains("augment"));
    assert!(!text(&["augment=[]"]).contains("augment"));
    let written = text(&["augment=[{type='random_flip'}]"]);
    assert!(written.contains("[[augment]]\ntype = \"random_flip\"\n"), "{written}");
}
