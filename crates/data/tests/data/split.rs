//! Splitting and shuffling rows.

use std::collections::HashMap;

use kiln_data::{
    DataConfig, DataError, Dataset, ImageShape, LabeledImages, Parts, Split, SplitError,
    SplitMethod, SplitSize, shuffle,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A dataset with these labels for training, and one test image.
fn dataset(labels: &[u16]) -> Dataset {
    Dataset {
        name: "labels".to_owned(),
        title: None,
        format: "idx",
        class_names: (0..10).map(|class| class.to_string()).collect(),
        images: LabeledImages {
            shape: ImageShape { channels: 1, height: 1, width: 1 },
            pixels: vec![0; labels.len() + 1].into(),
            labels: [labels, &[0]].concat(),
        },
        parts: Parts::new(labels.len(), 0, 1),
        file_names: None,
        info: None,
        skipped: Vec::new(),
        notes: Vec::new(),
        fingerprint: String::new(),
    }
}

fn split(
    method: SplitMethod,
    validation: SplitSize,
    labels: &[u16],
    seed: u64,
) -> Result<Split, DataError> {
    let config = DataConfig { validation, split: method, ..DataConfig::new("unused") };
    config.split(&dataset(labels), &mut generator(seed), &mut generator(!seed))
}

proptest! {
    #[test]
    fn a_split_is_disjoint_exhaustive_and_exact(
        labels in prop::collection::vec(0_u16..7, 2..300),
        part in 0.0..1.0_f64,
        seed: u64,
    ) {
        let wanted = (labels.len() as f64 * part) as usize;
        for &method in SplitMethod::ALL {
            let split_once = || split(method, SplitSize::Rows(wanted), &labels, seed).expect("fits");
            let Split { training, validation, .. } = split_once();
            prop_assert_eq!(validation.len(), wanted);
            prop_assert!(training.is_sorted() && validation.is_sorted());
            let mut all = [training, validation].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len() as u32).collect::<Vec<_>>());
            prop_assert_eq!(split_once(), split_once());
        }
    }

    #[test]
    fn a_stratified_split_is_within_one_of_proportional(
        labels in prop::collection::vec(0_u16..7, 2..300),
        part in 0.0..1.0_f64,
        seed: u64,
    ) {
        let wanted = (labels.len() as f64 * part) as usize;
        let split = split(SplitMethod::Stratified, SplitSize::Rows(wanted), &labels, seed)
            .expect("fits");
        for class in 0..7 {
            let all = labels.iter().filter(|&&label| label == class).count();
            let chosen = split.validation.iter().filter(|&&row| labels[row as usize] == class);
            let proportional = (all * wanted) as f64 / labels.len() as f64;
            prop_assert!((chosen.count() as f64 - proportional).abs() < 1.0);
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation(length in 0_u32..200, seed: u64) {
        let mut rows: Vec<u32> = (0..length).collect();
        shuffle(&mut rows, &mut generator(seed));
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..length).collect::<Vec<_>>());
    }
}

#[test]
fn head_takes_the_first_rows() {
    let split = split(SplitMethod::Head, SplitSize::Rows(3), &[0; 10], 1).expect("fits");
    assert_eq!(split.validation, [0, 1, 2]);
    assert_eq!(split.training, [3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn of_equal_remainders_the_lower_label_gets_the_row() {
    // 5 of 10 rows from classes of 5, 3 and 2 rows: exact shares 2.5, 1.5 and 1. Rounding down leaves
    // one row for two equal remainders.
    let labels = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2];
    let split = split(SplitMethod::Stratified, SplitSize::Rows(5), &labels, 1).expect("fits");
    let mut counts = [0; 3];
    for &row in &split.validation {
        counts[usize::from(labels[row as usize])] += 1;
    }
    assert_eq!(counts, [3, 1, 1]);
}

#[test]
fn a_fraction_is_rounded_to_the_nearest_row() {
    let rows = |fraction, rows| {
        let split = split(SplitMethod::Head, SplitSize::Fraction(fraction), &vec![0; rows], 1);
        split.map(|split| split.validation.len())
    };
    assert_eq!(rows(0.1, 60_000).expect("fits"), 6_000);
    assert_eq!(rows(0.29, 100).expect("fits"), 29); // 28.999999999999996 in floating point
    assert_eq!(rows(0.25, 10).expect("fits"), 3); // 2.5 is rounded up
    assert_eq!(rows(0.0, 10).expect("fits"), 0);
    assert!(matches!(rows(0.001, 10), Err(DataError::Split(SplitError::SplitTooSmall { .. }))));
    assert!(matches!(rows(0.99, 10), Err(DataError::Split(SplitError::SplitTooLarge { .. }))));
    for fraction in [-0.1, 1.0, 7.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            rows(fraction, 10),
            Err(DataError::Split(SplitError::SplitFraction { .. }))
        ));
    }
}

