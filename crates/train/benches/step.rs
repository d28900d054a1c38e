//! One training step of the article's network, 784-300-100-100-100-10, on a batch of 32.
//!
//!     cargo bench -p kiln-train

use divan::Bencher;
use kiln_data::ImageShape;
use kiln_train::random::{Purpose, stream};
use kiln_train::{Backend, Declaration, Engine, EngineSettings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 32;

const ARTICLE: &str = include_str!("../../../configs/fashion-mnist.toml");

fn main() {
    divan::main();
}

#[divan::bench(args = ["sgd", "adam"])]
fn training_step(bencher: Bencher<'_, '_>, optimizer: &str) {
    let optimizer = format!("optimizer={{type=\"{optimizer}\"}}");
    let declaration = Declaration::parse("fashion-mnist.toml", ARTICLE, &[optimizer])
        .unwrap_or_else(|error| panic!("{error}"));
    let image = ImageShape { channels: 1, height: 28, width: 28 };
    let settings = EngineSettings {
        architecture: declaration.architecture(image, 10).expect("the layers fit"),
        optimizer: declaration.experiment.optimizer,
        loss: declaration.experiment.loss,
    };
    let weights = settings.architecture.initial_weights(&mut stream(42, Purpose::Weights, 0));
    let device = Backend::Flex.device().expect("flex is always there");
    let mut engine = Engine::new(&settings, &weights, &device).expect("the weights fit");

    // The values do not matter to the time, as long as nothing becomes a denormal.
    let pixels: Vec<f32> = (0..BATCH * 784).map(|pixel| (pixel % 255) as f32 / 255.0).collect();
    let labels: Vec<u8> = (0..BATCH).map(|row| (row % 10) as u8).collect();
    let mut masks = stream(42, Purpose::Dropout, 1);
    bencher.bench_local(move || engine.step(&pixels, &labels, 1e-6, &mut masks));
}
