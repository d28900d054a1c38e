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

/// The mistakes of users of Keras and PyTorch. Each message has the shapes and what to change.
#[test]
fn errors_of_image_layers_say_what_to_change() {
    let image = |channels, height, width| Shape::Image { channels, height, width };
    let flat = r#"{ type = "flatten" }, "#;
    let to_images = "it needs images, but its input is flat (48 features); remove it, or put it before the layer that makes \
                     the input flat: a flatten or a global pooling layer";
    let smaller = |side: usize| {
        format!(
            "set padding = \"same\" in it or in the layers before it, make its window at most {side}×{side}, or remove a layer \
             before it that shrinks the image"
        )
    };
    let (small, single) = (smaller(4), smaller(1));
    for (layers, message) in [
        // Keras: "Negative dimension size caused by subtracting 5 from 4".
        (
            r#"{ type = "conv2d", filters = 8, kernel_size = 5 }"#.to_owned(),
            format!("its window of 5×5 pixels does not fit into its input, 3×4×4: the output would be 8×0×0; {small}"),
        ),
        (
            r#"{ type = "conv2d", filters = 8, kernel_size = 3, dilation_rate = [1, 4] }"#.to_owned(),
            format!("its window of 3×9 pixels does not fit into its input, 3×4×4: the output would be 8×2×-4; {small}"),
        ),
        (
            r#"{ type = "depthwise_conv2d", kernel_size = [1, 5], depth_multiplier = 2 }"#.to_owned(),
            format!("its window of 1×5 pixels does not fit into its input, 3×4×4: the output would be 6×4×0; {small}"),
        ),
        (
            r#"{ type = "max_pooling2d", repeat = 3 }"#.to_owned(),
            format!("its window of 2×2 pixels does not fit into its input, 3×1×1: the output would be 3×0×0; {single}"),
        ),
        (
            r#"{ type = "average_pooling2d", pool_size = 5, strides = 1 }"#.to_owned(),
            format!("its window of 5×5 pixels does not fit into its input, 3×4×4: the output would be 3×0×0; {small}"),
        ),
        // Flat input.
        (format!(r#"{flat}{{ type = "conv2d", filters = 8, kernel_size = 3 }}"#), to_images.to_owned()),
        (format!(r#"{flat}{{ type = "depthwise_conv2d", kernel_size = 3 }}"#), to_images.to_owned()),
        (format!(r#"{flat}{{ type = "max_pooling2d" }}"#), to_images.to_owned()),
        (format!(r#"{flat}{{ type = "global_average_pooling2d" }}"#), to_images.to_owned()),
        (format!(r#"{flat}{{ type = "global_max_pooling2d" }}"#), to_images.to_owned()),
        (format!(r#"{flat}{{ type = "zero_padding2d" }}"#), to_images.to_owned()),
        (
            format!(r#"{flat}{{ type = "spatial_dropout2d", rate = 0.2 }}"#),
            format!("{to_images}, or use {{ type = \"dropout\", rate = 0.2 }}"),
        ),
        // Groups.
        (
            r#"{ type = "conv2d", filters = 4, kernel_size = 1, groups = 2 }"#.to_owned(),
            "its 2 groups need a multiple of 2 channels, but its input is 3×4×4; set groups = 1".to_owned(),
        ),
        (
            r#"{ type = "conv2d", filters = 4, kernel_size = 1, groups = 3 }"#.to_owned(),
            "its 3 groups need a multiple of 3 filters, but it has 4; set filters = 6".to_owned(),
        ),
        (
            r#"{ type = "group_normalization" }"#.to_owned(),
            "its 32 groups need a multiple of 32 channels, but its input is 3×4×4; set groups = 1".to_owned(),
        ),
        (
            r#"{ type = "conv2d", filters = 12, kernel_size = 1 }, { type = "group_normalization", groups = 8 }"#.to_owned(),
            "its 8 groups need a multiple of 8 channels, but its input is 12×4×4; set groups = 6".to_owned(),
        ),
        // A single value minus its mean is 0.
        (
            r#"{ type = "global_average_pooling2d" }, { type = "group_normalization", groups = 3 }"#.to_owned(),
            "each of its 3 groups has a single value, which it would set to 0: its input is 3; set groups = 1".to_owned(),
        ),
        (
            format!(r#"{flat}{{ type = "dense", units = 1 }}, {{ type = "group_normalization", groups = 1 }}"#),
            "each of its 1 groups has a single value, which it would set to 0: its input is 1; remove it".to_owned(),
        ),
        (
            r#"{ type = "conv2d", filters = 1, kernel_size = 1 }, { type = "layer_normalization" }"#.to_owned(),
            "it normalizes over the channels of each pixel, and a single channel becomes 0: its input is 1×4×4; use { type = \
             \"group_normalization\", groups = 1 }, which normalizes over the image".to_owned(),
        ),
        (
            format!(r#"{flat}{{ type = "dense", units = 1 }}, {{ type = "layer_normalization" }}"#),
            "normalization would set a single feature to 0: its input is 1; remove it".to_owned(),
        ),
        // Dense layers on images.
        (
            r#"{ type = "conv2d", filters = 8, kernel_size = 3 }, { type = "dense", units = 10 }"#.to_owned(),
            "it needs flat features, but its input is 8×2×2; insert { type = \"flatten\" } before it".to_owned(),
        ),
        // Residual connections.
        (
            r#"{ type = "residual", layers = [{ type = "conv2d", filters = 8, kernel_size = 3, padding = "same" }] }"#.to_owned(),
            "the output of its `layers`, 8×4×4, cannot be added to its input, 3×4×4; set shortcut = [{ type = \"conv2d\", \
             filters = 8, kernel_size = 1, padding = \"same\" }]".to_owned(),
        ),
        (
            r#"{ type = "residual", layers = [{ type = "conv2d", filters = 8, kernel_size = 3, strides = 2, padding = "same" }] }"#.to_owned(),
            "the output of its `layers`, 8×2×2, cannot be added to its input, 3×4×4; set shortcut = [{ type = \"conv2d\", \
             filters = 8, kernel_size = 1, strides = 2, padding = \"same\" }]".to_owned(),
        ),
        (
            r#"{ type = "residual", layers = [{ type = "conv2d", filters = 3, kernel_size = 3 }] }"#.to_owned(),
            "the output of its `layers`, 3×2×2, cannot be added to its input, 3×4×4; set padding = \"same\" in its `layers`, \
             or set shortcut = [{ type = \"conv2d\", filters = 3, kernel_size = 1, strides = 2, padding = \"same\" }]".to_owned(),
        ),
        // More values than memory.
        (
            r#"{ type = "depthwise_conv2d", kernel_size = 1, depth_multiplier = 9000000000000000000 }"#.to_owned(),
            "with this layer, the model has more than 1000000000 parameters; make it smaller".to_owned(),
        ),
        (
            r#"{ type = "conv2d", filters = 8, kernel_size = 2000, padding = "same" }"#.to_owned(),
            "its window spans more than 1024 rows or columns; make it smaller".to_owned(),
        ),
    ] {
        let layers = format!(r#"{layers}, {{ type = "dense", units = "classes" }}"#);
        let error = plan(&layers, image(3, 4, 4), 10).expect_err(&layers);
        assert_eq!(error.message, message, "{layers}");
    }
}

/// A shortcut that the error proposes has the right shape, also for odd sizes.
#[test]
fn proposed_shortcuts_fit() {
    for (side, strides) in [(5, 2), (7, 3), (6, 4), (4, 4)] {
        let input = Shape::Image { channels: 3, height: side, width: side + 1 };
        let layers = format!(
            r#"layers = [{{ type = "conv2d", filters = 4, kernel_size = 3, strides = [{strides}, 1], padding = "same" }}]"#
        );
        let plan = |shortcut: &str| {
            let end = r#"{ type = "global_average_pooling2d" }, { type = "dense", units = 2 }"#;
            plan(&format!(r#"{{ type = "residual", {layers}{shortcut} }}, {end}"#), input, 2)
        };
        let error = plan("").expect_err("the shapes differ");
        let (_, shortcut) = error.message.split_once("; set ").expect("a proposal");
        plan(&format!(", {shortcut}")).unwrap_or_else(|error| panic!("{error}"));
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
            let what = format!("are the output of its {activation}, because");
            assert!(error.message.contains(&what), "{error}");
            let is_layer = error.path == "model.layers.2";
            let remedy = match (activation, is_layer) {
                (_, true) => {
                    "; remove it, and end the list with { type = \"activation\", activation = \"softmax\" }"
                }
                ("softmax", _) => "; remove activation = \"softmax\", and end the list with { type",
                _ => "; remove activation = \"relu\"",
            };
            assert!(error.message.contains(remedy), "{error}");
            assert_ne!(error.path, "model.layers");
        }
    }
    planned(
        r#"{ type = "flatten" }, { type = "dense", units = 10, activation = "relu" },
           { type = "batch_normalization" }"#,
    )
    .expect("batch normalization changes the scores");
}