#[test]
fn validation_must_leave_training_rows() {
    for &method in SplitMethod::ALL {
        assert!(split(method, SplitSize::Rows(9), &[0; 10], 1).is_ok());
        assert!(split(method, SplitSize::Rows(10), &[0; 10], 1).is_err());
        assert!(split(method, SplitSize::Rows(0), &[], 1).is_err());
    }
    let error = split(SplitMethod::Head, SplitSize::Rows(70_000), &vec![0; 60_000], 1)
        .expect_err("larger than the data");
    assert_eq!(
        error.to_string(),
        "validation = 70000: 70000 images would be split from the 60000 training images; \
         leave at least one for training"
    );
}

#[test]
fn validation_and_test_must_leave_training_rows_together() {
    let config = |validation, test| DataConfig {
        validation: SplitSize::Rows(validation),
        test,
        ..DataConfig::new("unused")
    };
    let parts = Parts::new(10, 0, 0);
    let error = config(6, SplitSize::Fraction(0.4)).split_counts(&parts).expect_err("all rows");
    assert_eq!(
        error.to_string(),
        "validation = 6 and test = 0.4 take 10 images, but there are 10 training images; lower one of them, so that at \
         least one image is left for training"
    );
    assert!(config(6, SplitSize::Rows(3)).split_counts(&parts).is_ok());
}

#[test]
fn different_seeds_give_different_splits() {
    let labels: Vec<u16> = (0..100).map(|row| row % 10).collect();
    for method in [SplitMethod::Shuffled, SplitMethod::Stratified] {
        let first = split(method, SplitSize::Rows(20), &labels, 1).expect("fits");
        let second = split(method, SplitSize::Rows(20), &labels, 2).expect("fits");
        assert_ne!(first, second, "{method}");
    }
}

/// The expected order was computed by an independent program, with ChaCha8 and the bytes 0 to 31 as
/// its key. A change of the order changes the results of every run.
#[test]
fn the_order_of_a_generator_never_changes() {
    let key: [u8; 32] = std::array::from_fn(|index| index as u8);
    let mut rows: Vec<u32> = (0..12).collect();
    shuffle(&mut rows, &mut ChaCha8Rng::from_seed(key));
    assert_eq!(rows, [0, 10, 11, 8, 4, 9, 6, 1, 7, 3, 2, 5]);
}

/// Each of the 24 orders of four rows is expected 1,000 times in 24,000. Chi-squared with 23 degrees of
/// freedom exceeds 58.6 with probability 1/15,000, and not with this seed.
#[test]
fn every_order_is_equally_likely() {
    let mut counts: HashMap<Vec<u32>, u32> = HashMap::new();
    let mut generator = generator(7);
    for _ in 0..24_000 {
        let mut rows = vec![0, 1, 2, 3];
        shuffle(&mut rows, &mut generator);
        *counts.entry(rows).or_default() += 1;
    }
    assert_eq!(counts.len(), 24);
    let chi_squared: f64 =
        counts.values().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi_squared < 58.6, "{chi_squared}");
}

/// A generator that returns these numbers and then panics.
struct Fixed(Vec<u64>);

impl rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("a shuffle draws 64 bits")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.remove(0))
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
        unreachable!("a shuffle draws 64 bits")
    }
}

