use kiln_report::{RunDirectory, Status};

use crate::claim::Claim;
use crate::plan::Plan;

/// How a run of a sweep stands on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl State {
    /// Reads how the run of this id stands, and whether anybody works on it.
    #[must_use]
    pub fn look(plan: &Plan, id: &str) -> Self {
        if Claim::is_taken(&plan.directory, id) { Self::Running } else { Self::read(plan, id) }
    }

    /// Reads how the run of this id stands, for who has claimed it.
    pub(crate) fn read(plan: &Plan, id: &str) -> Self {
        let path = plan.directory.join(id);
        if !path.exists() {
            return Self::Missing;
        }
        // A directory without a record that can be read is one that nobody came to the end of.
        match RunDirectory::open(path).and_then(|run| run.read_record()) {
            Ok(record) => match record.status {
                Status::Finished => Self::Finished,
                Status::Diverged => Self::Diverged,
                Status::Pruned => Self::Pruned(record.epochs),
                Status::Running | Status::Interrupted | Status::Failed => Self::Unfinished,
            },
            Err(_) => Self::Unfinished,
        }
    }

    /// Whether there is nothing left to do. A pruned run is done as long as the sweep prunes; a
    /// diverged one is, unless it is to be tried again.
    #[must_use]
    pub fn is_done(self, prunes: bool, retry_failed: bool) -> bool {
        match self {
            Self::Missing | Self::Unfinished | Self::Running => false,
            Self::Finished => true,
            Self::Diverged => !retry_failed,
            Self::Pruned(_) => prunes,
        }
    }
}

/// In a table of runs.
impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => formatter.pad("to do"),
            Self::Finished => formatter.pad("finished"),
            Self::Diverged => formatter.pad("diverged"),
            Self::Pruned(epoch) => formatter.pad(&format!("pruned at {epoch}")),
            Self::Unfinished => formatter.pad("to do again"),
            Self::Running => formatter.pad("running"),
        }
    }
}
