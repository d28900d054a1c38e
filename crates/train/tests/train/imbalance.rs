//! Class weights and balanced sampling.

use kiln_data::{Dataset, ImageShape, LabeledImages, Parts, Split, sample_balanced};
use kiln_store::RunDirectory;
use kiln_train::random::{Purpose, stream};
use kiln_train::{Declaration, Metrics, Targets};
use serde_json::Value;

use crate::columns::EXPERIMENT;
use crate::common::{World, declaration};

/// A dataset of these classes with these labels, all of them for training.
fn dataset(class_names: &[&str], labels: &[u16]) -> (Dataset, Split) {
    let dataset = Dataset {
        name: "labels".to_owned(),
        title: None,
        format: "idx",
        class_names: class_names.iter().map(|name| (*name).to_owned()).collect(),
        images: LabeledImages {
            shape: ImageShape { channels: 1, height: 1, width: 1 },
            pixels: vec![0; labels.len()].into(),
            labels: labels.to_vec(),
        },
        parts: Parts::new(labels.len(), 0, 0),
        file_names: None,
        info: None,
        skipped: Vec::new(),
        notes: Vec::new(),
        fingerprint: String::new(),
    };
    let training = (0..).take(labels.len()).collect();
    let split = Split { training, validation: Vec::new(), test: Vec::new(), notes: Vec::new() };
    (dataset, split)
}

/// `class_weights.py` next to the fixture computed them with scikit-learn.
#[test]
fn balanced_class_weights_are_those_of_scikit_learn() {
    let fixture: Value =
        serde_json::from_str(include_str!("../fixtures/class_weights.json")).unwrap();
    let labels = fixture["labels"].as_array().unwrap().iter();
    let labels: Vec<u16> = labels.map(|label| label.as_u64().unwrap() as u16).collect();
    let balanced = declaration(&["class_weights=balanced"]);

    let (data, split) = dataset(&["a", "b", "c", "d"], &labels);
    let weights = balanced.class_weights(&data, &split).unwrap();
    let expected = fixture["class_weights"].as_array().unwrap();
    assert_eq!(weights.len(), expected.len());
    for (weight, expected) in weights.iter().zip(expected) {
        assert!((weight - expected.as_f64().unwrap()).abs() < 1e-12, "{weights:?}");
    }

    // A class without images does not change the others.
    let (data, split) = dataset(&["a", "b", "c", "d", "none"], &labels);
    assert_eq!(balanced.class_weights(&data, &split).unwrap()[..4], weights);
}

#[test]
fn class_weights_by_name_are_1_for_all_other_classes() {
    let (data, split) = dataset(&["Coat", "Shirt", "Bag"], &[0, 1, 2]);
    let weights = |text: &str| declaration(&[text]).class_weights(&data, &split).unwrap();
    assert_eq!(weights("class_weights={ \"Shirt\" = 2.5, Bag = 0 }"), [1.0, 2.5, 0.0]);
    assert_eq!(weights("class_weights={}"), [0.0; 0]);
    assert_eq!(declaration(&[]).class_weights(&data, &split).unwrap(), [0.0; 0]);
}

#[test]
fn an_unknown_class_is_an_error_at_its_place() {
    let text = EXPERIMENT.to_owned() + "\n[loss.class_weights]\nCoat = 1\nShrit = 2\n";
    let declaration = Declaration::parse("photos.toml", &text, &[]).unwrap();
    let (data, split) = dataset(&["Coat", "Shirt", "Bag"], &[0, 1, 2]);
    let error = declaration.class_weights(&data, &split).unwrap_err().to_string();
    let line = text.lines().position(|line| line.starts_with("Shrit")).unwrap() + 1;
    assert!(error.contains(&format!("photos.toml:{line}")), "{error}");
    assert!(error.contains("the dataset has no class \"Shrit\""), "{error}");
    assert!(error.contains("did you mean \"Shirt\"?"), "{error}");
    assert!(error.contains("Coat, Shirt, Bag"), "{error}");
}

