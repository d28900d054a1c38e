//! Findings in datasets: for each kind of finding, a dataset that has it and one that does not.

use std::path::{Path, PathBuf};

use crate::common::{idx, temporary, write_plain};
use kiln_data::{
    Broken, DataCheck, DataConfig, Dataset, ImageShape, LabeledImages, PictureMode, Severity,
    SkippedFile, SplitMethod, SplitSize, Thoroughness, load,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const SIDE: u32 = 16;

/// An image of noise; each number is another image.
fn image(number: u64) -> Vec<u8> {
    let mut pixels = vec![0; (SIDE * SIDE) as usize];
    ChaCha8Rng::seed_from_u64(number).fill_bytes(&mut pixels);
    pixels
}

/// Images with their labels.
type Rows = Vec<(Vec<u8>, u8)>;

/// Different images with these labels.
fn rows(labels: impl IntoIterator<Item = u8>, first: u64) -> Rows {
    labels.into_iter().zip(first..).map(|(label, number)| (image(number), label)).collect()
}

/// 40 training and 20 test images of two classes, which alternate.
fn clean() -> (Rows, Rows) {
    let labels = |count: u8| (0..count).map(|row| row % 2);
    (rows(labels(40), 0), rows(labels(20), 1000))
}

fn dataset(training: &Rows, test: &Rows) -> Dataset {
    let directory = temporary();
    let images = |rows: &Rows| {
        let pixels: Vec<u8> = rows.iter().flat_map(|row| row.0.clone()).collect();
        idx(&[rows.len() as u32, SIDE, SIDE], &pixels)
    };
    let labels =
        |rows: &Rows| idx(&[rows.len() as u32], &rows.iter().map(|row| row.1).collect::<Vec<_>>());
    let files = [images(training), labels(training), images(test), labels(test)];
    write_plain(directory.path(), &files);
    load(directory.path().to_str().expect("UTF-8"), Path::new("data")).expect("a valid dataset")
}

fn check_with(config: &DataConfig, dataset: &Dataset) -> DataCheck {
    let (mut validation, mut test) = (ChaCha8Rng::seed_from_u64(1), ChaCha8Rng::seed_from_u64(2));
    let split = config.split(dataset, &mut validation, &mut test).expect("a valid split");
    dataset.check(config, &split, Thoroughness::Complete)
}

fn check((training, test): &(Rows, Rows)) -> DataCheck {
    check_with(&DataConfig::new("x"), &dataset(training, test))
}

/// The kinds and severities of all findings.
fn kinds(check: &DataCheck) -> Vec<(&'static str, Severity)> {
    check.findings.iter().map(|finding| (finding.kind, finding.severity)).collect()
}

fn head(validation: usize, split: SplitMethod) -> DataConfig {
    DataConfig { validation: SplitSize::Rows(validation), split, ..DataConfig::new("x") }
}

#[test]
fn a_clean_dataset_has_no_findings() {
    assert_eq!(kinds(&check(&clean())), []);
    let counts = check(&clean()).classes;
    assert_eq!((counts.0[0].training, counts.0[1].test, counts.0[1].total()), (20, 10, 30));
}

#[test]
fn fashion_mnist_is_clean() {
    let data: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let dataset = load("fashion-mnist", &data).expect("the repository holds it");
    let config = head(5_000, SplitMethod::Head);
    let check = check_with(&config, &dataset);
    assert_eq!(check.copies.within_splits + check.copies.in_training, 0);
    assert!(check.findings.iter().all(|finding| finding.severity == Severity::Hint));
}

#[test]
fn training_images_of_one_class_are_an_error() {
    let one = (rows([0; 20], 0), rows([0; 20], 100));
    assert_eq!(kinds(&check(&one)), [("one_class", Severity::Error)]);
}

#[test]
fn a_class_of_test_that_training_lacks_is_an_error() {
    let (training, mut test) = clean();
    test.extend(rows([2, 2], 5000));
    let found = check(&(training, test));
    assert_eq!(kinds(&found), [("class_without_training_images", Severity::Error)]);
    assert!(found.findings[0].message.contains("`2`"), "{}", found.findings[0].message);
    // One rare class of many.
    let test = rows((0..200).map(|row| if row == 7 { 2 } else { row % 2 }), 2000);
    let kind = "class_without_training_images";
    assert_eq!(kinds(&check(&(clean().0, test))), [(kind, Severity::Warning)]);
}

#[test]
fn validation_of_sorted_images_is_of_one_class() {
    let (mut training, test) = clean();
    training.sort_by_key(|row| row.1);
    let dataset = dataset(&training, &test);
    let found = check_with(&head(12, SplitMethod::Head), &dataset);
    assert_eq!(kinds(&found), [("split_of_one_class", Severity::Error)]);
    let finding = &found.findings[0];
    assert!(finding.message.contains("split = \"head\""), "{}", finding.message);
    assert!(finding.help.contains("data.split=stratified"), "{}", finding.help);
    // Few rows may be a trial.
    let few = check_with(&head(9, SplitMethod::Head), &dataset);
    assert_eq!(kinds(&few), [("split_of_one_class", Severity::Warning)]);
    assert_eq!(kinds(&check_with(&head(12, SplitMethod::Stratified), &dataset)), []);
}

#[test]
fn a_class_that_a_part_lacks_is_a_warning() {
    let (mut training, test) = clean();
    training.extend(rows([2; 20], 5000));
    let dataset = dataset(&training, &test);
    let absent = ("class_absent_from_split", Severity::Warning);
    assert_eq!(kinds(&check_with(&head(12, SplitMethod::Head), &dataset)), [absent, absent]);
    // Only test lacks it now.
    assert_eq!(kinds(&check_with(&head(12, SplitMethod::Stratified), &dataset)), [absent]);
}

#[test]
fn labels_that_begin_at_one_are_a_warning() {
    let (mut training, mut test) = clean();
    training.iter_mut().chain(&mut test).for_each(|row| row.1 += 1);
    assert_eq!(kinds(&check(&(training, test))), [("labels_from_one", Severity::Warning)]);
}

#[test]
fn a_stray_highest_label_is_a_warning() {
    let stray = |label| {
        let (mut training, test) = clean();
        training.extend(rows([label], 5000));
        check(&(training, test))
    };
    let found = stray(9).findings;
    let found: Vec<_> = found.iter().filter(|finding| finding.kind == "stray_label").collect();
    assert_eq!(found[0].examples, ["training image 40 (9)"]);
    assert_eq!(found[0].severity, Severity::Warning);
    // Without a gap, it is a rare class.
    assert!(stray(2).findings.iter().all(|finding| finding.kind != "stray_label"));
}

#[test]
fn a_class_without_images_is_a_warning() {
    let (mut training, mut test) = clean();
    training.iter_mut().chain(&mut test).for_each(|row| row.1 *= 2);
    assert_eq!(kinds(&check(&(training, test))), [("empty_class", Severity::Warning)]);
}

#[test]
fn copies_across_parts_are_counted() {
    let (training, mut test) = clean();
    test[3].0 = training[7].0.clone();
    test[5].0 = training[7].0.clone();
    let found = check(&(training, test));
    assert_eq!(
        kinds(&found),
        [("copies_across_splits", Severity::Warning), ("copies_within_split", Severity::Warning)]
    );
    assert_eq!(found.copies.in_training, 2);
    assert!(found.findings[0].message.starts_with("2 test images (10 %)"));
    assert_eq!(found.findings[0].examples, ["test image 3 (1) = training image 7 (1)"]);
}

#[test]
fn one_copy_in_thousands_is_a_hint() {
    let mut training = rows((0..2500).map(|row| (row % 2) as u8), 0);
    training[8].0 = training[6].0.clone();
    let test = rows((0..20).map(|row| row % 2), 10_000);
    assert_eq!(kinds(&check(&(training, test))), [("copies_within_split", Severity::Hint)]);
}

#[test]
fn copies_with_other_labels_are_a_warning() {
    let (mut training, test) = clean();
    training[1].0 = training[0].0.clone();
    let found = check(&(training, test));
    assert_eq!(kinds(&found), [("copies_with_other_labels", Severity::Warning)]);
    assert_eq!(found.findings[0].examples, ["training image 0 (0) = training image 1 (1)"]);
    assert_eq!((found.copies.other_labels, found.copies.within_splits), (2, 0));
}

#[test]
fn constant_images_are_a_warning() {
    let (mut training, test) = clean();
    training[5].0 = vec![255; (SIDE * SIDE) as usize];
    let found = check(&(training, test));
    assert_eq!(kinds(&found), [("constant_images", Severity::Warning)]);
    assert_eq!(found.findings[0].examples, ["training image 5 (1)"]);
}

#[test]
fn a_class_ten_times_as_large_as_another_is_a_hint() {
    let with = |count: usize| {
        let training = rows([vec![0; count], vec![1; 4]].concat(), 0);
        kinds(&check(&(training, rows([0, 1], 5000))))
    };
    assert_eq!(with(40), [("imbalance", Severity::Hint)]);
    assert_eq!(with(39), []);
}

#[test]
fn near_copies_are_a_hint() {
    let (training, mut test) = clean();
    // The same image, a little darker and with noise of one level.
    let near = training[4].0.iter().zip(image(77));
    test[2].0 = near.map(|(&pixel, noise)| pixel / 8 * 7 + noise % 2).collect();
    let found = check(&(training, test));
    assert_eq!(kinds(&found), [("near_copies", Severity::Hint)]);
    assert_eq!(found.findings[0].examples, ["training image 4 (0) ~ test image 2 (0)"]);
    assert!(found.findings[0].message.contains("1 pair of images look the same, 1 of them across"));
}

/// Arrays in color, so that what formats of pictures report can be added.
fn pictures(color: impl Fn(usize) -> bool, size: impl Fn(usize) -> u32) -> Dataset {
    let (training, test) = clean();
    let gray = dataset(&training, &test);
    let (mut pixels, plane) = (Vec::new(), (SIDE * SIDE) as usize);
    let mut info = gray.info().into_owned();
    for (row, info) in info.iter_mut().enumerate() {
        let image = gray.images.image(row);
        let tint = if color(row) { 9 } else { 0 };
        for channel in 0..3 {
            pixels.extend(image.iter().map(|pixel| pixel / 2 + channel * tint));
        }
        info.width = size(row);
        info.mode = if color(row) { PictureMode::Rgb } else { PictureMode::Gray };
    }
    let shape = ImageShape { channels: 3, ..gray.images.shape };
    assert_eq!(pixels.len(), info.len() * plane * 3);
    let images = LabeledImages { shape, pixels: pixels.into(), labels: gray.images.labels.clone() };
    Dataset { images, info: Some(info), ..gray }
}

#[test]
fn a_gray_class_among_classes_in_color_is_a_warning() {
    let check = |dataset: &Dataset| kinds(&check_with(&DataConfig::new("x"), dataset));
    // Class 1 has the odd rows.
    let found = check(&pictures(|row| row % 2 == 0, |_| 16));
    assert_eq!(found, [("color_tells_class", Severity::Warning)]);
    let found = check(&pictures(|_| true, |row| 16 + row as u32 % 2));
    assert_eq!(found, [("size_tells_class", Severity::Warning)]);
    // Sizes and colors that do not depend on the class.
    assert_eq!(check(&pictures(|row| row % 4 < 2, |row| 16 + row as u32 / 2 % 2)), []);
    assert_eq!(check(&pictures(|_| true, |row| 16 + row as u32)), []);
}

/// The name of an image says which patient it is of: one of 30, whose images 0 to 29 are for training and 30 to 59 for
/// testing.
#[test]
fn groups_of_the_source_that_are_on_both_sides_are_a_warning() {
    let (training, test) = clean();
    let mut dataset = dataset(&training, &test);
    let names =
        |patient: fn(u32) -> u32| (0..60).map(move |row| format!("x/p{}_{row}.png", patient(row)));
    let config =
        DataConfig { group: Some(r"^(p\d+)_".parse().expect("valid")), ..DataConfig::new("x") };
    // The test images are rows 40 to 59.
    dataset.file_names = Some(names(|row| row / 5).collect());
    assert_eq!(kinds(&check_with(&config, &dataset)), []);
    // Patients 0, 1 and 2, and one of the other images of each.
    dataset.file_names = Some(names(|row| if row < 57 { row } else { row - 57 }).collect());
    let found = check_with(&config, &dataset);
    assert_eq!(kinds(&found), [("groups_across_splits", Severity::Warning)]);
    assert_eq!((found.findings[0].count, found.findings[0].examples.len()), (3, 3));
    assert_eq!(found.findings[0].examples[0], "x/p0_57.png, x/p0_0.png");
    let message = &found.findings[0].message;
    assert!(message.starts_with("3 test images of 3 groups of data.group"), "{message}");
    // Without the key, names say nothing.
    assert_eq!(kinds(&check_with(&DataConfig::new("x"), &dataset)), []);
}

#[test]
fn skipped_files_are_reported() {
    let (training, test) = clean();
    let mut dataset = dataset(&training, &test);
    let reason = "the file is cut off".to_owned();
    dataset.skipped.push(SkippedFile { path: "a/b.jpg".into(), reason });
    let kinds_with = |broken| {
        let found = check_with(&DataConfig { broken, ..DataConfig::new("x") }, &dataset);
        assert_eq!(found.findings[0].examples, ["a/b.jpg: the file is cut off"]);
        kinds(&found)
    };
    assert_eq!(kinds_with(Broken::Error), [("unreadable_images", Severity::Error)]);
    assert_eq!(kinds_with(Broken::Skip), [("unreadable_images", Severity::Warning)]);
}
