//! Arrays of NumPy. The archives in `tests/fixtures` were written by NumPy.

use std::fs;
use std::path::{Path, PathBuf};

use crate::allocation;
use crate::common::{part, temporary, test, train, valid_files, write_plain};
use kiln_data::{DataConfig, DataError, Dataset, ImageShape, ImageSize, Layout, Part};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load(path: &Path) -> Result<Dataset, DataError> {
    DataConfig::new(path.to_str().expect("UTF-8")).load(temporary().path())
}

/// The same dataset in IDX files.
fn original() -> Dataset {
    let directory = temporary();
    write_plain(directory.path(), &valid_files());
    load(directory.path()).expect("valid")
}

/// A `.npy` file.
pub(crate) fn npy(descr: &str, fortran: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).expect("short");
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), values].concat()
}

/// A directory with arrays.
fn directory(arrays: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let directory = temporary();
    for (name, bytes) in arrays {
        fs::write(directory.path().join(format!("{name}.npy")), bytes).expect("writable");
    }
    directory
}

/// Bytes with this shape.
fn bytes(shape: &str, values: &[u8]) -> Vec<u8> {
    npy("'|u1'", "False", shape, values)
}

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy("'<f4'", "False", shape, &values)
}

/// The error of a dataset of these images and labels.
fn error_of(images: Vec<u8>, labels: Vec<u8>) -> String {
    let directory = directory(&[("x_train", images), ("y_train", labels)]);
    load(directory.path()).expect_err("invalid").to_string()
}

