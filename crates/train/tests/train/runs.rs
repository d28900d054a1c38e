//! Complete runs and their files.

use std::fs;
use std::ops::ControlFlow;

use kiln_data::ImageShape;
use kiln_model::Weights;
use kiln_store::{Direction, Predictions, RunDirectory, Status};
use kiln_train::{
    Classification, Declaration, EpochEnd, Observer, Predictor, Progress, Run, Stop, TrainError,
};
use sha2::{Digest, Sha256};

use crate::columns::EXPERIMENT;
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

/// A rate of almost 0 keeps the weights, so the only difference between the runs is how they report the loss.
#[test]
fn validation_and_test_losses_are_without_label_smoothing() {
    let world = World::new();
    let overrides = ["learning_rate=1e-30", "evaluate_training_set=true"];
    let (plain, plain_outcome) = world.run(&overrides);
    let (smoothed, outcome) = world.run(&[&overrides[..], &["label_smoothing=0.2"]].concat());
    let plain_row = &plain.read_history().unwrap().rows[0];
    let row = &smoothed.read_history().unwrap().rows[0];
    for name in ["val_loss", "train_loss"] {
        assert_eq!(row.metric(name), plain_row.metric(name), "{name}");
    }
    // While the weights change, the loss is the one that training minimizes.
    assert_ne!(row.metric("loss"), plain_row.metric("loss"));
    let names = ["val_smoothed_loss", "train_smoothed_loss"];
    assert!(names.iter().all(|name| row.metric(name).is_some_and(|loss| loss > 0.0)));
    assert_ne!(row.metric("val_smoothed_loss"), row.metric("val_loss"));
    assert!(names.iter().all(|name| plain_row.metric(name).is_none()));
    let header = fs::read_to_string(smoothed.history_path()).unwrap();
    assert_eq!(
        header.lines().next().unwrap(),
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,val_smoothed_loss,\
         train_loss,train_accuracy,train_smoothed_loss"
    );

    let (plain, report) = (plain_outcome.report.unwrap(), outcome.report.unwrap());
    assert_eq!(report.loss, plain.loss);
    assert_eq!(plain.smoothed_loss, None);
    assert!(report.smoothed_loss.is_some_and(|loss| Some(loss) != report.loss));
}

#[test]
fn the_smoothed_loss_can_be_monitored_only_with_label_smoothing() {
    let monitor = "training.monitor=val_smoothed_loss";
    declaration(&[monitor, "weights=best", "label_smoothing=0.1"]);
    let error = Declaration::parse("columns.toml", EXPERIMENT, &[monitor.to_owned()]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("needs label smoothing, but loss.label_smoothing is 0")
            && error.contains("use val_loss, which has the same values"),
        "{error}"
    );
    let metrics = "metrics=['smoothed_loss']".to_owned();
    let error = Declaration::parse("columns.toml", EXPERIMENT, &[metrics]).unwrap_err();
    assert!(error.to_string().contains("smoothed_loss"), "{error}");
}

