//! Fuzz targets: one function for each kind of file that Kiln reads.
//!
//! A target takes the bytes of a file. It panics if Kiln's reader panics, if a file that Kiln has read, written and read
//! again differs, or if an error message contains a control character. The targets run in two ways:
//!
//! - `tests/replay.rs`, with any toolchain: the files of `corpus/`, then random mutations of them from a fixed seed.
//! - `cargo +nightly fuzz run TARGET --features libfuzzer`: libFuzzer, which chooses its inputs by the code that they reach.
//!
//! `corpus/TARGET/` contains small files to start from, and every input that has revealed a defect.

mod checkpoint;
mod comparison;
mod datasets;
mod files;
mod text;

pub use checkpoint::{checkpoint, sweep_json};
pub use comparison::comparison;
pub use datasets::{cifar, csv, npz, parquet};
pub use files::{idx_gzip, image, safetensors};
pub use text::{experiment_toml, history_csv, predictions_csv, report_json, run_json, sweep_toml};

/// The name of a target, and its function, which takes the bytes of a file and panics if it finds a defect.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. Each one has a directory in `corpus/` and a program in `targets/`.
pub const TARGETS: [Target; 16] = [
    ("idx_gzip", idx_gzip),
    ("image", image),
    ("npz", npz),
    ("csv", csv),
    ("cifar", cifar),
    ("parquet", parquet),
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

/// Asserts that a text for a terminal contains no control characters, such as those that move the cursor or reverse text.
fn assert_printable(text: &str) {
    let control = text.chars().find(|c| kiln_config::is_unprintable(*c) && *c != '\n');
    assert_eq!(control, None, "{text:?}");
}

/// Asserts that an error and its sources have a message. Control characters in it are the program's to escape.
fn assert_has_message(error: &dyn std::error::Error) {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let messages: Vec<String> = chain.map(ToString::to_string).collect();
    assert!(!messages.concat().trim().is_empty(), "the error has no message");
}

/// Asserts that an SVG image is complete, and contains no script and no attribute that is not a finite number.
fn assert_valid_svg(svg: &str) {
    assert!(svg.ends_with("</svg>\n"), "{svg}");
    for invalid in ["=\"NaN", "=\"inf", "=\"-inf", "<script"] {
        assert!(!svg.contains(invalid), "{invalid}");
    }
}
