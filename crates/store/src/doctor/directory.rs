//! The files next to runs: temporary files, locks, and the declaration of a sweep.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files;
use crate::hidden::hidden;
use crate::lock::FileLock;
use crate::shell::quoted;

use super::examination::{Examined, Health};
use super::examiner::from;
use super::finding::{Finding, Severity};
use super::rules::ExperimentRules;

/// A temporary file older than this is not being written at the moment.
const SETTLED: Duration = Duration::from_secs(120);

/// Examines a directory of runs, without the runs.
pub(super) fn examine(path: &Path, rules: &dyn ExperimentRules) -> Examined {
    let mut findings = Vec::new();
    let clean = format!("remove it: kiln doctor --clean {}", quoted(&path.display().to_string()));
    for partial in stale(path) {
        let file = from(path, &partial);
        findings.push(Finding::of(
            Severity::Stale,
            file,
            "it is a temporary file of a killed process",
            &clean,
        ));
    }
    for id in ids(path, "claim") {
        if let Some(error) = FileLock::problem(path, &id) {
            let advice = "harmless: the next process that works on the run rewrites it";
            let finding = Finding::of_error(&format!(".kiln/{id}.claim"), &error, advice);
            // File locks show who works on a run; this file only helps if machines do not share locks.
            findings.push(Finding { severity: Severity::Stale, ..finding });
        }
    }
    if hidden(path).join("sweep.json").exists() {
        findings.extend(rules.sweep(path));
    }
    findings.sort_by(|a, b| (a.severity, &a.file).cmp(&(b.severity, &b.file)));
    let health = Health::of(&findings);
    Examined { path: path.to_owned(), status: None, health, without_sums: false, findings }
}

/// The temporary files next to runs, if no process works on any of them.
pub(super) fn stale(path: &Path) -> Vec<PathBuf> {
    let hidden = hidden(path);
    let mut partial = files::partial(path);
    partial.extend(files::partial(&hidden));
    partial.retain(|path| is_settled(path));
    // Usually there are no temporary files, and the locks need not be checked.
    if partial.is_empty() || ids(path, "log").iter().any(|id| FileLock::is_taken(path, id)) {
        return Vec::new();
    }
    partial.sort();
    partial
}

fn is_settled(path: &Path) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > SETTLED))
}

/// The ids of the runs that have a lock file with this extension.
fn ids(path: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(hidden(path)).into_iter().flatten().flatten();
    let id = |name: String| Some(name.strip_suffix(ending)?.strip_suffix('.')?.to_owned());
    let mut ids: Vec<String> =
        entries.filter_map(|entry| id(entry.file_name().into_string().ok()?)).collect();
    ids.sort();
    ids
}
