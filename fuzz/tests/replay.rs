//! Runs every target with its corpus and with random mutations of it. `KILN_FUZZ_ROUNDS` sets the number of mutations.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kiln_fuzz::TARGETS;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The mutations per target by default. They take a second or two.
const ROUNDS: usize = 2000;
/// Fewer, since a comparison with all its charts takes longer.
const COMPARISONS: usize = 100;
/// Fewer, since each valid checkpoint is trained to the end and tested.
const CHECKPOINTS: usize = 200;
/// The largest input, in bytes. It keeps each round short.
const MAX_BYTES: usize = 64 << 10;
/// Byte sequences that have a meaning in one of the formats.
const TOKENS: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b".",
    b"=",
    b"\n",
    b"\r\n",
    b"\0",
    b"-1",
    b"1e999",
    b"nan",
    b"null",
    b"18446744073709551616",
    b"\xff\xff\xff\xff",
    b"\x1b[31m",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\x1f\x8b",
    b"a.b.c",
    b"\xf0\x9f\x94\xa5",
];

/// One test per target, so that they run in parallel.
macro_rules! replay {
    ($($name:ident: $rounds:expr,)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name), $rounds);
            }
        )*
    };
}

replay! {
    idx_gzip: ROUNDS,
    image: ROUNDS,
    npz: ROUNDS,
    csv: ROUNDS,
    cifar: ROUNDS,
    parquet: ROUNDS,
    experiment_toml: ROUNDS,
    sweep_toml: ROUNDS,
    history_csv: ROUNDS,
    report_json: ROUNDS,
    run_json: ROUNDS,
    predictions_csv: ROUNDS,
    safetensors: ROUNDS,
    comparison: COMPARISONS,
    checkpoint: CHECKPOINTS,
    sweep_json: ROUNDS,
}

#[test]
fn every_target_has_a_program_and_a_small_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in TARGETS {
        assert!(root.join(format!("targets/{name}.rs")).is_file(), "{name}");
        let corpus = corpus(name);
        assert!((1..=60).contains(&corpus.len()), "{name}: {} files", corpus.len());
        assert!(corpus.iter().all(|bytes| bytes.len() <= MAX_BYTES), "{name}");
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(directory).expect("a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

fn replay(name: &str, rounds: usize) {
    let (_, target) = TARGETS.into_iter().find(|target| target.0 == name).expect("a target");
    let corpus = corpus(name);
    let check = |bytes: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-crash"));
            fs::write(&path, bytes).expect("a writable directory");
            panic!("{name} panics with the input {}", path.display());
        }
    };
    corpus.iter().for_each(|bytes| check(bytes));
    let requested = std::env::var("KILN_FUZZ_ROUNDS").ok();
    let rounds = requested.map_or(rounds, |rounds| rounds.parse().expect("a number of rounds"));
    let mut mutator = Mutator(ChaCha8Rng::seed_from_u64(1));
    for _ in 0..rounds {
        check(&mutator.mutated(&corpus));
    }
}

/// Generates inputs that are similar to those of a corpus.
struct Mutator(ChaCha8Rng);

impl Mutator {
    /// A number in `0..bound`, or 0 if `bound` is 0. Its slight bias does no harm here.
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u64() as usize % bound.max(1)
    }

    fn one_of<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a [u8] {
        &corpus[self.below(corpus.len())]
    }

    fn mutated(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(corpus).to_vec();
        for _ in 0..=self.below(4) {
            self.mutate(&mut bytes, corpus);
        }
        bytes.truncate(MAX_BYTES);
        bytes
    }

    /// Makes one change at a random position.
    fn mutate(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let start = self.below(bytes.len() + 1);
        let end = start + self.below((bytes.len() - start + 1).min(64));
        match self.below(7) {
            0 if start < bytes.len() => bytes[start] ^= 1 << self.below(8),
            1 if start < bytes.len() => bytes[start] = self.below(256) as u8,
            2 => drop(bytes.drain(start..end)),
            3 => {
                let repeated = bytes[start..end].repeat(1 + self.below(8));
                drop(bytes.splice(start..start, repeated));
            }
            4 => {
                let other = self.one_of(corpus);
                let from = self.below(other.len());
                let to = from + self.below((other.len() - from).min(256));
                drop(bytes.splice(start..end, other[from..to].iter().copied()));
            }
            5 => bytes.truncate(start),
            _ => {
                let token = TOKENS[self.below(TOKENS.len())];
                drop(bytes.splice(start..end, token.iter().copied()));
            }
        }
    }
}
