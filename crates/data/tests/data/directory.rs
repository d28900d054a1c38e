//! Loading directories of IDX files, valid and invalid ones.

use std::fs;
use std::path::Path;

use crate::allocation;
use crate::common::{
    FILES, gzip, idx, temporary, test, train, valid_files, write_compressed, write_plain,
};
use kiln_data::{DataError, Dataset, IdxError, ImageShape, SourceError, load};

fn load_directory(directory: &Path) -> Result<Dataset, DataError> {
    load(directory.to_str().expect("a UTF-8 path"), Path::new("unused"))
}

/// The error of a dataset that is valid except for one uncompressed file with this content.
fn error_of(file: usize, content: Vec<u8>) -> DataError {
    let directory = temporary();
    let mut contents = valid_files();
    contents[file] = content;
    write_plain(directory.path(), &contents);
    let error = load_directory(directory.path()).expect_err("the file is invalid");
    assert!(error.to_string().contains(FILES[file]), "{error} names {}", FILES[file]);
    error
}

#[test]
fn compressed_and_plain_files_are_the_same_dataset() {
    let (compressed, plain) = (temporary(), temporary());
    write_compressed(compressed.path(), &valid_files());
    write_plain(plain.path(), &valid_files());
    let compressed = load_directory(compressed.path()).expect("valid");
    let plain = load_directory(plain.path()).expect("valid");

    assert_eq!(train(&compressed).shape, ImageShape { channels: 1, height: 2, width: 3 });
    assert_eq!(train(&compressed).len(), 4);
    assert_eq!(train(&compressed).image(1), [42, 49, 56, 63, 70, 77]);
    assert_eq!(train(&compressed).labels, [0, 1, 2, 1]);
    assert_eq!(test(&compressed).labels, [2, 0]);
    assert_eq!(compressed.class_names, ["0", "1", "2"]);
    assert_eq!(compressed.title, None);
    assert_eq!(train(&compressed), train(&plain));
    assert_eq!(test(&compressed), test(&plain));
    assert_eq!(compressed.fingerprint, plain.fingerprint);
}

#[test]
fn the_members_of_a_gzip_file_are_concatenated() {
    let directory = temporary();
    write_compressed(directory.path(), &valid_files());
    let content = &valid_files()[0];
    let members = [gzip(&content[..9]), gzip(&[]), gzip(&content[9..])].concat();
    fs::write(directory.path().join("train-images-idx3-ubyte.gz"), members).expect("writable");
    assert_eq!(*train(&load_directory(directory.path()).expect("valid")).pixels, content[16..]);
}

#[test]
fn an_uncompressed_file_with_a_gz_name_is_read() {
    let directory = temporary();
    for (name, content) in FILES.iter().zip(valid_files()) {
        fs::write(directory.path().join(format!("{name}.gz")), content).expect("writable");
    }
    load_directory(directory.path()).expect("the content decides, not the name");
}

#[test]
fn test_files_may_have_the_prefix_test() {
    let directory = temporary();
    write_compressed(directory.path(), &valid_files());
    for kind in ["images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"] {
        let path = |part| directory.path().join(format!("{part}-{kind}"));
        fs::rename(path("t10k"), path("test")).expect("writable");
    }
    assert_eq!(test(&load_directory(directory.path()).expect("valid")).len(), 2);
}

#[test]
fn a_directory_in_the_data_directory_is_found_by_its_name() {
    let data = temporary();
    let directory = data.path().join("of-my-own");
    fs::create_dir(&directory).expect("writable");
    write_compressed(&directory, &valid_files());
    assert_eq!(load("of-my-own", data.path()).expect("valid").name, "of-my-own");
}

