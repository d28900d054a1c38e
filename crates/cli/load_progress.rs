//! A progress bar while the images of a dataset are decoded.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kiln_data::LoadProgress;

use crate::options::GlobalOptions;
use crate::output::columns;

/// A shorter decoding shows no bar.
const DELAY: Duration = Duration::from_millis(500);

/// Shows a bar whenever this process decodes a dataset, if standard error is a terminal.
pub(crate) fn show(options: &GlobalOptions) {
    if !options.quiet && io::stderr().is_terminal() {
        kiln_data::set_load_progress(DecodingBar::default());
    }
}

#[derive(Default)]
struct DecodingBar(Mutex<Option<Decoding>>);

struct Decoding {
    start: Instant,
    images: u64,
    decoded: u64,
    bar: Option<ProgressBar>,
}

impl LoadProgress for DecodingBar {
    fn start(&self, images: u64) {
        let decoding = Decoding { start: Instant::now(), images, decoded: 0, bar: None };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(decoding);
    }

    fn advance(&self, images: u64) {
        let mut decoding = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(decoding) = decoding.as_mut() else { return };
        decoding.decoded += images;
        if decoding.start.elapsed() >= DELAY {
            let bar = decoding.bar.get_or_insert_with(|| new_bar(decoding.images));
            bar.set_position(decoding.decoded);
        }
    }

    fn finish(&self) {
        let decoding = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bar) = decoding.and_then(|decoding| decoding.bar) {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(images: u64) -> ProgressBar {
    /// A terminal with fewer columns shows numbers without a bar.
    const MIN_BAR_WIDTH: usize = 60;
    let is_narrow = columns(io::stderr()).is_some_and(|columns| columns < MIN_BAR_WIDTH);
    let template = if is_narrow {
        "Decoding {pos}/{len}"
    } else {
        "Decoding images  {wide_bar:.cyan/blue} {pos}/{len}  {elapsed} (eta {eta})"
    };
    let bar = ProgressBar::new(images);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
