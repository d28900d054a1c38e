//! Targets for binary files. A reader that opens its file itself gets one in a temporary directory.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kiln_data::{Background, DataFile, Fitting, ImageShape, Resize, load, picture, read_image};
use kiln_model::Weights;
use tempfile::TempDir;

use crate::assert_has_message;

thread_local! {
    /// One directory per thread, created once: creating one takes longer than most targets.
    static DIRECTORY: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Writes a file to the directory of this thread, and calls `work` with the directory.
pub(crate) fn with_file<T>(name: &str, bytes: &[u8], work: impl FnOnce(&Path) -> T) -> T {
    DIRECTORY.with_borrow_mut(|directory| {
        let directory = directory
            .get_or_insert_with(|| tempfile::tempdir().expect("a temporary directory"))
            .path();
        fs::write(directory.join(name), bytes).expect("a writable directory");
        work(directory)
    })
}

/// Reads a dataset in which one of the four files has the content of the input. The file is IDX or gzip of IDX, and the
/// first byte of the input chooses which of the four it is. If the file is valid, it must give the same dataset when it
/// is compressed.
pub fn idx_gzip(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else { return };
    let file = usize::from(*which) % DataFile::ALL.len();
    let result = read_dataset(file, content);
    if let (Ok(plain), false) = (&result, content.starts_with(&[0x1f, 0x8b])) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("a Vec takes everything");
        let compressed = encoder.finish().expect("a Vec takes everything");
        let again = read_dataset(file, &compressed).expect("the same content");
        assert_eq!(*plain, again);
    }
    if let Err(error) = result {
        assert!(error.contains("ubyte"), "the error names no file: {error}");
    }
}

/// Returns the fingerprint of a dataset with one replaced file, or the error message.
fn read_dataset(file: usize, content: &[u8]) -> Result<String, String> {
    const VALID: [&[u8]; 4] = [
        b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03abcdefghijkl",
        b"\0\0\x08\x01\0\0\0\x02\x00\x01",
        b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x03mnopqr",
        b"\0\0\x08\x01\0\0\0\x01\x02",
    ];
    for (other, valid) in DataFile::ALL.iter().zip(VALID) {
        with_file(other.names()[0], valid, |_| ());
    }
    with_file(DataFile::ALL[file].names()[0], content, |directory| {
        let loaded = load(directory.to_str().expect("UTF-8"), &directory.join("data"));
        loaded.map(|dataset| dataset.fingerprint).map_err(|error| {
            assert_has_message(&error);
            error.to_string()
        })
    })
}

/// Decodes a picture, from a file and from memory. If it is valid, its header must agree with it, and it must fit into any
/// shape.
pub fn image(bytes: &[u8]) {
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    let from_file =
        with_file("picture", bytes, |directory| read_image(&directory.join("picture"), shape));
    match &from_file {
        Ok(read) => assert_eq!(read.pixels.len(), shape.values()),
        Err(error) => assert_has_message(error),
    }
    match picture::decode(bytes) {
        Ok(decoded) => {
            assert!(from_file.is_ok());
            let pixels = decoded.width * decoded.height;
            assert_eq!(decoded.pixels.len(), pixels * decoded.channels);
            assert!(decoded.alpha.as_ref().is_none_or(|alpha| alpha.len() == pixels));
            let info = picture::size(bytes).expect("it was decoded");
            assert_eq!((info.width, info.height), (decoded.width, decoded.height));
            assert_eq!((info.format, info.mode), (decoded.format, decoded.mode));
            for &resize in Resize::ALL {
                let shape = ImageShape { channels: 3, height: 5, width: 7 };
                let fitting = Fitting { shape, resize, background: Background([1, 2, 3]) };
                picture::fit(&decoded, &fitting, &mut vec![0; shape.values()]);
            }
        }
        Err(error) => {
            assert!(from_file.is_err());
            assert_has_message(&error);
        }
    }
}

/// Reads a weights file. If the file is valid, writing and reading it again must give the same weights.
pub fn safetensors(bytes: &[u8]) {
    match Weights::from_safetensors(bytes) {
        Ok((weights, metadata)) => {
            let metadata = metadata.unwrap_or_default();
            let written = weights.to_safetensors(metadata.clone()).expect("it was read");
            let (again, again_metadata) =
                Weights::from_safetensors(&written).expect("it was just written");
            assert_eq!(again_metadata, Some(metadata.clone()));
            // Compare bytes, since NaN is not equal to itself.
            assert_eq!(again.to_safetensors(metadata).expect("it was read"), written);
        }
        Err(error) => assert_has_message(&error),
    }
}
