//! Tables of encoded images. The tables in `tests/fixtures` were written by Apache Arrow as Hugging Face's `datasets` does.

use std::fs;
use std::path::Path;

use crate::common::temporary;
use kiln_data::{DataConfig, DataError, Dataset};

fn load(path: &Path) -> Result<Dataset, DataError> {
    DataConfig::new(path.to_str().expect("UTF-8")).load(temporary().path())
}

/// A directory with the two tables in `data/`.
fn published() -> tempfile::TempDir {
    let directory = temporary();
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("writable");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"] {
        fs::copy(fixtures.join(name), data.join(name)).expect("writable");
    }
    directory
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_program_without_the_reader_says_how_to_build_one() {
    let directory = published();
    let error = load(directory.path()).expect_err("no reader");
    assert!(matches!(error, DataError::NoParquet { .. }), "{error}");
    assert!(error.to_string().contains("--features parquet"), "{error}");
}

#[cfg(feature = "parquet")]
mod reader {
    use super::*;
    use crate::common::{test, train, valid_files, write_plain};

    #[test]
    fn published_tables_equal_the_idx_files() {
        let original = temporary();
        write_plain(original.path(), &valid_files());
        let original = load(original.path()).expect("valid");
        let directory = published();
        let dataset = load(directory.path()).expect("valid");
        assert_eq!(train(&dataset), train(&original));
        assert_eq!(test(&dataset), test(&original));
        // From the metadata, which is in each table.
        assert_eq!(dataset.class_names, ["cat", "dog", "帽子"]);
        let names = dataset.file_names.expect("names");
        assert_eq!(names[..2], ["0.png", "train-00000-of-00001.parquet#1"]);
    }

    #[test]
    fn other_columns_are_named_in_errors() {
        let directory = published();
        let source = directory.path().to_str().expect("UTF-8");
        let config = DataConfig { labels: Some("breed".into()), ..DataConfig::new(source) };
        let error = config.load(temporary().path()).expect_err("no such column").to_string();
        assert!(error.contains("`breed`") && error.contains("columns: image, label"), "{error}");
    }

    #[test]
    fn damaged_tables_are_errors() {
        let directory = published();
        let path = directory.path().join("data/train-00000-of-00001.parquet");
        let original = fs::read(&path).expect("a table");
        for length in (0..original.len()).step_by(7) {
            fs::write(&path, &original[..length]).expect("writable");
            let error = load(directory.path()).expect_err("cut off").to_string();
            assert!(error.contains("train-00000-of-00001.parquet"), "{error}");
        }
    }
}