#[test]
fn the_fingerprint_depends_on_all_content() {
    let fingerprint = |contents: &[Vec<u8>; 4], classes: Option<&str>| {
        let directory = temporary();
        write_plain(directory.path(), contents);
        if let Some(classes) = classes {
            fs::write(directory.path().join("classes.txt"), classes).expect("writable");
        }
        load_directory(directory.path()).expect("valid").fingerprint
    };
    let mut seen =
        vec![fingerprint(&valid_files(), None), fingerprint(&valid_files(), Some("a\nb\nc"))];
    assert_eq!(seen[0], fingerprint(&valid_files(), Some("0\n1\n2\n")), "the names are the same");
    seen.push(fingerprint(&valid_files(), Some("a\nb\nc\nd")));
    seen.push(fingerprint(&valid_files(), Some("ab\nb\nc")));
    for file in 0..4 {
        let mut contents = valid_files();
        // Changes the last value; labels stay below 3.
        let last = contents[file].last_mut().expect("not empty");
        *last = if file % 2 == 0 { *last ^ 1 } else { (*last + 1) % 3 };
        seen.push(fingerprint(&contents, None));
    }
    let mut transposed = valid_files();
    transposed[0] = idx(&[4, 3, 2], &transposed[0][16..]);
    transposed[2] = idx(&[2, 3, 2], &transposed[2][16..]);
    seen.push(fingerprint(&transposed, None));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
    assert!(seen.iter().all(|sum| sum.len() == 64));
}

