//! Tables of encoded images. The tables in `tests/fixtures/parquet` were written by Apache Arrow as Hugging Face's
//! `datasets` does; see `make.py` there.

use std::path::{Path, PathBuf};

use crate::common::temporary;
use kiln_data::{DataConfig, DataError, Dataset};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet").join(name)
}

fn load(path: &Path) -> Result<Dataset, DataError> {
    DataConfig::new(path.to_str().expect("UTF-8")).load(temporary().path())
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_program_without_the_reader_says_how_to_build_one() {
    let error = load(&fixture("published")).expect_err("no reader");
    assert!(matches!(error, DataError::NoParquet { .. }), "{error}");
    assert!(error.to_string().contains("--features parquet"), "{error}");
}

#[cfg(feature = "parquet")]
mod reader {
    use std::fs;

    use super::*;
    use crate::common::{test, train, valid_files, write_plain};
    use kiln_data::Broken;

    /// The dataset of the IDX files whose pictures the tables have.
    fn original() -> Dataset {
        let directory = temporary();
        write_plain(directory.path(), &valid_files());
        load(directory.path()).expect("valid")
    }

    fn message(path: &Path) -> String {
        let message = load(path).expect_err("a fault").to_string();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        assert!(message.contains(name), "{message}");
        message
    }

    #[test]
    fn published_tables_equal_the_idx_files() {
        let dataset = load(&fixture("published")).expect("valid");
        assert_eq!(train(&dataset), train(&original()));
        assert_eq!(test(&dataset), test(&original()));
        // From the metadata, which is in each table.
        assert_eq!(dataset.class_names, ["cat", "dog", "帽子"]);
        let names = dataset.file_names.expect("names");
        let of_row = "train-00000-of-00001.parquet#1";
        assert_eq!(names[..3], ["0.png", of_row, "2.png"]);
        assert_eq!(dataset.format, "parquet");
    }

    /// A damaged table whose dictionary claims to have hundreds of millions of texts.
    #[test]
    fn the_size_of_a_dictionary_is_not_believed() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/parquet");
        let directory = temporary();
        let table = directory.path().join("table.parquet");
        fs::copy(corpus.join("dictionary-count"), &table).expect("writable");
        let message = message(&table);
        assert!(message.contains("a dictionary of"), "{message}");
    }

    /// Compressed with snappy and zstd and not at all; a row group for each row; data pages of both versions.
    #[test]
    fn the_files_of_a_split_are_read_in_order() {
        let dataset = load(&fixture("shards")).expect("valid");
        let pixels: Vec<u8> = (0..36).map(|value| value * 7).collect();
        assert_eq!(&dataset.images.pixels[..], pixels);
        assert_eq!(dataset.images.labels, [0, 1, 2, 1, 2, 0]);
        assert_eq!(dataset.parts.training, 0..4);
        assert_eq!(dataset.parts.validation, 4..5);
        assert_eq!(dataset.parts.test, 5..6);
        assert_eq!(dataset.class_names, ["cat", "dog", "帽子"]);
    }

    #[test]
    fn a_file_may_have_many_rows_in_large_groups() {
        let dataset = load(&fixture("many.parquet")).expect("valid");
        assert_eq!(dataset.images.len(), 300);
        assert!(
            dataset
                .images
                .labels
                .iter()
                .enumerate()
                .all(|(row, label)| row % 3 == usize::from(*label))
        );
        let pixels: Vec<u8> = (0..36).map(|value| value * 7).collect();
        assert!(dataset.images.pixels.chunks(36).all(|six| six == pixels));
        let names = dataset.file_names.expect("names");
        // Every second picture has no name, so it has that of its row, across row groups.
        assert_eq!((names[298].as_str(), names[299].as_str()), ("4.png", "many.parquet#299"));
    }

    #[test]
    fn labels_can_be_any_column_of_numbers_or_texts() {
        let path = fixture("columns.parquet");
        let of = |labels: &str| {
            let config = DataConfig {
                labels: Some(labels.to_owned()),
                ..DataConfig::new(path.to_str().expect("UTF-8"))
            };
            config.load(temporary().path())
        };
        let breeds = of("breed").expect("texts");
        // In natural order.
        assert_eq!(breeds.class_names, ["b2", "b10", "Ꭰ"]);
        assert_eq!(breeds.images.labels, [2, 1, 0, 0]);
        // The color of a JPEG is that of the picture, up to rounding.
        assert_eq!((breeds.images.shape.channels, breeds.images.shape.width), (3, 8));
        let red: Vec<u8> = breeds.images.pixels.chunks(3 * 64).map(|image| image[0]).collect();
        assert!(
            red.iter().zip([0, 40, 80, 120]).all(|(red, wanted)| red.abs_diff(wanted) < 3),
            "{red:?}"
        );
        assert_eq!(of("coarse").expect("8 bits").images.labels, [1, 0, 1, 0]);
        assert_eq!(of("id").expect("unsigned").images.labels, [0, 1, 2, 3]);
        let error = of("race").expect_err("no such column").to_string();
        assert!(
            error.contains("`race`") && error.contains("columns: breed, coarse, id, img"),
            "{error}"
        );
        let error = of("img").expect_err("no text").to_string();
        assert!(error.contains("row 0: the label is not UTF-8"), "{error}");
        let error = load(&path).expect_err("which column?").to_string();
        assert!(error.contains("set data.labels"), "{error}");
    }

    #[test]
    fn test_images_without_labels_are_not_used() {
        let dataset = load(&fixture("unlabeled")).expect("valid");
        assert_eq!(train(&dataset), train(&original()));
        assert!(dataset.parts.test.is_empty());
        assert_eq!(
            dataset.notes,
            ["test-00000-of-00001.parquet has no labels, so it is not used for testing"]
        );
    }

    #[test]
    fn faults_are_named() {
        for (name, parts) in [
            ("null-image", &["row 3", "there is no image"][..]),
            ("only-paths", &["row 0", "not only their paths"]),
            ("null-label", &["row 2", "the label is missing"]),
            ("list-label", &["column label", "multi-label"]),
            ("float-label", &["column label", "neither whole numbers nor texts"]),
            ("date-label", &["column label", "neither whole numbers nor texts"]),
            ("nanosecond-label", &["column label", "neither whole numbers nor texts"]),
            ("large-label", &["row 2", "label 3", "3 class names"]),
            ("pixels", &["column image", "not encoded bytes"]),
            ("list-image", &["column image", "not encoded bytes"]),
            ("no-image", &["no column is called image", "columns: photo, label"]),
            ("no-label", &["set data.labels = \"NAME\"", "columns: image, species"]),
            ("gzip", &["compressed with GZIP", "snappy or zstd"]),
        ] {
            let message = message(&fixture(&format!("faults/{name}.parquet")));
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        let path = fixture("faults/no-rows.parquet");
        let message = message(&path);
        assert!(message.contains("there are no training images"), "{message}");
    }

    #[test]
    fn a_broken_picture_is_named_or_skipped() {
        let path = fixture("faults/broken-picture.parquet");
        let message = load(&path).expect_err("cut off").to_string();
        assert!(message.contains("broken-picture.parquet#3"), "{message}");
        let config =
            DataConfig { broken: Broken::Skip, ..DataConfig::new(path.to_str().expect("UTF-8")) };
        let dataset = config.load(temporary().path()).expect("three pictures");
        assert_eq!((dataset.images.len(), dataset.skipped.len()), (3, 1));
    }

    #[test]
    fn a_table_of_a_split_that_has_no_name_is_not_used() {
        let directory = temporary();
        let published = fixture("published/data/train-00000-of-00001.parquet");
        for name in ["train.parquet", "extra.parquet"] {
            fs::copy(&published, directory.path().join(name)).expect("writable");
        }
        let dataset = load(directory.path()).expect("valid");
        assert_eq!((dataset.parts.training.len(), dataset.images.len()), (4, 4));
        assert!(dataset.notes[0].starts_with("extra.parquet is not used"), "{:?}", dataset.notes);
    }

    /// The library panics on this. The length of the first picture is changed so that few or no bytes are left.
    #[test]
    fn a_damaged_dictionary_is_an_error() {
        let directory = temporary();
        let path = directory.path().join("table.parquet");
        let original = fs::read(fixture("uncompressed.parquet")).expect("a table");
        assert_eq!(
            train(&load(&fixture("uncompressed.parquet")).expect("valid")),
            train(&self::original())
        );
        let first = original.windows(4).position(|it| it == b"\x89PNG").expect("a picture");
        let length = u32::from_le_bytes(original[first - 4..first].try_into().expect("4 bytes"));
        let rest = 4 * (4 + length) - 4;
        for damaged in [rest - 4, rest - 3, rest - 2, rest - 1, rest, rest + 1, u32::MAX] {
            let mut bytes = original.clone();
            bytes[first - 4..first].copy_from_slice(&damaged.to_le_bytes());
            fs::write(&path, bytes).expect("writable");
            let message = message(&path);
            assert!(message.contains("damaged"), "{damaged}: {message}");
        }
    }

    #[test]
    fn damaged_tables_are_errors() {
        let directory = temporary();
        for name in [
            "published/data/train-00000-of-00001.parquet",
            "shards/plain_text/train-00000-of-00002.parquet",
        ] {
            let original = fs::read(fixture(name)).expect("a table");
            let write = |name: String, bytes: &[u8]| {
                let path = directory.path().join(name);
                fs::write(&path, bytes).expect("writable");
                path
            };
            for length in (0..original.len()).step_by(7) {
                message(&write("cut.parquet".to_owned(), &original[..length]));
            }
            // All are written before the first one is read, because Kiln waits for files that have just been written.
            let changed = (0..original.len()).step_by(61).map(|at| {
                let mut bytes = original.clone();
                bytes[at] ^= 0x55;
                write(format!("changed-{at}.parquet"), &bytes)
            });
            // Some bytes do not matter, or are in the label or the name of an image.
            for path in changed.collect::<Vec<_>>() {
                let file = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
                if let Err(error) = load(&path) {
                    assert!(error.to_string().contains(file), "{error}");
                }
            }
        }
    }
}
