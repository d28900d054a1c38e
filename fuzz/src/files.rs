//! Readers of bytes. Those that open their files themselves get one in a temporary directory.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kiln_data::{DataFile, ImageShape, load, read_image};
use kiln_model::Weights;
use tempfile::TempDir;

use crate::assert_sound;

thread_local! {
    /// One directory a thread, made once: making one takes longer than most targets.
    static DIRECTORY: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Calls `work` with a directory that holds `name`.
pub(crate) fn with_file<T>(name: &str, bytes: &[u8], work: impl FnOnce(&Path) -> T) -> T {
    DIRECTORY.with_borrow_mut(|directory| {
        let directory = directory
            .get_or_insert_with(|| tempfile::tempdir().expect("a temporary directory"))
            .path();
        fs::write(directory.join(name), bytes).expect("a writable directory");
        work(directory)
    })
}

/// One of a dataset's four files, IDX or gzip of it; the first byte says which. Whatever reads must read the same when it
/// is compressed.
pub fn idx_gzip(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else { return };
    let file = usize::from(*which) % DataFile::ALL.len();
    let outcome = read_dataset(file, content);
    if let (Ok(plain), false) = (&outcome, content.starts_with(&[0x1f, 0x8b])) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("a Vec takes everything");
        let compressed = encoder.finish().expect("a Vec takes everything");
        let again = read_dataset(file, &compressed).expect("the same content");
        assert_eq!(*plain, again);
    }
    if let Err(error) = outcome {
        assert!(error.contains("ubyte"), "{error} names a file");
    }
}

/// The fingerprint of a dataset of which one file has this content, or what is wrong with it.
fn read_dataset(file: usize, content: &[u8]) -> Result<String, String> {
    const SOUND: [&[u8]; 4] = [
        b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03abcdefghijkl",
        b"\0\0\x08\x01\0\0\0\x02\x00\x01",
        b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x03mnopqr",
        b"\0\0\x08\x01\0\0\0\x01\x02",
    ];
    for (other, sound) in DataFile::ALL.iter().zip(SOUND) {
        with_file(other.names()[0], sound, |_| ());
    }
    with_file(DataFile::ALL[file].names()[0], content, |directory| {
        let loaded = load(directory.to_str().expect("UTF-8"), Path::new("data"));
        loaded.map(|dataset| dataset.fingerprint).map_err(|error| {
            assert_sound(&error);
            error.to_string()
        })
    })
}

/// A picture to be classified: it comes out in the shape that was asked for.
pub fn image(bytes: &[u8]) {
    for (channels, height, width) in [(1, 28, 28), (3, 5, 7)] {
        let shape = ImageShape { channels, height, width };
        match with_file("picture", bytes, |directory| read_image(&directory.join("picture"), shape))
        {
            Ok(read) => assert_eq!(read.pixels.len(), shape.values()),
            Err(error) => assert_sound(&error),
        }
    }
}

/// A weights file: what reads is written back and reads the same.
pub fn safetensors(bytes: &[u8]) {
    match Weights::from_safetensors(bytes) {
        Ok((weights, metadata)) => {
            let metadata = metadata.unwrap_or_default();
            let written = weights.to_safetensors(metadata.clone()).expect("it was read");
            let (again, kept) = Weights::from_safetensors(&written).expect("it was just written");
            assert_eq!(kept, Some(metadata.clone()));
            // Bytes, for NaN is not equal to itself.
            assert_eq!(again.to_safetensors(metadata).expect("it was read"), written);
        }
        Err(error) => assert_sound(&error),
    }
}
