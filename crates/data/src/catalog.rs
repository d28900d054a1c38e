//! The listed datasets. To add one, add an entry to [`DATASETS`] and its checksums to the test in
//! `tests/data/catalog.rs`.

use crate::{DataFile, FormatName, ImageShape};

/// All listed datasets, in the order of `kiln data list`.
pub const DATASETS: &[NamedDataset] = &[
    NamedDataset {
        name: "fashion-mnist",
        title: "Fashion-MNIST: articles of clothing",
        class_names: &[
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
        format: FormatName::Idx,
        shape: ImageShape { channels: 1, height: 28, width: 28 },
        training_examples: 60_000,
        test_examples: 10_000,
        sha256: ContentSums {
            train_images: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            train_labels: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            test_images: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            test_labels: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        license: "MIT (Copyright 2017 Zalando SE)",
        origin: "https://github.com/zalandoresearch/fashion-mnist",
    },
    NamedDataset {
        name: "mnist",
        title: "MNIST: handwritten digits",
        class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        format: FormatName::Idx,
        shape: ImageShape { channels: 1, height: 28, width: 28 },
        training_examples: 60_000,
        test_examples: 10_000,
        sha256: ContentSums {
            train_images: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            train_labels: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            test_images: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            test_labels: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        license: "none stated by the authors",
        origin: "http://yann.lecun.com/exdb/mnist/",
    },
];

/// A dataset that experiments refer to by name.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedDataset {
    /// The name in `data.source` and of the dataset's directory in the data directory.
    pub name: &'static str,
    /// The full name and the subject.
    pub title: &'static str,
    /// The class of each label, in order.
    pub class_names: &'static [&'static str],
    /// The format of the published files.
    pub format: FormatName,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The number of rows in the training files.
    pub training_examples: usize,
    /// The number of rows in the test files.
    pub test_examples: usize,
    /// The checksums of the four files.
    pub sha256: ContentSums,
    /// The license of the data.
    pub license: &'static str,
    /// The web page of the dataset.
    pub origin: &'static str,
}

/// The SHA-256 of the content of each file, in lower-case hexadecimal, as printed by
/// `gzip -dc FILE | sha256sum`.
///
/// The checksums are of the decompressed content, because copies of a dataset are often compressed
/// again, with another name or date in the gzip header, or not compressed.
#[derive(Debug, PartialEq, Eq)]
pub struct ContentSums {
    /// Of `train-images-idx3-ubyte`.
    pub train_images: &'static str,
    /// Of `train-labels-idx1-ubyte`.
    pub train_labels: &'static str,
    /// Of `t10k-images-idx3-ubyte`.
    pub test_images: &'static str,
    /// Of `t10k-labels-idx1-ubyte`.
    pub test_labels: &'static str,
}

impl ContentSums {
    /// The checksum of one of the files.
    pub fn of(&self, file: DataFile) -> &'static str {
        match file {
            DataFile::TrainImages => self.train_images,
            DataFile::TrainLabels => self.train_labels,
            DataFile::TestImages => self.test_images,
            DataFile::TestLabels => self.test_labels,
        }
    }
}

/// The listed dataset of this name.
pub(crate) fn find(name: &str) -> Option<&'static NamedDataset> {
    DATASETS.iter().find(|dataset| dataset.name == name)
}
