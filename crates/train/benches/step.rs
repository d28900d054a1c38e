//! Measures training steps and evaluation of networks with the layers 784-300-100-…-100-10, with both implementations,
//! and for comparison the matrix products of a step alone, computed by the gemm crate.
//!
//!     cargo bench -p kiln-train

#![expect(clippy::expect_used, reason = "a panic fails the benchmark, as intended")]

use std::fmt;

use divan::Bencher;
use gemm::Parallelism;
use kiln_data::{ImageShape, LabeledImages, Normalize};
use kiln_train::random::{Purpose, stream};
use kiln_train::{Declaration, Engine, Metrics, evaluate};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IMAGE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
const CLASSES: usize = 10;
/// The batch size and depth of `configs/fashion-mnist.toml`.
const TYPICAL: Size = Size { batch: 32, depth: 4, threads: 1 };

/// Batch size, number of hidden layers (the first has 300 units, the others 100), and threads of the fused engine.
#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    depth: usize,
    threads: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, depth, threads } = self;
        write!(formatter, "batch {batch}, depth {depth}, threads {threads}")
    }
}

fn sizes() -> impl Iterator<Item = Size> {
    [32, 128, 512]
        .into_iter()
        .flat_map(|batch| (1..=8).map(move |depth| Size { batch, depth, threads: 1 }))
}

fn main() {
    divan::main();
}

mod sgd {
    use super::*;

    #[divan::bench(args = sizes(), max_time = 1)]
    fn generic(bencher: Bencher<'_, '_>, size: Size) {
        bench_step(bencher, "generic", "{type=\"sgd\"}", size);
    }

    #[divan::bench(args = sizes(), max_time = 1)]
    fn fused(bencher: Bencher<'_, '_>, size: Size) {
        bench_step(bencher, "fused", "{type=\"sgd\"}", size);
    }

    /// The products that every step needs: the output of each layer, the gradient of its input, and the gradient of its
    /// weights, subtracted from the weights. The values do not matter.
    #[divan::bench(args = sizes(), max_time = 1)]
    fn gemm_alone(bencher: Bencher<'_, '_>, Size { batch, depth, .. }: Size) {
        let mut widths = vec![IMAGE.values(), 300];
        widths.extend(std::iter::repeat_n(100, depth - 1));
        widths.push(CLASSES);
        let filled = |count: usize| vec![1e-3_f32; count];
        let mut features: Vec<Vec<f32>> =
            widths.iter().map(|width| filled(batch * width)).collect();
        let mut slopes = features.clone();
        let mut weights: Vec<Vec<f32>> =
            widths.windows(2).map(|pair| filled(pair[0] * pair[1])).collect();
        bencher.bench_local(move || {
            for (layer, pair) in widths.windows(2).enumerate() {
                let [inputs, units] = [pair[0], pair[1]];
                let (before, after) = features.split_at_mut(layer + 1);
                let [x, w] = [&before[layer], &weights[layer]];
                multiply([batch, inputs, units], &mut after[0], (0.0, 1.0), (x, false), (w, false));
            }
            for (layer, pair) in widths.windows(2).enumerate().rev() {
                let [inputs, units] = [pair[0], pair[1]];
                let (before, after) = slopes.split_at_mut(layer + 1);
                let [x, slope] = [&features[layer], &after[0]];
                let w = &mut weights[layer];
                if layer > 0 {
                    let shape = [batch, units, inputs];
                    multiply(shape, &mut before[layer], (0.0, 1.0), (slope, false), (w, true));
                }
                multiply([inputs, batch, units], w, (1.0, -1e-6), (x, true), (slope, false));
            }
        });
    }
}

/// The typical depth with one and two threads.
mod threads {
    use super::*;

    fn sizes() -> impl Iterator<Item = Size> {
        let batches = [16, 32, 64, 128, 256, 512].into_iter();
        batches.flat_map(|batch| [1, 2].map(|threads| Size { batch, threads, ..TYPICAL }))
    }

    #[divan::bench(args = sizes(), max_time = 1)]
    fn sgd(bencher: Bencher<'_, '_>, size: Size) {
        bench_step(bencher, "fused", "{type=\"sgd\"}", size);
    }

