//! The entries.

use super::classes::{CIFAR_100, EMNIST_ALL, EMNIST_MERGED};
use super::{ContentSums, Download, FileSum, NamedDataset, Unpack};
use crate::{FormatName, ImageShape};

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
        training_examples: 60_000,
        test_examples: 10_000,
        sha256: Some(ContentSums {
            train_images: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            train_labels: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            test_images: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            test_labels: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        }),
        license: "MIT (Copyright 2017 Zalando SE)",
        origin: "https://github.com/zalandoresearch/fashion-mnist",
        mirrors: &[
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            // Without TLS, the checksum still proves the content.
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ],
        downloads: &[
            idx_file(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            idx_file(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            idx_file(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            idx_file(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ],
        ..MNIST_LIKE
    },
    NamedDataset {
        name: "mnist",
        title: "MNIST: handwritten digits",
        training_examples: 60_000,
        test_examples: 10_000,
        sha256: Some(ContentSums {
            train_images: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            train_labels: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            test_images: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            test_labels: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        }),
        license: "none stated by the authors",
        // The page of the authors no longer has the files.
        origin: "https://storage.googleapis.com/cvdf-datasets/mnist/",
        mirrors: &[
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ],
        downloads: &[
            idx_file(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            idx_file(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            idx_file(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            idx_file(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ],
        ..MNIST_LIKE
    },
    NamedDataset {
        name: "kmnist",
        title: "Kuzushiji-MNIST: cursive Japanese characters",
        class_names: &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
        training_examples: 60_000,
        test_examples: 10_000,
        license: "CC BY-SA 4.0 (CODH)",
        origin: "https://github.com/rois-codh/kmnist",
        mirrors: &[
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ],
        downloads: &[
            idx_file(
                "train-images-idx3-ubyte.gz",
                18_165_135,
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            idx_file(
                "train-labels-idx1-ubyte.gz",
                29_497,
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
            idx_file(
                "t10k-images-idx3-ubyte.gz",
                3_041_136,
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            idx_file(
                "t10k-labels-idx1-ubyte.gz",
                5_120,
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ],
        ..MNIST_LIKE
    },
    NamedDataset {
        name: "qmnist",
        title: "QMNIST: the digits of MNIST with 60,000 test images",
        training_examples: 60_000,
        test_examples: 60_000,
        license: "BSD-3-Clause (Facebook)",
        origin: "https://github.com/facebookresearch/qmnist",
        mirrors: &["https://raw.githubusercontent.com/facebookresearch/qmnist/master/"],
        downloads: &[
            Download {
                file: "qmnist-train-images-idx3-ubyte.gz",
                bytes: None,
                checksum: FileSum::Md5("ed72d4157d28c017586c42bc6afe6370"),
                unpack: Unpack::As("train-images-idx3-ubyte.gz"),
            },
            Download {
                file: "qmnist-train-labels-idx2-int.gz",
                bytes: None,
                checksum: FileSum::Md5("0058f8dd561b90ffdd0f734c6a30e5e4"),
                unpack: Unpack::QmnistLabels("train-labels-idx1-ubyte.gz"),
            },
            Download {
                file: "qmnist-test-images-idx3-ubyte.gz",
                bytes: None,
                checksum: FileSum::Md5("1394631089c404de565df7b7aeaf9412"),
                unpack: Unpack::As("t10k-images-idx3-ubyte.gz"),
            },
            Download {
                file: "qmnist-test-labels-idx2-int.gz",
                bytes: None,
                checksum: FileSum::Md5("5b5b05890a5e13444e108efe57b788aa"),
                unpack: Unpack::QmnistLabels("t10k-labels-idx1-ubyte.gz"),
            },
        ],
        ..MNIST_LIKE
    },
    NamedDataset {
        name: "emnist-balanced",
        title: "EMNIST Balanced: handwritten digits and letters",
        class_names: EMNIST_MERGED,
        training_examples: 112_800,
        test_examples: 18_800,
        downloads: &[emnist("balanced", 0)],
        ..EMNIST
    },
    NamedDataset {
        name: "emnist-byclass",
        title: "EMNIST ByClass: handwritten digits, capital and small letters",
        class_names: EMNIST_ALL,
        training_examples: 697_932,
        test_examples: 116_323,
        downloads: &[emnist("byclass", 0)],
        ..EMNIST
    },
    NamedDataset {
        name: "emnist-bymerge",
        title: "EMNIST ByMerge: handwritten digits and letters, similar ones merged",
        class_names: EMNIST_MERGED,
        training_examples: 697_932,
        test_examples: 116_323,
        downloads: &[emnist("bymerge", 0)],
        ..EMNIST
    },
    NamedDataset {
        name: "emnist-digits",
        title: "EMNIST Digits: handwritten digits",
        training_examples: 240_000,
        test_examples: 40_000,
        downloads: &[emnist("digits", 0)],
        ..EMNIST
    },
    NamedDataset {
        name: "emnist-letters",
        title: "EMNIST Letters: handwritten letters, capital and small ones merged",
        class_names: &[
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
            "r", "s", "t", "u", "v", "w", "x", "y", "z",
        ],
        training_examples: 124_800,
        test_examples: 20_800,
        downloads: &[emnist("letters", 1)],
        ..EMNIST
    },
    NamedDataset {
        name: "emnist-mnist",
        title: "EMNIST MNIST: the digits of EMNIST in the size of MNIST",
        training_examples: 60_000,
        test_examples: 10_000,
        downloads: &[emnist("mnist", 0)],
        ..EMNIST
    },
    NamedDataset {
        name: "cifar-10",
        title: "CIFAR-10: photographs of animals and vehicles",
        class_names: &[
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ],
        training_examples: 50_000,
        downloads: &[Download {
            file: "cifar-10-binary.tar.gz",
            bytes: Some(170_052_171),
            checksum: FileSum::Sha256(
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
            unpack: Unpack::TarGz(&[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
                "test_batch.bin",
                "batches.meta.txt",
            ]),
        }],
        ..CIFAR
    },
    NamedDataset {
        name: "cifar-100",
        title: "CIFAR-100: photographs of 100 kinds of things",
        class_names: CIFAR_100,
        training_examples: 50_000,
        downloads: &[Download {
            file: "cifar-100-binary.tar.gz",
            bytes: Some(168_513_733),
            checksum: FileSum::Sha256(
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
            unpack: Unpack::TarGz(&[
                "train.bin",
                "test.bin",
                "fine_label_names.txt",
                "coarse_label_names.txt",
            ]),
        }],
        ..CIFAR
    },
];

/// The properties of MNIST that its relatives share.
const MNIST_LIKE: NamedDataset = NamedDataset {
    name: "",
    title: "",
    class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    format: FormatName::Idx,
    shape: ImageShape { channels: 1, height: 28, width: 28 },
    training_examples: 0,
    test_examples: 0,
    sha256: None,
    license: "",
    origin: "",
    mirrors: &[],
    downloads: &[],
};

const EMNIST: NamedDataset = NamedDataset {
    license: "none stated by the authors",
    origin: "https://www.nist.gov/itl/products-and-services/emnist-dataset",
    mirrors: &["https://biometrics.nist.gov/cs_links/EMNIST/"],
    ..MNIST_LIKE
};

const CIFAR: NamedDataset = NamedDataset {
    format: FormatName::Cifar,
    shape: ImageShape { channels: 3, height: 32, width: 32 },
    test_examples: 10_000,
    license: "none stated by the authors",
    origin: "https://www.cs.toronto.edu/~kriz/cifar.html",
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    ..MNIST_LIKE
};

const fn idx_file(file: &'static str, bytes: u64, sha256: &'static str) -> Download {
    Download {
        file,
        bytes: Some(bytes),
        checksum: FileSum::Sha256(sha256),
        unpack: Unpack::As(file),
    }
}

/// The archive of all variants of EMNIST.
const fn emnist(variant: &'static str, first_label: u8) -> Download {
    Download {
        file: "gzip.zip",
        bytes: Some(561_753_746),
        checksum: FileSum::Sha256(
            "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
        ),
        unpack: Unpack::Emnist { variant, first_label },
    }
}
