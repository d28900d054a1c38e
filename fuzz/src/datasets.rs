//! Targets for the formats of datasets that are one file.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use kiln_data::{Channels, DataConfig, Dataset, FormatName, ImageSize, read_unlabeled};

use crate::assert_has_message;
use crate::files::with_file;

/// Reads a dataset that is a file of this name, or the directory of the file. Errors must name it.
fn read(name: &str, bytes: &[u8], config: &DataConfig) -> Option<Dataset> {
    with_file(name, bytes, |directory| {
        let path = if config.source == "file" { &directory.join(name) } else { directory };
        let source = path.to_str().expect("UTF-8").to_owned();
        let loaded = DataConfig { source, ..config.clone() }.load(&directory.join("data"));
        match loaded {
            Ok(dataset) => {
                let images = &dataset.images;
                assert_eq!(images.pixels.len(), images.len() * images.shape.values());
                assert!(!dataset.parts.training.is_empty());
                assert_eq!(dataset.parts.test.end as usize, images.len());
                let classes = dataset.class_names.len();
                assert!(images.labels.iter().all(|label| usize::from(*label) < classes));
                Some(dataset)
            }
            Err(error) => {
                assert_has_message(&error);
                let message = error.to_string();
                assert!(message.contains(directory.to_str().expect("UTF-8")), "{message}");
                None
            }
        }
    })
}

fn config(format: FormatName) -> DataConfig {
    DataConfig { format: Some(format), ..DataConfig::new("file") }
}

/// Reads an archive of arrays.
pub fn npz(bytes: &[u8]) {
    read("data.npz", bytes, &config(FormatName::Npz));
}

/// Reads a table, which must give the same dataset when it is compressed, and as a table without labels.
pub fn csv(bytes: &[u8]) {
    let config = config(FormatName::Csv);
    let plain = read("data.csv", bytes, &config);
    if let (Some(plain), false) = (plain, bytes.starts_with(&[0x1f, 0x8b])) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("a Vec takes everything");
        let compressed = encoder.finish().expect("a Vec takes everything");
        let again = read("data.csv", &compressed, &config).expect("the same content");
        assert_eq!(plain.fingerprint, again.fingerprint);
    }
    with_file("data.csv", bytes, |directory| {
        if let Err(error) = read_unlabeled(&directory.join("data.csv"), &config) {
            assert_has_message(&error);
        }
    });
}

/// Reads a batch of images of 2×2 pixels.
pub fn cifar(bytes: &[u8]) {
    let image = Some(ImageSize { height: 2, width: 2 });
    let channels = Some(Channels::Gray);
    let config = DataConfig { image, channels, ..config(FormatName::Cifar) };
    read("data_batch_1.bin", bytes, &DataConfig { source: "directory".to_owned(), ..config });
}

/// Reads a table of encoded images; without the feature `parquet`, reports that it cannot.
pub fn parquet(bytes: &[u8]) {
    read("data.parquet", bytes, &config(FormatName::Parquet));
}
