//! The race between combinations.

use crate::launchers::Event;
use crate::race::{RaceResult, RaceState};
use crate::worker::SweepWorker;
use crate::worker::outcome::RunOutcome;

impl SweepWorker<'_> {
    /// Compares the combinations, if they race, as often as the results suffice for, and adds the runs that the race needs
    /// next to the queue.
    pub(super) fn race(&mut self) {
        let Some(race) = &self.plan.race else { return };
        loop {
            self.race_has_news = false;
            let state = match self.free {
                Some(_) => self.shared_race_state(),
                None => self.plan.race_state_by(|run| self.race_results[run]),
            };
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

    /// The state of a race between the combinations of several workers: after the next look if its runs are done, otherwise
    /// the last one. The first worker that finds them done reads their results; the others read its decision.
    fn shared_race_state(&self) -> Option<RaceState> {
        let race = self.plan.race.as_ref()?;
        let Some(last) = &self.race else {
            return self.plan.race_state_by(|_| RaceResult::Pending);
        };
        if last.end.is_some() {
            return Some(last.clone());
        }
        if let Some(next) = self.decisions.look(race, last.seeds) {
            return Some(next);
        }
        let has_result = |run: &usize| {
            let outcome = self.outcomes[*run].as_ref().map(|(outcome, _)| outcome);
            outcome.is_some_and(|outcome| !outcome.is_failure())
        };
        if !race.wanted(last).iter().all(has_result) {
            return Some(last.clone());
        }
        let next = self.plan.race_state()?;
        // Otherwise a result of an earlier look has vanished, and this look cannot be decided.
        if !next.is_after(last.seeds) {
            return Some(last.clone());
        }
        Some(self.decisions.decide_look(race, last.seeds, next))
    }

    /// Records the result of a run for the next look, if the combinations race.
    pub(super) fn end_in_race(&mut self, run: usize, outcome: &RunOutcome) {
        if self.plan.race.is_none() {
            return;
        }
        self.race_results[run] = match outcome {
            // The worker that completes a look reads the results.
            _ if self.free.is_some() => RaceResult::Pending,
            RunOutcome::Finished => self.plan.race_result(run),
            RunOutcome::Pruned(_) | RunOutcome::Diverged(_) => RaceResult::Out,
            RunOutcome::Failed(_)
            | RunOutcome::Interrupted
            | RunOutcome::Waiting
            | RunOutcome::OutOfTime => RaceResult::Pending,
        };
        self.race_has_news = true;
    }
}
