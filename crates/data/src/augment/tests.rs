//! Compares the operations with NumPy, SciPy and Pillow, at fixed parameters: `tests/fixtures/augment.py`.

use std::collections::HashMap;

use serde::Deserialize;

use super::canvas::{Affine, Canvas, Fill, FillMode, Region};
use super::draws::{Draws, FirstEpoch};
use super::rand_augment::{Operation, autocontrast, equalize};
use super::random_contrast::{blend, mean};
use super::random_hue::turned;
use super::{random_brightness, random_contrast};
use crate::ImageShape;

const FIRST: FirstEpoch = FirstEpoch { key: [0; 2], since: 0 };

#[derive(Deserialize)]
struct Fixture {
    images: HashMap<String, Image>,
    cases: Vec<Case>,
    beta: Vec<Beta>,
}

#[derive(Deserialize)]
struct Image {
    shape: [usize; 3],
    pixels: Vec<f32>,
}

#[derive(Deserialize)]
struct Case {
    operation: String,
    input: String,
    arguments: Vec<f64>,
    fill_mode: String,
    fill_value: f64,
    output: Vec<f32>,
    tolerance: f32,
}

/// Quantiles of the symmetric beta distribution.
#[derive(Deserialize)]
struct Beta {
    alpha: f64,
    shares: Vec<f64>,
    quantiles: Vec<f64>,
}

fn fixture() -> Fixture {
    let text = include_str!("../../tests/fixtures/augment.json");
    serde_json::from_str(text).expect("the fixture is valid")
}

fn apply(case: &Case, image: &mut Canvas<'_>) {
    let mode = FillMode::ALL.iter().find(|mode| mode.as_str() == case.fill_mode);
    let fill = Fill { fill_mode: *mode.expect("a fill mode"), fill_value: case.fill_value };
    let argument = |index: usize| case.arguments[index];
    let whole = |index: usize| argument(index) as isize;
    let factor = case.arguments.first().map_or(0.0, |factor| *factor as f32);
    match case.operation.as_str() {
        "shift" => image.shift(whole(0), whole(1), fill),
        "rotate" => image.rotate(argument(0), fill),
        "zoom" => {
            let map = [[argument(1), 0.0], [0.0, argument(0)]];
            image.warp(Affine::around_center(map, image.shape), fill);
        }
        "crop" => {
            let (height, width) = (whole(2) as usize, whole(3) as usize);
            image.crop(Region { top: whole(0), left: whole(1), height, width }, fill);
        }
        "random_brightness" => random_brightness::add(image, argument(0)),
        "random_contrast" => random_contrast::change(image, factor),
        "shear_x" => image.shear(argument(0), 0.0),
        "shear_y" => image.shear(0.0, argument(0)),
        "posterize" => image.posterize(argument(0) as u32),
        // At a magnitude of 15 of 30, the threshold is 127.5.
        "solarize" => Operation::Solarize.apply(image, argument(0) as usize, false),
        "autocontrast" => image.planes_mut().for_each(autocontrast),
        "equalize" => image.planes_mut().for_each(equalize),
        "sharpness" => image.sharpen(factor),
        "brightness" => blend(image.pixels, 0.0, factor),
        "contrast" => {
            let mean = image.mean_luma() as f32;
            blend(image.pixels, mean, factor);
        }
        "saturation" => image.saturate(factor),
        "grayscale" => image.remove_color(),
        "hue" => image.map_colors(|color| turned(color, factor)),
        other => panic!("unknown operation {other}"),
    }
}

