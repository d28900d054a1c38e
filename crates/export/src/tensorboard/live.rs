//! The event file that a run writes while it trains.

use kiln_compare::Comparison;
use kiln_store::files::{self, Appender};
use kiln_store::{EpochRow, History, RunDirectory, RunRecord, Status};
use kiln_train::EpochLog;

use super::{FILE, encode, epoch_events, record, result_events, seconds, session_end};
use crate::ExportError;

/// Writes the history of a run to `tensorboard/` in its directory, an epoch at a time, and its results at the end.
///
/// When a run starts or is resumed, the file is written from the history that it continues from. So it has each epoch once,
/// also if the run was killed after an epoch that it had to train again. The bytes of these epochs are those that the file
/// had before: a TensorBoard that has read them continues behind them.
pub struct LiveLog<W> {
    run: RunDirectory,
    /// `None` before training and after an error.
    file: Option<Appender>,
    /// When the last epoch ended.
    time: f64,
    warn: W,
}

impl<W: FnMut(ExportError)> LiveLog<W> {
    /// The log of a run. Results do not depend on it, so training continues after an error, which `warn` receives.
    pub fn new(run: RunDirectory, warn: W) -> Self {
        Self { run, file: None, time: 0.0, warn }
    }

    fn create(&mut self, record: &RunRecord, history: &History) -> Result<(), ExportError> {
        let directory = self.run.tensorboard_path();
        files::create_directories(&directory)?;
        files::check_within(self.run.path(), &directory)?;
        files::remove_partial(&directory)?;
        self.time = seconds(record.started);
        let events = epoch_events(&history.rows, &mut self.time);
        let path = directory.join(FILE);
        files::write(&path, encode(&events))?;
        self.file = Some(Appender::open(&path)?);
        Ok(())
    }

    fn add_results(&mut self, record: &RunRecord) -> Result<(), ExportError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let comparison = Comparison::ranked(&[self.run.path()])?;
        let Some(run) = comparison.runs().next() else { return Ok(()) };
        let end = record.ended.map_or(self.time, seconds);
        let mut events = result_events(run, record, end)?;
        events.extend(session_end(record, end));
        Ok(file.append(events.iter().flat_map(super::record).collect::<Vec<u8>>())?)
    }

    fn checked(&mut self, result: Result<(), ExportError>) {
        if let Err(error) = result {
            self.file = None;
            (self.warn)(error);
        }
    }
}

impl<W: FnMut(ExportError)> EpochLog for LiveLog<W> {
    fn start(&mut self, record: &RunRecord, history: &History) {
        let result = self.create(record, history);
        self.checked(result);
    }

    fn append(&mut self, row: &EpochRow) {
        let Some(file) = &mut self.file else { return };
        let events = epoch_events(std::slice::from_ref(row), &mut self.time);
        let result = file.append(events.iter().flat_map(record).collect::<Vec<u8>>());
        self.checked(result.map_err(ExportError::from));
    }

    fn end(&mut self, record: &RunRecord) {
        // The file of an interrupted run is continued.
        if record.status != Status::Interrupted {
            let result = self.add_results(record);
            self.checked(result);
        }
    }
}
