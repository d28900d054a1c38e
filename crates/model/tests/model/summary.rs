//! The summary of a model. The expected parameters, operations and bytes were computed by hand.

use crate::common::{FASHION_MNIST, FIVE_DENSE_LAYERS, parameters_of, plan, read, row, single};
use kiln_model::{Architecture, Shape, SummaryRow};

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
    // The memory of a layer: its parameters and their gradients, and 32 outputs of 4 bytes a value.
    assert_eq!(
        text,
        "\
Layer                   Output shape  Parameters   FLOPs     Memory
───────────────────────────────────────────────────────────────────
images                       1×28×28           0       0   98.0 KiB
flatten                          784           0       0        0 B
dense (relu)                     300     235,500   470 k    1.8 MiB
hidden_1 (dense, relu)           100      30,100  60.0 k  247.7 KiB
hidden_2 (dense, relu)           100      10,100  20.0 k   91.4 KiB
hidden_3 (dense, relu)           100      10,100  20.0 k   91.4 KiB
dense_1 (softmax)                 10       1,010  2.00 k    9.1 KiB
───────────────────────────────────────────────────────────────────
Parameters:      286,810 (1.1 MiB)
  trainable:     286,810
  not trainable: 0
Forward pass:    572,400 FLOPs per image
Training step:   39,897,600 FLOPs and 2.4 MiB for a batch of 32
  memory:        parameters 1.1 MiB, gradients 1.1 MiB,
                 optimizer 0 B, activations 174.2 KiB"
    );
}

/// A residual network for images of 1×8×8: a stage of four and one that halves the rows and columns.
const RESIDUAL: &str = r#"
    { type = "conv2d", filters = 4, kernel_size = 3, padding = "same", name = "stem" },
    { type = "residual", repeat = 4, name = "stage", activation = "relu", layers = [
        { type = "conv2d", filters = 4, kernel_size = 3, padding = "same", use_bias = false, activation = "relu" },
        { type = "conv2d", filters = 4, kernel_size = 3, padding = "same", use_bias = false } ] },
    { type = "residual", name = "down",
        layers = [ { type = "conv2d", filters = 8, kernel_size = 3, padding = "same", strides = 2 } ],
        shortcut = [ { type = "conv2d", filters = 8, kernel_size = 1, padding = "same", strides = 2 } ] },
    { type = "flatten" },
    { type = "dense", units = "classes" }"#;

fn residual() -> Architecture {
    plan(RESIDUAL, Shape::Image { channels: 1, height: 8, width: 8 }, 3).expect("valid")
}

#[test]
fn a_layer_with_branches_has_their_sums_and_repetitions_are_folded() {
    let text = residual().summary(10, 1).to_string();
    let (table, _) = text.split_once("\nParameters:").expect("the sums follow the table");
    assert_eq!(
        table,
        "\
Layer                     Output shape  Parameters   FLOPs     Memory
─────────────────────────────────────────────────────────────────────
images                           1×8×8           0       0    2.5 KiB
stem (conv2d)                    4×8×8          40  4.61 k   10.5 KiB
stage_1 (residual, relu)         4×8×8         288  36.9 k   33.4 KiB
  conv2d (relu)                  4×8×8         144  18.4 k   11.7 KiB
  conv2d_1                       4×8×8         144  18.4 k   11.7 KiB
3 more like stage_1              4×8×8         864   111 k  100.1 KiB
down (residual)                  8×4×4         336  10.2 k   13.9 KiB
  conv2d                         8×4×4         296  9.22 k    8.5 KiB
  shortcut.conv2d                8×4×4          40  1.02 k    5.5 KiB
flatten                            128           0       0        0 B
dense                                3         387     768    4.7 KiB
─────────────────────────────────────────────────────────────────────"
    );
}

#[test]
fn the_rows_add_up_to_the_totals() {
    for (architecture, batch, slots) in [(residual(), 10, 1), (five_dense_layers(), 32, 2)] {
        let summary = architecture.summary(batch, slots);
        let images = 4 * (architecture.input().len() * batch) as u64;
        let sum = |number: fn(&SummaryRow) -> u64| summary.rows.iter().map(number).sum::<u64>();
        assert_eq!(sum(|row| row.parameters as u64), summary.parameters as u64);
        assert_eq!(sum(|row| row.flops), summary.forward_flops);
        assert_eq!(sum(|row| row.memory_bytes) + images, summary.memory_bytes());
    }
}

#[test]
fn a_summary_of_a_residual_network_fits_eighty_columns() {
    for line in residual().summary(10_000, 1).to_string().lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn inference_stores_the_values_of_one_layer_and_of_those_around_it() {
    // A convolution within a residual layer, whose input and output stay: 4 times 4·8·8.
    assert_eq!(residual().inference_values(), 4 * 256);
    // The images and the first dense layer.
    assert_eq!(five_dense_layers().inference_values(), 2 * 784);
}

#[test]
fn the_cost_of_a_huge_batch_saturates() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = "classes" }"#;
    let summary = plan(layers, row(8), 4).expect("valid").summary(usize::MAX, usize::MAX);
    assert_eq!(summary.step_flops, u64::MAX);
    assert!(summary.to_string().contains("TiB"));
}