#[test]
fn operations_match_numpy_scipy_and_pillow() {
    let fixture = fixture();
    for case in &fixture.cases {
        let Image { shape: [channels, height, width], pixels } = &fixture.images[&case.input];
        let shape = ImageShape { channels: *channels, height: *height, width: *width };
        let (mut pixels, mut spare) = (pixels.clone(), vec![0.0; shape.values()]);
        apply(case, &mut Canvas { shape, pixels: &mut pixels, spare: &mut spare });
        assert_eq!(pixels.len(), case.output.len());
        for (place, (pixel, expected)) in pixels.iter().zip(&case.output).enumerate() {
            assert!(
                (pixel - expected).abs() <= case.tolerance,
                "{} {:?} {} {}: value {place} is {pixel}, not {expected}",
                case.operation,
                case.arguments,
                case.fill_mode,
                case.input,
            );
        }
    }
}

/// The share of draws below a quantile must be that of the distribution, within four standard errors.
#[test]
fn the_beta_distribution_has_the_quantiles_of_scipy() {
    const COUNT: u32 = 20_000;
    for Beta { alpha, shares, quantiles } in fixture().beta {
        let draw = |row| Draws::new([3, 4], FIRST, row, 0).beta(alpha);
        let values: Vec<f64> = (0..COUNT).map(draw).collect();
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "alpha = {alpha}");
        for (share, quantile) in shares.iter().zip(quantiles) {
            let below = values.iter().filter(|value| **value < quantile).count();
            let found = below as f64 / f64::from(COUNT);
            let error = (share * (1.0 - share) / f64::from(COUNT)).sqrt();
            assert!((found - share).abs() < 4.0 * error, "alpha = {alpha}: {found}, not {share}");
        }
    }
}

#[test]
fn whole_numbers_are_equally_likely() {
    let mut counts = [0_u32; 5];
    (0..50_000).for_each(|row| counts[Draws::new([1, 2], FIRST, row, 3).below(5)] += 1);
    // Four standard errors.
    assert!(counts.iter().all(|count| count.abs_diff(10_000) < 360), "{counts:?}");
}

#[test]
fn the_mean_is_that_of_the_pixels() {
    assert_eq!(mean(&[0.0, 255.0, 3.0, 2.0]), 65.0);
}

/// Of every pixel, by the definition of the fill modes.
#[test]
fn shifts_of_bytes_are_those_of_the_definition() {
    let shape = ImageShape { channels: 2, height: 3, width: 5 };
    let original: Vec<u8> = (1..=30).collect();
    for fill_mode in FillMode::ALL {
        let fill = Fill { fill_mode: *fill_mode, fill_value: 200.0 };
        for (down, right) in (-8..=8).flat_map(|down| (-8..=8).map(move |right| (down, right))) {
            let (mut pixels, mut spare) = (original.clone(), vec![0; 30]);
            Canvas { shape, pixels: &mut pixels, spare: &mut spare }.shift(down, right, fill);
            let source = |index: isize, length: isize| {
                let inside = match fill_mode {
                    FillMode::Constant => index,
                    FillMode::Nearest => index.clamp(0, length - 1),
                    FillMode::Wrap => index.rem_euclid(length),
                    // a b c c b a a b c …
                    FillMode::Reflect => (0..length)
                        .chain((0..length).rev())
                        .nth(index.rem_euclid(2 * length) as usize)
                        .expect("a period"),
                };
                (0..length).contains(&inside).then_some(inside)
            };
            for (place, pixel) in pixels.iter().enumerate() {
                let (channel, y, x) = (place / 15, place / 5 % 3, place % 5);
                let from = (source(y as isize - down, 3), source(x as isize - right, 5));
                let expected = match from {
                    (Some(y), Some(x)) => original[channel * 15 + y as usize * 5 + x as usize],
                    _ => 200,
                };
                assert_eq!(*pixel, expected, "{fill_mode} {down} {right}: {channel} {y} {x}");
            }
        }
    }
}

