//! Whatever happens to a file, it is either read as it was or refused by name.

use std::fs;
use std::path::Path;

use crate::common::{FILES, gzip, sound, temporary, write_compressed};
use kiln_data::{DataError, Dataset, load};

/// Loads a dataset of which one compressed file was damaged, and the error if there is one, which
/// must name a file.
fn load_damaged(directory: &Path, file: usize, bytes: &[u8]) -> Result<Dataset, DataError> {
    fs::write(directory.join(format!("{}.gz", FILES[file])), bytes).expect("writable");
    let loaded = load(directory.to_str().expect("a UTF-8 path"), Path::new("unused"));
    if let Err(error) = &loaded {
        assert!(error.to_string().contains(FILES[file]), "{error} names {}", FILES[file]);
    }
    loaded
}

#[test]
fn every_flipped_bit_is_refused_or_changes_nothing() {
    let directory = temporary();
    for file in [0, 1] {
        write_compressed(directory.path(), &sound());
        let whole = gzip(&sound()[file]);
        let intact = load_damaged(directory.path(), file, &whole).expect("sound");
        let mut refused = 0;
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match load_damaged(directory.path(), file, &damaged) {
                Ok(dataset) => {
                    assert_eq!(dataset.fingerprint, intact.fingerprint, "bit {bit}");
                    assert_eq!(dataset.train, intact.train, "bit {bit}");
                }
                Err(_) => refused += 1,
            }
        }
        // The gzip header has 8 bytes that mean nothing to the content: flags, time, system.
        assert!(refused >= (whole.len() - 8) * 8, "{refused} of {} bits refused", whole.len() * 8);
    }
}

#[test]
fn every_truncation_is_refused() {
    let directory = temporary();
    for file in [0, 1] {
        write_compressed(directory.path(), &sound());
        let whole = gzip(&sound()[file]);
        for length in 0..whole.len() {
            let error = load_damaged(directory.path(), file, &whole[..length])
                .expect_err("a part is not the whole");
            // Of less than two bytes nobody can tell that they were gzip.
            let expected = match length {
                0 | 1 => {
                    matches!(error, DataError::TruncatedHeader { .. } | DataError::NotIdx { .. })
                }
                _ => matches!(error, DataError::Gzip { .. }),
            };
            assert!(expected, "{length} bytes: {error}");
        }
    }
}

#[test]
fn what_follows_the_gzip_data_is_refused() {
    let directory = temporary();
    write_compressed(directory.path(), &sound());
    let followed = [gzip(&sound()[0]), b"more".to_vec()].concat();
    load_damaged(directory.path(), 0, &followed).expect_err("not a gzip member");
}

#[test]
fn a_gzip_bomb_is_not_unpacked() {
    let directory = temporary();
    write_compressed(directory.path(), &sound());
    // 64 MiB of zeros behind a header that claims four images; packed, it is some 64 KiB.
    let mut content = sound()[0].clone();
    content.resize(64 << 20, 0);
    let error = load_damaged(directory.path(), 0, &gzip(&content)).expect_err("too long");
    assert!(matches!(error, DataError::TrailingBytes { offset: 40, .. }), "{error}");
}
