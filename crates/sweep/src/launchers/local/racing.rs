//! The race between combinations.

use crate::launchers::Event;
use crate::launchers::local::LocalLauncher;
use crate::launchers::outcome::RunOutcome;
use crate::race::RaceResult;

impl LocalLauncher<'_> {
    /// Compares the combinations, if they race, as often as the results suffice for, and adds the runs that the race needs
    /// next to the queue.
    pub(super) fn race(&mut self) {
        let Some(race) = &self.plan.race else { return };
        loop {
            self.race_has_news = false;
            let state = self.plan.race_state_by(|run| self.race_results[run]);
            let Some(state) = state.filter(|state| self.race.as_ref() != Some(state)) else {
                return;
            };
            // The first state is the start of the race, before any look.
            if self.race.is_some() || state.seeds > race.config.looks[0] || state.end.is_some() {
                self.watcher.event(Event::Look(&state));
            }
            let mut wanted = race.wanted(&state);
            wanted.retain(|run| !self.needed[*run]);
            self.race = Some(state);
            self.need(wanted);
        }
    }

    /// Records the result of a run for the next look, if the combinations race.
    pub(super) fn end_in_race(&mut self, run: usize, outcome: &RunOutcome) {
        if self.plan.race.is_none() {
            return;
        }
        self.race_results[run] = match outcome {
            RunOutcome::Finished => self.plan.race_result(run),
            RunOutcome::Pruned(_) | RunOutcome::Diverged(_) => RaceResult::Out,
            RunOutcome::Failed(_) | RunOutcome::Interrupted | RunOutcome::Waiting => {
                RaceResult::Pending
            }
        };
        self.race_has_news = true;
    }
}
