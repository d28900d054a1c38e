//! The sample run of `kiln-store`'s tests, with its pictures.

use std::path::Path;

use kiln_report::{ImageShape, TestImages, finish};
use kiln_store::RunDirectory;

#[path = "../../../store/tests/store/samples.rs"]
mod stored;

pub(crate) use stored::*;

pub(crate) const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 2 };

pub(crate) fn images(test: &Test) -> TestImages<'_> {
    TestImages { pixels: &test.pixels, rows: &test.rows, shape: SHAPE }
}

/// A finished run in `runs`, with every file that the trainer writes.
pub(crate) fn finished(runs: &Path) -> RunDirectory {
    let run = trained(runs);
    let test = test();
    finish(&run, &record(), &history(), &test.tested(), images(&test), None).expect("an end");
    run
}
