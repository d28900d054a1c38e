use std::time::{Duration, Instant};

use kiln_store::{Checkpoints, History, Position};
use tracing::info;

use super::checkpoint;
use super::lock::RunLock;
use super::origin::Origin;
use crate::TrainError;
use crate::engine::Engine;
use crate::experiment::CheckpointConfig;
use crate::training_loop::state::TrainingState;

/// Writes the checkpoints of a run and removes those that are no longer needed.
pub(crate) struct CheckpointWriter<'a> {
    checkpoints: Checkpoints,
    origin: &'a Origin,
    minutes: f64,
    lock: &'a RunLock,
    /// The previous checkpoint.
    last: Option<Position>,
    /// When it was written.
    written: Instant,
}

impl<'a> CheckpointWriter<'a> {
    /// `last` is the checkpoint that the run resumes from.
    pub(crate) fn new(
        checkpoints: Checkpoints,
        config: CheckpointConfig,
        origin: &'a Origin,
        last: Option<Position>,
        lock: &'a RunLock,
    ) -> Self {
        Self { checkpoints, origin, minutes: config.minutes, last, lock, written: Instant::now() }
    }

    /// Whether it is time for a checkpoint within an epoch.
    pub(crate) fn is_due(&self) -> bool {
        self.minutes > 0.0 && self.written.elapsed() > Duration::from_secs_f64(60.0 * self.minutes)
    }

    /// Writes a checkpoint. Then removes all others except the previous one, in case this one turns out to be damaged,
    /// and the one of the best epoch.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be written, or another process has taken over the run.
    pub(crate) fn save(
        &mut self,
        engine: &Engine,
        state: &TrainingState,
        history: &History,
    ) -> Result<(), TrainError> {
        let position = state.position();
        let files = checkpoint::encode(engine, state, history, self.origin).map_err(|message| {
            let place = self.checkpoints.path(position).display().to_string();
            TrainError::Checkpoint { place, message }
        })?;
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        self.lock.check()?;
        self.checkpoints.write(position, &files)?;
        let best = Position { epochs: state.best.epoch, step: 0 };
        let retained: Vec<Position> = self.last.into_iter().chain([position, best]).collect();
        self.checkpoints.retain(&retained)?;
        if position.step > 0 {
            info!(epochs = position.epochs, step = position.step, "checkpoint");
        }
        (self.last, self.written) = (Some(position), Instant::now());
        Ok(())
    }
}
