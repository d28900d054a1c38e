//! Reading experiments: overrides, rules that involve several tables, and writing them as TOML.

use std::path::PathBuf;

use kiln_data::SplitSize;
use kiln_train::optimizers::Adam;
use kiln_train::{Declaration, MachineMemory, OptimizerKind};

use crate::columns::EXPERIMENT;
use crate::common::{declaration, error_without_own_validation};

fn error(overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    error_without_own_validation("columns.toml", EXPERIMENT, &overrides)
}

#[test]
fn an_override_needs_only_the_end_of_its_path() {
    let experiment = declaration(&["learning_rate=0.5", "training.epochs=7", "validation=0.25"]);
    let experiment = experiment.experiment;
    assert_eq!(experiment.optimizer.learning_rate, 0.5);
    assert_eq!(experiment.training.epochs.get(), 7);
    assert_eq!(experiment.data.validation, SplitSize::Fraction(0.25));
}

#[test]
fn an_override_reaches_a_layer_by_name_or_index() {
    let units = |override_: &str| {
        let toml = declaration(&[override_]).experiment.to_toml().unwrap();
        let table: toml::Table = toml::from_str(&toml).unwrap();
        table["model"]["layers"][1]["units"].as_integer().unwrap()
    };
    assert_eq!(units("hidden.units=5"), 5);
    assert_eq!(units("model.layers.1.units=6"), 6);
}

#[test]
fn an_override_may_name_a_key_of_a_table_that_the_file_does_not_have() {
    let experiment = declaration(&["patience=3", "early_stopping.min_delta=0.01", "clipvalue=2"]);
    let stopping = experiment.experiment.early_stopping.unwrap();
    assert_eq!((stopping.patience, stopping.min_delta), (3, 0.01));
    assert_eq!(experiment.experiment.optimizer.clipping.clipvalue, Some(2.0));
}

#[test]
fn an_override_may_replace_a_table() {
    let experiment = declaration(&["optimizer={type=\"adam\", beta_1=0.8}"]).experiment;
    assert!(matches!(experiment.optimizer.kind, OptimizerKind::Adam(Adam { beta_1: 0.8, .. })));
    assert_eq!(experiment.optimizer.learning_rate, 0.001);
}

#[test]
fn the_error_for_an_ambiguous_override_lists_the_keys() {
    let error = error(&["early_stopping.patience=3", "monitor=loss"]);
    assert!(error.contains("early_stopping.monitor, training.monitor"), "{error}");
}

#[test]
fn a_layer_that_has_a_name_and_an_index_is_not_ambiguous() {
    let text = EXPERIMENT.replace("units = \"classes\"", "units = 3, name = \"last\"");
    let error = |key: &str| {
        let overrides = [format!("{key}=7")];
        Declaration::parse("columns.toml", &text, &overrides).map(|_| ()).map_err(|e| e.to_string())
    };
    error("hidden.units").unwrap();
    let error = error("units").unwrap_err();
    assert!(error.contains("one of model.layers.hidden.units, model.layers.last.units"), "{error}");
}

#[test]
fn the_error_for_a_misspelled_override_suggests_the_nearest_key() {
    let error = error(&["learing_rate=0.1"]);
    assert!(error.contains("did you mean `learning_rate`?"), "{error}");
    assert!(error.contains("command line"), "{error}");
}

#[test]
fn the_error_for_a_wrong_value_shows_the_override() {
    let error = error(&["learning_rate=fast"]);
    assert!(error.contains("learning_rate=fast"), "{error}");
    assert!(error.contains("expected a number, found the string"), "{error}");
}

#[test]
fn a_validation_metric_needs_validation_rows() {
    let error = error(&["validation=0", "training.weights=best"]);
    assert!(
        error.contains("weights = \"best\" uses `val_loss`, which needs validation images"),
        "{error}"
    );
    declaration(&["validation=0", "training.weights=best", "training.monitor=loss"]);
}

#[test]
fn a_monitored_metric_must_be_in_the_history() {
    for (overrides, problem, help) in [
        (
            &["training.monitor=val_top_2_accuracy"][..],
            "training.monitor uses `val_top_2_accuracy`, which needs 2 in training.top_k",
            "add 2 to it, or set training.monitor to \"val_loss\"",
        ),
        (
            &["early_stopping.monitor=train_loss"],
            "early stopping uses `train_loss`, which needs the training images to be evaluated",
            "set training.evaluate_training_set to true, or set early_stopping.monitor to",
        ),
        (
            &["validation=0", "early_stopping.monitor=val_macro_f1"],
            "early stopping uses `val_macro_f1`, which needs validation images",
            "set data.validation, such as 5000 or 0.1",
        ),
    ] {
        let error = error(overrides);
        assert!(error.contains(problem) && error.contains(help), "{error}");
    }
    declaration(&["top_k=[2]", "training.monitor=val_top_2_accuracy"]);
    declaration(&["evaluate_training_set=true", "early_stopping.monitor=train_macro_f1"]);
}

#[test]
fn an_unknown_metric_is_answered_with_the_nearest_name() {
    for (text, answer) in [
        ("training.monitor=val_acuracy", "did you mean \"val_accuracy\"?"),
        ("training.monitor=macro_f2", "did you mean \"macro_f1\"?"),
        ("training.monitor=top_3_acuracy", "did you mean \"top_<k>_accuracy\"?"),
        ("training.monitor=\"top_<k>_accuracy\"", "a number in place of <k>, such as 3"),
        ("training.monitor=top_1_accuracy", "\"top_<k>_accuracy\""),
        ("training.monitor=train_top_2_accuracy", "\"train_accuracy\""),
        ("early_stopping.monitor=auc", "\"val_balanced_accuracy\""),
        ("metrics=['macro_f']", "did you mean \"macro_f1\"?"),
        ("metrics=['val_macro_f1']", "did you mean \"macro_f1\"?"),
        (
            "metrics=['auc']",
            "valid values: \"loss\", \"accuracy\", \"macro_f1\", \"balanced_accuracy\"",
        ),
        ("metrics=['top_3_accuracy']", "set training.top_k to [3]"),
        ("metrics=macro_f1", "write [\"macro_f1\"]"),
    ] {
        let error = error(&[text]);
        assert!(error.contains(answer), "{text}: {error}");
    }
}

