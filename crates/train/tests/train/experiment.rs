//! Reading experiments: overrides, rules that involve several tables, and writing them as TOML.

use std::path::PathBuf;

use kiln_data::Validation;
use kiln_train::optimizers::Adam;
use kiln_train::{Declaration, OptimizerKind};

use crate::columns::EXPERIMENT;
use crate::common::declaration;

fn error(overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap_err().to_string()
}

#[test]
fn an_override_needs_only_the_end_of_its_path() {
    let experiment = declaration(&["learning_rate=0.5", "training.epochs=7", "validation=0.25"]);
    let experiment = experiment.experiment;
    assert_eq!(experiment.optimizer.learning_rate, 0.5);
    assert_eq!(experiment.training.epochs.get(), 7);
    assert_eq!(experiment.data.validation, Validation::Fraction(0.25));
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
    assert!(error.contains("uses `val_loss`, which needs validation rows"), "{error}");
    declaration(&["validation=0", "training.weights=best", "training.monitor=loss"]);
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
