use std::fmt;

use serde::{Deserialize, Serialize};

/// The position in training at which a checkpoint was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The number of completed epochs.
    pub epochs: usize,
    /// The number of completed steps in the following epoch; 0 between two epochs.
    pub step: usize,
}

impl Position {
    /// The name of the checkpoint's directory.
    #[must_use]
    pub fn directory_name(self) -> String {
        match self {
            Self { epochs, step: 0 } => format!("epoch-{epochs:05}"),
            Self { epochs, step } => format!("epoch-{epochs:05}-step-{step:06}"),
        }
    }

    /// Where a run that is resumed from this position starts: `after epoch 3`, `from epoch 4, step 120`.
    #[must_use]
    pub fn start(self) -> String {
        match self {
            Self { step: 0, .. } => self.to_string(),
            Self { epochs, step } => {
                format!("from epoch {}, step {step}", epochs.saturating_add(1))
            }
        }
    }

    /// Parses the name of a checkpoint's directory; `None` for other names.
    #[must_use]
    pub fn of_directory_name(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("epoch-")?;
        let position = match rest.split_once("-step-") {
            None => Self { epochs: rest.parse().ok()?, step: 0 },
            Some((epochs, step)) => Self { epochs: epochs.parse().ok()?, step: step.parse().ok()? },
        };
        (position.directory_name() == name).then_some(position)
    }
}

/// `after epoch 3`, `in epoch 4 at step 120`
impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { epochs, step: 0 } => write!(formatter, "after epoch {epochs}"),
            Self { epochs, step } => {
                write!(formatter, "in epoch {} at step {step}", epochs.saturating_add(1))
            }
        }
    }
}
