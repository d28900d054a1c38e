//! The binary version of CIFAR.

use std::fs;
use std::path::Path;

use crate::common::{temporary, test, train, valid_files, write_plain};
use kiln_data::{Channels, DataConfig, DataError, Dataset, FormatName, ImageSize};

fn load(path: &Path) -> Result<Dataset, DataError> {
    config(path).load(temporary().path())
}

fn config(path: &Path) -> DataConfig {
    DataConfig::new(path.to_str().expect("UTF-8"))
}

/// A record of CIFAR-10 or, with two labels, of CIFAR-100. The pixels of each plane differ.
fn record(labels: &[u8]) -> Vec<u8> {
    let pixels = (0..3072_u32).map(|at| (at % 251) as u8);
    labels.iter().copied().chain(pixels).collect()
}

#[test]
fn batches_are_read_in_the_order_of_their_numbers() {
    let directory = temporary();
    let below = directory.path().join("cifar-10-batches-bin");
    fs::create_dir(&below).expect("writable");
    for number in 1..=11_u8 {
        let path = below.join(format!("data_batch_{number}.bin"));
        fs::write(path, [record(&[number - 1]), record(&[0])].concat()).expect("writable");
    }
    fs::write(below.join("test_batch.bin"), record(&[3])).expect("writable");
    let names: Vec<String> = (0..11).map(|class| format!("class {class}")).collect();
    // The published file ends with an empty line.
    fs::write(below.join("batches.meta.txt"), format!("{}\n\n", names.join("\n")))
        .expect("writable");
    for path in [directory.path(), &below] {
        let dataset = load(path).expect("valid");
        assert_eq!(dataset.format, FormatName::Cifar.as_str());
        assert_eq!(dataset.images.shape.to_string(), "3×32×32");
        assert_eq!(dataset.class_names, names);
        let labels: Vec<u16> = (0..11).flat_map(|label| [label, 0]).collect();
        assert_eq!(train(&dataset).labels, labels);
        assert_eq!(test(&dataset).labels, [3]);
        assert_eq!(test(&dataset).image(0), &record(&[3])[1..]);
    }
    fs::remove_file(below.join("data_batch_4.bin")).expect("writable");
    let error = load(&below).expect_err("a missing batch").to_string();
    assert!(error.contains("data_batch_4.bin is missing"), "{error}");
}

#[test]
fn cifar_100_has_fine_and_coarse_labels() {
    let directory = temporary();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("train.bin"), [record(&[1, 2]), record(&[0, 0])].concat()).expect("writable");
    fs::write(path("test.bin"), record(&[0, 1])).expect("writable");
    fs::write(path("fine_label_names.txt"), "apple\nbeaver\ncloud\n").expect("writable");
    fs::write(path("coarse_label_names.txt"), "fruit\nanimals\n").expect("writable");
    let at = |labels: Option<&str>| {
        let labels = labels.map(ToOwned::to_owned);
        DataConfig { labels, ..config(directory.path()) }.load(temporary().path())
    };
    for labels in [None, Some("fine")] {
        let fine = at(labels).expect("valid");
        assert_eq!(fine.class_names, ["apple", "beaver", "cloud"]);
        assert_eq!((train(&fine).labels, test(&fine).labels), (vec![2, 0], vec![1]));
    }
    let coarse = at(Some("coarse")).expect("valid");
    assert_eq!(coarse.class_names, ["fruit", "animals"]);
    assert_eq!((train(&coarse).labels, test(&coarse).labels), (vec![1, 0], vec![0]));
    let error = at(Some("finest")).expect_err("unknown labels").to_string();
    assert!(error.contains("\"fine\"") && error.contains("\"coarse\""), "{error}");
    // A label without a name.
    fs::write(path("fine_label_names.txt"), "apple\nbeaver\n").expect("writable");
    let error = at(None).expect_err("label 2 of 2 classes").to_string();
    assert!(error.contains("train.bin") && error.contains("row 0 (from 0) has label 2"), "{error}");
}

#[test]
fn images_of_another_size_equal_the_idx_files() {
    let original = temporary();
    write_plain(original.path(), &valid_files());
    let original = load(original.path()).expect("valid");
    let [images, labels, test_images, test_labels] = valid_files();
    let directory = temporary();
    let batch = |images: &[u8], labels: &[u8]| -> Vec<u8> {
        let records = labels.iter().zip(images.chunks(6));
        records.flat_map(|(label, image)| [&[*label], image].concat()).collect()
    };
    let path = |name: &str| directory.path().join(name);
    fs::write(path("data_batch_1.bin"), batch(&images[16..28], &labels[8..10])).expect("writable");
    fs::write(path("data_batch_2.bin"), batch(&images[28..], &labels[10..])).expect("writable");
    fs::write(path("test_batch.bin"), batch(&test_images[16..], &test_labels[8..]))
        .expect("writable");
    let error = load(directory.path()).expect_err("another size").to_string();
    assert!(error.contains("14 bytes are not a multiple of 3073"), "{error}");
    assert!(error.contains("data.image = [height, width]"), "{error}");
    let image = Some(ImageSize { height: 2, width: 3 });
    let config = DataConfig { image, channels: Some(Channels::Gray), ..config(directory.path()) };
    let dataset = config.load(temporary().path()).expect("valid");
    assert_eq!(train(&dataset), train(&original));
    assert_eq!(test(&dataset), test(&original));
    // Cut off.
    fs::write(path("data_batch_2.bin"), batch(&images[28..39], &labels[10..])).expect("writable");
    let error = config.load(temporary().path()).expect_err("cut off").to_string();
    assert!(error.contains("data_batch_2.bin: 13 bytes") && error.contains("cut off"), "{error}");
}
