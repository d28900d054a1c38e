//! Compares `configs/reference.toml` with the code: all keys, defaults and choices.

use std::collections::BTreeSet;

use kiln_data::{Augmentation, DataConfig};
use kiln_train::{Declaration, Experiment, OptimizerName, REFERENCE, ScheduleName};

fn parse(text: &str) -> Experiment {
    Declaration::parse("text", text, &[]).unwrap_or_else(|error| panic!("{error}")).experiment
}

/// The required keys, with the values of the reference.
const REQUIRED: &str = r#"
name = "reference"
[data]
source = "fashion-mnist"
[model]
layers = [
  { type = "flatten" },
  { type = "dense", units = 300, activation = "relu" },
  { type = "dense", units = 100, activation = "relu", name = "hidden", repeat = 3 },
  { type = "dense", units = "classes", activation = "softmax" },
]
"#;

#[test]
fn the_reference_states_the_defaults() {
    let bare = format!("{REQUIRED}\n[optimizer]\ntype = \"sgd\"");
    assert_eq!(parse(REFERENCE), parse(&bare));
}

/// The keys of one table of an experiment, as the code writes them.
fn keys(experiment: &Experiment, table: &str) -> BTreeSet<String> {
    let text = experiment.to_toml().unwrap();
    let tables: toml::Table = toml::from_str(&text).unwrap();
    tables[table].as_table().unwrap().keys().cloned().collect()
}

