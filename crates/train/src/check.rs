use kiln_store::doctor::{Finding, Severity};
use kiln_store::{Checkpoints, RunDirectory, RunRecord, Status, quoted};

use crate::checkpoint::{Checkpoint, MOST_STATE_BYTES, STATE};
use crate::experiment::Declaration;
use crate::origin::{Cause, Refusal, obstacle};
use crate::predictor::Predictor;
use crate::resume::history_damage;

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
            let problem = format!("this Kiln does not understand it: {}", error.to_line());
            let advice = format!("use Kiln {}, which wrote it", record.versions.kiln);
            return vec![Finding::of(Severity::Unchecked, FILE, problem, advice)];
        }
        Err(error) => {
            let advice = "restore it from a copy, or mend it";
            return vec![Finding::of(Severity::Damaged, FILE, error.to_line(), advice)];
        }
    };
    let is_as_written =
        record.files.get(FILE).is_some_and(|sum| sum.check(&run.config_path()).is_ok());
    let mut findings = Vec::new();
    if experiment.seed != record.seed {
        let problem = format!(
            "config.toml has seed {} and run.json {}: one of them is of another run",
            experiment.seed, record.seed
        );
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
    let is_over = matches!(record.status, Status::Finished | Status::Diverged);
    let state = if is_over { None } else { newest_state(run) };
    let Some(state) = state else { return findings };
    match obstacle(&state, &experiment) {
        Some(Refusal { problem, cause: Cause::LaterKiln }) => {
            let advice = "use a newer version of Kiln";
            findings.push(Finding::of(Severity::Unchecked, "checkpoints", problem, advice));
        }
        Some(Refusal { problem, cause: Cause::Program }) => {
            let advice = if run.is_of_sweep() {
                "go on with that program: with this one the sweep begins it anew"
            } else {
                "go on with that program: this one's kiln resume refuses"
            };
            findings.push(Finding::of(Severity::Note, "checkpoints", problem, advice));
        }
        // Its sum has told that.
        Some(Refusal { cause: Cause::Run, .. }) if is_summed && !is_as_written => {}
        Some(Refusal { problem, cause: Cause::Run }) => {
            let advice = "change it back, or run it as another: kiln resume refuses";
            findings.push(Finding::of(Severity::Damaged, FILE, problem, advice));
        }
        None => {
            let history = Checkpoint::history(&state, &experiment).ok();
            if let Some(error) = history.and_then(|history| history_damage(run, &history)) {
                let advice = "kiln resume writes it again from the checkpoint";
                findings.push(Finding::of_error("history.csv", &error, advice));
            }
        }
    }
    findings
}

/// The `state.json` of the newest checkpoint in which that is whole.
fn newest_state(run: &RunDirectory) -> Option<Vec<u8>> {
    let checkpoints = Checkpoints::of(run);
    let read = |position| checkpoints.read_file(position, STATE, MOST_STATE_BYTES).ok().flatten();
    checkpoints.positions().ok()?.into_iter().find_map(read)
}
