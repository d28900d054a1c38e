//! Targets for resuming: an interrupted run with an untrusted file, and the record of a sweep.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kiln_store::{Checkpoints, Checksum, Position, RunDirectory};
use kiln_sweep::{Sweep, SweepRecord};
use kiln_train::{Declaration, EpochEnd, Observer, PlannedId, Progress, Run, RunLock, Stop};
use tempfile::TempDir;

use crate::assert_has_message;
use crate::text::MAX_COMBINATIONS;

/// Small, and with everything that a checkpoint can contain: the state of the optimizer, the best weights, and the state of
/// early stopping and of dropout.
const EXPERIMENT: &str = r#"name = "run"
seed = 3

[data]
source = "data"
validation = 2

[model]
layers = [
  { type = "flatten" },
  { type = "dense", units = 3, activation = "relu" },
  { type = "dropout", rate = 0.5 },
  { type = "dense", units = "classes", activation = "softmax" },
]

[optimizer]
type = "adam"

[training]
epochs = 3
batch_size = 2
weights = "best"
top_k = [2]
metrics = ["macro_f1"]

[early_stopping]
patience = 3
"#;

/// The position at which the run is interrupted, in its second epoch.
const STOP: Position = Position { epochs: 1, step: 1 };

/// The files of the interrupted run, by their paths in the run directory.
struct Interrupted {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

static INTERRUPTED: LazyLock<Interrupted> = LazyLock::new(Interrupted::new);

thread_local! {
    static DIRECTORY: TempDir = in_memory_directory();
}

/// A directory in memory if the system has `/dev/shm`. On a disk, a run waits for the sync of each file.
fn in_memory_directory() -> TempDir {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    directory.expect("a temporary directory")
}

struct Stopper;

impl Observer for Stopper {
    fn on_epoch_end(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }

    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        if (progress.epoch, progress.step) == (STOP.epochs + 1, STOP.step) {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

impl Interrupted {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write_data(directory.path());
        let declaration = Declaration::parse("fuzz", EXPERIMENT, &[]).expect("an experiment");
        let runs = directory.path().join("runs");
        let dataset = declaration.dataset(directory.path()).expect("a dataset");
        let planned =
            PlannedId { id: "1", fingerprint: &dataset.fingerprint, lock: RunLock::Caller(None) };
        let run = Run::prepare(declaration, directory.path(), &runs, Some(planned)).expect("a run");
        let path = run.directory().path().to_owned();
        run.train(&mut Stopper).expect("an interrupted run");
        let mut files = BTreeMap::new();
        collect(&path, &path, &mut files);
        Self { files }
    }
}

/// Writes a dataset of six training images and two test images, of 2 × 3 pixels, in three classes.
fn write_data(directory: &Path) {
    let data = directory.join("data");
    fs::create_dir_all(&data).expect("a directory");
    for (prefix, count) in [("train", 6_u8), ("t10k", 2)] {
        let mut images = vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 3];
        images.extend((0..6 * count).map(|value| value.wrapping_mul(41)));
        let mut labels = vec![0, 0, 8, 1, 0, 0, 0, count];
        labels.extend((0..count).map(|label| label % 3));
        for (kind, bytes) in [("images-idx3", images), ("labels-idx1", labels)] {
            fs::write(data.join(format!("{prefix}-{kind}-ubyte")), bytes).expect("a file");
        }
    }
}

/// Reads all files below a directory.
fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below it").to_owned();
            files.insert(name, fs::read(&path).expect("a file"));
        }
    }
}

/// The files of a checkpoint.
const FILES: [&str; 3] = ["manifest.json", "state.json", "tensors.safetensors"];

/// Resumes a run whose newest checkpoint has one file with the content of the input. The first byte of the input chooses
/// the file. If the run resumes, it must train to the end.
pub fn checkpoint(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else { return };
    let name = FILES[usize::from(*which) % FILES.len()];
    let checkpoint = Path::new("checkpoints").join(STOP.directory_name());
    let mut files = INTERRUPTED.files.clone();
    files.insert(checkpoint.join(name), content.to_owned());
    // The manifest has the checksums of the other files. Update it, so that the reader does not stop at a wrong checksum.
    if name != "manifest.json" {
        let sums = FILES[1..].iter().map(|name| {
            let Checksum { bytes, sha256 } = Checksum::of(&files[&checkpoint.join(name)]);
            format!("\"{name}\": {{\"bytes\": {bytes}, \"sha256\": \"{sha256}\"}}")
        });
        let sums = sums.collect::<Vec<_>>().join(", ");
        let manifest = format!("{{\"format_version\": 1, \"files\": {{{sums}}}}}");
        files.insert(checkpoint.join("manifest.json"), manifest.into_bytes());
    }
    DIRECTORY.with(|directory| resume(directory.path(), &files));
}

fn resume(directory: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    write_data(directory);
    let path = directory.join("runs/run/1");
    if path.exists() {
        fs::remove_dir_all(&path).expect("the run of the previous input");
    }
    for (name, bytes) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        fs::write(file, bytes).expect("a file");
    }
    let run = RunDirectory::open(&path).expect("a run");
    for position in Checkpoints::of(&run).positions().expect("the checkpoints are in the run") {
        if let Err(error) = Checkpoints::of(&run).read(position, 1 << 20) {
            assert_has_message(&error);
        }
    }
    match Run::resume(run, directory, RunLock::Caller(None), None) {
        Ok(resumed) => {
            for problem in &resumed.damage {
                assert!(problem.contains("epoch-") || problem.contains("history"), "{problem}");
            }
            resumed.run.train(&mut ()).expect("a resumed run can be trained");
        }
        Err(error) => assert_has_message(&error),
    }
}

/// Reads `.kiln/sweep.json`. If the file is valid, it must declare a sweep, or the error must have a message.
pub fn sweep_json(bytes: &[u8]) {
    DIRECTORY.with(|directory| {
        let path = SweepRecord::path(directory.path());
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, bytes).expect("a file");
        match SweepRecord::read(directory.path()) {
            Ok(record) => match Sweep::from_record(&record) {
                Ok(sweep) if sweep.size().is_some_and(|size| size <= MAX_COMBINATIONS) => {
                    if let Err(error) = sweep.expand() {
                        assert_has_message(&error);
                    }
                }
                Ok(_) => {}
                Err(error) => assert_has_message(&error),
            },
            Err(error) => assert_has_message(&error),
        }
    });
}
