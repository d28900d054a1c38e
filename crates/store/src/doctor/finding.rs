use crate::error::StoreError;

/// How serious a finding is, the most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A file is missing or not what was written.
    Damaged,
    /// A file cannot be judged: it cannot be read, or another Kiln wrote it.
    Unchecked,
    /// There is something left to do.
    Unfinished,
    /// Something is of no use any more.
    Stale,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// In a word or two.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Damaged => "damaged",
            Severity::Unchecked => "not checked",
            Severity::Unfinished => "unfinished",
            Severity::Stale => "stale",
            Severity::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// The file, from the directory that was examined; empty where it is about all of it.
    pub file: String,
    /// What is so.
    pub problem: String,
    /// What to do about it; empty where there is nothing to do.
    pub advice: String,
}

impl Finding {
    /// A finding about a file.
    #[must_use]
    pub fn of(
        severity: Severity,
        file: impl Into<String>,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (file, problem, advice) = (file.into(), problem.into(), advice.into());
        Self { severity, file, problem, advice }
    }

    /// A finding about a file that could not be read or is not what was written.
    #[must_use]
    pub fn of_error(file: &str, error: &StoreError, advice: &str) -> Self {
        let (severity, problem) = match error {
            error if error.is_missing() => (Severity::Damaged, "it is missing".to_owned()),
            StoreError::Io { cause, .. } => {
                (Severity::Unchecked, format!("cannot be read: {cause}"))
            }
            StoreError::NewerFormat { found, known, .. } => {
                let problem =
                    format!("it has format version {found}, and this Kiln reads up to {known}");
                return Self::of(
                    Severity::Unchecked,
                    file,
                    problem,
                    "look at it with a newer Kiln",
                );
            }
            StoreError::Damaged { problem, .. } => (Severity::Damaged, problem.clone()),
            StoreError::Malformed { line, problem, .. } => {
                (Severity::Damaged, format!("line {line}: {problem}"))
            }
            error => (Severity::Damaged, error.to_string()),
        };
        Self::of(severity, file, problem, advice)
    }
}