/// The test images are the validation images, so the report must have the numbers of the last epoch. With pixels from 0 to
/// 255, the logits are far apart, and the probabilities of all classes but one are 0 in 32 bits.
#[test]
fn the_test_report_has_the_numbers_of_the_history() {
    let world = World::new();
    let dataset = world.runs().parent().unwrap().join("columns");
    for (suffix, header, size) in [("images-idx3-ubyte", 16, 16), ("labels-idx1-ubyte", 8, 1)] {
        let mut bytes = fs::read(dataset.join(format!("train-{suffix}"))).unwrap();
        bytes.truncate(header + 60 * size);
        bytes[4..8].copy_from_slice(&60_u32.to_be_bytes());
        fs::write(dataset.join(format!("t10k-{suffix}")), bytes).unwrap();
    }
    let linear =
        "model.layers=[{type='flatten'}, {type='dense', units='classes', activation='softmax'}]";
    let mut rounded_differ = false;
    for seed in 1..=8 {
        let seed = format!("seed={seed}");
        let (run, outcome) =
            world.run(&["validation=60", "normalize=none", "epochs=1", "top_k=[2]", linear, &seed]);
        let (report, history) = (outcome.report.unwrap(), run.read_history().unwrap());
        let last = history.rows.last().unwrap();
        assert_eq!(report.loss, last.metric("val_loss"));
        assert_eq!(Some(report.accuracy), last.metric("val_accuracy"));
        assert_eq!(Some(report.top_k[0].accuracy), last.metric("val_top_2_accuracy"));

        let Predictions { labels, probabilities, .. } = run.read_predictions().unwrap();
        let rows = probabilities.chunks_exact(3).zip(labels);
        let in_top_2 = rows.filter(|(row, label)| {
            let label = usize::from(*label);
            let is_before = |(class, value): &(usize, &f32)| {
                **value > row[label] || **value == row[label] && *class < label
            };
            row.iter().enumerate().filter(is_before).count() < 2
        });
        rounded_differ |= in_top_2.count() as f64 / 60.0 != report.top_k[0].accuracy;
    }
    assert!(rounded_differ, "the probabilities would give the same numbers");
}

#[test]
fn a_run_that_chooses_an_epoch_by_validation_records_how_optimistic_this_is() {
    let world = World::new();
    let (run, outcome) = world.run(&["epochs=5", "weights=best", "training.monitor=val_accuracy"]);
    let report = outcome.report.unwrap();
    let optimism = report.optimism.unwrap();
    assert_eq!(run.read_record().unwrap().optimism, Some(optimism));
    assert_eq!(optimism.epochs, 5);
    let history = run.read_history().unwrap();
    let kept = &history.rows[report.epoch - 1];
    assert_eq!(Some(optimism.val_accuracy), kept.metric("val_accuracy"));
    // 24 validation images, each classified by the weights of one of the epochs.
    let correct = optimism.cross_fitted * 24.0;
    assert!(
        (correct - correct.round()).abs() < 1e-9 && optimism.cross_fitted <= 1.0,
        "{optimism:?}"
    );
    assert_eq!(optimism.difference, optimism.val_accuracy - optimism.cross_fitted);

    // One epoch, the last epoch and an epoch by the training images are no choice by validation.
    for overrides in [
        ["epochs=1", "weights=best", "training.monitor=val_accuracy"],
        ["epochs=3", "weights=last", "training.monitor=val_accuracy"],
        ["epochs=3", "weights=best", "training.monitor=loss"],
    ] {
        let (run, outcome) = world.run(&overrides);
        assert_eq!(outcome.report.unwrap().optimism, None, "{overrides:?}");
        assert_eq!(run.read_record().unwrap().optimism, None, "{overrides:?}");
    }
}

