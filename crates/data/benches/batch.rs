//! Measures the preparation of a batch of 32 images, with and without augmentation, and the random numbers.
//!
//!     cargo bench -p kiln-data

#![expect(clippy::expect_used, reason = "a panic fails the benchmark, as intended")]

use divan::Bencher;
use divan::counter::ItemsCount;
use kiln_config::Document;
use kiln_data::{
    AugmentConfig, Batch, EpochAugmenter, ImageShape, LabeledImages, Normalize, gather_augmented,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const GRAY: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
const COLOR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const BATCH: usize = 32;

const LISTS: [(&str, &str); 7] = [
    ("gather", "[]"),
    (
        "flip, translation",
        "[{ type = 'random_flip', mode = 'horizontal' }, { type = 'random_translation', height = 2, width = 2 }]",
    ),
    (
        "crop, flip",
        "[{ type = 'random_crop', padding = 4 }, { type = 'random_flip', mode = 'horizontal' }]",
    ),
    ("rotation", "[{ type = 'random_rotation', factor = 0.05 }]"),
    ("erasing", "[{ type = 'random_erasing' }]"),
    ("mix_up", "[{ type = 'mix_up' }]"),
    ("rand_augment", "[{ type = 'rand_augment' }]"),
];

fn main() {
    divan::main();
}

#[divan::bench(args = LISTS.map(|(name, _)| name))]
fn gray(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, GRAY, name);
}

#[divan::bench(args = LISTS.map(|(name, _)| name))]
fn color(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, COLOR, name);
}

fn bench(bencher: Bencher<'_, '_>, shape: ImageShape, name: &str) {
    // More than the caches hold, as a dataset is.
    let count = if cfg!(debug_assertions) { 64 } else { 20_000 };
    let pixels: Vec<u8> = (0..=250).cycle().take(count * shape.values()).collect();
    let labels = (0..10).cycle().take(count).collect();
    let images = LabeledImages { shape, pixels: pixels.into(), labels };
    let all: Vec<u32> = (0..).take(count).collect();
    let mut row = 0;
    let list = LISTS.iter().find(|list| list.0 == name).expect("a known list").1;
    let document = Document::parse("bench.toml", &format!("augment = {list}")).expect("valid TOML");
    let config: AugmentConfig =
        document.read(|table| table.required("augment")).expect("a valid list");
    let augmenter =
        EpochAugmenter::new(&config, 1, |epoch| ChaCha8Rng::seed_from_u64(epoch as u64));
    let normalizer = Normalize::Unit.fit(&images, &[]).expect("needs no rows");
    let mut batch = Batch::new(shape);
    let mut chosen = Vec::with_capacity(BATCH);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        chosen.clear();
        // A prime step visits the rows in an order without neighbors.
        chosen.extend((0..BATCH).map(|_| {
            row = (row + 7919) % count;
            row as u32
        }));
        gather_augmented(&images, &chosen, &all, &augmenter, &normalizer, &mut batch);
    });
}

/// The alternative to the generator of the augmentation: ChaCha with 8 rounds, and a stream per image. Four numbers per
/// image, as for a flip and a translation.
#[divan::bench]
fn chacha_stream_per_image(bencher: Bencher<'_, '_>) {
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut row = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let mut sum = 0_u64;
        for _ in 0..BATCH {
            row += 1;
            generator.set_stream(row);
            generator.set_word_pos(0);
            sum = (0..4).fold(sum, |sum, _| sum ^ generator.next_u64());
        }
        sum
    });
}
