//! The summary of a model. The expected parameters, operations and bytes were computed by hand.

use crate::common::{FASHION_MNIST, FIVE_DENSE_LAYERS, parameters_of, plan, read, row, single};
use kiln_model::{Architecture, Shape};

fn five_dense_layers() -> Architecture {
    read(FIVE_DENSE_LAYERS).expect("valid").architecture(FASHION_MNIST, 10).expect("valid")
}

#[test]
fn parameters_are_counted() {
    let architecture = five_dense_layers();
    let counts: Vec<usize> = architecture.layers().iter().map(parameters_of).collect();
    assert_eq!(counts, [0, 235_500, 30_100, 10_100, 10_100, 1_010]);
    assert_eq!(architecture.parameters(), 286_810);
    assert_eq!(architecture.trainable_parameters(), 286_810);
}

#[test]
fn operations_and_bytes_of_a_step_are_counted() {
    let summary = five_dense_layers().summary(32, 2);
    // 784·300 + 300·100 + 100·100 + 100·100 + 100·10 multiplications and as many additions.
    assert_eq!(summary.forward_flops, 572_400);
    // The gradients of the weights cost as much as the forward pass, those of the inputs, too, except
    // that the images need none: 3 × 572,400 − 2·784·300 for each of 32 images.
    assert_eq!(summary.step_flops, 39_897_600);
    assert_eq!(summary.batch_size, 32);

    assert_eq!(summary.parameter_bytes, 4 * 286_810);
    assert_eq!(summary.gradient_bytes, 4 * 286_810);
    assert_eq!(summary.optimizer_bytes, 2 * 4 * 286_810);
    // The images and the outputs of the five dense layers. Flattening does not copy.
    assert_eq!(summary.activation_bytes, 4 * 32 * (784 + 300 + 3 * 100 + 10));
    assert_eq!(five_dense_layers().summary(32, 0).optimizer_bytes, 0);
}

/// Parameters, operations and stored values of each layer for an image of 6×8×9, computed by hand. The fans are those of
/// Keras' `compute_fans`.
#[test]
fn the_costs_of_image_layers_are_counted() {
    let input = Shape::Image { channels: 6, height: 8, width: 9 };
    for (layer, output, fans, parameters, flops, saved) in [
        (
            r#"{ type = "conv2d", filters = 9, kernel_size = [5, 3], groups = 3 }"#,
            "9×4×7",
            vec![(30, 135), (9, 9)],
            9 * 2 * 15 + 9,
            2 * 9 * 28 * 2 * 15,
            9 * 28,
        ),
        (
            r#"{ type = "conv2d", filters = 4, kernel_size = 3, padding = "same", strides = 2, use_bias = false }"#,
            "4×4×5",
            vec![(54, 36)],
            4 * 54,
            2 * 4 * 20 * 54,
            4 * 20,
        ),
        (
            r#"{ type = "depthwise_conv2d", kernel_size = [3, 2], depth_multiplier = 4 }"#,
            "24×6×8",
            vec![(36, 24), (24, 24)],
            24 * 6 + 24,
            2 * 24 * 48 * 6,
            24 * 48,
        ),
        // The output and its places, which are 64-bit integers.
        (r#"{ type = "max_pooling2d" }"#, "6×4×4", vec![], 0, 0, 3 * 6 * 16),
        (r#"{ type = "average_pooling2d" }"#, "6×4×4", vec![], 0, 0, 6 * 16),
        (r#"{ type = "global_average_pooling2d" }"#, "6", vec![], 0, 0, 6),
        (r#"{ type = "global_max_pooling2d" }"#, "6", vec![], 0, 0, 3 * 6),
        // The centered values, the normalized ones and the output.
        (
            r#"{ type = "group_normalization", groups = 3 }"#,
            "6×8×9",
            vec![(6, 6), (6, 6)],
            12,
            0,
            3 * 432,
        ),
        (
            r#"{ type = "layer_normalization", scale = false }"#,
            "6×8×9",
            vec![(6, 6)],
            6,
            0,
            2 * 432,
        ),
        (
            r#"{ type = "batch_normalization", center = false, scale = false }"#,
            "6×8×9",
            vec![(6, 6), (6, 6)],
            12,
            0,
            432,
        ),
        (r#"{ type = "spatial_dropout2d", rate = 0.5 }"#, "6×8×9", vec![], 0, 0, 432 + 6),
        (r#"{ type = "zero_padding2d", padding = [[1, 0], [2, 3]] }"#, "6×9×14", vec![], 0, 0, 756),
    ] {
        let architecture = single(layer, input).expect(layer);
        let planned = &architecture.layers()[0];
        assert_eq!(planned.output.to_string(), output, "{layer}");
        let found = planned.parameters.iter().map(|spec| (spec.fan_in, spec.fan_out));
        assert_eq!(found.collect::<Vec<_>>(), fans, "{layer}");
        assert_eq!(parameters_of(planned), parameters, "{layer}");
        assert_eq!((planned.flops, planned.saved_activations), (flops, saved), "{layer}");
    }
}

#[test]
fn running_statistics_have_no_gradient() {
    let layers = r#"{ type = "batch_normalization" }, { type = "flatten" },
                    { type = "dropout", rate = 0.5 }, { type = "dense", units = "classes" }"#;
    let shape = Shape::Image { channels: 2, height: 3, width: 5 };
    let summary = plan(layers, shape, 4).expect("valid").summary(10, 1);
    // Two channels with γ, β, running mean and running variance; 30 inputs and 4 outputs.
    assert_eq!((summary.parameters, summary.trainable), (8 + 124, 4 + 124));
    assert_eq!(summary.parameter_bytes, 4 * 132);
    assert_eq!((summary.gradient_bytes, summary.optimizer_bytes), (4 * 128, 4 * 128));
    // The images, the normalized images, the output and mask of dropout, the scores.
    assert_eq!(summary.activation_bytes, 4 * 10 * (30 + 30 + 2 * 30 + 4));
}

#[test]
fn the_text_shows_every_layer_and_the_cost_of_a_step() {
    let text = five_dense_layers().summary(32, 0).to_string();
    assert_eq!(
        text,
        "\
Layer                     Output shape    Parameters
────────────────────────────────────────────────────
flatten (flatten)                  784             0
dense (dense, relu)                300       235,500
hidden_1 (dense, relu)             100        30,100
hidden_2 (dense, relu)             100        10,100
hidden_3 (dense, relu)             100        10,100
dense_1 (dense, softmax)            10         1,010
────────────────────────────────────────────────────
Parameters:      286,810 (1.1 MiB)
  trainable:     286,810
  not trainable: 0
Forward pass:    572,400 FLOPs per image
Training step:   39,897,600 FLOPs and 2.4 MiB for a batch of 32
  memory:        parameters 1.1 MiB, gradients 1.1 MiB, optimizer 0 B, activations 174.2 KiB"
    );
}

#[test]
fn the_cost_of_a_huge_batch_saturates() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = "classes" }"#;
    let summary = plan(layers, row(8), 4).expect("valid").summary(usize::MAX, usize::MAX);
    assert_eq!(summary.step_flops, u64::MAX);
    assert!(summary.to_string().contains("GiB"));
}
