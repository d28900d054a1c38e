use std::path::Path;

use kiln_store::doctor::{Finding, Severity, Specialist};
use kiln_store::{RunDirectory, RunRecord, quoted};
use kiln_train::Declaration;

use crate::declaration::Sweep;
use crate::record::SweepRecord;

/// Judges runs by the rules of their experiments, and sweeps by how they were declared.
#[derive(Debug, Clone, Copy)]
pub struct Checker;

const RECORD: &str = ".kiln/sweep.json";

/// What to do where that is damaged.
const AGAIN: &str =
    "run the `kiln sweep` again that the sweep was begun with, which writes it anew";

impl Specialist for Checker {
    fn run(&self, run: &RunDirectory, record: &RunRecord) -> Vec<Finding> {
        let mut findings = kiln_train::check(run, record);
        if findings.is_empty() {
            findings.extend(identity(run));
        }
        findings
    }

    fn sweep(&self, directory: &Path) -> Vec<Finding> {
        let record = match SweepRecord::read(directory) {
            Ok(record) => record,
            Err(error) => return vec![Finding::of_error(RECORD, &error, AGAIN)],
        };
        let ids = match Sweep::again(&record).and_then(|sweep| Ok((ids(&sweep)?, sweep.name))) {
            Ok((ids, name)) if directory.file_name().is_none_or(|own| *own == *name) => ids,
            Ok((_, name)) => {
                let problem =
                    format!("it declares the sweep {name}, whose directory has that name");
                let advice = "rename the directory back to go on with the sweep";
                return vec![Finding::of(Severity::Note, RECORD, problem, advice)];
            }
            Err(error) => return vec![damaged(error.to_string())],
        };
        let missing = ids.iter().filter(|id| !directory.join(id).exists()).count();
        if missing == 0 {
            return Vec::new();
        }
        let problem = format!("runs of the sweep still to do: {missing} of {}", ids.len());
        let go_on = format!("go on: kiln resume {}", quoted(&directory.display().to_string()));
        vec![Finding::of(Severity::Unfinished, "", problem, go_on)]
    }
}

fn damaged(problem: String) -> Finding {
    Finding::of(Severity::Damaged, RECORD, problem, AGAIN)
}

fn ids(sweep: &Sweep) -> Result<Vec<String>, kiln_config::ConfigError> {
    let combinations = sweep.expand()?;
    combinations.iter().map(|combination| combination.declaration.experiment.identity()).collect()
}

/// Where a run lies in a sweep under a name that is not its experiment's.
fn identity(run: &RunDirectory) -> Option<Finding> {
    if !run.is_of_sweep() {
        return None;
    }
    let id = run.id();
    let declaration = Declaration::open(&run.config_path(), &[]).ok()?;
    let identity = declaration.experiment.identity().ok()?;
    (identity != id).then(|| {
        let problem = format!(
            "its experiment is {identity}, and not what the directory is named after: \
             it was changed, or another Kiln named it"
        );
        let advice = "a sweep leaves it alone; when it is moved away it trains its own";
        Finding::of(Severity::Stale, "config.toml", problem, advice)
    })
}
