use std::path::Path;

use kiln_store::{Checkpoints, FileLock, RunDirectory, RunRecord, Status, StoreError, files};
use kiln_train::Declaration;

use crate::plan::{Plan, PlannedRun};

/// The state of a run's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// The directory does not exist.
    Missing,
    /// The run is complete.
    Finished,
    /// The loss stopped being a finite number. Training the same experiment again would give the same result.
    Diverged,
    /// The run was pruned after this epoch.
    Pruned(usize),
    /// The run was started and is not complete: it was interrupted, it failed, or its process was killed.
    Unfinished,
    /// A process is training the run at this moment.
    Running,
    /// The directory is damaged or was written by a newer version of Kiln, for the reason given. Sweeps do not touch
    /// it.
    Unreadable(String),
}

impl RunState {
    /// Reads the state of a run, including whether a process is training it.
    #[must_use]
    pub fn of(plan: &Plan, run: &PlannedRun) -> Self {
        if FileLock::is_taken(&plan.directory, &run.id) {
            Self::Running
        } else {
            Self::read(plan, run)
        }
    }

    /// Reads the state of a run that this process has locked.
    pub(crate) fn read(plan: &Plan, run: &PlannedRun) -> Self {
        Self::of_directory(plan, run).unwrap_or_else(|error| Self::Unreadable(error.to_string()))
    }

    fn of_directory(plan: &Plan, run: &PlannedRun) -> Result<Self, StoreError> {
        let path = plan.path_of(run);
        // An error is not treated as a missing directory: the run may exist on a disk that cannot be read right now.
        if !files::exists(&path)? {
            return Ok(Self::Missing);
        }
        files::check_within(&plan.directory, &path)?;
        let has_report = files::exists(&path.join("report.json"))?;
        let record = match RunDirectory::open(path).and_then(|directory| directory.read_record()) {
            // Without a report, a missing or incomplete record means that the run was killed early. With a report, the
            // run was complete and has been damaged since.
            Err(StoreError::NotARun { .. } | StoreError::Malformed { .. }) if !has_report => {
                return Ok(Self::Unfinished);
            }
            record => record?,
        };
        if record.dataset.fingerprint != run.dataset.fingerprint {
            // The id contains the fingerprint, so the record or the directory's name was changed.
            let path = plan.path_of(run).join("run.json");
            return Ok(Self::Unreadable(format!("{} names other data", path.display())));
        }
        Ok(match record.status {
            Status::Finished => match damage(plan, run, &record) {
                None => Self::Finished,
                Some(problem) => Self::Unreadable(problem),
            },
            Status::Diverged => Self::Diverged,
            Status::Pruned => Self::Pruned(record.epochs),
            Status::Running | Status::Interrupted | Status::Failed => Self::Unfinished,
        })
    }

    /// Whether the run can be resumed from a checkpoint or from its initial weights. If not, it is trained from scratch.
    ///
    /// # Errors
    ///
    /// The run has checkpoints but cannot be resumed, for the reason given. Training it from scratch would delete them,
    /// so the user has to decide.
    pub(crate) fn can_resume(&self, plan: &Plan, run: &PlannedRun) -> Result<bool, String> {
        if !matches!(self, Self::Unfinished | Self::Pruned(_)) {
            return Ok(false);
        }
        let directory = RunDirectory::at(&plan.path_of(run));
        let to_text = |error: StoreError| error.to_string();
        if Checkpoints::of(&directory).positions().map_err(to_text)?.is_empty() {
            // The run itself can restart, from its own copy of weights that may no longer be where they were.
            let has_initial_weights = run.experiment.model.initial_weights.is_some()
                && directory.read_record().is_ok_and(|record| record.initial_weights.is_some());
            return Ok(has_initial_weights && has_config_of(&directory, run));
        }
        // A run writes its record before its first checkpoint, so an unreadable record is damage.
        directory.read_record().map_err(to_text)?;
        if has_config_of(&directory, run) {
            Ok(true)
        } else {
            Err(other_config(&directory.config_path()))
        }
    }

    /// Whether the sweep has nothing left to do for the run. A diverged run is done, unless `retry_failed` is set. A
    /// pruned run is done if this sweep also compares runs at the epoch in which it ended.
    #[must_use]
    pub fn is_done(&self, plan: &Plan, run: &PlannedRun, retry_failed: bool) -> bool {
        match self {
            Self::Missing | Self::Unfinished | Self::Running | Self::Unreadable(_) => false,
            Self::Finished => true,
            Self::Diverged => !retry_failed,
            // Other rules of pruning might have let it continue.
            Self::Pruned(epoch) => {
                plan.budget.is_some()
                    || plan.prune.is_some_and(|prune| prune.is_rung(*epoch, run.epochs))
            }
        }
    }
}

/// Whether the configuration in a directory is that of the run. Keys that no result depends on may differ.
pub(super) fn has_config_of(directory: &RunDirectory, run: &PlannedRun) -> bool {
    let path = directory.config_path();
    let Ok(config) = files::read(&path, kiln_config::MAX_BYTES) else { return false };
    let identity = || {
        let declaration = Declaration::parse(&path.to_string_lossy(), &config, &[]).ok()?;
        declaration.experiment.identity().ok()
    };
    // Comparing the text first avoids parsing it, since it is nearly always the same.
    config == run.config || identity().is_some_and(|identity| identity == run.experiment_hash)
}

fn other_config(path: &Path) -> String {
    format!("{} is not the configuration of this run: it was changed or replaced", path.display())
}

/// The damage of a run whose status is `finished`, if there is any.
fn damage(plan: &Plan, run: &PlannedRun, record: &RunRecord) -> Option<String> {
    let directory = RunDirectory::open(plan.path_of(run)).ok()?;
    if !has_config_of(&directory, run) {
        return Some(other_config(&directory.config_path()));
    }
    let checked = directory.check(record, &["report.json", "history.csv"]);
    let problem = checked.err().or_else(|| directory.read_report().err());
    let problem = problem.or_else(|| directory.read_history().err());
    problem.map(|problem| problem.to_string())
}

/// Formats the state for a table of runs.
impl std::fmt::Display for RunState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => formatter.pad("to do"),
            Self::Finished => formatter.pad("finished"),
            Self::Diverged => formatter.pad("diverged"),
            Self::Pruned(epoch) => formatter.pad(&format!("pruned at {epoch}")),
            Self::Unfinished => formatter.pad("unfinished"),
            Self::Running => formatter.pad("running"),
            Self::Unreadable(_) => formatter.pad("damaged"),
        }
    }
}
