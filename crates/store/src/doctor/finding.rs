use crate::error::StoreError;

/// The severity of a finding, most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A file is missing or was changed.
    Damaged,
    /// A file cannot be checked: it is unreadable, or another version of Kiln wrote it.
    Unchecked,
    /// Something remains to be done.
    Unfinished,
    /// A file is no longer needed.
    Stale,
    /// Information.
    Note,
}

impl Severity {
    /// A short name.
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

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The file, relative to the examined directory; empty if the finding is about the directory.
    pub file: String,
    /// The problem.
    pub problem: String,
    /// The advice; empty if there is nothing to do.
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

    /// A finding about a file that could not be read or was changed.
    #[must_use]
    pub fn of_error(file: &str, error: &StoreError, advice: &str) -> Self {
        let (severity, problem) = match error {
            error if error.is_missing() => (Severity::Damaged, "it is missing".to_owned()),
            StoreError::Io { cause, .. } => {
                (Severity::Unchecked, format!("cannot be read: {cause}"))
            }
            StoreError::NewerFormat { found, known, .. } => {
                let problem = format!(
                    "it has format version {found}, but this version of Kiln reads versions up to {known}"
                );
                return Self::of(Severity::Unchecked, file, problem, "use a newer version of Kiln");
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
