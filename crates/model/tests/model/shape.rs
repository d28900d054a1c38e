//! Layers that do not fit, and the softmax that belongs to the loss.

use crate::common::{FASHION_MNIST, assert_close, identity, infer, plan, row};
use kiln_model::{Activation, Architecture, ModelError, Shape};

/// The article's kind of data: 28×28 images of 10 classes.
fn planned(layers: &str) -> Result<Architecture, ModelError> {
    plan(layers, FASHION_MNIST, 10)
}

#[test]
fn what_does_not_fit_is_named() {
    for (layers, layer, path, message) in [
        (
            r#"{ type = "dropout", rate = 0.1 }, { type = "dense", units = 10, name = "scores" }"#,
            "layer \"scores\" (dense)",
            "model.layers.1",
            "it takes a flat list of features, but gets 1×28×28; put { type = \"flatten\" } before it",
        ),
        (
            r#"{ type = "block", repeat = 2, layers = [{ type = "dense", units = 10 }] }"#,
            "layer \"dense\" (dense)",
            "model.layers.0.layers.0",
            "it takes a flat list",
        ),
        ("", "the model", "model.layers", "it has no layer"),
        (
            r#"{ type = "dense", units = 10, repeat = 0 }"#,
            "the model",
            "model.layers",
            "it has no layer",
        ),
        (
            r#"{ type = "flatten" }, { type = "dense", units = 9 }"#,
            "layer \"dense\" (dense)",
            "model.layers.1",
            "the last layer gives 9, but there are 10 classes",
        ),
        (
            r#"{ type = "batch_normalization" }"#,
            "layer \"batch_normalization\" (batch_normalization)",
            "model.layers.0",
            "the last layer gives 1×28×28, but there are 10 classes",
        ),
        (
            r#"{ type = "flatten" }, { type = "dense", units = "classes", activation = "relu" }"#,
            "layer \"dense\" (dense)",
            "model.layers.1",
            "the last layer ends with relu, but the loss needs a softmax or no activation",
        ),
        (
            r#"{ type = "flatten" }, { type = "dense", units = 9000000000000000000 }"#,
            "layer \"dense\" (dense)",
            "model.layers.1",
            "more than 1000000000 parameters; make it smaller",
        ),
        (
            r#"{ type = "flatten" }, { type = "dense", units = 30000, repeat = 3 }"#,
            "layer \"dense_2\" (dense)",
            "model.layers.1",
            "more than 1000000000 parameters",
        ),
    ] {
        let error = planned(layers).expect_err(layers);
        assert_eq!((error.layer.as_str(), error.path.as_str()), (layer, path));
        assert!(error.message.contains(message), "{error}");
    }
}

#[test]
fn something_must_be_trained() {
    let layers = r#"{ type = "flatten" }, { type = "activation", activation = "softmax" }"#;
    let error = plan(layers, row(10), 10).expect_err("no weights");
    assert!(error.message.contains("no layer has weights to train"), "{error}");
}

#[test]
fn classes_are_those_of_the_data() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = "classes" }"#;
    for classes in [2, 10, 256] {
        let architecture = plan(layers, FASHION_MNIST, classes).expect("sound");
        assert_eq!(architecture.input(), FASHION_MNIST);
        let [flatten, dense] = architecture.layers() else { panic!("two layers") };
        assert_eq!((flatten.input, flatten.output), (FASHION_MNIST, Shape::Features(784)));
        assert_eq!((dense.input, dense.output), (Shape::Features(784), Shape::Features(classes)));
    }
}

/// The loss takes logits and applies the softmax itself, so the network must not.
#[test]
fn a_last_softmax_is_left_to_the_loss() {
    let x = [1.0, 2.0, 3.0];
    for (layers, in_loss) in [
        (r#"{ type = "flatten" }, { type = "dense", units = 3, activation = "softmax" }"#, true),
        (
            r#"{ type = "flatten" }, { type = "dense", units = 3 },
               { type = "activation", activation = "softmax" }"#,
            true,
        ),
        (r#"{ type = "flatten" }, { type = "dense", units = 3 }"#, false),
        (
            r#"{ type = "flatten" }, { type = "dense", units = 3, name = "scores" },
               { type = "dropout", rate = 0.5 }"#,
            false,
        ),
    ] {
        let architecture = plan(layers, row(3), 3).expect(layers);
        assert_eq!(architecture.softmax_in_loss(), in_loss, "{layers}");
        let last = architecture.layers().last().expect("there are layers");
        assert_eq!(last.activation, Activation::Linear);
        assert_eq!(infer(&architecture, &identity(&architecture), &x), x, "{layers}");
    }
}

/// Only the last one is the loss's.
#[test]
fn a_softmax_elsewhere_is_computed() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = 3, activation = "softmax" },
                    { type = "dense", units = 3, activation = "softmax" }"#;
    let architecture = plan(layers, row(3), 3).expect("sound");
    let logits = infer(&architecture, &identity(&architecture), &[1.0, 2.0, 3.0]);
    assert_close(&logits, &[0.090_030_573, 0.244_728_471, 0.665_240_956]);
}

/// With a dropout behind it a softmax would be computed, and then another in the loss.
#[test]
fn what_follows_a_last_activation_must_change_the_scores() {
    for (end, word) in [
        (r#"{ type = "dense", units = 10, activation = "softmax" }"#, "softmax"),
        (r#"{ type = "dense", units = 10, activation = "relu" }"#, "relu"),
        (
            r#"{ type = "dense", units = 10 }, { type = "activation", activation = "softmax" }"#,
            "softmax",
        ),
    ] {
        for tail in [
            r#"{ type = "dropout", rate = 0.5 }"#,
            r#"{ type = "flatten" }, { type = "activation", activation = "linear" }"#,
        ] {
            let error = planned(&format!(r#"{{ type = "flatten" }}, {end}, {tail}"#))
                .expect_err("the activation is not at the end");
            assert!(error.message.contains(&format!("ends with its {word}")), "{error}");
            assert_ne!(error.path, "model.layers");
        }
    }
    planned(
        r#"{ type = "flatten" }, { type = "dense", units = 10, activation = "relu" },
           { type = "batch_normalization" }"#,
    )
    .expect("a normalisation has weights of its own");
}