/// The text of a table in the reference, including comments.
fn section(table: &str) -> String {
    let lines = REFERENCE
        .lines()
        .skip_while(|line| !line.trim_start_matches("# ").starts_with(&format!("[{table}]")));
    let lines = lines
        .enumerate()
        .take_while(|(index, line)| *index == 0 || !line.trim_start_matches("# ").starts_with('['));
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn every_key_of_every_table_is_in_the_reference() {
    let experiment = parse(REFERENCE);
    for table in ["data", "loss", "schedule", "training", "device"] {
        let section = section(table);
        for key in keys(&experiment, table) {
            let written = section.lines().any(|line| line.starts_with(&format!("{key} = ")));
            assert!(written, "[{table}] has no line for `{key}`");
        }
    }
}

#[test]
fn every_key_of_the_data_is_in_the_reference() {
    let section = section("data");
    let table = toml::to_string(&DataConfig::with_every_key()).unwrap();
    for key in toml::from_str::<toml::Table>(&table).unwrap().keys() {
        let is_line = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        assert!(section.lines().any(is_line), "no line for `{key}`");
    }
}

/// From the comment `type = "adam":    beta_1 = 0.9, beta_2 = 0.999`, the part after the colon, with the indented
/// lines that follow it.
fn described(table: &str, kind: &str) -> String {
    let section = section(table);
    let start = format!("# type = \"{kind}\":");
    let mut lines = section.lines().skip_while(|line| !line.starts_with(&start));
    let first = lines.next().unwrap_or_else(|| panic!("[{table}] has no comment on `{kind}`"));
    let others = lines.map_while(|line| line.strip_prefix("#   "));
    let parts = std::iter::once(&first[start.len()..]).chain(others);
    parts.map(|part| part.trim().trim_end_matches(',')).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_comments_on_other_types_state_their_defaults() {
    // The first of each is the one that the reference has.
    let optimizers: Vec<_> = OptimizerName::ALL[1..].iter().map(|name| name.as_str()).collect();
    let schedules: Vec<_> = ScheduleName::ALL[1..].iter().map(|name| name.as_str()).collect();
    // `reduce_on_plateau` needs it.
    let required = REQUIRED.replace("source =", "validation = 5000\nsource =");
    for (table, kinds) in [("optimizer", optimizers), ("schedule", schedules)] {
        for kind in kinds {
            let optimizer = if table == "optimizer" { kind } else { "sgd" };
            let mut text = format!("{required}\n[optimizer]\ntype = \"{optimizer}\"\n");
            if table == "schedule" {
                text.push_str(&format!("[schedule]\ntype = \"{kind}\"\n"));
            }
            let defaults = parse(&text).to_toml().unwrap();
            let comment =
                described(table, kind).replace("the same", &described("optimizer", "adam"));
            let stated: Vec<&str> =
                comment.split(", ").filter(|part| part.contains(" = ")).collect();

            let tables: toml::Table = toml::from_str(&defaults).unwrap();
            for (key, value) in tables[table].as_table().unwrap() {
                if ["type", "learning_rate", "warmup_epochs"].contains(&key.as_str()) {
                    continue;
                }
                let stated = stated.iter().find_map(|part| {
                    let part = part.trim_start_matches("and ");
                    part.strip_prefix(&format!("{key} = "))
                });
                let stated = stated.unwrap_or_else(|| panic!("{kind}: `{key}` is not stated"));
                let stated: toml::Table = toml::from_str(&format!("value = {stated}")).unwrap();
                assert_eq!(stated["value"], *value, "{kind}: {key}");
            }
        }
    }
}

#[test]
fn the_comments_on_augmentations_state_their_keys_and_defaults() {
    // The keys without a default.
    let required = |kind: &str| match kind {
        "random_translation" => "height = 1\nwidth = 1",
        "random_zoom" => "height_factor = 0.1",
        "random_rotation" | "random_brightness" | "random_contrast" | "random_saturation"
        | "random_hue" => "factor = 0.1",
        _ => "",
    };
    for kind in Augmentation::KEYWORDS {
        let given = required(kind);
        let text = format!(
            "{REQUIRED}\n[optimizer]\ntype = \"sgd\"\n[[augment]]\ntype = \"{kind}\"\n{given}\n"
        );
        let tables: toml::Table = toml::from_str(&parse(&text).to_toml().unwrap()).unwrap();
        let comment = described("[augment]", kind);
        for (key, value) in tables["augment"][0].as_table().unwrap() {
            let stated = if key == "type" || given.contains(key.as_str()) {
                key == "type" || comment.contains(key.as_str())
            } else {
                comment.contains(&format!("{key} = {value}"))
            };
            assert!(stated, "{kind}: `{key} = {value}` is not stated in: {comment}");
        }
    }
}

/// The inline tables in the comments on layers: `{ type = "dropout", rate = 0.3 }`.
fn commented_layers() -> Vec<String> {
    let section = section("model");
    let comments = section.lines().filter_map(|line| line.trim().strip_prefix("# "));
    let comments: Vec<_> = comments.map(str::trim).collect();
    let text = comments.join(" ");
    let starts = text.match_indices("{ type = ").map(|(start, _)| start);
    let tables = starts.filter_map(|start| {
        let end = text[start..].find('}')?;
        Some(text[start..=start + end].to_owned())
    });
    // Those with lists of layers are shortened.
    tables.filter(|table| !table.contains('…')).collect()
}

#[test]
fn the_comments_on_layers_state_their_keys_and_defaults() {
    let layers = commented_layers();
    assert!(layers.len() > 10, "{layers:?}");
    for layer in layers {
        let written: toml::Table = toml::from_str(&format!("layer = {layer}")).unwrap();
        let written = written["layer"].as_table().unwrap();
        let required = written.iter().filter(|(key, _)| {
            ["type", "filters", "kernel_size", "rate"].contains(&key.as_str())
                || written["type"].as_str() == Some("activation")
        });
        let required: Vec<_> = required.map(|(key, value)| format!("{key} = {value}")).collect();
        let parse = |layer: &str| {
            let text = format!(
                "name = \"a\"\n[data]\nsource = \"fashion-mnist\"\n[model]\nlayers = [{layer}]\n[optimizer]\ntype = \"sgd\""
            );
            parse(&text)
        };
        let short = parse(&format!("{{ {} }}", required.join(", ")));
        assert_eq!(short, parse(&layer), "{layer}");
        let resolved: toml::Table = toml::from_str(&short.to_toml().unwrap()).unwrap();
        let resolved = resolved["model"]["layers"][0].as_table().unwrap();
        for key in resolved.keys().filter(|key| *key != "repeat") {
            assert!(written.contains_key(key), "`{key}` is not stated in {layer}");
        }
    }
}

#[test]
fn the_optional_tables_state_their_defaults() {
    let commented: String = section("early_stopping")
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .map(|line| format!("{line}\n"))
        .collect();
    let optimizer = "[optimizer]\ntype = \"sgd\"\n";
    let validated = REQUIRED.replace("source =", "validation = 5000\nsource =");
    let stated = parse(&format!("{validated}{optimizer}{commented}"));
    let defaults = parse(&format!("{validated}{optimizer}[early_stopping]\n"));
    assert_eq!(stated, defaults);
    assert_eq!(commented.lines().filter(|line| line.contains(" = ")).count(), 4);

    for key in ["global_clipnorm", "clipvalue"] {
        assert!(section("optimizer").contains(&format!("# {key} = ")), "{key}");
    }
}

#[test]
fn every_keyword_is_in_the_reference() {
    // The error for an unknown keyword lists the valid ones.
    for (key, table) in [
        ("optimizer.type", "optimizer"),
        ("schedule.type", "schedule"),
        ("data.broken", "data"),
        ("data.format", "data"),
        ("data.layout", "data"),
        ("data.resize", "data"),
        ("data.split", "data"),
        ("data.normalize", "data"),
        ("optimizer.exclude_from_weight_decay", "optimizer"),
        ("training.weights", "training"),
        ("training.monitor", "training"),
        ("training.metrics", "training"),
        ("device.backend", "device"),
        ("device.engine", "device"),
        ("model.layers.1.activation", "model"),
        ("model.layers.1.type", "model"),
        ("model.layers.1.kernel_initializer", "model"),
    ] {
        let is_list = ["training.metrics", "optimizer.exclude_from_weight_decay"].contains(&key);
        let value = if is_list { "[\"?\"]" } else { "\"?\"" };
        let error = Declaration::parse("reference", REFERENCE, &[format!("{key}={value}")]);
        let error = error.unwrap_err().to_string();
        let (_, words) = error.split_once("valid values: ").unwrap_or_else(|| panic!("{error}"));
        // An initializer can also be a number.
        let words = words.split(", or ").next().unwrap();
        for word in words.trim().split(", ") {
            let word = word.trim_matches('"');
            // The reference names each metric and each prefix once.
            let (prefix, word) = match word.split_once('_') {
                Some((prefix @ ("val" | "train"), word)) => (prefix, word),
                _ => ("", word),
            };
            let section = section(table);
            // The word `adamw` in the reference does not count as `adam`.
            let mut words =
                section.split(|letter: char| !letter.is_alphanumeric() && !"_<>".contains(letter));
            assert!(section.contains(prefix), "{key}: `{prefix}` is not in the reference");
            assert!(words.any(|found| found == word), "{key}: `{word}` is not in the reference");
        }
    }
}
