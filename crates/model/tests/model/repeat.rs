//! Repetition of layers and blocks, and the names of the layers.

use std::collections::HashSet;

use crate::common::{generator, parameters_of, plan, row};

/// The names of `layers` between a flatten layer and the last layer, for images of width 4 and 3
/// classes.
fn names(layers: &str) -> Vec<String> {
    let layers = format!(r#"{layers} {{ type = "dense", units = "classes" }}"#);
    let layers = format!(r#"{{ type = "flatten" }}, {layers}"#);
    let architecture = plan(&layers, row(4), 3).expect("valid");
    let names: Vec<String> = architecture.layers().iter().map(|layer| layer.name.clone()).collect();
    let distinct: HashSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    let [_, middle @ .., _] = names.as_slice() else { panic!("at least two layers") };
    middle.to_vec()
}

#[test]
fn a_layer_is_repeated() {
    let hidden = |repeat: usize| {
        names(&format!(r#"{{ type = "dense", units = 5, name = "hidden", repeat = {repeat} }},"#))
    };
    assert!(hidden(0).is_empty());
    assert_eq!(hidden(1), ["hidden"]);
    assert_eq!(hidden(3), ["hidden_1", "hidden_2", "hidden_3"]);
}

#[test]
fn a_block_is_repeated() {
    let block = |repeat: usize| {
        names(&format!(
            r#"{{ type = "block", name = "hidden", repeat = {repeat}, layers = [
                 {{ type = "dense", units = 5 }},
                 {{ type = "dropout", rate = 0.5, name = "noise", repeat = 2 }},
               ] }},"#
        ))
    };
    assert!(block(0).is_empty());
    assert_eq!(block(1), ["hidden.dense", "hidden.noise_1", "hidden.noise_2"]);
    assert_eq!(
        block(3),
        [
            "hidden_1.dense",
            "hidden_1.noise_1",
            "hidden_1.noise_2",
            "hidden_2.dense",
            "hidden_2.noise_1",
            "hidden_2.noise_2",
            "hidden_3.dense",
            "hidden_3.noise_1",
            "hidden_3.noise_2",
        ]
    );
}

#[test]
fn blocks_can_be_nested() {
    let found = names(
        r#"{ type = "block", name = "outer", repeat = 2, layers = [
             { type = "block", name = "inner", repeat = 2, layers = [
               { type = "dense", units = 5 },
               { type = "block", repeat = 0, layers = [{ type = "dense", units = 6 }] },
             ] },
           ] },"#,
    );
    assert_eq!(
        found,
        [
            "outer_1.inner_1.dense",
            "outer_1.inner_2.dense",
            "outer_2.inner_1.dense",
            "outer_2.inner_2.dense",
        ]
    );
}

#[test]
fn names_are_always_unique() {
    assert_eq!(
        names(r#"{ type = "dense", units = 5 }, { type = "dense", units = 5, repeat = 2 },"#),
        ["dense", "dense_1", "dense_2"]
    );
    // Names that are equal only after numbering.
    names(
        r#"{ type = "dense", units = 5, name = "a_1" },
           { type = "dense", units = 5, name = "a", repeat = 2 },"#,
    );
    // A named layer in a block without a name.
    names(
        r#"{ type = "block", repeat = 3, layers = [{ type = "dense", units = 5, name = "a" }] },"#,
    );
    // A generated name avoids the names in the configuration.
    assert_eq!(
        names(r#"{ type = "dense", units = 5 }, { type = "dense", units = 5, name = "dense" },"#),
        ["dense_1", "dense"]
    );
}

#[test]
fn repetitions_have_separate_weights() {
    let layers = r#"{ type = "flatten" },
                    { type = "dense", units = 4, name = "hidden", repeat = 3 },
                    { type = "dense", units = "classes" }"#;
    let architecture = plan(layers, row(4), 3).expect("valid");
    let counts: Vec<usize> = architecture.layers().iter().map(parameters_of).collect();
    assert_eq!(counts, [0, 20, 20, 20, 15]);
    let weights = architecture.initial_weights(&mut generator(1));
    let kernels: Vec<_> = [0, 2, 4].map(|index| &weights.tensors[index].values).into();
    assert_ne!(kernels[0], kernels[1]);
    assert_ne!(kernels[1], kernels[2]);
    assert_ne!(kernels[0], kernels[2]);
}

#[test]
fn a_model_has_at_most_1000_layers() {
    let deep = |repeat: usize| {
        let layers = format!(
            r#"{{ type = "flatten" }}, {{ type = "dense", units = 1, repeat = {repeat} }},
               {{ type = "dense", units = "classes" }}"#
        );
        plan(&layers, row(4), 3)
    };
    assert_eq!(deep(998).expect("1,000 layers").layers().len(), 1_000);
    assert!(deep(999).is_err());
}

/// Planning ends quickly even for the largest possible `repeat`.
#[test]
fn too_many_layers_are_an_error() {
    let max = i64::MAX;
    let error = plan(
        &format!(
            r#"{{ type = "flatten" }},
               {{ type = "block", repeat = {max}, layers = [
                 {{ type = "dense", units = 2, name = "deep", repeat = {max} }}] }}"#
        ),
        row(4),
        2,
    )
    .expect_err("too deep");
    assert!(error.message.contains("more than 1000 layers; lower a `repeat`"), "{error}");
    assert_eq!(error.path, "model.layers.1.layers.0");

    // Empty blocks, with the largest possible number of repetitions.
    let empty = format!(
        r#"{{ type = "block", repeat = {max}, layers = [
             {{ type = "block", repeat = {max}, layers = [] }},
             {{ type = "dense", units = 2, repeat = 0 }},
           ] }},"#
    );
    assert!(names(&empty).is_empty());
}
