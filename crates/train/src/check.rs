use kiln_report::doctor::{Finding, Severity};
use kiln_report::{RunDirectory, RunRecord, Status, quoted};

use crate::experiment::Declaration;
use crate::origin::{Obstacle, obstacle};
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
            "config.toml has seed {} and run.json {}: one of them is of another run",
            experiment.seed, record.seed
        );
        let is_as_written =
            record.files.get(FILE).is_some_and(|sum| sum.check(&run.config_path()).is_ok());
        let file = if is_as_written { "run.json" } else { FILE };
        findings.push(Finding::of(Severity::Damaged, file, problem, "restore it from a copy"));
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
        let advice = format!(
            "kiln resume removes them: kiln resume {}",
            quoted(&run.path().display().to_string())
        );
        findings.push(Finding::of(Severity::Stale, "checkpoints", problem, advice));
    }
    let is_open = matches!(record.status, Status::Running | Status::Interrupted | Status::Failed);
    if is_open {
        findings
            .extend(obstacle(run, &experiment).and_then(|obstacle| in_words(obstacle, is_summed)));
    }
    findings
}

/// What keeps an unfinished run from going on.
fn in_words(obstacle: Obstacle, is_summed: bool) -> Option<Finding> {
    let (severity, file, problem, advice) = match obstacle {
        // Its sum has told that.
        Obstacle::Config(_) if is_summed => return None,
        Obstacle::Config(problem) => {
            let advice = "change it back, or run it as another: kiln resume refuses";
            (Severity::Damaged, "config.toml", problem, advice)
        }
        Obstacle::Program(problem) => {
            let advice = "go on with that program: this one's kiln resume refuses";
            (Severity::Note, "checkpoints", problem, advice)
        }
        Obstacle::BeginsAnew(problem) => {
            (Severity::Note, "checkpoints", problem, "kiln resume begins anew")
        }
    };
    Some(Finding::of(severity, file, problem, advice))
}
