//! The listed datasets, and the real Fashion-MNIST.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{FILES, sound, temporary, write_compressed, write_plain};
use kiln_data::{
    DATASETS, DataError, DataFile, ImageShape, Normalize, NormalizerParameters, list, load, verify,
};

fn repository_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

#[test]
fn entries_are_complete_and_distinct() {
    let names: HashSet<_> = DATASETS.iter().map(|dataset| dataset.name).collect();
    assert_eq!(names.len(), DATASETS.len());
    let sums: Vec<_> = DATASETS
        .iter()
        .flat_map(|dataset| DataFile::ALL.map(|file| dataset.sha256.of(file)))
        .collect();
    assert_eq!(sums.iter().collect::<HashSet<_>>().len(), DATASETS.len() * 4);
    for sum in sums {
        assert_eq!(sum.len(), 64);
        assert!(sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{sum}");
    }
    for dataset in DATASETS {
        assert!((2..=256).contains(&dataset.class_names.len()), "{}", dataset.name);
        assert!(!dataset.name.contains(['/', '\\', '.']), "{} is no path", dataset.name);
    }
}

/// The sums that are published or were taken from the published files with other programs.
#[test]
fn sums_are_the_published_ones() {
    let expected = [
        ("fashion-mnist", ["c59f468a", "bad3541b", "5b4141f0", "0402a96d"]),
        ("mnist", ["ba891046", "65a50cbb", "0fa7898d", "ff7bcfd4"]),
    ];
    assert_eq!(DATASETS.len(), expected.len());
    for (dataset, (name, beginnings)) in DATASETS.iter().zip(expected) {
        assert_eq!(dataset.name, name);
        for (file, beginning) in DataFile::ALL.into_iter().zip(beginnings) {
            assert!(dataset.sha256.of(file).starts_with(beginning), "{name} {file:?}");
        }
    }
}

#[test]
fn fashion_mnist_is_as_published() {
    let dataset = load("fashion-mnist", &repository_data()).expect("the repository holds it");
    assert_eq!(dataset.train.shape, ImageShape { channels: 1, height: 28, width: 28 });
    assert_eq!((dataset.train.len(), dataset.test.len()), (60_000, 10_000));
    assert_eq!(dataset.class_names.len(), 10);
    assert_eq!(dataset.class_names[usize::from(dataset.train.labels[0])], "Ankle boot");
    for (images, each) in [(&dataset.train, 6_000), (&dataset.test, 1_000)] {
        let mut counts = [0; 10];
        for &label in &images.labels {
            counts[usize::from(label)] += 1;
        }
        assert_eq!(counts, [each; 10]);
    }

    // The mean and deviation that are published for the training images, on the scale from 0 to 1:
    // 0.2860 and 0.3530.
    let rows: Vec<u32> = (0..60_000).collect();
    let normalizer = Normalize::Standardize.fit(&dataset.train, &rows).expect("there are rows");
    let NormalizerParameters::Standardize { mean, standard_deviation } = normalizer.parameters()
    else {
        panic!("standardize has one mean and one deviation");
    };
    assert!((mean / 255.0 - 0.2860).abs() < 5e-5, "{mean}");
    assert!((standard_deviation / 255.0 - 0.3530).abs() < 5e-5, "{standard_deviation}");
}

#[test]
fn another_file_than_the_published_one_is_refused() {
    let data = temporary();
    let directory = data.path().join("mnist");
    fs::create_dir(&directory).expect("writable");
    write_compressed(&directory, &sound());
    let error = load("mnist", data.path()).expect_err("not MNIST");
    assert!(matches!(error, DataError::Checksum { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("train-images-idx3-ubyte.gz"), "{message}");
    assert!(message.contains("ba891046e6505d7aadcbbe25680a0738"), "{message}");
}

#[test]
fn the_list_says_which_files_are_missing() {
    let data = temporary();
    let directory = data.path().join("mnist");
    fs::create_dir(&directory).expect("writable");
    write_compressed(&directory, &sound());
    fs::remove_file(directory.join(format!("{}.gz", FILES[1]))).expect("writable");

    let listings = list(data.path());
    assert_eq!(listings.len(), DATASETS.len());
    for listing in listings {
        assert_eq!(listing.directory, data.path().join(listing.dataset.name));
        match listing.dataset.name {
            "mnist" => assert_eq!(listing.missing, [FILES[1]]),
            _ => assert_eq!(listing.missing, FILES),
        }
    }
    let here = list(&repository_data());
    assert_eq!(here[0].dataset.name, "fashion-mnist");
    assert!(here[0].missing.is_empty());
}

#[test]
fn verifying_goes_on_behind_the_first_fault() {
    let directory = temporary();
    let source = directory.path().to_str().expect("a UTF-8 path");
    let verified = || verify(source, Path::new("unused")).expect("there is a directory");

    write_plain(directory.path(), &sound());
    let verification = verified();
    assert!(verification.is_sound());
    let first = verification.files[0].outcome.as_ref().expect("sound");
    assert_eq!((first.dimensions.as_slice(), first.bytes), ([4, 2, 3].as_slice(), 40));
    assert_eq!(first.path, directory.path().join(FILES[0]));
    assert_eq!(verification.files[0].published_sha256, None);

    let [images, labels, ..] = sound();
    fs::write(directory.path().join(FILES[0]), &images[..20]).expect("writable");
    fs::remove_file(directory.path().join(FILES[2])).expect("writable");
    let verification = verified();
    assert!(!verification.is_sound());
    assert!(verification.dataset.is_none(), "the files are not sound by themselves");
    let faults: Vec<bool> = verification.files.iter().map(|check| check.outcome.is_err()).collect();
    assert_eq!(faults, [true, false, true, false]);

    write_plain(directory.path(), &sound());
    fs::write(directory.path().join(FILES[3]), labels).expect("writable");
    let verification = verified();
    assert!(!verification.is_sound(), "four labels for two images");
    assert!(matches!(verification.dataset, Some(Err(DataError::LabelCount { .. }))));
}
