use kiln_store::{Checkpoints, Claim, RunDirectory, Status, StoreError, files};
use kiln_train::Declaration;

use crate::plan::{Member, Plan};

/// How a run of a sweep stands on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is there.
    Missing,
    /// It is complete.
    Finished,
    /// Its loss stopped being a finite number. The same experiment would do so again.
    Diverged,
    /// It was ended early, after so many epochs.
    Pruned(usize),
    /// It was begun and is not complete: interrupted, failed, or killed while it trained.
    Unfinished,
    /// A sweep works on it at this moment.
    Running,
    /// Something is there that is damaged, or of a later Kiln, and what is wrong with it. It is left alone.
    Unreadable(String),
}

impl State {
    /// Reads how a run stands, and whether anybody works on it.
    #[must_use]
    pub fn look(plan: &Plan, member: &Member) -> Self {
        if Claim::is_taken(&plan.directory, &member.id) {
            Self::Running
        } else {
            Self::read(plan, member)
        }
    }

    /// Reads how a run stands, for who has claimed it.
    pub(crate) fn read(plan: &Plan, member: &Member) -> Self {
        let path = plan.directory.join(&member.id);
        match files::exists(&path) {
            Ok(true) => {}
            Ok(false) => return Self::Missing,
            Err(error) => return Self::Unreadable(error.to_string()),
        }
        if let Err(error) = files::check_within(&plan.directory, &path) {
            return Self::Unreadable(error.to_string());
        }
        let is_finished = match files::exists(&path.join("report.json")) {
            Ok(is_finished) => is_finished,
            Err(error) => return Self::Unreadable(error.to_string()),
        };
        match RunDirectory::open(path).and_then(|run| run.read_record()) {
            Ok(record) => match record.status {
                Status::Finished => match damage(plan, member) {
                    None => Self::Finished,
                    Some(problem) => Self::Unreadable(problem),
                },
                Status::Diverged => Self::Diverged,
                Status::Pruned => Self::Pruned(record.epochs),
                Status::Running | Status::Interrupted | Status::Failed => Self::Unfinished,
            },
            // Without a record, or with half of one, nobody came to its end. All else may be a run that
            // is worth more than another one.
            Err(StoreError::NotARun { .. } | StoreError::Malformed { .. }) if !is_finished => {
                Self::Unfinished
            }
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    /// Whether there is something to go on with, rather than to begin anew.
    ///
    /// # Errors
    ///
    /// There are checkpoints, and something that keeps the run from going on: it is worth more than a new beginning.
    pub(crate) fn goes_on(&self, plan: &Plan, member: &Member) -> Result<bool, String> {
        if !matches!(self, Self::Unfinished | Self::Pruned(_)) {
            return Ok(false);
        }
        let run = RunDirectory::at(&plan.directory.join(&member.id));
        let in_words = |error: StoreError| error.to_string();
        if Checkpoints::of(&run).positions().map_err(in_words)?.is_empty() {
            return Ok(false);
        }
        // Without its record, or with half of one, it was damaged, and what it was cannot be told.
        run.read_record().map_err(in_words)?;
        if has_config(&run, member) { Ok(true) } else { Err(other_config(&run)) }
    }

    /// Whether there is nothing left to do. A diverged run is done, unless it is to be tried again; a
    /// pruned one is, as long as the sweep compares runs at the epoch where it ended.
    #[must_use]
    pub fn is_done(&self, plan: &Plan, member: &Member, retry_failed: bool) -> bool {
        match self {
            Self::Missing | Self::Unfinished | Self::Running | Self::Unreadable(_) => false,
            Self::Finished => true,
            Self::Diverged => !retry_failed,
            Self::Pruned(epoch) => {
                plan.prune.is_some_and(|prune| prune.is_rung(*epoch, member.epochs))
            }
        }
    }
}

/// Whether a run's configuration is a member's, but for what no result depends on.
fn has_config(run: &RunDirectory, member: &Member) -> bool {
    let path = run.config_path();
    let Ok(config) = files::read(&path, kiln_config::MAX_BYTES) else { return false };
    let identity = || {
        let declaration = Declaration::parse(&path.to_string_lossy(), &config, &[]).ok()?;
        declaration.experiment.identity().ok()
    };
    config == member.config || identity().is_some_and(|identity| identity == member.id)
}

fn other_config(run: &RunDirectory) -> String {
    let path = run.config_path();
    format!("{} is not the configuration that the directory is named after", path.display())
}

/// What is wrong with a run that is said to be complete, where something is.
fn damage(plan: &Plan, member: &Member) -> Option<String> {
    let run = RunDirectory::open(plan.directory.join(&member.id)).ok()?;
    if !has_config(&run, member) {
        return Some(other_config(&run));
    }
    let problem = run.read_report().err().or_else(|| run.read_history().err());
    problem.map(|problem| problem.to_string())
}

/// In a table of runs.
impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => formatter.pad("to do"),
            Self::Finished => formatter.pad("finished"),
            Self::Diverged => formatter.pad("diverged"),
            Self::Pruned(epoch) => formatter.pad(&format!("pruned at {epoch}")),
            Self::Unfinished => formatter.pad("interrupted"),
            Self::Running => formatter.pad("running"),
            Self::Unreadable(_) => formatter.pad("damaged"),
        }
    }
}
