//! A run directory that an interrupted run goes on from, one of its files from anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kiln_store::{Checkpoints, Position, RunDirectory, Sum};
use kiln_sweep::{Sweep, SweepRecord};
use kiln_train::{Declaration, EpochEnd, Observer, Progress, Run, RunLock, Stop};
use tempfile::TempDir;

use crate::assert_sound;
use crate::text::MOST_COMBINATIONS;

/// Small, and with all that a checkpoint can hold: an optimiser's state, best weights, patience, dropout.
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

[early_stopping]
patience = 3
"#;

/// Where the run stops: in its second epoch.
const STOP: Position = Position { epochs: 1, step: 1 };

/// The files of the interrupted run by their paths in its directory.
struct Interrupted {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

static INTERRUPTED: LazyLock<Interrupted> = LazyLock::new(Interrupted::new);

thread_local! {
    static DIRECTORY: TempDir = in_memory();
}

/// A directory in memory where there is such a thing: a run waits for its disk at every file.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let directory =
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
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
        let run =
            Run::prepare(declaration, directory.path(), &runs, Some(("1", RunLock::Caller(None))))
                .expect("a run");
        let path = run.directory().path().to_owned();
        run.train(&mut Stopper).expect("an interrupted run");
        let mut files = BTreeMap::new();
        collect(&path, &path, &mut files);
        Self { files }
    }
}

/// Six training images and two for the test, of 2 × 3 pixels, in three classes.
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

/// The files of a checkpoint that an input may be.
const FILES: [&str; 3] = ["manifest.json", "state.json", "tensors.safetensors"];

/// A file of the newest checkpoint; the first byte says which. The manifest has the sums of the others, whatever
/// they hold, so that what is in them is read. Whatever resumes trains to its end.
pub fn checkpoint(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else { return };
    let name = FILES[usize::from(*which) % FILES.len()];
    let place = Path::new("checkpoints").join(STOP.directory_name());
    let mut files = INTERRUPTED.files.clone();
    files.insert(place.join(name), content.to_owned());
    if name != "manifest.json" {
        let sums = FILES[1..].iter().map(|name| {
            let Sum { bytes, sha256 } = Sum::of(&files[&place.join(name)]);
            format!("\"{name}\": {{\"bytes\": {bytes}, \"sha256\": \"{sha256}\"}}")
        });
        let sums = sums.collect::<Vec<_>>().join(", ");
        let manifest = format!("{{\"format_version\": 1, \"files\": {{{sums}}}}}");
        files.insert(place.join("manifest.json"), manifest.into_bytes());
    }
    DIRECTORY.with(|directory| resume(directory.path(), &files));
}

fn resume(directory: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    write_data(directory);
    let path = directory.join("runs/run/1");
    if path.exists() {
        fs::remove_dir_all(&path).expect("a directory of ours");
    }
    for (name, bytes) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        fs::write(file, bytes).expect("a file");
    }
    let run = RunDirectory::open(&path).expect("a run");
    for position in Checkpoints::of(&run).positions().expect("they lie in the run") {
        if let Err(error) = Checkpoints::of(&run).read(position, 1 << 20) {
            assert_sound(&error);
        }
    }
    match Run::resume(run, directory, RunLock::Caller(None)) {
        Ok(resumed) => {
            for problem in &resumed.damage {
                assert!(problem.contains("epoch-") || problem.contains("history"), "{problem}");
            }
            resumed.run.train(&mut ()).expect("what resumes can be trained");
        }
        Err(error) => assert_sound(&error),
    }
}

/// `.kiln/sweep.json`: whatever reads either declares a sweep or says what is wrong.
pub fn sweep_json(bytes: &[u8]) {
    DIRECTORY.with(|directory| {
        let path = SweepRecord::path(directory.path());
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, bytes).expect("a file");
        match SweepRecord::read(directory.path()) {
            Ok(record) => match Sweep::again(&record) {
                Ok(sweep) if sweep.size().is_some_and(|size| size <= MOST_COMBINATIONS) => {
                    if let Err(error) = sweep.expand() {
                        assert_sound(&error);
                    }
                }
                Ok(_) => {}
                Err(error) => assert_sound(&error),
            },
            Err(error) => assert_sound(&error),
        }
    });
}
