//! Makes the files of a dataset from a download.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{cannot_read, cannot_write};
use crate::DataError;
use crate::catalog::{IDX_FILES, Unpack};

/// Limit for the unpacked size of one file. The largest one, the images of EMNIST ByClass, has 547 million bytes.
pub(super) const MAX_UNPACKED: u64 = 1 << 30;

impl Unpack {
    /// Writes the files of the dataset into `directory`. The archive has the published checksum, so an unexpected content is
    /// an error of this program; it still never writes anywhere else.
    pub(super) fn unpack(self, archive: &Path, directory: &Path) -> Result<(), DataError> {
        let unusable = |problem: String| DataError::Archive { path: archive.to_owned(), problem };
        let reading = |error: io::Error| unusable(error.to_string());
        match self {
            Self::As(file) => {
                let target = directory.join(file);
                fs::rename(archive, &target).map_err(|source| cannot_write(&target, source))
            }
            Self::TarGz(files) => {
                let file = File::open(archive).map_err(|source| cannot_read(archive, source))?;
                let mut missing = files.to_vec();
                let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
                for entry in tar.entries().map_err(reading)? {
                    let entry = entry.map_err(reading)?;
                    let path = entry.path().map_err(reading)?.into_owned();
                    let is_wanted =
                        |file: &&str| path.file_name().is_some_and(|name| name == *file);
                    if let Some(place) = missing.iter().position(is_wanted) {
                        write_file(&directory.join(missing.swap_remove(place)), entry)?;
                    }
                }
                match missing.first() {
                    None => Ok(()),
                    Some(file) => Err(unusable(format!("{file} is not in it"))),
                }
            }
            Self::Emnist { variant, first_label } => {
                let file = File::open(archive).map_err(|source| cannot_read(archive, source))?;
                let zipped = |error: zip::result::ZipError| unusable(error.to_string());
                let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(zipped)?;
                for target in IDX_FILES {
                    let part = if target.starts_with("train") { "train" } else { "test" };
                    let rest = target.split_once('-').map_or(target, |(_, rest)| rest);
                    let name = format!("emnist-{variant}-{part}-{rest}");
                    let is_member = |path: &Cow<'_, str>| path.rsplit('/').next() == Some(&name);
                    let path = zip.file_names().flatten().find(is_member).map(Cow::into_owned);
                    let path = path.ok_or_else(|| unusable(format!("{name} is not in it")))?;
                    let member = zip.by_name(&path).map_err(zipped)?;
                    let mut content = decompress(member).map_err(reading)?;
                    let is_right = match dimensions(&content) {
                        Some([count, height, width]) => {
                            transpose(&mut content[16..], count, height, width)
                        }
                        None => lower_labels(&mut content, first_label),
                    };
                    is_right.ok_or_else(|| unusable(format!("{name} is not an IDX file")))?;
                    write_compressed(&directory.join(target), &content)?;
                }
                Ok(())
            }
            Self::QmnistLabels(target) => {
                let file = File::open(archive).map_err(|source| cannot_read(archive, source))?;
                let content = decompress(file).map_err(reading)?;
                let labels = qmnist_labels(&content);
                let labels = labels.ok_or_else(|| unusable("not labels of QMNIST".into()))?;
                write_compressed(&directory.join(target), &labels)
            }
        }
    }
}

