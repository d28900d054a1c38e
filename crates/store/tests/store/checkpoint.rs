use std::fs;

use kiln_store::{Checkpoints, Position, RunDirectory, StoreError};

use crate::samples::{directory, listing};

const CONTENT: [(&str, &[u8]); 2] = [("state.json", b"{}"), ("tensors", b"0123456789")];
const MOST: u64 = 1 << 20;

fn at(epochs: usize, step: usize) -> Position {
    Position { epochs, step }
}

#[test]
fn positions_have_directory_names_and_are_listed_newest_first() {
    for (position, name, words) in [
        (at(3, 0), "epoch-00003", "after epoch 3"),
        (at(3, 120), "epoch-00003-step-000120", "in epoch 4 at step 120"),
        (at(0, 1), "epoch-00000-step-000001", "in epoch 1 at step 1"),
        (
            at(1_234_567, 7_654_321),
            "epoch-1234567-step-7654321",
            "in epoch 1234568 at step 7654321",
        ),
    ] {
        assert_eq!(position.directory_name(), name);
        assert_eq!(Position::of_directory_name(name), Some(position));
        assert_eq!(position.to_string(), words);
    }
    for other in ["", "epoch-", "epoch-3", "epoch-00003-", "epoch-00003-step-0", "epoch-+0003", "x"]
    {
        assert_eq!(Position::of_directory_name(other), None, "{other}");
    }
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let checkpoints = Checkpoints::of(&run);
    assert_eq!(checkpoints.positions().expect("positions"), []);
    for position in [at(2, 0), at(10, 0), at(2, 30), at(2, 4)] {
        checkpoints.write(position, &CONTENT).expect("a checkpoint");
    }
    assert_eq!(
        checkpoints.positions().expect("positions"),
        [at(10, 0), at(2, 30), at(2, 4), at(2, 0)]
    );
    checkpoints.retain(&[at(2, 30), at(7, 0)]).expect("the others removed");
    assert_eq!(listing(&run.checkpoints_path()), ["epoch-00002-step-000030"]);
}

#[test]
fn checkpoint_round_trips_and_every_flipped_bit_is_detected() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let checkpoints = Checkpoints::of(&run);
    checkpoints.write(at(1, 0), &CONTENT).expect("a checkpoint");
    let read = checkpoints.read(at(1, 0), MOST).expect("its files");
    let expected = CONTENT.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    assert_eq!(read, expected.into());
    assert!(checkpoints.read(at(1, 0), 9).is_err(), "larger than the limit");

    for name in ["state.json", "tensors", "manifest.json"] {
        let path = checkpoints.path(at(1, 0)).join(name);
        let original = fs::read(&path).expect("a file");
        for bit in 0..8 * original.len() {
            let mut flipped = original.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).expect("a damaged file");
            match checkpoints.read(at(1, 0), MOST) {
                Err(error) => assert!(error.to_string().contains("epoch-00001"), "{error}"),
                // White space that became other white space has the same meaning in JSON.
                Ok(content) => {
                    assert_eq!(content, read, "{name}, bit {bit}");
                    assert!(flipped[bit / 8].is_ascii_whitespace(), "{name}, bit {bit}");
                }
            }
        }
        fs::write(&path, &original[..original.len() / 2]).expect("a truncated file");
        assert!(checkpoints.read(at(1, 0), MOST).is_err());
        fs::remove_file(&path).expect("no file");
        assert!(checkpoints.read(at(1, 0), MOST).is_err());
        fs::write(&path, &original).expect("the file");
    }
}

#[test]
fn manifest_cannot_name_files_outside_of_the_checkpoint() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let checkpoints = Checkpoints::of(&run);
    fs::write(run.path().join("secret"), "x").expect("a file");
    for name in ["../../secret", "/etc/hostname", "", ".", "..", "a/b", ".hidden"] {
        let _ = fs::remove_dir_all(run.checkpoints_path());
        checkpoints.write(at(1, 0), &[("here", b"x")]).expect("a checkpoint");
        let path = checkpoints.path(at(1, 0)).join("manifest.json");
        let manifest = fs::read_to_string(&path).expect("a manifest").replace("here", name);
        fs::write(&path, manifest).expect("another manifest");
        let error = checkpoints.read(at(1, 0), MOST).expect_err("a refusal");
        assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn links_in_a_checkpoint_are_not_followed() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let checkpoints = Checkpoints::of(&run);
    checkpoints.write(at(1, 0), &CONTENT).expect("a checkpoint");
    let path = checkpoints.path(at(1, 0)).join("tensors");
    fs::rename(&path, runs.path().join("elsewhere")).expect("moved");
    std::os::unix::fs::symlink(runs.path().join("elsewhere"), &path).expect("a link");
    let error = checkpoints.read(at(1, 0), MOST).expect_err("a refusal");
    assert!(error.to_string().contains("it is a symbolic link, not a file"), "{error}");
}

#[cfg(unix)]
#[test]
fn checkpoints_are_not_written_through_a_link_out_of_the_run() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    fs::create_dir(runs.path().join("outside")).expect("a directory");
    let linked = std::os::unix::fs::symlink(runs.path().join("outside"), run.checkpoints_path());
    linked.expect("a link");
    let error = Checkpoints::of(&run).write(at(1, 0), &CONTENT).expect_err("a refusal");
    assert!(matches!(error, StoreError::LeadsOut { .. }), "{error}");
    assert!(listing(&runs.path().join("outside")).is_empty());
}

#[test]
fn damaged_checkpoint_is_replaced() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let checkpoints = Checkpoints::of(&run);
    checkpoints.write(at(1, 0), &CONTENT).expect("a checkpoint");
    fs::write(checkpoints.path(at(1, 0)).join("tensors"), "012345678X").expect("damage");
    checkpoints.write(at(1, 0), &CONTENT).expect("a checkpoint");
    assert!(checkpoints.read(at(1, 0), MOST).is_ok());
    assert_eq!(listing(&run.checkpoints_path()), ["epoch-00001"]);
}