/// 2⁶⁴ is not a multiple of 3, so one number in 2⁶⁴ would favor the first of three rows. It is drawn
/// again.
#[test]
fn a_number_that_would_bias_the_order_is_drawn_again() {
    let mut rows = vec![0, 1, 2];
    let mut generator = Fixed(vec![0, u64::MAX, 0]);
    shuffle(&mut rows, &mut generator);
    assert_eq!(rows, [1, 0, 2], "the last row stays, the first two are swapped");
    assert!(generator.0.is_empty());
}

/// Splits a dataset with these labels and file names by the text after `group = `.
fn split_groups(
    text: &str,
    labels: &[u16],
    names: &[String],
    seed: u64,
) -> Result<Split, DataError> {
    let text = format!("source = \"unused\"\n{text}");
    let config = kiln_config::Document::parse("experiment.toml", &text)
        .and_then(|document| document.read(DataConfig::read))
        .expect("a valid table");
    let mut dataset = dataset(labels);
    dataset.file_names = Some([names, &["test.png".to_owned()]].concat());
    config.split(&dataset, &mut generator(seed), &mut generator(!seed))
}

proptest! {
    #[test]
    fn no_group_is_split(
        patients in prop::collection::vec((0_u16..4, 0_u32..40), 20..300),
        part in 0.05..0.4_f64,
        seed: u64,
    ) {
        let labels: Vec<u16> = patients.iter().map(|(label, _)| *label).collect();
        let names: Vec<String> = patients.iter().enumerate()
            .map(|(row, (label, patient))| format!("train/class{label}/p{patient}_{row}.png"))
            .collect();
        let groups: std::collections::HashSet<u32> =
            patients.iter().map(|(_, patient)| *patient).collect();
        for method in ["shuffled", "stratified"] {
            let text = format!(
                "group = '^(p\\d+)_'\nsplit = \"{method}\"\nvalidation = {part:?}\ntest = 2"
            );
            let mut dataset = dataset(&labels);
            dataset.parts = Parts::new(labels.len(), 0, 0);
            dataset.images.labels = labels.clone();
            dataset.images.pixels = vec![0; labels.len()].into();
            dataset.file_names = Some(names.clone());
            let text = format!("source = \"unused\"\n{text}");
            let config = kiln_config::Document::parse("experiment.toml", &text)
                .and_then(|document| document.read(DataConfig::read))
                .expect("a valid table");
            let once = || config.split(&dataset, &mut generator(seed), &mut generator(!seed));
            let split = match once() {
                Ok(split) => split,
                Err(error) => {
                    prop_assert!(groups.len() < 3, "{}", error);
                    continue;
                }
            };
            prop_assert_eq!(&once().expect("as before"), &split);
            let parts = [&split.training, &split.validation, &split.test];
            let patients = parts.map(|rows| {
                rows.iter().map(|row| patients[*row as usize].1)
                    .collect::<std::collections::HashSet<u32>>()
            });
            prop_assert!(parts.iter().all(|rows| !rows.is_empty() && rows.is_sorted()));
            prop_assert!(patients[0].is_disjoint(&patients[1]));
            prop_assert!(patients[0].is_disjoint(&patients[2]));
            prop_assert!(patients[1].is_disjoint(&patients[2]));
            prop_assert_eq!(parts.iter().map(|rows| rows.len()).sum::<usize>(), labels.len());
        }
    }
}

/// 200 patients with 1 to 9 images each, of one of three classes with 70, 20 and 10 percent of the patients.
fn patients() -> (Vec<u16>, Vec<String>) {
    let (mut labels, mut names) = (Vec::new(), Vec::new());
    for patient in 0..200_u32 {
        let label = match patient % 10 {
            0..7 => 0,
            7 | 8 => 1,
            _ => 2,
        };
        for image in 0..1 + patient * 7 % 9 {
            labels.push(label);
            names.push(format!("p{patient}_{image}.png"));
        }
    }
    (labels, names)
}

