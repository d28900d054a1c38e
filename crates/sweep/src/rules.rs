use std::path::Path;

use kiln_config::ConfigError;
use kiln_store::doctor::{ExperimentRules, Finding, Severity};
use kiln_store::{RunDirectory, RunRecord, quoted};
use kiln_train::Declaration;

use crate::declaration::{Sweep, SweepRecord};

/// What `kiln doctor` needs to know about experiments and sweeps to check their files.
#[derive(Debug, Clone, Copy)]
pub struct SweepRules;

const RECORD: &str = ".kiln/sweep.json";

/// The advice for a damaged [`RECORD`].
const REWRITE_RECORD: &str =
    "repeat the `kiln sweep` command of this sweep: it writes the file again";

impl ExperimentRules for SweepRules {
    fn run(&self, run: &RunDirectory, record: &RunRecord) -> Vec<Finding> {
        let mut findings = kiln_train::check(run, record);
        if findings.is_empty() {
            findings.extend(wrong_id(run));
        }
        findings
    }

    fn sweep(&self, directory: &Path) -> Vec<Finding> {
        let record = match SweepRecord::read(directory) {
            Ok(record) => record,
            Err(error) => return vec![Finding::of_error(RECORD, &error, REWRITE_RECORD)],
        };
        let declared = Sweep::from_record(&record).and_then(|sweep| Ok((ids(&sweep)?, sweep.name)));
        let ids = match declared {
            Ok((ids, name)) if directory.file_name().is_none_or(|own| *own == *name) => ids,
            Ok((_, name)) => {
                let problem = format!("it belongs to the sweep {name}, not to this directory");
                let advice = format!("to resume the sweep, rename the directory to {name}");
                return vec![Finding::of(Severity::Note, RECORD, problem, advice)];
            }
            Err(error) => {
                let problem = error.to_string();
                return vec![Finding::of(Severity::Damaged, RECORD, problem, REWRITE_RECORD)];
            }
        };
        let missing = ids.iter().filter(|id| !directory.join(id).exists()).count();
        if missing == 0 {
            return Vec::new();
        }
        let problem = format!("runs of the sweep still to do: {missing} of {}", ids.len());
        let advice = format!("to resume: kiln resume {}", quoted(&directory.display().to_string()));
        vec![Finding::of(Severity::Unfinished, "", problem, advice)]
    }
}

/// The ids of all runs of a sweep.
fn ids(sweep: &Sweep) -> Result<Vec<String>, ConfigError> {
    let points = sweep.expand()?;
    points.iter().map(|point| point.declaration.experiment.identity()).collect()
}

/// The finding for a run of a sweep whose directory is not named after its experiment.
fn wrong_id(run: &RunDirectory) -> Option<Finding> {
    if !run.is_of_sweep() {
        return None;
    }
    let id = run.id();
    let declaration = Declaration::open(&run.config_path(), &[]).ok()?;
    let identity = declaration.experiment.identity().ok()?;
    (identity != id).then(|| {
        let problem = format!(
            "its experiment has the id {identity}, unlike the directory: the file was changed, \
             or another version of Kiln created the run"
        );
        let advice = "sweeps do not touch this run; move it away, and the sweep trains its own";
        Finding::of(Severity::Stale, "config.toml", problem, advice)
    })
}