/// The complete content of a gzip file.
fn decompress(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    MultiGzDecoder::new(reader).take(MAX_UNPACKED).read_to_end(&mut content)?;
    Ok(content)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

/// The dimensions of an IDX file of images.
fn dimensions(content: &[u8]) -> Option<[usize; 3]> {
    let is_images = content.starts_with(&[0, 0, 8, 3]);
    is_images.then(|| Some([number(content, 4)?, number(content, 8)?, number(content, 12)?]))?
}

/// Swaps the rows and columns of square images.
fn transpose(pixels: &mut [u8], count: usize, height: usize, width: usize) -> Option<()> {
    let size = height.checked_mul(width)?;
    if height != width || size == 0 || pixels.len() != count.checked_mul(size)? {
        return None;
    }
    for image in pixels.chunks_exact_mut(size) {
        for row in 0..height {
            for column in row + 1..width {
                image.swap(row * width + column, column * width + row);
            }
        }
    }
    Some(())
}

fn lower_labels(content: &mut [u8], first_label: u8) -> Option<()> {
    if !content.starts_with(&[0, 0, 8, 1]) || content.len() != number(content, 4)? + 8 {
        return None;
    }
    for label in &mut content[8..] {
        *label = label.checked_sub(first_label)?;
    }
    Some(())
}

/// An IDX file of the first of the columns of big-endian 32-bit integers.
fn qmnist_labels(content: &[u8]) -> Option<Vec<u8>> {
    let (count, columns) = (number(content, 4)?, number(content, 8)?);
    let values = content.get(12..)?;
    let row = columns.checked_mul(4).filter(|row| *row > 0)?;
    if !content.starts_with(&[0, 0, 12, 2]) || values.len() != count.checked_mul(row)? {
        return None;
    }
    let mut labels = vec![0, 0, 8, 1];
    labels.extend(u32::try_from(count).ok()?.to_be_bytes());
    for row in values.chunks_exact(row) {
        labels.push(u8::try_from(number(row, 0)?).ok()?);
    }
    Some(labels)
}

fn write_file(path: &Path, content: impl Read) -> Result<(), DataError> {
    let mut file = File::create(path).map_err(|source| cannot_write(path, source))?;
    let copied = io::copy(&mut content.take(MAX_UNPACKED), &mut file);
    copied.and_then(|_| file.sync_all()).map_err(|source| cannot_write(path, source))
}

fn write_compressed(path: &Path, content: &[u8]) -> Result<(), DataError> {
    let write = || {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = GzEncoder::new(file, Compression::default());
        encoder.write_all(content)?;
        encoder.finish()?.into_inner()?.sync_all()
    };
    write().map_err(|source| cannot_write(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emnist_images_are_transposed_and_labels_lowered() {
        let mut pixels = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(transpose(&mut pixels, 2, 2, 2), Some(()));
        assert_eq!(pixels, [1, 3, 2, 4, 5, 7, 6, 8]);
        assert_eq!(transpose(&mut pixels, 3, 2, 2), None);
        let mut labels = [0, 0, 8, 1, 0, 0, 0, 2, 1, 26];
        assert_eq!(lower_labels(&mut labels, 1), Some(()));
        assert_eq!(labels[8..], [0, 25]);
        assert_eq!(lower_labels(&mut labels, 1), None);
    }

    #[test]
    fn the_first_column_of_qmnist_labels_is_the_class() {
        let mut content = vec![0, 0, 12, 2, 0, 0, 0, 2, 0, 0, 0, 2];
        for value in [5_u32, 700, 9, 800] {
            content.extend(value.to_be_bytes());
        }
        assert_eq!(qmnist_labels(&content), Some(vec![0, 0, 8, 1, 0, 0, 0, 2, 5, 9]));
        assert_eq!(qmnist_labels(&content[..27]), None);
    }

    /// A zip archive with small variants of the files, as EMNIST names them.
    #[test]
    fn emnist_is_unpacked_from_its_archive() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let archive = directory.path().join("gzip.zip");
        let mut zip = zip::ZipWriter::new(File::create(&archive).expect("writable"));
        let gzip = |content: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(content).expect("in memory");
            encoder.finish().expect("in memory")
        };
        let images =
            [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2][..], &[1, 2, 3, 4]].concat();
        for part in ["train", "test"] {
            let contents =
                [("images-idx3", images.clone()), ("labels-idx1", vec![0, 0, 8, 1, 0, 0, 0, 1, 7])];
            for (kind, content) in contents {
                let name = format!("gzip/emnist-letters-{part}-{kind}-ubyte.gz");
                zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("valid");
                zip.write_all(&gzip(&content)).expect("writable");
            }
        }
        zip.finish().expect("writable");
        let unpack = Unpack::Emnist { variant: "letters", first_label: 1 };
        let target = directory.path().join("target");
        fs::create_dir(&target).expect("writable");
        unpack.unpack(&archive, &target).expect("a valid archive");
        let read = |file: &str| {
            decompress(File::open(target.join(file)).expect("it exists")).expect("valid gzip")
        };
        for part in ["train", "t10k"] {
            assert_eq!(read(&format!("{part}-images-idx3-ubyte.gz"))[16..], [1, 3, 2, 4]);
            assert_eq!(read(&format!("{part}-labels-idx1-ubyte.gz"))[8..], [6]);
        }
        let other = Unpack::Emnist { variant: "digits", first_label: 0 };
        assert!(matches!(other.unpack(&archive, &target), Err(DataError::Archive { .. })));
    }
}
