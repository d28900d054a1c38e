//! Everything that Kiln reads, given what nobody wrote: one function a kind of file.
//!
//! Each takes the bytes of a file and panics where a reader does, or where what was read does not hold: what reads is
//! written back and reads the same, and what is said about the rest has no control character in it. The functions are run
//! in two ways:
//!
//! - `tests/replay.rs`, with any toolchain: the files of `corpus/`, then changes of them from a seeded generator.
//! - `cargo +nightly fuzz run TARGET --features libfuzzer`: libFuzzer, guided by what the code does with each input.
//!
//! `corpus/TARGET/` holds small files to begin with, and every input that a defect was found by.

mod checkpoint;
mod comparison;
mod files;
mod text;

pub use checkpoint::{checkpoint, sweep_json};
pub use comparison::comparison;
pub use files::{idx_gzip, image, safetensors};
pub use text::{experiment_toml, history_csv, predictions_csv, report_json, run_json, sweep_toml};

/// A target: its name, and what it does with the bytes of a file.
pub type Target = (&'static str, fn(&[u8]));

/// All targets; each has a directory in `corpus/` and a program in `targets/`.
pub const TARGETS: [Target; 12] = [
    ("idx_gzip", idx_gzip),
    ("image", image),
    ("experiment_toml", experiment_toml),
    ("sweep_toml", sweep_toml),
    ("history_csv", history_csv),
    ("report_json", report_json),
    ("run_json", run_json),
    ("predictions_csv", predictions_csv),
    ("safetensors", safetensors),
    ("comparison", comparison),
    ("checkpoint", checkpoint),
    ("sweep_json", sweep_json),
];

/// What is said to a person: nothing in it may move a terminal's cursor or turn its text.
fn assert_printable(words: &str) {
    let wrong = words.chars().find(|c| kiln_config::is_unprintable(*c) && *c != '\n');
    assert_eq!(wrong, None, "{words:?}");
}

/// An error of any crate, as the binary shows it.
fn assert_sound(error: &dyn std::error::Error) {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<String> = chain.map(ToString::to_string).collect();
    assert!(!words.concat().trim().is_empty(), "an error says something");
}

/// A picture has no number that is none, and only ends where it should.
fn assert_picture(svg: &str) {
    assert!(svg.ends_with("</svg>\n"), "{svg}");
    for wrong in ["=\"NaN", "=\"inf", "=\"-inf", "<script"] {
        assert!(!svg.contains(wrong), "{wrong}");
    }
}
