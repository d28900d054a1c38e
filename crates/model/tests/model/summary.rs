//! The summary of a model: parameters, operations and memory, worked out by hand.

use crate::common::{ARTICLE, FASHION_MNIST, parameters_of, plan, read, row};
use kiln_model::{Architecture, Shape};

fn article() -> Architecture {
    read(ARTICLE).expect("sound").architecture(FASHION_MNIST, 10).expect("sound")
}

#[test]
fn the_article_network_has_the_parameters_that_the_article_prints() {
    let article = article();
    let counts: Vec<usize> = article.layers().iter().map(parameters_of).collect();
    assert_eq!(counts, [0, 235_500, 30_100, 10_100, 10_100, 1_010]);
    assert_eq!(article.parameters(), 286_810);
    assert_eq!(article.trainable_parameters(), 286_810);
}

#[test]
fn the_article_network_costs_what_its_products_cost() {
    let summary = article().summary(32, 2);
    // 784·300 + 300·100 + 100·100 + 100·100 + 100·10 products and as many sums.
    assert_eq!(summary.forward_flops, 572_400);
    // Back: the gradients of all weights cost as much again, and those of all inputs too, but for
    // the images'. 3 × 572,400 − 2·784·300 for each of 32 images.
    assert_eq!(summary.step_flops, 39_897_600);
    assert_eq!(summary.batch_size, 32);

    assert_eq!(summary.parameter_bytes, 4 * 286_810);
    assert_eq!(summary.gradient_bytes, 4 * 286_810);
    assert_eq!(summary.optimizer_bytes, 2 * 4 * 286_810);
    // The images and the outputs of the five dense layers; flattening copies nothing.
    assert_eq!(summary.activation_bytes, 4 * 32 * (784 + 300 + 3 * 100 + 10));
    assert_eq!(article().summary(32, 0).optimizer_bytes, 0);
}

#[test]
fn what_is_not_trained_has_no_gradient() {
    let layers = r#"{ type = "batch_normalization" }, { type = "flatten" },
                    { type = "dropout", rate = 0.5 }, { type = "dense", units = "classes" }"#;
    let shape = Shape::Image { channels: 2, height: 3, width: 5 };
    let summary = plan(layers, shape, 4).expect("sound").summary(10, 1);
    // Two channels, each with γ, β, a running mean and a running variance; 30 inputs of 4 outputs.
    assert_eq!((summary.parameters, summary.trainable), (8 + 124, 4 + 124));
    assert_eq!(summary.parameter_bytes, 4 * 132);
    assert_eq!((summary.gradient_bytes, summary.optimizer_bytes), (4 * 128, 4 * 128));
    // Images, the normalised, dropout's output and mask, the scores.
    assert_eq!(summary.activation_bytes, 4 * 10 * (30 + 30 + 2 * 30 + 4));
}

#[test]
fn the_text_shows_every_layer_and_what_a_step_costs() {
    let text = article().summary(32, 0).to_string();
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
FLOPs a sample:  572,400 forward
Training step:   39,897,600 FLOPs and 2.4 MiB for a batch of 32
  of which       parameters 1.1 MiB, gradients 1.1 MiB, optimizer 0 B, activations 174.2 KiB"
    );
}

/// A batch of any size is summed up; what does not fit a number is the largest one.
#[test]
fn a_batch_beyond_counting_overflows_nothing() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = "classes" }"#;
    let summary = plan(layers, row(8), 4).expect("sound").summary(usize::MAX, usize::MAX);
    assert_eq!(summary.step_flops, u64::MAX);
    assert!(summary.to_string().contains("GiB"));
}
