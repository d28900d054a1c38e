//! Samples that are drawn from the results of earlier ones.

use crate::launchers::Event;
use crate::race::RaceResult;
use crate::worker::SweepWorker;

impl SweepWorker<'_> {
    /// Whether samples are left that this worker can draw.
    pub(super) fn has_samples_left(&self) -> bool {
        !self.cannot_draw && self.plan.samples_left() > 0
    }

    /// Adds the samples that other workers have drawn; if there are none, draws the next one. Returns whether there are new
    /// runs.
    pub(super) fn add_samples(&mut self) -> bool {
        if !self.has_samples_left() {
            return false;
        }
        let read = self.plan.read_samples();
        let drawn = match read {
            Ok(new) if new.is_empty() => self.plan.draw_sample(),
            read => read,
        };
        if let Err(error) = drawn {
            self.cannot_draw = true;
            self.watcher.event(Event::NoSample(&error));
        }
        let new: Vec<usize> = (self.outcomes.len()..self.plan.runs.len()).collect();
        for run in &new {
            let planned = &self.plan.runs[*run];
            let record = self.options.share.is_none().then(|| self.plan.run_record(planned));
            self.records_before.push(record.flatten());
            self.outcomes.push(None);
            self.needed.push(false);
            self.race_results.push(RaceResult::Pending);
            if self.pruning.is_some() {
                self.runs_by_id.insert(planned.id.clone(), *run);
            }
        }
        if new.is_empty() {
            // A sample of others whose runs are all known adds nothing, and the next one may.
            return self.has_samples_left();
        }
        self.need(new.clone());
        if let Some(free) = &mut self.free {
            let left: Vec<usize> =
                new.into_iter().filter(|run| self.outcomes[*run].is_none()).collect();
            free.take(&left);
        }
        true
    }
}
