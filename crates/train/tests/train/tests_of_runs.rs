//! The test of a finished run: its report and its predictions.

use std::fs;

use kiln_store::{Predictions, RunDirectory};
use kiln_train::{Classification, Declaration, Predictor};

use crate::columns::EXPERIMENT;
use crate::common::{World, declaration};

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