#[test]
fn the_text_has_metrics_only_if_some_are_named() {
    let experiment = |overrides: &[&str]| declaration(overrides).experiment;
    let plain = experiment(&[]);
    assert!(!plain.to_toml().unwrap().contains("metrics"));
    // Every experiment computes these two.
    assert_eq!(experiment(&["metrics=['accuracy','loss']"]), plain);
    let both = experiment(&["metrics=['balanced_accuracy','macro_f1']"]);
    let text = both.to_toml().unwrap();
    assert!(
        text.contains("metrics = [\n    \"macro_f1\",")
            || text.contains("metrics = [\"macro_f1\", \"balanced_accuracy\"]"),
        "{text}"
    );
    assert_eq!(experiment(&["metrics=['macro_f1','balanced_accuracy','macro_f1']"]), both);
    assert_ne!(both.identity().unwrap(), plain.identity().unwrap());
    assert_eq!(Declaration::parse("again", &text, &[]).unwrap().experiment, both);
    // A monitored metric is computed without being listed.
    let monitored = experiment(&["training.monitor=val_macro_f1"]);
    assert!(!monitored.to_toml().unwrap().contains("metrics"));
}

#[test]
fn training_and_early_stopping_must_choose_weights_by_the_same_monitor() {
    let best = ["training.weights=best", "training.monitor=val_accuracy"];
    let stopping = ["early_stopping={monitor=\"val_loss\", restore_best=true}"];
    let error = error(&[best.as_slice(), &stopping].concat());
    assert!(error.contains("need the same monitor"), "{error}");
}

#[test]
fn a_resolved_experiment_is_read_back_unchanged() {
    let configs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut count = 0;
    for entry in std::fs::read_dir(configs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let overrides = ["optimizer.global_clipnorm=1.5".to_owned()];
        let experiment = Declaration::open(&path, &overrides).unwrap().experiment;
        let again = Declaration::parse("again", &experiment.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(again.experiment, experiment, "{}", path.display());
        count += 1;
    }
    assert!(count >= 2, "configs/ has experiments");
}

#[test]
fn the_memory_of_a_step_is_limited_by_the_machine() {
    let declaration = declaration(&["batch_size=64"]);
    let architecture = declaration
        .experiment
        .model
        .architecture(kiln_model::Shape::Image { channels: 1, height: 4, width: 4 }, 3);
    let architecture = architecture.unwrap();
    // (16·8 + 8 + 8·3 + 3) parameters and gradients, and 16 + 8 + 3 values for each image, 4 bytes each.
    let (fixed, image) = (2 * 163 * 4, 27 * 4);
    let check = |images, bytes| {
        declaration.check_memory(&architecture, images, MachineMemory { bytes: Some(bytes) })
    };
    check(1_000, fixed + 64 * image).unwrap();
    let error = check(1_000, fixed + 64 * image - 1).unwrap_err();
    assert_eq!(
        error.message(),
        "a training step needs 8.0 KiB of memory, 6.8 KiB of it for the activations of 64 images, but this machine has \
         8.0 KiB; batch_size = 63 would fit"
    );
    // A batch has at most as many images as there are for training.
    check(10, fixed + 10 * image).unwrap();
    let error = check(10, fixed).unwrap_err();
    assert!(error.message().ends_with("make the model smaller"), "{error}");
}

#[test]
fn an_average_that_keeps_much_of_the_first_weights_is_reported() {
    let warnings = |overrides: &[&str], rows| {
        let overrides = [&["weights=average", "batch_size=10", "epochs=5"], overrides].concat();
        declaration(&overrides).experiment.warnings_on(rows)
    };
    // 50 steps, of which 49 come after the first: 0.99^49 = 0.611.
    let proposed = 0.91;
    assert_eq!(
        warnings(&[], 100),
        [format!(
            "after the 50 steps of this run, the average of the weights still has 61 % of the weights after the first step; \
             set average_decay = {proposed}, or train longer"
        )]
    );
    assert!(0.01 >= f64::powi(proposed, 49));
    // 0.99^160 = 0.2003 and 0.99^161 = 0.198.
    assert_eq!(warnings(&["batch_size=1", "epochs=1"], 161).len(), 1);
    assert_eq!(warnings(&["batch_size=1", "epochs=1"], 162).len(), 0);
    // Two steps; one step, whose weights are the average; the proposal never is below 0.
    assert_eq!(warnings(&["epochs=2", "average_decay=0.5"], 10).len(), 1);
    assert_eq!(warnings(&["epochs=1"], 10).len(), 0);
    assert_eq!(declaration(&["batch_size=1"]).experiment.warnings_on(2).len(), 0);
}

#[test]
fn a_batch_larger_than_the_training_images_is_noted() {
    let notes = |rows| declaration(&["batch_size=64"]).experiment.notes_on(rows);
    assert_eq!(notes(64), [""; 0]);
    assert_eq!(
        notes(63),
        [
            "batch_size = 64 is larger than the 63 training images: each epoch is one step with all of them"
        ]
    );
}