/// Transforms that only move pixels give the same image in bytes and in floating-point numbers.
#[test]
fn bytes_move_like_floating_point_numbers() {
    let lists = [
        ("random_flip", ""),
        ("random_flip", ", mode = 'vertical'"),
        ("random_translation", ", height = 2, width = 0.4"),
        ("random_translation", ", height = 0, width = 3, fill_mode = 'constant', fill_value = 9"),
        ("random_crop", ", padding = 3"),
        ("random_crop", ", padding = 1, fill_mode = 'reflect'"),
    ];
    let shape = ImageShape { channels: 3, height: 7, width: 6 };
    let original: Vec<u8> = (0..126).map(|value| value * 2).collect();
    for (name, keys) in lists {
        let text = format!("augment = [{{ type = '{name}'{keys} }}]");
        let document = kiln_config::Document::parse("test.toml", &text).expect("valid TOML");
        let config: super::AugmentConfig =
            document.read(|table| table.required("augment")).expect("a valid list");
        let transform = config.transforms()[0].moving(shape).expect("it only moves pixels");
        let mut different = 0;
        for row in 0..50 {
            let (mut bytes, mut spare) = (original.clone(), vec![0; 126]);
            let mut canvas = Canvas { shape, pixels: &mut bytes, spare: &mut spare };
            transform.apply_to_bytes(&mut canvas, &mut Draws::new([1, 2], FIRST, row, 0));
            let mut floats: Vec<f32> = original.iter().map(|byte| f32::from(*byte)).collect();
            let mut spare = vec![0.0; 126];
            let mut canvas = Canvas { shape, pixels: &mut floats, spare: &mut spare };
            transform.apply(&mut canvas, &mut Draws::new([1, 2], FIRST, row, 0));
            assert!(
                bytes.iter().zip(&floats).all(|(byte, float)| f32::from(*byte) == *float),
                "{text}"
            );
            different += usize::from(bytes != original);
        }
        assert!(different > 10, "{text}");
    }
}

/// A list of moves is normalized from bytes. Followed by a transform that changes nothing, it is not.
#[test]
fn batches_from_bytes_are_those_from_floating_point_numbers() {
    let shape = ImageShape { channels: 3, height: 4, width: 5 };
    let pixels: Vec<u8> = (0..4 * 60_u32).map(|value| (value * 37 % 251) as u8).collect();
    let images = crate::LabeledImages { shape, pixels: pixels.into(), labels: vec![0; 4] };
    let moves = "{ type = 'random_flip' }, { type = 'random_translation', height = 1, width = 1 }";
    let read = |list: &str| -> super::AugmentConfig {
        let text = format!("augment = [{list}]");
        let document = kiln_config::Document::parse("test.toml", &text).expect("valid TOML");
        document.read(|table| table.required("augment")).expect("a valid list")
    };
    let (bytes, floats) =
        (read(moves), read(&format!("{moves}, {{ type = 'random_brightness', factor = 0 }}")));
    for method in crate::Normalize::ALL {
        let rows = [0, 1, 2, 3];
        let normalizer = method.fit(&images, &rows).expect("fits");
        let batch = |config: &super::AugmentConfig| {
            let generator = |epoch| {
                <rand_chacha::ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(
                    epoch as u64,
                )
            };
            let augmenter = super::EpochAugmenter::new(config, 5, generator);
            let mut batch = crate::Batch::new(shape);
            super::gather_augmented(&images, &rows, &rows, &augmenter, &normalizer, &mut batch);
            batch.pixels
        };
        assert_eq!(batch(&bytes), batch(&floats), "{method}");
    }
}

#[test]
fn a_transform_that_changes_values_is_not_for_bytes() {
    let shape = ImageShape { channels: 1, height: 7, width: 6 };
    for transform in [
        "type = 'random_translation', height = 1, width = 1, fill_mode = 'constant', fill_value = 9.5",
        "type = 'random_crop', height = 5",
        "type = 'random_rotation', factor = 0.1",
        "type = 'mix_up'",
    ] {
        let text = format!("augment = [{{ {transform} }}]");
        let document = kiln_config::Document::parse("test.toml", &text).expect("valid TOML");
        let config: super::AugmentConfig =
            document.read(|table| table.required("augment")).expect("a valid list");
        assert!(config.transforms()[0].moving(shape).is_none(), "{text}");
    }
}