    #[divan::bench(args = sizes(), max_time = 1)]
    fn adam(bencher: Bencher<'_, '_>, size: Size) {
        bench_step(bencher, "fused", "{type=\"adam\"}", size);
    }
}

mod optimizer {
    use super::*;

    const RULES: [&str; 8] = [
        "type=\"sgd\", momentum=0.9",
        "type=\"adam\"",
        "type=\"adamw\"",
        "type=\"rmsprop\"",
        "type=\"adagrad\"",
        "type=\"nadam\"",
        "type=\"lion\"",
        "type=\"sgd\", global_clipnorm=1.0",
    ];

    #[divan::bench(args = RULES, max_time = 1)]
    fn generic(bencher: Bencher<'_, '_>, rule: &str) {
        bench_step(bencher, "generic", &format!("{{{rule}}}"), TYPICAL);
    }

    #[divan::bench(args = RULES, max_time = 1)]
    fn fused(bencher: Bencher<'_, '_>, rule: &str) {
        bench_step(bencher, "fused", &format!("{{{rule}}}"), TYPICAL);
    }
}

mod convolutional {
    use super::*;

    /// Networks of `configs/`. `benches/peers/pytorch_networks.py` measures the same ones in PyTorch.
    const NETWORKS: [&str; 5] = [
        include_str!("../../../configs/fashion-mnist-small-cnn.toml"),
        include_str!("../../../configs/fashion-mnist-vgg.toml"),
        include_str!("../../../configs/fashion-mnist-resnet8.toml"),
        include_str!("../../../configs/fashion-mnist-resnet20.toml"),
        include_str!("../../../configs/fashion-mnist-cnn.toml"),
    ];

    struct Case {
        text: &'static str,
        image: ImageShape,
        batch: usize,
        threads: usize,
    }

    impl fmt::Display for Case {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self { text, image, batch, threads } = self;
            let name = text.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or("");
            let ImageShape { channels, height, width } = image;
            let name = name.trim_matches('"');
            write!(
                formatter,
                "{name}, {height}×{width}×{channels}, batch {batch}, threads {threads}"
            )
        }
    }

    fn cases() -> impl Iterator<Item = Case> {
        let color = ImageShape { channels: 3, height: 32, width: 32 };
        let networks = NETWORKS.into_iter().map(|text| (text, IMAGE)).chain([(NETWORKS[3], color)]);
        networks.flat_map(|(text, image)| {
            [(32, 1), (64, 1), (64, 2), (128, 1), (128, 2)].map(|(batch, threads)| Case {
                text,
                image,
                batch,
                threads,
            })
        })
    }

    /// A step with the optimizer of the configuration.
    #[divan::bench(args = cases(), max_time = 4)]
    fn fused(bencher: Bencher<'_, '_>, case: &Case) {
        let device = ["device.engine=fused".to_owned(), format!("device.threads={}", case.threads)];
        let declaration = Declaration::parse("bench.toml", case.text, &device).expect("valid");
        bench_declaration(bencher, &declaration, case.image, case.batch);
    }
}

/// Evaluates 5,000 images, the usual validation split; a test run of the benchmark evaluates 50.
#[divan::bench(args = ["generic", "fused"], max_time = 2)]
fn evaluation(bencher: Bencher<'_, '_>, implementation: &str) {
    let count = if cfg!(debug_assertions) { 50 } else { 5000 };
    let pixels: Vec<u8> = (0..=255).cycle().take(count * IMAGE.values()).collect();
    let labels = (0..10).cycle().take(count).collect();
    let images = LabeledImages { shape: IMAGE, pixels: pixels.into(), labels };
    let rows: Vec<u32> = (0..).take(count).collect();
    let normalizer = Normalize::Unit.fit(&images, &rows).expect("nothing to fit");
    let (engine, declaration) = engine(implementation, "{type=\"sgd\"}", TYPICAL);
    let metrics = || Metrics::new(&declaration.experiment, CLASSES);
    bencher.bench_local(|| evaluate(&engine, &images, &rows, &normalizer, metrics()));
}