#[test]
fn class_names_come_from_classes_txt() {
    let directory = temporary();
    write_compressed(directory.path(), &valid_files());
    let classes = directory.path().join("classes.txt");
    let names = |text: &str| {
        fs::write(&classes, text).expect("writable");
        load_directory(directory.path()).map(|dataset| dataset.class_names)
    };
    assert_eq!(
        names("\u{feff}cat\r\nsmall dog\r\nÖl\r\nnone\r\n").expect("valid"),
        ["cat", "small dog", "Öl", "none"]
    );

    for (text, line, problem) in [
        ("", 1, "empty"),
        ("a\n\nc\n", 2, "empty"),
        ("a\nb\n a \n", 3, "same name"),
        (&(0..65_537).map(|name| format!("{name}\n")).collect::<String>(), 65_537, "65,536"),
    ] {
        let error = names(text).expect_err("invalid names").to_string();
        assert!(error.contains(&format!("classes.txt:{line}: ")), "{error}");
        assert!(error.contains(problem), "{error}");
    }

    let error = names("cat\ndog\n").expect_err("label 2 has no name");
    assert!(
        matches!(
            error,
            DataError::Idx(IdxError::LabelOutOfRange {
                row: 2,
                offset: 10,
                label: 2,
                classes: 2,
                ..
            })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("train-labels-idx1-ubyte"), "{error}");

    fs::write(&classes, b"a\nb\xff\n").expect("writable");
    let error = load_directory(directory.path()).expect_err("not UTF-8").to_string();
    assert!(error.contains("classes.txt:2: the text is not UTF-8"), "{error}");

    let error = names(&"a".repeat((16 << 20) + 1)).expect_err("too long").to_string();
    assert!(error.contains("longer than 16 MiB"), "{error}");
}

#[test]
fn the_error_for_a_missing_file_names_it() {
    for file in FILES {
        let directory = temporary();
        write_plain(directory.path(), &valid_files());
        fs::remove_file(directory.path().join(file)).expect("writable");
        let error = load_directory(directory.path()).expect_err("a file is missing");
        assert!(matches!(error, DataError::MissingFile { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{file} is missing")), "{error}");
    }
}

#[test]
fn a_header_that_declares_billions_is_an_error_without_an_allocation() {
    let error = error_of(0, idx(&[u32::MAX, 28, 28], &[1, 2, 3]));
    assert!(matches!(error, DataError::Idx(IdxError::HeaderTooLarge { .. })), "{error}");
    assert!(error.to_string().contains("4294967295 × 28 × 28"), "{error}");
    assert!(error.to_string().contains("byte 4"), "{error}");

    // The product overflows to 0 in 64 bits.
    let error = error_of(0, idx(&[1 << 31, 1 << 31, 4], &[]));
    assert!(matches!(error, DataError::Idx(IdxError::HeaderTooLarge { .. })), "{error}");

    let error = error_of(1, idx(&[u32::MAX], &[1, 2, 3]));
    assert!(matches!(error, DataError::Idx(IdxError::HeaderTooLarge { .. })), "{error}");

    // Below the limit, but the file is shorter: memory grows with the bytes read.
    allocation::reset();
    let error = error_of(0, idx(&[2_000_000_000, 1, 1], &[1, 2, 3]));
    assert!(allocation::largest() < 4 << 20, "{} bytes at once", allocation::largest());
    assert!(matches!(
        error,
        DataError::Idx(IdxError::Truncated { offset: 19, expected: 2_000_000_016, .. })
    ));
    assert!(error.to_string().contains("2000000000 × 1 × 1"), "{error}");
}

#[test]
fn headers_are_checked() {
    let [images, labels, ..] = valid_files();
    let with = |content: &[u8], offset: usize, byte: u8| {
        let mut content = content.to_vec();
        content[offset] = byte;
        content
    };
    let error = error_of(0, b"<!DOCTYPE html>".to_vec());
    assert!(matches!(error, DataError::Idx(IdxError::NotIdx { .. })), "{error}");
    assert!(error.to_string().contains("3c21444f"), "{error}");

    let error = error_of(0, with(&images, 2, 0x0d));
    assert!(matches!(error, DataError::Idx(IdxError::ElementType { code: 0x0d, .. })), "{error}");

    assert!(matches!(
        error_of(0, labels.clone()),
        DataError::Idx(IdxError::DimensionCount { found: 1, expected: 3, .. })
    ));
    assert!(matches!(
        error_of(1, images.clone()),
        DataError::Idx(IdxError::DimensionCount { found: 3, expected: 1, .. })
    ));

    for length in 0..16 {
        let error = error_of(0, images[..length].to_vec());
        let end = length as u64;
        assert!(
            matches!(error, DataError::Idx(IdxError::TruncatedHeader { offset, .. }) if offset == end)
        );
    }
    let end = images.len() as u64;
    let error = error_of(0, images[..39].to_vec());
    assert!(
        matches!(error, DataError::Idx(IdxError::Truncated { offset: 39, expected, .. }) if expected == end)
    );
    let error = error_of(0, [images, vec![0]].concat());
    assert!(
        matches!(error, DataError::Idx(IdxError::TrailingBytes { offset, .. }) if offset == end),
        "{error}"
    );
}

#[test]
fn an_empty_dimension_is_an_error() {
    for (dimensions, place) in [([0, 2, 3], 4), ([4, 0, 3], 8), ([4, 2, 0], 12)] {
        let error = error_of(0, idx(&dimensions, &[]));
        assert!(
            matches!(error, DataError::Idx(IdxError::EmptyDimension { offset, .. }) if offset == place)
        );
    }
    assert!(matches!(
        error_of(1, idx(&[0], &[])),
        DataError::Idx(IdxError::EmptyDimension { offset: 4, .. })
    ));
}

#[test]
fn files_must_fit_together() {
    let error = error_of(1, idx(&[3], &[0, 1, 2]));
    assert!(
        matches!(error, DataError::Idx(IdxError::LabelCount { images: 4, labels: 3, .. })),
        "{error}"
    );

    let error = error_of(2, idx(&[2, 3, 2], &[0; 12]));
    assert!(matches!(error, DataError::Idx(IdxError::ShapesDiffer { .. })), "{error}");
    assert!(error.to_string().contains("images of 3×2"), "{error}");
}

#[test]
fn the_error_for_an_unknown_source_depends_on_its_form() {
    let data = temporary();
    let error = load("fashion-mnsit", data.path()).expect_err("a misspelled name").to_string();
    assert!(error.contains("did you mean `fashion-mnist`?"), "{error}");
    assert!(error.contains("known: fashion-mnist, mnist"), "{error}");

    let error = load("zebra", data.path()).expect_err("an unknown name").to_string();
    assert!(!error.contains("did you mean"), "{error}");
    assert!(matches!(
        load("", data.path()),
        Err(DataError::Source(SourceError::UnknownDataset { .. }))
    ));

    for path in ["./nowhere", "some/where", "../no-such-directory"] {
        let error = load(path, data.path()).expect_err("no such directory");
        assert!(matches!(error, DataError::Source(SourceError::NoSuchSource { .. })), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }

    let error = load("mnist", data.path()).expect_err("its files are not there");
    assert!(error.to_string().contains("train-images-idx3-ubyte is missing"), "{error}");
    let DataError::MissingFile { advice, .. } = error else { panic!("{error}") };
    assert!(advice.contains("kiln data fetch mnist"), "{advice}");
}
