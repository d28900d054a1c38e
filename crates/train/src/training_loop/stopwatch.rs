use std::time::Instant;

/// Measures wall-clock time over interruptions: the seconds of earlier processes plus those since [`start`](Self::start).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stopwatch {
    /// Seconds measured by earlier processes.
    before: f64,
    started: Option<Instant>,
}

impl Stopwatch {
    /// A stopwatch that shows these seconds and is not running.
    pub(crate) const fn stopped_at(seconds: f64) -> Self {
        Self { before: seconds, started: None }
    }

    pub(crate) fn start(&mut self) {
        self.started = Some(Instant::now());
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.before + self.started.map_or(0.0, |started| started.elapsed().as_secs_f64())
    }
}
