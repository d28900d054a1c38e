//! Writes small datasets for the tests.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kiln_data::{Dataset, LabeledImages, Part};

/// The names of the four files, in the order in which they are read.
pub(crate) const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// An IDX file of unsigned bytes. The dimensions need not fit the values.
pub(crate) fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(dimensions.len()).expect("at most 255 dimensions")];
    for dimension in dimensions {
        bytes.extend(dimension.to_be_bytes());
    }
    bytes.extend(values);
    bytes
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("writing to a Vec");
    encoder.finish().expect("writing to a Vec")
}

/// The files of a valid dataset: four training images of 2×3 pixels with labels 0, 1, 2, 1, and two
/// test images with labels 2 and 0.
pub(crate) fn valid_files() -> [Vec<u8>; 4] {
    let pixels: Vec<u8> = (0..36).map(|value| value * 7).collect();
    [
        idx(&[4, 2, 3], &pixels[..24]),
        idx(&[4], &[0, 1, 2, 1]),
        idx(&[2, 2, 3], &pixels[24..]),
        idx(&[2], &[2, 0]),
    ]
}

/// Writes the four files, compressed with gzip.
pub(crate) fn write_compressed(directory: &Path, contents: &[Vec<u8>; 4]) {
    for (name, content) in FILES.iter().zip(contents) {
        fs::write(directory.join(format!("{name}.gz")), gzip(content)).expect("writable");
    }
}

/// Writes the four files without compression.
pub(crate) fn write_plain(directory: &Path, contents: &[Vec<u8>; 4]) {
    for (name, content) in FILES.iter().zip(contents) {
        fs::write(directory.join(name), content).expect("writable");
    }
}

/// The images of a part.
pub(crate) fn part(dataset: &Dataset, part: Part) -> LabeledImages {
    let (images, rows) = (&dataset.images, dataset.parts.of(part));
    let (start, end, size) = (rows.start as usize, rows.end as usize, images.shape.values());
    LabeledImages {
        shape: images.shape,
        pixels: images.pixels[start * size..end * size].to_vec().into(),
        labels: images.labels[start..end].to_vec(),
    }
}

pub(crate) fn train(dataset: &Dataset) -> LabeledImages {
    part(dataset, Part::Training)
}

pub(crate) fn test(dataset: &Dataset) -> LabeledImages {
    part(dataset, Part::Test)
}

/// A directory that is deleted at the end of the test.
pub(crate) fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The result of Pillow for a picture.
pub(crate) fn reference(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
    fs::read(directory.join(name)).expect("a reference")
}
