//! Whatever happens to a file, it is either read as it was or refused by name.

use std::fs;
use std::path::Path;

use crate::common::{FILES, gzip, sound, temporary, write_compressed, write_plain};
use kiln_data::{DataError, DataFile, Dataset, load, verify};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

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
fn every_flipped_bit_of_a_compressed_file_is_refused_or_changes_nothing() {
    let directory = temporary();
    for file in 0..FILES.len() {
        write_compressed(directory.path(), &sound());
        let whole = gzip(&sound()[file]);
        let intact = load_damaged(directory.path(), file, &whole).expect("sound");
        let mut refused = 0;
        for bit in 0..whole.len() * 8 {
            match load_damaged(directory.path(), file, &flipped(&whole, bit)) {
                Ok(dataset) => {
                    assert_eq!(dataset.fingerprint, intact.fingerprint, "bit {bit}");
                    assert_eq!(dataset.train, intact.train, "bit {bit}");
                    assert_eq!(dataset.test, intact.test, "bit {bit}");
                }
                Err(_) => refused += 1,
            }
        }
        // The gzip header has 8 bytes that mean nothing to the content: flags, time, system.
        assert!(refused >= (whole.len() - 8) * 8, "{refused} of {} bits refused", whole.len() * 8);
    }
}

#[test]
fn every_flipped_bit_of_a_plain_file_is_refused_or_seen_in_the_fingerprint() {
    let directory = temporary();
    write_plain(directory.path(), &sound());
    let source = directory.path().to_str().expect("a UTF-8 path");
    let intact = load(source, Path::new("unused")).expect("sound").fingerprint;
    for (name, whole) in FILES.iter().zip(sound()) {
        let header = 4 * (usize::from(whole[3]) + 1);
        for bit in 0..whole.len() * 8 {
            fs::write(directory.path().join(name), flipped(&whole, bit)).expect("writable");
            match load(source, Path::new("unused")) {
                Ok(dataset) => {
                    assert_ne!(dataset.fingerprint, intact, "{name}, bit {bit}");
                    assert!(bit >= header * 8, "{name}, bit {bit} of the header");
                }
                Err(error) => assert!(error.to_string().contains(name), "{name}: {error}"),
            }
        }
        fs::write(directory.path().join(name), whole).expect("writable");
    }
}

#[test]
fn every_flipped_bit_of_the_class_names_is_refused_or_seen_in_the_fingerprint() {
    let directory = temporary();
    write_plain(directory.path(), &sound());
    let source = directory.path().to_str().expect("a UTF-8 path");
    let names = "left\nAnkle boot\n帽子\n".as_bytes();
    let path = directory.path().join("classes.txt");
    fs::write(&path, names).expect("writable");
    let intact = load(source, Path::new("unused")).expect("sound");
    for bit in 0..names.len() * 8 {
        fs::write(&path, flipped(names, bit)).expect("writable");
        match load(source, Path::new("unused")) {
            // A line break may become a blank, which is no part of a name either.
            Ok(dataset) => {
                let is_same = dataset.class_names == intact.class_names;
                assert_eq!(dataset.fingerprint == intact.fingerprint, is_same, "bit {bit}");
            }
            // With a line less a label may be without a class; that is told of the labels.
            Err(error @ DataError::LabelOutOfRange { .. }) => {
                assert!(error.to_string().contains("2 classes"), "bit {bit}: {error}");
            }
            Err(error) => assert!(error.to_string().contains("classes.txt"), "bit {bit}: {error}"),
        }
    }
}

/// The files of the listed dataset that is in the repository. Each is checked by itself, alone in its directory.
#[test]
fn a_flipped_bit_of_a_published_file_is_always_found() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fashion-mnist");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Fewer of the large ones, which take longer to read.
    for (file, flips) in DataFile::ALL.into_iter().zip([4, 200, 12, 1000]) {
        let name = format!("{}.gz", file.names()[0]);
        let whole = fs::read(committed.join(&name)).expect("a committed file");
        // RFC 1952: ten bytes, and where the fourth says so a name up to a zero.
        let named = if whole[3] & 8 == 0 {
            0
        } else {
            whole[10..].iter().position(|b| *b == 0).expect("an end") + 1
        };
        let header = 10 + named;
        let data = temporary();
        let directory = data.path().join("fashion-mnist");
        fs::create_dir(&directory).expect("writable");
        let beginning = 0..(header + 4) * 8;
        let rest: Vec<usize> =
            (0..flips).map(|_| rng.next_u64() as usize % (whole.len() * 8)).collect();
        // The header of a large file is like that of a small one.
        let beginning = beginning.step_by(if whole.len() > 1 << 20 { 61 } else { 1 });
        for bit in beginning.chain(rest) {
            fs::write(directory.join(&name), flipped(&whole, bit)).expect("writable");
            let verified = verify("fashion-mnist", data.path()).expect("a listed dataset");
            let check =
                verified.files.iter().find(|check| check.file == file).expect("one of four");
            match &check.outcome {
                // What is not the content's but the container's: a time, the name of a file.
                Ok(sound) => {
                    assert!(bit < header * 8, "{name}, bit {bit}");
                    assert_eq!(Some(sound.sha256.as_str()), check.published_sha256);
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
