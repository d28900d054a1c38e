//! A damaged file is either an error that names it, or reads as the original.

use std::fs;
use std::path::Path;

use crate::common::{
    FILES, gzip, temporary, test, train, valid_files, write_compressed, write_plain,
};
use kiln_data::{DataError, DataFile, Dataset, IdxError, load, verify};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Replaces one compressed file and loads the dataset. Errors must name the file.
fn load_damaged(directory: &Path, file: usize, bytes: &[u8]) -> Result<Dataset, DataError> {
    fs::write(directory.join(format!("{}.gz", FILES[file])), bytes).expect("writable");
    let loaded = load(directory.to_str().expect("a UTF-8 path"), Path::new("unused"));
    if let Err(error) = &loaded {
        assert!(error.to_string().contains(FILES[file]), "{error} names {}", FILES[file]);
    }
    loaded
}

#[test]
fn a_flipped_bit_of_a_compressed_file_is_an_error_or_changes_nothing() {
    let directory = temporary();
    for file in 0..FILES.len() {
        write_compressed(directory.path(), &valid_files());
        let original = gzip(&valid_files()[file]);
        let intact = load_damaged(directory.path(), file, &original).expect("valid");
        let mut errors = 0;
        for bit in 0..original.len() * 8 {
            match load_damaged(directory.path(), file, &flipped(&original, bit)) {
                Ok(dataset) => {
                    assert_eq!(dataset.fingerprint, intact.fingerprint, "bit {bit}");
                    assert_eq!(train(&dataset), train(&intact), "bit {bit}");
                    assert_eq!(test(&dataset), test(&intact), "bit {bit}");
                }
                Err(_) => errors += 1,
            }
        }
        // 8 bytes of the gzip header do not affect the content: flags, time, system.
        assert!(errors >= (original.len() - 8) * 8, "{errors} of {} bits", original.len() * 8);
    }
}

#[test]
fn a_flipped_bit_of_a_plain_file_is_an_error_or_changes_the_fingerprint() {
    let directory = temporary();
    write_plain(directory.path(), &valid_files());
    let source = directory.path().to_str().expect("a UTF-8 path");
    let intact = load(source, Path::new("unused")).expect("valid").fingerprint;
    for (name, original) in FILES.iter().zip(valid_files()) {
        let header = 4 * (usize::from(original[3]) + 1);
        for bit in 0..original.len() * 8 {
            fs::write(directory.path().join(name), flipped(&original, bit)).expect("writable");
            match load(source, Path::new("unused")) {
                Ok(dataset) => {
                    assert_ne!(dataset.fingerprint, intact, "{name}, bit {bit}");
                    assert!(bit >= header * 8, "{name}, bit {bit} of the header");
                }
                Err(error) => assert!(error.to_string().contains(name), "{name}: {error}"),
            }
        }
        fs::write(directory.path().join(name), original).expect("writable");
    }
}

#[test]
fn a_flipped_bit_of_the_class_names_is_an_error_or_changes_the_fingerprint() {
    let directory = temporary();
    write_plain(directory.path(), &valid_files());
    let source = directory.path().to_str().expect("a UTF-8 path");
    let names = "left\nAnkle boot\n帽子\n".as_bytes();
    let path = directory.path().join("classes.txt");
    fs::write(&path, names).expect("writable");
    let intact = load(source, Path::new("unused")).expect("valid");
    for bit in 0..names.len() * 8 {
        fs::write(&path, flipped(names, bit)).expect("writable");
        match load(source, Path::new("unused")) {
            // A line break may become a space at the end of a name, which is trimmed.
            Ok(dataset) => {
                let is_same = dataset.class_names == intact.class_names;
                assert_eq!(dataset.fingerprint == intact.fingerprint, is_same, "bit {bit}");
            }
            // If a line break is gone, there are fewer names, and the error is about a label.
            Err(error @ DataError::Idx(IdxError::LabelOutOfRange { .. })) => {
                assert!(error.to_string().contains("2 classes"), "bit {bit}: {error}");
            }
            Err(error) => assert!(error.to_string().contains("classes.txt"), "bit {bit}: {error}"),
        }
    }
}

/// With the Fashion-MNIST files in the repository. Each file is verified alone in a directory.
#[test]
fn a_flipped_bit_of_a_published_file_is_an_error_or_in_the_gzip_header() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fashion-mnist");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Fewer bits of the large files, which take longer to read.
    for (file, flips) in DataFile::ALL.into_iter().zip([4, 200, 12, 1000]) {
        let name = format!("{}.gz", file.names()[0]);
        let original = fs::read(committed.join(&name)).expect("a committed file");
        // RFC 1952: the header has ten bytes. If a flag in the fourth byte is set, a zero-terminated
        // file name follows.
        let name_bytes = if original[3] & 8 == 0 {
            0
        } else {
            original[10..].iter().position(|b| *b == 0).expect("a terminator") + 1
        };
        let header = 10 + name_bytes;
        let data = temporary();
        let directory = data.path().join("fashion-mnist");
        fs::create_dir(&directory).expect("writable");
        let beginning = 0..(header + 4) * 8;
        let rest: Vec<usize> =
            (0..flips).map(|_| rng.next_u64() as usize % (original.len() * 8)).collect();
        // The headers of large files are tested less densely.
        let beginning = beginning.step_by(if original.len() > 1 << 20 { 61 } else { 1 });
        for bit in beginning.chain(rest) {
            fs::write(directory.join(&name), flipped(&original, bit)).expect("writable");
            let verified = verify("fashion-mnist", data.path()).expect("a listed dataset");
            let check =
                verified.files.iter().find(|check| check.file == file).expect("one of four");
            match &check.outcome {
                // Bits of the gzip header that do not affect the content: a time, a file name.
                Ok(file) => {
                    assert!(bit < header * 8, "{name}, bit {bit}");
                    assert_eq!(Some(file.sha256.as_str()), check.published_sha256);
                }
                Err(error) => assert!(error.to_string().contains(&name), "bit {bit}: {error}"),
            }
        }
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

#[test]
fn every_truncation_is_an_error() {
    let directory = temporary();
    for file in [0, 1] {
        write_compressed(directory.path(), &valid_files());
        let original = gzip(&valid_files()[file]);
        for length in 0..original.len() {
            let error =
                load_damaged(directory.path(), file, &original[..length]).expect_err("truncated");
            // Fewer than two bytes are not recognized as gzip.
            let expected = match length {
                0 | 1 => {
                    matches!(
                        error,
                        DataError::Idx(IdxError::TruncatedHeader { .. })
                            | DataError::Idx(IdxError::NotIdx { .. })
                    )
                }
                _ => matches!(error, DataError::Gzip { .. }),
            };
            assert!(expected, "{length} bytes: {error}");
        }
    }
}

#[test]
fn bytes_after_the_gzip_data_are_an_error() {
    let directory = temporary();
    write_compressed(directory.path(), &valid_files());
    let followed = [gzip(&valid_files()[0]), b"more".to_vec()].concat();
    load_damaged(directory.path(), 0, &followed).expect_err("not a gzip member");
}

#[test]
fn a_gzip_bomb_is_not_decompressed() {
    let directory = temporary();
    write_compressed(directory.path(), &valid_files());
    // 64 MiB of zeros after a header that declares four images; compressed, they are about 64 KiB.
    let mut content = valid_files()[0].clone();
    content.resize(64 << 20, 0);
    let error = load_damaged(directory.path(), 0, &gzip(&content)).expect_err("too long");
    assert!(matches!(error, DataError::Idx(IdxError::TrailingBytes { offset: 40, .. })), "{error}");
}
