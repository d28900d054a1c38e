//! Measures the first reading of a folder of pictures, and the next one from the cache.
//!
//!     cargo bench -p kiln-data --bench reading
//!
//! The folder has 2,000 JPEGs of 64×64 pixels; `KILN_BENCH_FOLDER=PATH` names another one, which is resized to 64×64.

#![expect(clippy::expect_used, reason = "a panic fails the benchmark, as intended")]

use std::fs;
use std::path::PathBuf;

use divan::Bencher;
use divan::counter::ItemsCount;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use kiln_data::{DataConfig, ImageSize, remove_cache};
use tempfile::TempDir;

const SIDE: u32 = 64;
const CLASSES: u32 = 10;

fn main() {
    divan::main();
}

/// The folder, and the directory for the cache.
fn folder() -> (PathBuf, TempDir) {
    let data = tempfile::tempdir().expect("a directory");
    if let Some(folder) = std::env::var_os("KILN_BENCH_FOLDER") {
        return (folder.into(), data);
    }
    let folder = data.path().join("folder");
    for class in 0..CLASSES {
        fs::create_dir_all(folder.join(class.to_string())).expect("writable");
    }
    let count = if cfg!(debug_assertions) { 20 } else { 2000 };
    for number in 0..count {
        // Smooth, like photographs, with some detail.
        let value = |x: u32, y: u32, channel: u32| {
            (x * (number % 7 + channel) + y * 2 + (x * y * number) % 23) as u8
        };
        let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
        let pixels: Vec<u8> =
            places.flat_map(|(x, y)| [0, 1, 2].map(|channel| value(x, y, channel))).collect();
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 85)
            .write_image(&pixels, SIDE, SIDE, ExtendedColorType::Rgb8)
            .expect("valid pixels");
        let name = format!("{}/{number}.jpg", number % CLASSES);
        fs::write(folder.join(name), bytes).expect("writable");
    }
    (folder, data)
}

fn config(folder: &std::path::Path) -> DataConfig {
    let size = SIDE as usize;
    DataConfig {
        image: Some(ImageSize { height: size, width: size }),
        ..DataConfig::new(folder.to_str().expect("UTF-8"))
    }
}

/// Lists, decodes and writes the cache.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn first(bencher: Bencher<'_, '_>) {
    let (folder, data) = folder();
    let config = config(&folder);
    let count = config.load(data.path()).expect("valid").images.len();
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| remove_cache(data.path()).expect("removable"))
        .bench_local_values(|_| config.load(data.path()).expect("valid"));
}

/// Lists, and finds the cache.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn again(bencher: Bencher<'_, '_>) {
    let (folder, data) = folder();
    let config = config(&folder);
    let count = config.load(data.path()).expect("valid").images.len();
    bencher
        .counter(ItemsCount::new(count))
        .bench_local(|| config.load(data.path()).expect("valid"));
}