/// The metrics of a training step: loss and accuracy alone, and with those of `training.metrics`.
#[divan::bench(args = ["", "\"macro_f1\", \"balanced_accuracy\""])]
fn metrics(bencher: Bencher<'_, '_>, listed: &str) {
    let text = format!(
        r#"name = "bench"
        data.source = "none"
        model.layers = [{{ type = "flatten" }}, {{ type = "dense", units = "classes" }}]
        optimizer.type = "sgd"
        training.metrics = [{listed}]"#
    );
    let declaration = Declaration::parse("bench.toml", &text, &[]).expect("an experiment");
    let mut metrics = Metrics::new(&declaration.experiment, CLASSES);
    let labels: Vec<u16> = (0..10).cycle().take(TYPICAL.batch).collect();
    // Different rows, of which the true class has the largest logit in some.
    let logits = (0_u8..31).cycle().take(labels.len() * CLASSES);
    let logits: Vec<f32> = logits.map(|value| f32::from(value * 7 % 31) / 8.0).collect();
    bencher.bench_local(move || metrics.add_batch(&logits, &labels));
}

fn bench_step(bencher: Bencher<'_, '_>, implementation: &str, optimizer: &str, size: Size) {
    let (_, declaration) = engine(implementation, optimizer, size);
    bench_declaration(bencher, &declaration, IMAGE, size.batch);
}

fn bench_declaration(
    bencher: Bencher<'_, '_>,
    declaration: &Declaration,
    image: ImageShape,
    batch: usize,
) {
    let mut engine = engine_of(declaration, image);
    // The values do not affect the time, as long as there are no denormal numbers.
    let pixels: Vec<f32> =
        (0_u8..=254).cycle().take(batch * image.values()).map(|x| f32::from(x) / 255.0).collect();
    let labels: Vec<u16> = (0..10).cycle().take(batch).collect();
    let mut dropout_rng = stream(42, Purpose::Dropout, 1);
    bencher.bench_local(move || engine.step(&pixels, &labels, 1e-6, &mut dropout_rng));
}

fn engine(
    implementation: &str,
    optimizer: &str,
    Size { batch, depth, threads }: Size,
) -> (Engine, Declaration) {
    let text = format!(
        r#"name = "bench"
        data = {{ source = "none" }}
        model.layers = [
            {{ type = "flatten" }},
            {{ type = "dense", units = 300, activation = "relu" }},
            {{ type = "dense", units = 100, activation = "relu", repeat = {} }},
            {{ type = "dense", units = "classes", activation = "softmax" }},
        ]
        optimizer = {optimizer}
        training.batch_size = {batch}
        device.engine = "{implementation}"
        device.threads = {threads}"#,
        depth - 1,
    );
    let declaration = Declaration::parse("bench.toml", &text, &[]).expect("a valid experiment");
    (engine_of(&declaration, IMAGE), declaration)
}

fn engine_of(declaration: &Declaration, image: ImageShape) -> Engine {
    let architecture = declaration.architecture(image, CLASSES).expect("the layers fit");
    let settings = declaration.engine_settings(&architecture).expect("every build has flex");
    let weights = architecture.initial_weights(&mut stream(42, Purpose::Weights, 0));
    Engine::new(&settings, &weights).expect("the weights fit")
}

/// out ← keep · out + scale · a·b, with a `[rows, depth]` and b `[depth, columns]`, all row-major. Each factor comes
/// with a flag that says whether its transpose is stored.
fn multiply(
    [rows, depth, columns]: [usize; 3],
    out: &mut [f32],
    (keep, scale): (f32, f32),
    (a, a_transposed): (&[f32], bool),
    (b, b_transposed): (&[f32], bool),
) {
    assert_eq!([out.len(), a.len(), b.len()], [rows * columns, rows * depth, depth * columns]);
    let strides = |transposed, rows: usize, columns: usize| {
        if transposed { (rows.cast_signed(), 1) } else { (1, columns.cast_signed()) }
    };
    let (a_columns, a_rows) = strides(a_transposed, rows, depth);
    let (b_columns, b_rows) = strides(b_transposed, depth, columns);
    #[expect(unsafe_code, reason = "gemm takes pointers")]
    // SAFETY: the assertion above ensures that the strides stay within the slices.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            1,
            columns.cast_signed(),
            keep != 0.0,
            a.as_ptr(),
            a_columns,
            a_rows,
            b.as_ptr(),
            b_columns,
            b_rows,
            keep,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