#[test]
fn archives_of_numpy_equal_the_idx_files() {
    let original = original();
    for name in ["keras.npz", "medmnist.npz", "floats.npz", "signed.npz"] {
        let dataset = load(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(dataset.format, "npz");
        assert_eq!(train(&dataset), train(&original), "{name}");
        if name == "medmnist.npz" {
            assert_eq!(part(&dataset, Part::Validation), test(&original));
            assert_eq!(test(&dataset).labels, [0, 2]);
        } else {
            assert_eq!(test(&dataset), test(&original), "{name}");
            assert!(dataset.parts.validation.is_empty());
        }
    }
    let floats = load(&fixture("floats.npz")).expect("valid");
    assert_eq!(floats.class_names, ["cat", "Hund", "帽子"]);
    assert_eq!(
        floats.notes,
        ["the pixels of `x_train` are numbers from 0 to 1, multiplied by 255"]
    );
    let signed = load(&fixture("signed.npz")).expect("valid");
    assert_eq!(signed.class_names, ["0", "1", "2"]);
    assert!(signed.notes[0].contains("from -1 to 1"), "{:?}", signed.notes);
    assert_eq!(signed.fingerprint, load(&fixture("keras.npz")).expect("valid").fingerprint);
}

#[test]
fn a_directory_of_arrays_equals_the_archive() {
    let [images, labels, test_images, test_labels] = valid_files();
    let directory = directory(&[
        ("x_train", bytes("(4, 2, 3)", &images[16..])),
        ("y_train", bytes("(4,)", &labels[8..])),
        ("x_test", bytes("(2, 2, 3)", &test_images[16..])),
        ("y_test", bytes("(2,)", &test_labels[8..])),
    ]);
    let dataset = load(directory.path()).expect("valid");
    assert_eq!(dataset.fingerprint, load(&fixture("keras.npz")).expect("valid").fingerprint);
    fs::write(directory.path().join("classes.txt"), "a\nb\nc\n").expect("writable");
    assert_eq!(load(directory.path()).expect("valid").class_names, ["a", "b", "c"]);
}

#[test]
fn a_directory_with_one_archive_is_the_archive() {
    let directory = temporary();
    fs::copy(fixture("keras.npz"), directory.path().join("keras.npz")).expect("writable");
    fs::write(directory.path().join("README.md"), "digits").expect("writable");
    let dataset = load(directory.path()).expect("valid");
    assert_eq!(dataset.fingerprint, load(&fixture("keras.npz")).expect("valid").fingerprint);
}

#[test]
fn arrays_without_parts_are_training_images() {
    for (images, labels) in [("images", "labels"), ("X", "y"), ("data", "target")] {
        let directory = directory(&[
            (images, bytes("(2, 1, 2)", &[1, 2, 3, 4])),
            (labels, bytes("(2,)", &[1, 0])),
        ]);
        let dataset = load(directory.path()).expect("valid");
        assert_eq!(train(&dataset).labels, [1, 0]);
        assert_eq!(train(&dataset).image(1), [3, 4]);
    }
    // Another array of labels, by name.
    let directory = directory(&[
        ("images", bytes("(2, 1, 2)", &[1, 2, 3, 4])),
        ("fine", bytes("(2,)", &[1, 0])),
    ]);
    let error = load(directory.path()).expect_err("no labels").to_string();
    assert!(
        error.contains("no labels for `images`") && error.contains("found: fine, images"),
        "{error}"
    );
    let source = directory.path().to_str().expect("UTF-8");
    let config = DataConfig { labels: Some("fine".into()), ..DataConfig::new(source) };
    assert_eq!(train(&config.load(temporary().path()).expect("valid")).labels, [1, 0]);
}

#[test]
fn axes_are_told_apart_or_asked_for() {
    let color = [1, 2, 3, 4, 5, 6];
    let at = |shape: &str, layout| {
        let directory =
            directory(&[("images", bytes(shape, &color)), ("labels", bytes("(1,)", &[0]))]);
        let source = directory.path().to_str().expect("UTF-8");
        let config = DataConfig { layout, ..DataConfig::new(source) };
        config.load(temporary().path()).map(|dataset| train(&dataset)).map_err(|e| e.to_string())
    };
    let shape = ImageShape { channels: 3, height: 1, width: 2 };
    let planes = at("(1, 1, 2, 3)", Some(Layout::Nhwc)).expect("valid");
    assert_eq!((planes.shape, planes.image(0)), (shape, &[1, 4, 2, 5, 3, 6][..]));
    let planes = at("(1, 3, 1, 2)", None).expect("valid");
    assert_eq!((planes.shape, planes.image(0)), (shape, &color[..]));
    // 1 and 3 channels are both possible.
    let error = at("(1, 1, 2, 3)", None).expect_err("ambiguous");
    assert!(error.contains("\"nhwc\"") && error.contains("\"nchw\""), "{error}");
    assert!(error.contains("1×2 RGB") && error.contains("2×3 gray"), "{error}");
    let gray = at("(1, 1, 2, 3)", Some(Layout::Nchw)).expect("valid");
    assert_eq!((gray.shape.channels, gray.image(0)), (1, &color[..]));

    let error = at("(1, 2, 3)", Some(Layout::Nchw)).expect_err("two axes");
    assert!(error.contains("remove data.layout"), "{error}");
    let error = at("(1, 3, 1, 2)", Some(Layout::Nhwc)).expect_err("2 channels");
    assert!(error.contains("2 channels"), "{error}");
    let error = at("(1, 3, 2)", Some(Layout::Nhwc)).expect_err("two axes");
    assert!(error.contains("two axes"), "{error}");
}

#[test]
fn rows_of_values_are_square_or_asked_for() {
    let at = |count: usize, config: DataConfig| {
        let values: Vec<u8> = (0..count).map(|value| value as u8).collect();
        let images = bytes(&format!("(1, {count})"), &values);
        let directory = directory(&[("images", images), ("labels", bytes("(1,)", &[0]))]);
        let source = directory.path().to_str().expect("UTF-8").to_owned();
        let config = DataConfig { source, ..config };
        config.load(temporary().path()).map(|dataset| train(&dataset)).map_err(|e| e.to_string())
    };
    let config = || DataConfig::new("");
    assert_eq!(at(16, config()).expect("valid").shape.to_string(), "4×4");
    let error = at(12, config()).expect_err("ambiguous");
    assert!(error.contains("RGB images of 2×2") && error.contains("data.layout"), "{error}");
    let nhwc = at(12, DataConfig { layout: Some(Layout::Nhwc), ..config() }).expect("valid");
    assert_eq!(nhwc.image(0), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    let error = at(6, config()).expect_err("not square");
    assert!(error.contains("data.image = [height, width]"), "{error}");
    let image = Some(ImageSize { height: 2, width: 3 });
    let asked = at(6, DataConfig { image, ..config() }).expect("valid");
    assert_eq!(asked.shape.to_string(), "2×3");
}

#[test]
fn labels_must_be_one_class_for_each_image() {
    let images = || bytes("(2, 1, 2)", &[1, 2, 3, 4]);
    let error = error_of(images(), bytes("(2, 3)", &[1, 0, 1, 0, 1, 0]));
    assert!(error.contains("y_train") && error.contains("row 0"), "{error}");
    assert!(error.contains("classes, such as 0 and 2: multi-label"), "{error}");
    let error = error_of(images(), bytes("(2, 3)", &[1, 0, 0, 0, 0, 0]));
    assert!(error.contains("row 1 (from 0) has no class"), "{error}");
    let error = error_of(images(), bytes("(2, 3)", &[1, 0, 0, 0, 5, 0]));
    assert!(error.contains("one-hot"), "{error}");
    let error = error_of(images(), bytes("(2, 3, 1)", &[1, 0, 0, 0, 1, 0]));
    assert!(error.contains("the shape is (2, 3, 1)"), "{error}");
    let error = error_of(images(), bytes("(3,)", &[1, 0, 0]));
    assert!(error.contains("3 labels for the 2 images"), "{error}");
    let error = error_of(images(), npy("'|i1'", "False", "(2,)", &[0, 255]));
    assert!(error.contains("row 1 (from 0) has label -1"), "{error}");
    let error = error_of(images(), floats("(2,)", &[0.0, 0.5]));
    assert!(error.contains("row 1 (from 0) has label 0.5"), "{error}");
    // Columns are classes, even if no image has the last one.
    let directory = directory(&[("images", images()), ("y", bytes("(2, 3)", &[0, 1, 0, 1, 0, 0]))]);
    assert_eq!(load(directory.path()).expect("valid").class_names.len(), 3);
}

#[test]
fn labels_can_be_texts() {
    let texts: Vec<u8> =
        ["b", "a"].iter().flat_map(|text| (text.as_bytes()[0] as u32).to_be_bytes()).collect();
    let directory = directory(&[
        ("images", bytes("(2, 1, 2)", &[1, 2, 3, 4])),
        ("labels", npy("'>U1'", "False", "(2,)", &texts)),
    ]);
    let dataset = load(directory.path()).expect("valid");
    assert_eq!(
        (dataset.class_names.as_slice(), train(&dataset).labels),
        (&["a".to_owned(), "b".to_owned()][..], vec![1, 0])
    );
}

#[test]
fn pixels_must_be_in_a_known_range() {
    let labels = || bytes("(1,)", &[0]);
    let error = error_of(floats("(1, 1, 2)", &[0.0, 300.0]), labels());
    assert!(error.contains("from 0 to 300") && error.contains("uint8"), "{error}");
    let error = error_of(floats("(1, 1, 2)", &[0.5, 200.0]), labels());
    assert!(error.contains("from 0.5 to 200"), "{error}");
    let error = error_of(floats("(1, 1, 2)", &[f32::NAN, 1.0]), labels());
    assert!(error.contains("NaN"), "{error}");
    let error = error_of(npy("'<u2'", "False", "(1, 1, 2)", &[0, 1, 0, 0]), labels());
    assert!(error.contains("a pixel is 256"), "{error}");
    let error = error_of(npy("'|b1'", "False", "(1, 1, 2)", &[0, 1]), labels());
    assert!(error.contains("true or false"), "{error}");
    let whole = directory(&[("x", floats("(1, 1, 2)", &[7.0, 255.0])), ("y", labels())]);
    assert_eq!(*train(&load(whole.path()).expect("valid")).pixels, [7, 255]);
    // The scale is that of the training images.
    let test = directory(&[
        ("x_train", floats("(1, 1, 2)", &[0.0, 1.0])),
        ("y_train", labels()),
        ("x_test", floats("(1, 1, 2)", &[0.0, 1.5])),
        ("y_test", labels()),
    ]);
    let error = load(test.path()).expect_err("above 1").to_string();
    assert!(error.contains("x_test.npy") && error.contains("1.5"), "{error}");
}

#[test]
fn what_cannot_be_read_safely_is_refused() {
    let labels = || bytes("(1,)", &[0]);
    let error = error_of(npy("'|O'", "False", "(1, 1, 2)", b"pickle"), labels());
    assert!(error.contains("allow_pickle=False"), "{error}");
    let error = error_of(npy("[('a', '<f4')]", "False", "(1,)", &[0; 4]), labels());
    assert!(error.contains("named fields"), "{error}");
    let error = error_of(npy("'<c8'", "False", "(1, 1, 1)", &[0; 8]), labels());
    assert!(error.contains("`<c8`"), "{error}");
    let error = error_of(b"PNG".to_vec(), labels());
    assert!(error.contains("cut off"), "{error}");
    let path = fixture("keras.npz");
    let single = temporary();
    let array = single.path().join("x_train.npy");
    fs::write(&array, bytes("(1, 1, 2)", &[0, 1])).expect("writable");
    let error = load(&array).expect_err("one array").to_string();
    assert!(error.contains("y_train.npy"), "{error}");
    assert!(path.is_file());
}

#[test]
fn a_header_that_lies_needs_no_memory() {
    allocation::reset();
    for shape in [
        "(4000000000, 4000, 3)",
        "(1, 1000000, 1000000)",
        "(18446744073709551615, 2, 2)",
        "(1, -2)",
    ] {
        let error = error_of(bytes(shape, &[1, 2, 3]), bytes("(1,)", &[0]));
        assert!(error.contains("x_train.npy"), "{error}");
    }
    assert!(allocation::largest() < 4 << 20, "{} bytes at once", allocation::largest());
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let directory = temporary();
    let path = directory.path().join("keras.npz");
    let original = fs::read(fixture("keras.npz")).expect("a fixture");
    let intact = load(&fixture("keras.npz")).expect("valid");
    for bit in (0..original.len() * 8).step_by(7) {
        let mut bytes = original.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).expect("writable");
        match load(&path) {
            // The name of a test array may have changed, so that the dataset has no test images.
            Ok(dataset) if !dataset.notes.is_empty() => {}
            Ok(dataset) => assert_eq!(dataset.fingerprint, intact.fingerprint, "bit {bit}"),
            Err(error) => assert!(error.to_string().contains("keras.npz"), "bit {bit}: {error}"),
        }
    }
    for length in (0..original.len()).step_by(5) {
        fs::write(&path, &original[..length]).expect("writable");
        load(&path).expect_err("truncated");
    }
}
