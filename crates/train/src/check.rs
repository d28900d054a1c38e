use kiln_report::doctor::{Finding, Severity};
use kiln_report::{RunDirectory, RunRecord, Status};

use crate::experiment::Declaration;
use crate::predictor::Predictor;

/// What is wrong with a run's files by the rules of its experiment: that `config.toml` is one and that of the record,
/// and where there are no sums to tell that the weights are as they were, that they are those of its network.
#[must_use]
pub fn check(run: &RunDirectory, record: &RunRecord) -> Vec<Finding> {
    const FILE: &str = "config.toml";
    if !run.config_path().exists() {
        // That is told already.
        return Vec::new();
    }
    let is_summed = record.files.contains_key(FILE);
    let experiment = match Declaration::open(&run.config_path(), &[]) {
        Ok(declaration) => declaration.experiment,
        // It may be as it was written, or changed; then its sum has told that.
        Err(error) if is_summed => {
            let problem = format!("this Kiln does not understand it: {error}");
            let advice = format!("use Kiln {}, which wrote it", record.versions.kiln);
            return vec![Finding::of(Severity::Unchecked, FILE, problem, advice)];
        }
        Err(error) => {
            let advice = "restore it from a copy, or mend it";
            return vec![Finding::of(Severity::Damaged, FILE, error.to_string(), advice)];
        }
    };
    let mut findings = Vec::new();
    if experiment.seed != record.seed {
        let problem = format!(
            "it has seed {} where run.json has {}: one of them is of another run",
            experiment.seed, record.seed
        );
        findings.push(Finding::of(Severity::Damaged, FILE, problem, "restore it from a copy"));
    }
    let has_weights = run.model_path().exists() && !record.files.contains_key("model.safetensors");
    if record.status == Status::Finished
        && has_weights
        && let Err(error) = Predictor::open(run)
    {
        let advice = "restore it from a copy, or train the run again";
        let file = "model.safetensors";
        findings.push(Finding::of(Severity::Damaged, file, error.to_string(), advice));
    }
    if record.status == Status::Finished
        && !experiment.checkpoint.keep
        && run.checkpoints_path().exists()
    {
        let problem = "the run is finished, and was not to keep them";
        findings.push(Finding::of(Severity::Stale, "checkpoints", problem, "remove them"));
    }
    findings
}