#[test]
fn wrong_values_are_errors() {
    for (change, expected) in [
        ("class_weights=equal", "expected \"balanced\" or the weights of classes"),
        ("class_weights=2", "expected \"balanced\" or the weights of classes"),
        ("class_weights={ a = -1 }", "expected a number from 0 to 1,000,000"),
        ("class_weights={ a = inf }", "expected a number"),
        ("class_weights={ a = \"2\" }", "number"),
        ("sampling=random", "all"),
    ] {
        let error = Declaration::parse("columns.toml", EXPERIMENT, &[change.to_owned()]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{change}: {error}");
    }
    let overrides = ["shuffle=false", "sampling=balanced"].map(str::to_owned);
    let error = Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap_err().to_string();
    assert!(error.contains("needs shuffle = true"), "{error}");
}

#[test]
fn defaults_are_not_written() {
    let written = |overrides: &[&str]| declaration(overrides).experiment.to_toml().unwrap();
    let plain = written(&[]);
    assert!(!plain.contains("class_weights") && !plain.contains("sampling"), "{plain}");
    assert_eq!(written(&["sampling=all", "class_weights={}"]), plain);
    for change in
        ["sampling=balanced", "class_weights=balanced", "class_weights={ \"a b.c\" = 2.5 }"]
    {
        let text = written(&[change]);
        assert_ne!(text, plain);
        let read = Declaration::parse("config.toml", &text, &[]).unwrap();
        assert_eq!(read.experiment.to_toml().unwrap(), text);
    }
}

/// The loss of the first epoch, and its validation loss.
fn losses(run: &RunDirectory) -> (f64, f64) {
    let row = &run.read_history().unwrap().rows[0];
    (row.metric("loss").unwrap(), row.metric("val_loss").unwrap())
}

#[test]
fn weights_count_in_training_and_not_in_validation() {
    let world = World::new();
    // So small a learning rate changes no weight.
    let run = |change: &str| losses(&world.run(&["epochs=1", "learning_rate=1e-30", change]).0);
    let (loss, val_loss) = run("seed=1");
    let (doubled, same) = run("class_weights={ 0 = 2, 1 = 2, 2 = 2 }");
    assert!((doubled - 2.0 * loss).abs() < 1e-12, "{doubled} {loss}");
    assert_eq!(same, val_loss);
}

#[test]
fn mixed_labels_have_the_weighted_mean_of_their_weights() {
    let mix = [kiln_data::Mix { label: 1, weight: 0.25 }];
    let targets = Targets { labels: &[0], mix: &mix, class_weights: &[2.0, 6.0] };
    let experiment = declaration(&[]).experiment;
    let loss = Metrics::new(&experiment, 2).add_batch(&[0.0, 0.0], targets);
    assert!((loss - 3.0 * 2_f64.ln()).abs() < 1e-12, "{loss}");
}

#[test]
fn balanced_sampling_draws_each_class_and_each_of_its_rows_equally_often() {
    // 900 rows of class 0, 90 of class 3, and 10 of class 7; the first and the last row are not for training.
    let labels: Vec<u16> = (0..1002)
        .map(|row| match row {
            0..901 => 0,
            901..991 => 3,
            _ => 7,
        })
        .collect();
    let rows: Vec<u32> = (1..1001).collect();
    let mut counts = vec![0_u32; labels.len()];
    for epoch in 1..=300 {
        let drawn = sample_balanced(&rows, &labels, &mut stream(1, Purpose::Sampling, epoch));
        assert_eq!(drawn.len(), rows.len());
        drawn.iter().for_each(|row| counts[*row as usize] += 1);
    }
    assert_eq!((counts[0], counts[1001]), (0, 0));
    for (class, size) in [(0, 900.0), (3, 90.0), (7, 10.0)] {
        let of_class =
            || (1..1001).filter(|row| labels[*row] == class).map(|row| f64::from(counts[row]));
        // 100,000 draws are expected, with a standard deviation of 258.
        let total: f64 = of_class().sum();
        assert!((total - 1e5).abs() < 1_300.0, "class {class}: {total}");
        let expected = total / size;
        let chi_squared: f64 = of_class().map(|count| (count - expected).powi(2) / expected).sum();
        // The mean is size − 1, and the deviation √(2 (size − 1)).
        let limit = size + 5.0 * (2.0 * size).sqrt();
        assert!(chi_squared < limit, "class {class}: {chi_squared}");
    }
    let draw = |epoch| sample_balanced(&rows, &labels, &mut stream(1, Purpose::Sampling, epoch));
    assert_ne!(draw(1), draw(2));
    assert_eq!(draw(1), draw(1));
}
