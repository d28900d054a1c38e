//! The corpus, and changes of it, through every target. `KILN_FUZZ_ROUNDS` makes it as long as one likes.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kiln_fuzz::TARGETS;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Changed inputs a target where nobody asks for more: a second or two each.
const ROUNDS: usize = 2000;
/// A comparison with all its pictures takes longer.
const COMPARISONS: usize = 100;
/// A run that goes on and is tested does, too.
const CHECKPOINTS: usize = 200;
/// Inputs do not grow beyond this, so that every round is short.
const LONGEST: usize = 64 << 10;
/// Texts that mean something to one reader or another.
const WORDS: [&[u8]; 24] = [
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

#[test]
fn idx_gzip() {
    replay("idx_gzip", ROUNDS);
}

#[test]
fn image() {
    replay("image", ROUNDS);
}

#[test]
fn experiment_toml() {
    replay("experiment_toml", ROUNDS);
}

#[test]
fn sweep_toml() {
    replay("sweep_toml", ROUNDS);
}

#[test]
fn history_csv() {
    replay("history_csv", ROUNDS);
}

#[test]
fn report_json() {
    replay("report_json", ROUNDS);
}

#[test]
fn run_json() {
    replay("run_json", ROUNDS);
}

#[test]
fn predictions_csv() {
    replay("predictions_csv", ROUNDS);
}

#[test]
fn safetensors() {
    replay("safetensors", ROUNDS);
}

#[test]
fn comparison() {
    replay("comparison", COMPARISONS);
}

#[test]
fn checkpoint() {
    replay("checkpoint", CHECKPOINTS);
}

#[test]
fn sweep_json() {
    replay("sweep_json", ROUNDS);
}

#[test]
fn every_target_has_a_program_and_a_small_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in TARGETS {
        assert!(root.join(format!("targets/{name}.rs")).is_file(), "{name}");
        let corpus = corpus(name);
        assert!((1..=20).contains(&corpus.len()), "{name}: {} files", corpus.len());
        assert!(corpus.iter().all(|bytes| bytes.len() <= LONGEST), "{name}");
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
    let (_, target) = TARGETS.into_iter().find(|(own, _)| *own == name).expect("a target");
    let corpus = corpus(name);
    let check = |bytes: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-crash"));
            fs::write(&path, bytes).expect("a writable directory");
            panic!("{} makes {name} panic", path.display());
        }
    };
    corpus.iter().for_each(|bytes| check(bytes));
    let asked = std::env::var("KILN_FUZZ_ROUNDS").ok();
    let rounds = asked.map_or(rounds, |asked| asked.parse().expect("a number of rounds"));
    let mut changes = Changes(ChaCha8Rng::seed_from_u64(1));
    for _ in 0..rounds {
        check(&changes.changed(&corpus));
    }
}

/// Draws inputs that are like those of a corpus.
struct Changes(ChaCha8Rng);

impl Changes {
    /// From 0 up to `bound`, without it; 0 where that is 0. A little bias does no harm here.
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u64() as usize % bound.max(1)
    }

    fn one_of<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a [u8] {
        &corpus[self.below(corpus.len())]
    }

    fn changed(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(corpus).to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    /// Changes one place.
    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let start = self.below(bytes.len() + 1);
        let end = start + self.below((bytes.len() - start + 1).min(64));
        match self.below(7) {
            0 if start < bytes.len() => bytes[start] ^= 1 << self.below(8),
            1 if start < bytes.len() => bytes[start] = self.below(256) as u8,
            2 => drop(bytes.drain(start..end)),
            3 => {
                let again = bytes[start..end].repeat(1 + self.below(8));
                drop(bytes.splice(start..start, again));
            }
            4 => {
                let other = self.one_of(corpus);
                let from = self.below(other.len());
                let to = from + self.below((other.len() - from).min(256));
                drop(bytes.splice(start..end, other[from..to].iter().copied()));
            }
            5 => bytes.truncate(start),
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                drop(bytes.splice(start..end, word.iter().copied()));
            }
        }
    }
}