#[test]
fn the_report_names_the_most_frequent_class_of_the_training_images() {
    let world = World::new();
    let labels = fs::read(world.runs().parent().unwrap().join("columns/train-labels-idx1-ubyte"));
    let test_labels =
        fs::read(world.runs().parent().unwrap().join("columns/t10k-labels-idx1-ubyte"));
    // The first 24 of the 120 images are for validation.
    let count = |labels: &[u8], class| labels.iter().filter(|label| **label == class).count();
    let training = &labels.unwrap()[8 + 24..];
    let counts = [0, 1, 2].map(|class| count(training, class));
    let class = counts.iter().position(|count| count == counts.iter().max().unwrap()).unwrap();
    let (run, outcome) = world.run(&[]);
    let most_frequent = outcome.report.unwrap().most_frequent.unwrap();
    assert_eq!(most_frequent.class, run.read_predictions().unwrap().class_names[class]);
    let share = count(&test_labels.unwrap()[8..], class as u8) as f64 / 30.0;
    assert_eq!(most_frequent.accuracy, share);
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
fn a_predictor_returns_the_probabilities_of_the_test() {
    let world = World::new();
    let (run, _) = world.run(&["normalize=standardize_per_pixel"]);
    let predictions = run.read_predictions().unwrap();
    let predictor = Predictor::open(&run).unwrap();
    for (index, image) in test_images(&world).into_iter().enumerate() {
        let classifications = predictor.classify(&[image]).unwrap();
        let [Classification { ranking, probabilities }] = &classifications[..] else {
            panic!("one image")
        };
        assert_eq!(*probabilities, predictions.probabilities[index * 3..][..3], "to the last bit");
        assert_eq!(ranking[0], usize::from(predictions.predicted[index]));
        assert!(ranking.is_sorted_by(|a, b| probabilities[*a] >= probabilities[*b]));
    }
    assert!(predictor.classify(&[vec![0; 15]]).is_err(), "an image of another size");
}

/// The test images, each of 4 × 4 pixels.
fn test_images(world: &World) -> Vec<Vec<u8>> {
    let path = world.runs().parent().unwrap().join("columns/t10k-images-idx3-ubyte");
    fs::read(path).unwrap()[16..].chunks_exact(16).map(<[u8]>::to_vec).collect()
}

fn mirror(image: &[u8]) -> Vec<u8> {
    let mut mirrored = image.to_vec();
    mirrored.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    mirrored
}

#[test]
fn test_flip_averages_the_probabilities_of_an_image_and_its_mirror_image() {
    let world = World::new();
    // A large rate gives probabilities close to 0 and 1. Each pixel has its own normalization.
    let common = ["normalize=standardize_per_pixel", "learning_rate=2", "top_k=[2]"];
    let (plain, _) = world.run(&common);
    let (flipped, outcome) = world.run(&[&common[..], &["test.flip=true"]].concat());
    let weights = |run: &RunDirectory| fs::read(run.model_path()).unwrap();
    assert!(weights(&plain) == weights(&flipped), "training does not depend on it");
    let [history, same] = [&plain, &flipped].map(|run| run.read_history().unwrap().rows);
    for (row, same) in history.iter().zip(&same) {
        assert_eq!(row.metrics, same.metrics, "validation does not depend on it");
    }

    let images = test_images(&world);
    let mirrored: Vec<Vec<u8>> = images.iter().map(|image| mirror(image)).collect();
    let predictor = Predictor::open(&plain).unwrap();
    let [direct, mirrored] = [&images, &mirrored].map(|images| predictor.classify(images).unwrap());
    let predictions = flipped.read_predictions().unwrap();
    let (mut loss, mut correct, mut in_top) = (0.0, 0, 0);
    for (index, (direct, mirrored)) in direct.iter().zip(&mirrored).enumerate() {
        let own = &predictions.probabilities[index * 3..][..3];
        let pairs = direct.probabilities.iter().zip(&mirrored.probabilities);
        let mean: Vec<f64> = pairs.map(|(a, b)| f64::from(*a).midpoint(f64::from(*b))).collect();
        for (own, mean) in own.iter().zip(&mean) {
            assert!((f64::from(*own) - mean).abs() < 1e-6, "image {index}: {own}, not {mean}");
        }
        let label = usize::from(predictions.labels[index]);
        let rank = mean.iter().filter(|other| **other > mean[label]).count();
        loss -= mean[label].ln() / images.len() as f64;
        correct += usize::from(rank == 0);
        in_top += usize::from(rank < 2);
    }
    let report = outcome.report.unwrap();
    assert!(report.flip && !plain.read_report().unwrap().unwrap().flip);
    let own = report.loss.unwrap();
    assert!((own - loss).abs() < 1e-5 * loss, "{own}, expected {loss}");
    assert_eq!(report.accuracy, correct as f64 / images.len() as f64);
    assert_eq!(report.top_k[0].accuracy, in_top as f64 / images.len() as f64);

    // A single image has the same bits.
    let predictor = Predictor::open(&flipped).unwrap();
    for (index, image) in images.iter().enumerate() {
        let classified = &predictor.classify(std::slice::from_ref(image)).unwrap()[0];
        assert_eq!(classified.probabilities, predictions.probabilities[index * 3..][..3]);
        assert_eq!(classified.ranking[0], usize::from(predictions.predicted[index]));
    }
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
