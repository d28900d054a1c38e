use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::versioned;

use super::examination::{Examination, Examined, Health};
use super::finding::Finding;

/// The version of the JSON that this build writes.
pub const DOCTOR_VERSION: u32 = 1;

/// The examination as JSON: `format_version`, then `counts` (runs by health), `runs` and `directories`, each with its
/// `path`, `status`, `health`, `has_sums` and `findings` (`severity`, `file`, `problem`, `advice`).
///
/// # Errors
///
/// None that is known.
pub fn json(examination: &Examination) -> Result<String> {
    let Examination { runs, directories } = examination;
    let count = |health| runs.iter().filter(|run| run.health == health).count();
    let body = ExaminationJson {
        counts: Health::ALL.iter().map(|health| (health.as_str(), count(*health))).collect(),
        runs: runs.iter().map(ExaminedJson::new).collect(),
        directories: directories.iter().map(ExaminedJson::new).collect(),
    };
    versioned::to_json(DOCTOR_VERSION, &body)
}

#[derive(Serialize)]
struct ExaminationJson<'a> {
    counts: BTreeMap<&'a str, usize>,
    runs: Vec<ExaminedJson<'a>>,
    directories: Vec<ExaminedJson<'a>>,
}

#[derive(Serialize)]
struct ExaminedJson<'a> {
    path: String,
    status: Option<&'a str>,
    health: &'a str,
    has_sums: bool,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    severity: &'a str,
    file: &'a str,
    problem: &'a str,
    advice: &'a str,
}

impl<'a> ExaminedJson<'a> {
    fn new(examined: &'a Examined) -> Self {
        let finding = |finding: &'a Finding| FindingJson {
            severity: finding.severity.as_str(),
            file: &finding.file,
            problem: &finding.problem,
            advice: &finding.advice,
        };
        Self {
            path: examined.path.to_string_lossy().into_owned(),
            status: examined.status.map(|status| status.as_str()),
            health: examined.health.as_str(),
            has_sums: !examined.without_sums,
            findings: examined.findings.iter().map(finding).collect(),
        }
    }
}
