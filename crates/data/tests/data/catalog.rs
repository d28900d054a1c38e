//! The listed datasets, and the Fashion-MNIST files in the repository.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{FILES, temporary, test, train, valid_files, write_compressed, write_plain};
use kiln_data::{
    DATASETS, DataError, DataFile, FileSum, IdxError, ImageShape, Normalize, Normalizer,
    NormalizerParameters, list, load, verify,
};

fn repository_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

#[test]
fn entries_are_complete_and_distinct() {
    let names: HashSet<_> = DATASETS.iter().map(|dataset| dataset.name).collect();
    assert_eq!(names.len(), DATASETS.len());
    let contents = DATASETS.iter().filter_map(|dataset| dataset.sha256.as_ref());
    let contents = contents.flat_map(|sums| DataFile::ALL.map(|file| sums.of(file)));
    let downloads: Vec<_> = DATASETS.iter().flat_map(|dataset| dataset.downloads).collect();
    let mut sums: Vec<(&str, usize)> = contents.map(|sum| (sum, 64)).collect();
    sums.extend(downloads.iter().map(|download| match download.checksum {
        FileSum::Sha256(sum) => (sum, 64),
        FileSum::Md5(sum) => (sum, 32),
    }));
    // The six variants of EMNIST are in one archive.
    assert_eq!(sums.iter().collect::<HashSet<_>>().len(), sums.len() - 5);
    for (sum, length) in sums {
        assert_eq!(sum.len(), length);
        assert!(sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{sum}");
    }
    for dataset in DATASETS {
        assert!((2..=256).contains(&dataset.class_names.len()), "{}", dataset.name);
        assert!(!dataset.name.contains(['/', '\\', '.']), "{} is not a path", dataset.name);
        let classes: HashSet<_> = dataset.class_names.iter().collect();
        assert_eq!(classes.len(), dataset.class_names.len(), "{}", dataset.name);
        assert!(!dataset.mirrors.is_empty() && !dataset.downloads.is_empty(), "{}", dataset.name);
        assert!(dataset.mirrors.iter().all(|mirror| mirror.ends_with('/')), "{}", dataset.name);
        assert!(dataset.training_examples > 0 && dataset.test_examples > 0, "{}", dataset.name);
    }
}

/// The expected checksums are published, or were computed from the published files by other programs.
#[test]
fn checksums_are_the_published_ones() {
    let expected = [
        ("fashion-mnist", ["c59f468a", "bad3541b", "5b4141f0", "0402a96d"]),
        ("mnist", ["ba891046", "65a50cbb", "0fa7898d", "ff7bcfd4"]),
    ];
    let known =
        DATASETS.iter().filter_map(|dataset| Some((dataset.name, dataset.sha256.as_ref()?)));
    let known: Vec<_> = known.collect();
    assert_eq!(known.len(), expected.len());
    for ((listed, sums), (name, beginnings)) in known.into_iter().zip(expected) {
        assert_eq!(listed, name);
        for (file, beginning) in DataFile::ALL.into_iter().zip(beginnings) {
            assert!(sums.of(file).starts_with(beginning), "{name} {file:?}");
        }
    }
}

/// Loading checks the checksums. The other expected numbers were read from the files with NumPy.
#[test]
fn fashion_mnist_is_loaded() {
    let dataset = load("fashion-mnist", &repository_data()).expect("the repository holds it");
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    assert_eq!((train(&dataset).shape, test(&dataset).shape), (shape, shape));
    assert_eq!((train(&dataset).len(), test(&dataset).len()), (60_000, 10_000));
    assert_eq!(train(&dataset).labels[..10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    assert_eq!(test(&dataset).labels[..10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
    assert_eq!(dataset.class_names.len(), 10);
    assert_eq!(dataset.class_names[9], "Ankle boot");
    for (images, each) in [(&train(&dataset), 6_000), (&test(&dataset), 1_000)] {
        let mut counts = [0; 10];
        for &label in &images.labels {
            counts[usize::from(label)] += 1;
        }
        assert_eq!(counts, [each; 10]);
    }
    let sum = |pixels: &[u8]| pixels.iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
    assert_eq!(
        (sum(&train(&dataset).pixels), sum(&test(&dataset).pixels)),
        (3_431_114_169, 573_469_082)
    );
    assert_eq!(train(&dataset).image(0)[14 * 28 + 12..][..4], [237, 226, 217, 223]);
    assert_eq!(
        (sum(train(&dataset).image(59_999)), sum(test(&dataset).image(9_999))),
        (16_684, 24_390)
    );
}

/// The first 5,000 rows are for validation, as in `configs/`. The expected numbers are NumPy's:
/// `mean()` and `std()` of `images[5000:].astype('float64')`, with `axis=0` for single pixels. NumPy
/// rounds after every addition; Kiln's sums are exact.
#[test]
fn normalization_of_fashion_mnist_agrees_with_numpy() {
    let dataset = load("fashion-mnist", &repository_data()).expect("the repository holds it");
    let rows: Vec<u32> = (5_000..60_000).collect();
    let fit = |method: Normalize| method.fit(&train(&dataset), &rows).expect("there are rows");
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() <= 1e-10 * expected.abs(), "{found}, expected {expected}");
    };
    let first = |normalizer: &Normalizer, pixel: usize| {
        let mut numbers = vec![0.0; 784];
        normalizer.normalize(train(&dataset).image(0), &mut numbers);
        numbers[pixel]
    };

    let normalizer = fit(Normalize::Standardize);
    let NormalizerParameters::Standardize { mean, standard_deviation } = normalizer.parameters()
    else {
        panic!("standardize has one mean and one standard deviation");
    };
    close(*mean, 72.937_898_538_961_04);
    close(*standard_deviation, 89.989_722_122_475_38);
    for (pixel, expected) in [(0, -0.810_513_7), (406, 1.600_872_9), (407, 1.667_547_1)] {
        assert!((first(&normalizer, pixel) - expected).abs() < 1e-6, "pixel {pixel}");
    }

    let normalizer = fit(Normalize::StandardizePerPixel);
    let NormalizerParameters::StandardizePerPixel { mean, standard_deviation } =
        normalizer.parameters()
    else {
        panic!("standardize_per_pixel has means and standard deviations");
    };
    // The deviations of pixels 0 and 783, 0.092 and 2.069, are below the floor.
    for (pixel, expected_mean, expected_deviation, expected) in [
        (0, 0.000_745_454_545_454_545_5, 7.519_518_465_752_077_5, -0.000_099_135_94),
        (406, 139.150_109_090_909_1, 78.876_177_841_583_6, 0.986_988_6),
        (783, 0.070_345_454_545_454_54, 7.519_518_465_752_077_5, -0.009_355_048),
    ] {
        close(mean[pixel], expected_mean);
        close(standard_deviation[pixel], expected_deviation);
        assert!((first(&normalizer, pixel) - expected).abs() < 1e-6, "pixel {pixel}");
    }
}

#[test]
fn the_files_in_the_repository_are_intact() {
    let verification = verify("fashion-mnist", &repository_data()).expect("a listed name");
    assert!(verification.is_intact());
    let expected = [47_040_016, 60_008, 7_840_016, 10_008];
    for (check, bytes) in verification.files.iter().zip(expected) {
        let file = check.outcome.as_ref().expect("valid");
        assert_eq!(file.bytes, bytes);
        assert_eq!(Some(file.sha256.as_str()), check.published_sha256);
    }
}

#[test]
fn a_file_that_is_not_the_published_one_is_an_error() {
    let data = temporary();
    let directory = data.path().join("mnist");
    fs::create_dir(&directory).expect("writable");
    write_compressed(&directory, &valid_files());
    let error = load("mnist", data.path()).expect_err("not MNIST");
    assert!(matches!(error, DataError::Checksum { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("train-images-idx3-ubyte.gz"), "{message}");
    assert!(message.contains("ba891046e6505d7aadcbbe25680a0738"), "{message}");
}

#[test]
fn list_reports_missing_files() {
    let data = temporary();
    let directory = data.path().join("mnist");
    fs::create_dir(&directory).expect("writable");
    write_compressed(&directory, &valid_files());
    fs::remove_file(directory.join(format!("{}.gz", FILES[1]))).expect("writable");

    let listings = list(data.path());
    assert_eq!(listings.len(), DATASETS.len());
    for listing in listings {
        assert_eq!(listing.directory, data.path().join(listing.dataset.name));
        match listing.dataset.name {
            "mnist" => assert_eq!(listing.missing, [FILES[1]]),
            "cifar-100" => assert!(listing.missing.contains(&"train.bin")),
            "cifar-10" => assert!(listing.missing.contains(&"data_batch_5.bin")),
            _ => assert_eq!(listing.missing, FILES),
        }
    }
    let in_repository = list(&repository_data());
    assert_eq!(in_repository[0].dataset.name, "fashion-mnist");
    assert!(in_repository[0].missing.is_empty());
}

#[test]
fn verify_reports_all_errors() {
    let directory = temporary();
    let source = directory.path().to_str().expect("a UTF-8 path");
    let verified = || verify(source, Path::new("unused")).expect("the directory exists");

    write_plain(directory.path(), &valid_files());
    let verification = verified();
    assert!(verification.is_intact());
    let first = verification.files[0].outcome.as_ref().expect("valid");
    assert_eq!((first.dimensions.as_slice(), first.bytes), ([4, 2, 3].as_slice(), 40));
    assert_eq!(first.path, directory.path().join(FILES[0]));
    assert_eq!(verification.files[0].published_sha256, None);

    let [images, labels, ..] = valid_files();
    fs::write(directory.path().join(FILES[0]), &images[..20]).expect("writable");
    fs::remove_file(directory.path().join(FILES[2])).expect("writable");
    let verification = verified();
    assert!(!verification.is_intact());
    assert!(verification.dataset.is_none(), "it cannot be combined from damaged files");
    let failed: Vec<bool> = verification.files.iter().map(|check| check.outcome.is_err()).collect();
    assert_eq!(failed, [true, false, true, false]);

    write_plain(directory.path(), &valid_files());
    fs::write(directory.path().join(FILES[3]), labels).expect("writable");
    let verification = verified();
    assert!(!verification.is_intact(), "four labels for two images");
    assert!(matches!(verification.dataset, Some(Err(DataError::Idx(IdxError::LabelCount { .. })))));
}
