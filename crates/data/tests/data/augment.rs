//! Augmentation through its public interface: the tables, the batches, and the distribution of what is drawn.

use kiln_config::Document;
use kiln_data::{
    AugmentConfig, Augmentation, Batch, EpochAugmenter, ImageShape, LabeledImages, Normalize,
    Normalizer, gather, gather_augmented,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const GRAY: ImageShape = ImageShape { channels: 1, height: 9, width: 7 };
const COLOR: ImageShape = ImageShape { channels: 3, height: 8, width: 10 };

/// Each transform with keys that make it change most images, and its explicit form.
const EVERY: &[(&str, &str)] = &[
    ("type = 'random_flip'", "type = \"random_flip\"\nmode = \"horizontal_and_vertical\"\n"),
    (
        "type = 'random_translation'\nheight = 3\nwidth = 0.2",
        "type = \"random_translation\"\nheight = 3\nwidth = 0.2\nfill_mode = \"reflect\"\nfill_value = 0.0\n",
    ),
    (
        "type = 'random_crop'\npadding = 2",
        "type = \"random_crop\"\npadding = 2\nfill_mode = \"constant\"\nfill_value = 0.0\n",
    ),
    (
        "type = 'random_resized_crop'",
        "type = \"random_resized_crop\"\nscale = [0.08, 1.0]\nratio = [0.75, 1.3333333333333333]\n",
    ),
    (
        "type = 'random_rotation'\nfactor = 0.1",
        "type = \"random_rotation\"\nfactor = 0.1\nfill_mode = \"reflect\"\nfill_value = 0.0\n",
    ),
    (
        "type = 'random_zoom'\nheight_factor = [-0.3, -0.2]\nfill_mode = 'wrap'",
        "type = \"random_zoom\"\nheight_factor = [-0.3, -0.2]\nfill_mode = \"wrap\"\nfill_value = 0.0\n",
    ),
    ("type = 'random_brightness'\nfactor = 0.2", "type = \"random_brightness\"\nfactor = 0.2\n"),
    (
        "type = 'random_contrast'\nfactor = [0.1, 0.4]",
        "type = \"random_contrast\"\nfactor = [0.1, 0.4]\n",
    ),
    ("type = 'random_saturation'\nfactor = 0.5", "type = \"random_saturation\"\nfactor = 0.5\n"),
    ("type = 'random_hue'\nfactor = 0.1", "type = \"random_hue\"\nfactor = 0.1\n"),
    (
        "type = 'random_grayscale'\nprobability = 1",
        "type = \"random_grayscale\"\nprobability = 1.0\n",
    ),
    (
        "type = 'random_erasing'\nprobability = 1",
        "type = \"random_erasing\"\nprobability = 1.0\nscale = [0.02, 0.33]\nratio = [0.3, 3.3]\nvalue = 0.0\n",
    ),
    ("type = 'rand_augment'", "type = \"rand_augment\"\nnum_ops = 2\nmagnitude = 9\n"),
    ("type = 'mix_up'", "type = \"mix_up\"\nalpha = 0.2\n"),
    ("type = 'cut_mix'", "type = \"cut_mix\"\nalpha = 1.0\n"),
];

fn read(text: &str) -> Result<AugmentConfig, String> {
    let document = Document::parse("augment.toml", text).expect("valid TOML");
    document.read(|table| table.required("augment")).map_err(|error| error.to_string())
}

fn config(tables: &[&str]) -> AugmentConfig {
    let tables = tables.iter().map(|table| format!("[[augment]]\n{table}\n"));
    read(&tables.collect::<String>()).expect("valid tables")
}

/// Images with different pixels; the label is the row.
fn images(shape: ImageShape, count: usize) -> LabeledImages {
    let values = (0..count * shape.values()).map(|index| (index * 151 % 256) as u8);
    LabeledImages {
        shape,
        pixels: values.collect::<Vec<u8>>().into(),
        labels: (0..count).map(|row| row as u16).collect(),
    }
}

fn unchanged() -> Normalizer {
    Normalize::None.fit(&images(GRAY, 1), &[]).expect("needs no rows")
}

/// The random numbers of an epoch.
fn generator(epoch: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(epoch as u64)
}

fn augmented(config: &AugmentConfig, images: &LabeledImages, rows: &[u32], epoch: usize) -> Batch {
    let augmenter = EpochAugmenter::new(config, epoch, generator);
    let candidates: Vec<u32> = (0..images.len() as u32).collect();
    let mut batch = Batch::new(images.shape);
    gather_augmented(images, rows, &candidates, &augmenter, &unchanged(), &mut batch);
    batch
}

#[test]
fn every_transform_is_tested() {
    let tested: Vec<&str> =
        EVERY.iter().map(|(text, _)| config(&[text]).transforms()[0].keyword()).collect();
    assert_eq!(tested, Augmentation::KEYWORDS);
}

#[test]
fn tables_are_written_with_every_value_and_read_back() {
    for (text, expected) in EVERY {
        let read_once = config(&[text]);
        let written = toml::to_string(&read_once.transforms()[0]).expect("can be written");
        assert_eq!(written, *expected);
        assert_eq!(config(&[&written]), read_once);
    }
}

#[test]
fn invalid_tables_are_errors_at_their_place() {
    for (table, message) in [
        ("", "the key `type` is missing"),
        ("type = 'random_flop'", "unknown augmentation \"random_flop\""),
        ("type = 'random_flip'\nmode = 'diagonal'", "unknown flip mode \"diagonal\""),
        ("type = 'random_flip'\nprobability = 0.5", "unknown key `probability`"),
        ("type = 'random_translation'\nheight = 2", "the key `width` is missing"),
        (
            "type = 'random_translation'\nheight = 1.5\nwidth = 1",
            "expected a number of pixels, or a fraction",
        ),
        (
            "type = 'random_translation'\nheight = -1\nwidth = 1",
            "expected a whole number, 0 or more",
        ),
        ("type = 'random_crop'\nheight = 0", "expected a whole number, 1 or more"),
        (
            "type = 'random_rotation'\nfactor = 2",
            "expected a number up to 1.0, or a list [low, high] from -1.0 to 1.0",
        ),
        ("type = 'random_rotation'\nfactor = [0.2, 0.1]", "expected a list [low, high]"),
        (
            "type = 'random_rotation'\nfactor = 0.1\nfill_value = 300",
            "expected a pixel's value, from 0 to 255",
        ),
        ("type = 'random_zoom'\nheight_factor = [-1, 0]", "from -0.99 to 10.0"),
        ("type = 'random_contrast'\nfactor = 1.5", "expected a number from 0 to 1"),
        (
            "type = 'random_erasing'\nscale = [0, 0.5]",
            "expected a list [low, high] of numbers above 0, up to 1.0",
        ),
        ("type = 'random_erasing'\nvalue = 'noise'", "or \"random\""),
        ("type = 'random_grayscale'\nprobability = 2", "expected a probability, from 0 to 1"),
        ("type = 'rand_augment'\nmagnitude = 31", "expected a whole number from 0 to 30"),
        ("type = 'mix_up'\nalpha = 0", "expected a number above 0"),
    ] {
        let error = read(&format!("[[augment]]\n{table}\n")).expect_err("invalid");
        assert!(error.contains(message), "{table}: {error}");
        assert!(error.contains("augment.toml:"), "{table}: {error}");
    }
    let error = read("augment = [{ type = 'mix_up' }, { type = 'cut_mix' }]").expect_err("invalid");
    assert!(
        error.contains("cut_mix after mix_up: an image can have two labels, not more"),
        "{error}"
    );
}

#[test]
fn help_names_valid_values() {
    for (text, help) in [
        ("augment = 'flip'", "write [{ type = \"random_flip\" }]"),
        ("augment = 'cutmix'", "write [{ type = \"cut_mix\" }]"),
        ("augment = 'something'", "write [{ type = \"random_flip\" }]"),
        ("augment = ['random_hue']", "write { type = \"random_hue\" }"),
        ("augment = [{ type = 'rotation' }]", "did you mean \"random_rotation\"?"),
    ] {
        let error = read(text).expect_err("invalid");
        assert!(error.contains(help), "{error}");
    }
    let change = kiln_config::Override::parse("augment=flip").expect("an override");
    let mut document = Document::parse("a.toml", "").expect("valid TOML");
    document.apply(&change, &["augment".to_owned()]).expect("a known key");
    let read = document.read(|table| table.required::<AugmentConfig>("augment"));
    let error = read.expect_err("invalid").to_string();
    assert!(error.contains("write 'augment=[{ type = \"random_flip\" }]'"), "{error}");
}

#[test]
fn transforms_that_do_not_fit_the_images_are_errors() {
    for (table, shape, message) in [
        ("type = 'random_hue'\nfactor = 0.1", GRAY, "random_hue: the images are gray"),
        (
            "type = 'random_saturation'\nfactor = 0.1",
            GRAY,
            "random_saturation: the images are gray",
        ),
        ("type = 'random_grayscale'", GRAY, "random_grayscale: the images are gray"),
        (
            "type = 'random_crop'\nheight = 10",
            GRAY,
            "random_crop: a crop of 10×7 is larger than the images of 9×7",
        ),
        (
            "type = 'random_crop'",
            COLOR,
            "random_crop: a crop of 8×10 without padding changes nothing",
        ),
        ("type = 'random_crop'\npadding = 8", COLOR, "random_crop: with padding = 8"),
        (
            "type = 'random_translation'\nheight = 9\nwidth = 0",
            GRAY,
            "random_translation: height moves",
        ),
    ] {
        let list = config(&["type = 'random_flip'", table]);
        let (index, error) = list.check(shape).expect_err("does not fit");
        assert_eq!(index, 1);
        assert!(error.starts_with(message), "{error}");
    }
    EVERY.iter().for_each(|(text, _)| config(&[text]).check(COLOR).expect("it fits"));
}

#[test]
fn without_transforms_a_batch_is_the_same_as_without_augmentation() {
    let images = images(COLOR, 5);
    let normalizer = Normalize::Standardize.fit(&images, &[0, 1, 2]).expect("there are rows");
    let mut plain = Batch::new(COLOR);
    gather(&images, &[3, 1], &normalizer, &mut plain);
    let config = AugmentConfig::default();
    let augmenter = EpochAugmenter::new(&config, 1, generator);
    let mut batch = Batch::new(COLOR);
    gather_augmented(&images, &[3, 1], &[], &augmenter, &normalizer, &mut batch);
    assert_eq!(batch, plain);
}

/// Normalizing the transformed values must be the same as normalizing the bytes, up to rounding.
#[test]
fn every_normalization_is_applied_after_the_transforms() {
    let images = images(GRAY, 4);
    // Never flips anything else than whole pixels, and a factor of 0 changes nothing.
    let config = config(&["type = 'random_brightness'\nfactor = 0"]);
    for method in
        [Normalize::Unit, Normalize::None, Normalize::Standardize, Normalize::StandardizePerPixel]
    {
        let normalizer = method.fit(&images, &[0, 1, 2, 3]).expect("there are rows");
        let augmenter = EpochAugmenter::new(&config, 1, generator);
        let (mut plain, mut batch) = (Batch::new(GRAY), Batch::new(GRAY));
        gather(&images, &[2, 0], &normalizer, &mut plain);
        gather_augmented(&images, &[2, 0], &[], &augmenter, &normalizer, &mut batch);
        for (pixel, expected) in batch.pixels.iter().zip(&plain.pixels) {
            assert!((pixel - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{method:?}");
        }
    }
}

/// Two epochs in a row show an image and its mirror image, four epochs all four forms.
#[test]
fn alternating_flips_show_every_form_equally_often() {
    let images = images(GRAY, 60);
    let rows: Vec<u32> = (0..60).collect();
    let values = GRAY.values();
    for (mode, forms) in [("horizontal", 2), ("vertical", 2), ("horizontal_and_vertical", 4)] {
        let text = format!("type = 'random_flip'\nmode = '{mode}'\nalternate = true");
        let config = config(&[&text]);
        let epochs: Vec<Vec<f32>> =
            (1..=8).map(|epoch| augmented(&config, &images, &rows, epoch).pixels).collect();
        for row in 0..60 {
            let seen = |epoch: usize| &epochs[epoch][row * values..][..values];
            for epoch in 0..8 - forms {
                assert_eq!(seen(epoch), seen(epoch + forms), "{mode}: the forms come in turns");
                let different = (1..forms).all(|later| seen(epoch) != seen(epoch + later));
                assert!(different, "{mode}: a form comes twice, row {row}");
            }
        }
        // The first epoch is random.
        let first = augmented(&config, &images, &rows, 1).pixels;
        let plain: Vec<f32> = images.pixels.iter().map(|pixel| f32::from(*pixel)).collect();
        let unchanged = (0..60)
            .filter(|row| first[row * values..][..values] == plain[row * values..][..values]);
        let (unchanged, expected) = (unchanged.count(), 60 / forms);
        assert!(unchanged.abs_diff(expected) < 16, "{mode}: {unchanged} of 60 are not mirrored");
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let images = images(COLOR, 12);
    for (text, _) in EVERY {
        let config = config(&["type = 'random_flip'", text]);
        let all: Vec<u32> = (0..12).rev().collect();
        let together = augmented(&config, &images, &all, 1);
        for (place, row) in all.iter().enumerate() {
            let alone = augmented(&config, &images, &[*row], 1);
            let values = COLOR.values();
            assert_eq!(together.pixels[place * values..][..values], alone.pixels, "{text}");
            assert_eq!(together.mix.get(place), alone.mix.first(), "{text}");
            assert_eq!(together.labels[place], *row as u16);
        }
    }
}

#[test]
fn epochs_and_rows_and_entries_draw_different_numbers() {
    let mut images = images(COLOR, 1);
    // The same image in every row.
    images.pixels = images.image(0).repeat(24).into();
    images.labels = vec![0; 24];
    let rows: Vec<u32> = (0..24).collect();
    for (text, _) in
        EVERY.iter().filter(|(text, _)| !text.contains("grayscale") && !text.contains("mix"))
    {
        let list = config(&[text]);
        let first = augmented(&list, &images, &rows, 1);
        assert_ne!(first.pixels, augmented(&list, &images, &rows, 2).pixels, "{text}");
        assert_eq!(first.pixels, augmented(&list, &images, &rows, 1).pixels, "{text}");
        let mut distinct: Vec<Vec<u32>> = first
            .pixels
            .chunks_exact(COLOR.values())
            .map(|image| image.iter().map(|pixel| pixel.to_bits()).collect())
            .collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 2, "{text}: {}", distinct.len());
        // Twice the same entry: the second draws its own numbers, so it does not repeat the first.
        let twice = augmented(&config(&[text, text]), &images, &rows, 1);
        assert_ne!(first.pixels, twice.pixels, "{text}");
    }
}

#[test]
fn half_of_the_images_are_flipped_in_each_direction() {
    const COUNT: usize = 4000;
    let mut images = images(GRAY, 1);
    let original: Vec<f32> = images.image(0).iter().map(|byte| f32::from(*byte)).collect();
    images.pixels = images.image(0).repeat(COUNT).into();
    images.labels = vec![0; COUNT];
    let rows: Vec<u32> = (0..COUNT as u32).collect();
    let flipped = |horizontally: bool, vertically: bool| -> Vec<f32> {
        let mut rows: Vec<Vec<f32>> = original.chunks(GRAY.width).map(<[f32]>::to_vec).collect();
        if horizontally {
            rows.iter_mut().for_each(|row| row.reverse());
        }
        if vertically {
            rows.reverse();
        }
        rows.concat()
    };
    for (mode, kinds) in [
        ("horizontal", vec![(false, false), (true, false)]),
        ("vertical", vec![(false, false), (false, true)]),
        (
            "horizontal_and_vertical",
            vec![(false, false), (true, false), (false, true), (true, true)],
        ),
    ] {
        let list = config(&[&format!("type = 'random_flip'\nmode = '{mode}'")]);
        let batch = augmented(&list, &images, &rows, 3);
        let mut counts = vec![0; kinds.len()];
        for image in batch.pixels.chunks_exact(GRAY.values()) {
            let kind = kinds.iter().position(|(h, v)| flipped(*h, *v) == image);
            counts[kind.expect("one of the kinds")] += 1;
        }
        for count in counts {
            let expected = COUNT / kinds.len();
            // More than four standard errors.
            assert!(usize::abs_diff(count, expected) < 130, "{mode}: {count} of {COUNT}");
        }
    }
}

/// All distances of a translation are equally likely: a single bright pixel shows the distance.
#[test]
fn translations_reach_all_distances_equally_often() {
    const COUNT: usize = 15_000;
    let shape = ImageShape { channels: 1, height: 9, width: 9 };
    let mut pixels = vec![0_u8; shape.values()];
    pixels[4 * 9 + 4] = 255;
    let images =
        LabeledImages { shape, pixels: pixels.repeat(COUNT).into(), labels: vec![0; COUNT] };
    let rows: Vec<u32> = (0..COUNT as u32).collect();
    let list =
        config(&["type = 'random_translation'\nheight = 1\nwidth = 2\nfill_mode = 'constant'"]);
    let batch = augmented(&list, &images, &rows, 5);
    let mut counts = [[0_usize; 5]; 3];
    for image in batch.pixels.chunks_exact(81) {
        let place = image.iter().position(|pixel| *pixel == 255.0).expect("it is still visible");
        counts[place / 9 - 3][place % 9 - 2] += 1;
    }
    // More than four standard errors of 15,000 draws with probability 1/15.
    assert!(counts.iter().flatten().all(|count| count.abs_diff(1000) < 130), "{counts:?}");
}

/// Images of one value each: the pixels of a mixed image tell how much of which image it shows.
fn flat_images() -> LabeledImages {
    let shape = ImageShape { channels: 1, height: 6, width: 10 };
    let pixels: Vec<u8> = (0..200).flat_map(|row| vec![row as u8; shape.values()]).collect();
    LabeledImages { shape, pixels: pixels.into(), labels: (0..200).collect() }
}

#[test]
fn mix_up_weighs_the_labels_as_the_pixels() {
    let images = flat_images();
    let rows: Vec<u32> = (0..200).collect();
    let batch = augmented(&config(&["type = 'mix_up'\nalpha = 1"]), &images, &rows, 1);
    assert_eq!(batch.mix.len(), 200);
    let mut mean = 0.0;
    for ((image, label), mix) in batch.pixels.chunks_exact(60).zip(&batch.labels).zip(&batch.mix) {
        let expected = f32::from(*label) * (1.0 - mix.weight) + f32::from(mix.label) * mix.weight;
        assert!(image.iter().all(|pixel| (pixel - expected).abs() < 1e-3));
        mean += f64::from(mix.weight) / 200.0;
    }
    // Uniform weights: a mean of 1/2, within four standard errors.
    assert!((mean - 0.5).abs() < 0.09, "{mean}");
}

#[test]
fn cut_mix_weighs_the_labels_by_the_area_that_was_pasted() {
    let images = flat_images();
    let rows: Vec<u32> = (0..200).collect();
    let batch = augmented(&config(&["type = 'cut_mix'"]), &images, &rows, 1);
    for ((image, label), mix) in batch.pixels.chunks_exact(60).zip(&batch.labels).zip(&batch.mix) {
        let pasted = image.iter().filter(|pixel| **pixel == f32::from(mix.label)).count();
        let kept = image.iter().filter(|pixel| **pixel == f32::from(*label)).count();
        if mix.label == *label {
            continue;
        }
        assert_eq!(pasted + kept, 60);
        assert_eq!(mix.weight, (pasted as f64 / 60.0) as f32);
    }
    let partners: std::collections::HashSet<u16> = batch.mix.iter().map(|mix| mix.label).collect();
    // 200 draws of 200 rows: about 126 different ones.
    assert!((100..150).contains(&partners.len()), "{}", partners.len());
}

/// The other image is transformed by the entries before the mixing one, with the same draws as when it is the first image in this epoch.
#[test]
fn the_other_image_is_transformed_too() {
    let images = images(COLOR, 6);
    let rows: Vec<u32> = (0..6).collect();
    let crop = "type = 'random_crop'\npadding = 3";
    let first = augmented(&config(&[crop]), &images, &rows, 9);
    let mixed = augmented(&config(&[crop, "type = 'mix_up'\nalpha = 1"]), &images, &rows, 9);
    let values = COLOR.values();
    for (place, mix) in mixed.mix.iter().enumerate() {
        let own = &first.pixels[place * values..][..values];
        let other = &first.pixels[usize::from(mix.label) * values..][..values];
        for ((pixel, own), other) in mixed.pixels[place * values..].iter().zip(own).zip(other) {
            let expected = own * (1.0 - mix.weight) + other * mix.weight;
            assert!((pixel - expected).abs() < 1e-3);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// No list panics or leaves the range of pixels, whatever the shape.
    #[test]
    fn values_stay_in_range(
        (channels, height, width) in (prop_oneof![Just(1_usize), Just(3)], 1_usize..12, 1_usize..12),
        chosen in proptest::collection::vec(0..EVERY.len(), 1..5),
        epoch in any::<usize>(),
    ) {
        let shape = ImageShape { channels, height, width };
        let mut tables: Vec<&str> = Vec::new();
        for index in chosen {
            let (table, _) = EVERY[index];
            let is_second_mix = table.contains("mix") && tables.iter().any(|other| other.contains("mix"));
            if !is_second_mix && config(&[table]).check(shape).is_ok() {
                tables.push(table);
            }
        }
        let images = images(shape, 6);
        let batch = augmented(&config_or_none(&tables), &images, &[5, 0, 3], epoch);
        prop_assert_eq!(batch.pixels.len(), 3 * shape.values());
        // Interpolation may round up to the next f32 after 255.
        prop_assert!(batch.pixels.iter().all(|pixel| (-1e-3..=255.001).contains(pixel)));
        prop_assert!(batch.mix.iter().all(|mix| (0.0..=1.0).contains(&mix.weight)));
    }
}

fn config_or_none(tables: &[&str]) -> AugmentConfig {
    if tables.is_empty() { AugmentConfig::default() } else { config(tables) }
}
