//! How far a sweep is, from its files alone.

use std::time::SystemTime;

use kiln_store::{FileLock, LiveOwner, RunRecord, Status, files, hidden, in_parallel};

use crate::plan::{Plan, RunState};
use crate::worker::EpochReport;
use crate::worker::free_runs::Listing;

/// How far a run of a sweep is.
#[derive(Debug, Clone)]
pub struct RunStatus {
    /// The index of the run in the plan.
    pub run: usize,
    /// The state of the run.
    pub activity: Activity,
    /// The last completed epoch.
    pub epoch: Option<EpochReport>,
    /// Why the run ended as it did.
    pub reason: Option<String>,
}

/// The state of a run of a sweep.
#[derive(Debug, Clone)]
pub enum Activity {
    /// It has not been started.
    Waiting,
    /// This process trains it.
    Running(LiveOwner),
    /// It was started, and waits until it is resumed.
    Interrupted,
    /// It is complete.
    Finished,
    /// It was pruned, which is its result.
    Pruned,
    /// It diverged, which is its result.
    Diverged,
    /// It failed. The next submission tries it again.
    Failed,
    /// Its directory is damaged. Sweeps do not touch it.
    Damaged,
}

impl Activity {
    /// The name of the activity.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running(_) => "running",
            Self::Interrupted => "interrupted",
            Self::Finished => "finished",
            Self::Pruned => "pruned",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Damaged => "damaged",
        }
    }

    /// Whether nothing is left to do for the run.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Finished | Self::Pruned | Self::Diverged)
    }
}

/// The states of the runs of a plan, in its order. If its combinations race, only the runs that the race has requested.
#[must_use]
pub fn read_status(plan: &Plan) -> Vec<RunStatus> {
    let needed: Vec<usize> = match (&plan.race, plan.race_state()) {
        (Some(race), Some(state)) => {
            let mut runs = race.wanted(&state);
            let is_begun = |run: &usize| plan.path_of(&plan.runs[*run]).exists();
            runs.extend((0..plan.runs.len()).filter(is_begun));
            runs.sort_unstable();
            runs.dedup();
            runs
        }
        _ => (0..plan.runs.len()).collect(),
    };
    let listing = Listing::read(&plan.directory);
    let now = files::clock(&hidden(&plan.directory)).unwrap_or_else(SystemTime::now);
    in_parallel(&needed, |run| status_of(plan, *run, &listing, now))
}

fn status_of(plan: &Plan, run: usize, listing: &Listing, now: SystemTime) -> RunStatus {
    let planned = &plan.runs[run];
    let id = &planned.id;
    let nothing = |activity| RunStatus { run, activity, epoch: None, reason: None };
    let owner =
        listing.is_claimed(id).then(|| FileLock::owner_at(&plan.directory, id, now)).flatten();
    if !listing.has_begun(id) {
        return nothing(owner.map_or(Activity::Waiting, Activity::Running));
    }
    let record = plan.run_record(planned);
    let reason = record.as_ref().and_then(|record| record.stop_reason.clone());
    let activity = match (owner, RunState::read(plan, planned)) {
        (Some(owner), _) => Activity::Running(owner),
        (None, RunState::Missing) => Activity::Waiting,
        (None, RunState::Finished) => Activity::Finished,
        (None, RunState::Diverged) => Activity::Diverged,
        (None, state @ RunState::Pruned(_)) => match state.is_done(plan, planned, false) {
            true => Activity::Pruned,
            false => Activity::Interrupted,
        },
        (None, RunState::Unreadable(problem)) => {
            return RunStatus { reason: Some(problem), ..nothing(Activity::Damaged) };
        }
        (None, RunState::Unfinished | RunState::Running) => match &record {
            Some(RunRecord { status: Status::Failed, .. }) => Activity::Failed,
            _ => Activity::Interrupted,
        },
    };
    let epoch = match activity {
        Activity::Running(_) | Activity::Interrupted => last_epoch(plan, run),
        _ => None,
    };
    RunStatus { run, activity, epoch, reason }
}

/// The last epoch in the history of a run.
pub(crate) fn last_epoch(plan: &Plan, run: usize) -> Option<EpochReport> {
    let planned = &plan.runs[run];
    let directory = kiln_store::RunDirectory::at(&plan.path_of(planned));
    let history = directory.read_history().ok()?;
    history.rows.last().map(|row| EpochReport::new(row, planned.epochs))
}