#[test]
fn groups_come_near_to_the_wanted_numbers() {
    let (labels, names) = patients();
    let wanted = (labels.len() as f64 * 0.2).round();
    for seed in 0..20 {
        let split = |method: &str| {
            let text = format!("group = 'p\\d+'\nsplit = \"{method}\"\nvalidation = 0.2");
            split_groups(&text, &labels, &names, seed).expect("enough groups")
        };
        // A group that would lead further away than the rest lacks is not taken.
        assert!((split("shuffled").validation.len() as f64 - wanted).abs() <= 4.0);
        let stratified = split("stratified");
        assert_ne!(stratified.validation, split("shuffled").validation);
        for class in 0..3 {
            let of = |rows: &[u32]| {
                rows.iter().filter(|row| labels[**row as usize] == class).count() as f64
            };
            let all = labels.iter().filter(|label| **label == class).count() as f64;
            assert!((of(&stratified.validation) - 0.2 * all).abs() <= 4.5, "class {class}");
        }
        assert_eq!(stratified.notes, Vec::<String>::new());
    }
}

#[test]
fn different_seeds_draw_different_groups() {
    let (labels, names) = patients();
    for method in ["shuffled", "stratified"] {
        let text = format!("group = 'p\\d+'\nsplit = \"{method}\"\nvalidation = 0.2");
        let split = |seed| split_groups(&text, &labels, &names, seed).expect("enough groups");
        assert_ne!(split(1), split(2), "{method}");
    }
}

#[test]
fn images_without_a_group_are_their_own() {
    let names: Vec<String> = (0..10)
        .map(|row| if row < 6 { format!("a_{row}.png") } else { format!("{row}.png") })
        .collect();
    let text = "group = '^(a)_'\nsplit = \"shuffled\"\nvalidation = 4";
    let split = split_groups(text, &[0; 10], &names, 3).expect("five groups");
    assert_eq!(split.validation, [6, 7, 8, 9]);
    assert_eq!(
        split.notes,
        ["4 of 10 file names have no group of data.group = \"^(a)_\"; each is a group of its own"]
    );
}

#[test]
fn a_group_with_a_slash_is_matched_against_the_path() {
    let names: Vec<String> =
        (0..12).map(|row| format!("train/cat/film{}/{row}.png", row % 3)).collect();
    let text = "group = '/(film\\d+)/'\nsplit = \"shuffled\"\nvalidation = 4";
    let split = split_groups(text, &[0; 12], &names, 3).expect("three groups");
    let films: std::collections::HashSet<u32> =
        split.validation.iter().map(|row| row % 3).collect();
    assert_eq!((split.validation.len(), films.len()), (4, 1));
    // Without a slash, only the name counts, which has no film.
    let text = "group = '(film\\d+)'\nsplit = \"shuffled\"\nvalidation = 4";
    let error = split_groups(text, &[0; 12], &names, 3).expect_err("no groups").to_string();
    assert_eq!(
        error,
        "`(film\\d+)` finds a group in none of the file names, such as train/cat/film0/0.png"
    );
}

#[test]
fn groups_larger_than_the_wanted_number_are_drawn_whole() {
    let names: Vec<String> = (0..30).map(|row| format!("{}_{row}.png", row / 10)).collect();
    let text = "group = '^\\d+'\nsplit = \"stratified\"\nvalidation = 1\ntest = 0";
    let split = split_groups(text, &[0; 30], &names, 3).expect("three groups");
    assert_eq!((split.validation.len(), split.training.len()), (10, 20));

    let names = vec!["same_1.png".to_owned(); 30];
    let text = "group = '^\\w+_'\nsplit = \"stratified\"\nvalidation = 1";
    let error = split_groups(text, &[0; 30], &names, 3).expect_err("one group").to_string();
    assert_eq!(error, "the training images have too few groups to split some for validation: 1");
}

#[test]
fn groups_need_file_names() {
    let text = "source = \"unused\"\ngroup = 'a'\nsplit = \"shuffled\"\nvalidation = 4";
    let config = kiln_config::Document::parse("experiment.toml", text)
        .and_then(|document| document.read(DataConfig::read))
        .expect("a valid table");
    let split = config.split(&dataset(&[0; 10]), &mut generator(1), &mut generator(2));
    assert!(matches!(split, Err(DataError::Split(SplitError::GroupWithoutNames))));
}
