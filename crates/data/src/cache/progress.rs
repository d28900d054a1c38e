//! Reports how far the decoding of a dataset is.

use std::sync::OnceLock;

/// Receives the number of images that are decoded. Its methods are called only if a dataset must be decoded, by several
/// threads.
pub trait LoadProgress: Sync {
    /// The decoding of this many images starts. It is called again if they must be decoded again.
    fn start(&self, images: u64);

    /// This many more images are decoded.
    fn advance(&self, images: u64);

    /// The decoding ended, successfully or not.
    fn finish(&self);
}

static DEFAULT: OnceLock<Box<dyn LoadProgress + Send>> = OnceLock::new();

/// Sets what [`DataConfig::load`](crate::DataConfig::load) and everything that uses it report to, in this process. Only the
/// first call has an effect. Without one, they report nothing.
pub fn set_load_progress(progress: impl LoadProgress + Send + 'static) {
    let _ = DEFAULT.set(Box::new(progress));
}

pub(crate) fn default_progress() -> &'static dyn LoadProgress {
    DEFAULT.get().map_or(&SilentProgress as &dyn LoadProgress, |progress| &**progress)
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SilentProgress;

impl LoadProgress for SilentProgress {
    fn start(&self, _: u64) {}

    fn advance(&self, _: u64) {}

    fn finish(&self) {}
}
