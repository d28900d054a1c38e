//! Checks of shapes, and the final softmax, which the loss applies.

use crate::common::{FASHION_MNIST, assert_close, identity, infer, plan, row};
use kiln_model::{Activation, Architecture, ModelError, Shape};

/// Plans a model for 28×28 images of 10 classes.
fn planned(layers: &str) -> Result<Architecture, ModelError> {
    plan(layers, FASHION_MNIST, 10)
}

#[test]
fn errors_name_the_layer_that_does_not_fit() {
    for (layers, layer, path, message) in [
        (
            r#"{ type = "dropout", rate = 0.1 }, { type = "dense", units = 10, name = "scores" }"#,
            "layer \"scores\" (dense)",
            "model.layers.1",
            "it needs flat features, but its input is 1×28×28; insert { type = \"flatten\" } before it",
        ),
        (
            r#"{ type = "block", repeat = 2, layers = [{ type = "dense", units = 10 }] }"#,
            "layer \"dense\" (dense)",
            "model.layers.0.layers.0",
            "it needs flat features",
        ),
        ("", "the model", "model.layers", "the list of layers is empty"),
        (
            r#"{ type = "dense", units = 10, repeat = 0 }"#,
            "the model",
            "model.layers",
            "the list of layers is empty",
        ),
        (
            r#"{ type = "flatten" }, { type = "dense", units = 9 }"#,
            "layer \"dense\" (dense)",
            "model.layers.1",
            "the output of the last layer is 9, but there are 10 classes",
        ),
        (
            r#"{ type = "batch_normalization" }"#,
            "layer \"batch_normalization\" (batch_normalization)",
            "model.layers.0",
            "the output of the last layer is 1×28×28, but there are 10 classes",
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
fn a_model_without_weights_is_an_error() {
    let layers = r#"{ type = "flatten" }, { type = "activation", activation = "softmax" }"#;
    let error = plan(layers, row(10), 10).expect_err("no weights");
    assert!(error.message.contains("no layer has weights to train"), "{error}");
}

#[test]
fn units_can_be_the_number_of_classes() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = "classes" }"#;
    for classes in [2, 10, 256] {
        let architecture = plan(layers, FASHION_MNIST, classes).expect("valid");
        assert_eq!(architecture.input(), FASHION_MNIST);
        let [flatten, dense] = architecture.layers() else { panic!("two layers") };
        assert_eq!((flatten.input, flatten.output), (FASHION_MNIST, Shape::Features(784)));
        assert_eq!((dense.input, dense.output), (Shape::Features(784), Shape::Features(classes)));
    }
}

/// The loss is computed from logits, so the network must not apply the softmax.
#[test]
fn the_loss_applies_a_final_softmax() {
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
        let last = architecture.layers().last().expect("at least one layer");
        assert_eq!(last.activation, Activation::Linear);
        assert_eq!(infer(&architecture, &identity(&architecture), &x), x, "{layers}");
    }
}

/// The loss applies only the last one.
#[test]
fn the_network_applies_other_softmax_layers() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = 3, activation = "softmax" },
                    { type = "dense", units = 3, activation = "softmax" }"#;
    let architecture = plan(layers, row(3), 3).expect("valid");
    let logits = infer(&architecture, &identity(&architecture), &[1.0, 2.0, 3.0]);
    assert_close(&logits, &[0.090_030_573, 0.244_728_471, 0.665_240_956]);
}

/// In a model with dropout after the softmax, the network and the loss would both apply a softmax.
#[test]
fn layers_after_the_last_activation_must_change_the_scores() {
    for (end, activation) in [
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
                .expect_err("the activation is not in the last layer");
            assert!(error.message.contains(&format!("end with its {activation}")), "{error}");
            assert_ne!(error.path, "model.layers");
        }
    }
    planned(
        r#"{ type = "flatten" }, { type = "dense", units = 10, activation = "relu" },
           { type = "batch_normalization" }"#,
    )
    .expect("batch normalization changes the scores");
}
