use kiln_store::doctor::{Finding, Severity};
use kiln_store::{Checkpoints, RunDirectory, RunRecord, Status, quoted};

use super::checkpoint::{Checkpoint, MAX_STATE_BYTES, STATE};
use super::history_damage;
use super::origin::{Origin, ResumeError, ResumeErrorKind, difference, versions};
use crate::experiment::{Declaration, Experiment};
use crate::predictor::Predictor;

const CONFIG: &str = "config.toml";
const WEIGHTS: &str = "model.safetensors";
const INITIAL: &str = "initial.safetensors";

/// Checks the files of a run against its experiment: `config.toml` must be valid and belong to `run.json` and to the
/// newest checkpoint, and weights without a recorded checksum must fit the network.
#[must_use]
pub fn check(run: &RunDirectory, record: &RunRecord) -> Vec<Finding> {
    let path = run.config_path();
    if !path.exists() {
        // The doctor reports missing files itself.
        return Vec::new();
    }
    let recorded_sum = record.files.get(CONFIG);
    let experiment = match Declaration::open(&path, &[]) {
        Ok(declaration) => declaration.experiment,
        // The doctor compares the checksum. If it is right, another version of Kiln wrote a file that this one cannot read.
        Err(error) if recorded_sum.is_some() => {
            let problem = format!("this Kiln does not understand it: {}", error.to_line());
            let advice = format!("use Kiln {}, which wrote it", record.versions.kiln);
            return vec![Finding::of(Severity::Unchecked, CONFIG, problem, advice)];
        }
        Err(error) => {
            let advice = "restore it from a backup, or correct it";
            return vec![Finding::of(Severity::Damaged, CONFIG, error.to_line(), advice)];
        }
    };
    // Decides which of two files that contradict each other is the wrong one.
    let is_unchanged = recorded_sum.is_some_and(|sum| sum.check(&path).is_ok());
    let mut findings = Vec::new();
    if experiment.seed != record.seed {
        let problem = format!(
            "config.toml has seed {} but run.json has seed {}: one of them belongs to another run",
            experiment.seed, record.seed
        );
        let file = if is_unchanged { "run.json" } else { CONFIG };
        findings.push(Finding::of(Severity::Damaged, file, problem, "restore it from a backup"));
    }
    findings.extend(check_initial(run, record));
    match record.status {
        Status::Finished => findings.extend(check_finished(run, record, &experiment)),
        // Nothing resumes a diverged run, so its checkpoints do not matter.
        Status::Diverged => {}
        Status::Running | Status::Interrupted | Status::Failed | Status::Pruned => {
            let is_reported = recorded_sum.is_some() && !is_unchanged;
            findings.extend(check_checkpoint(run, &experiment, is_reported));
        }
    }
    findings
}

/// Checks the initial weights that a run loaded from a file, unless the doctor checks them itself or the user removed them.
/// Those that were drawn have no checksum before the run ends, and `kiln resume` compares them.
fn check_initial(run: &RunDirectory, record: &RunRecord) -> Option<Finding> {
    let recorded = record.initial_weights.as_ref()?;
    if record.files.contains_key(INITIAL) || record.removed.contains_key(INITIAL) {
        return None;
    }
    let error = recorded.initial.check(&run.initial_path()).err()?;
    let file = &recorded.file;
    let advice = if matches!(record.status, Status::Finished | Status::Diverged) {
        format!("restore it from a backup; without it, kiln verify needs {file}")
    } else {
        format!("kiln resume writes it again from {file}")
    };
    Some(Finding::of_error(INITIAL, &error, &advice))
}

/// Checks the weights and the checkpoints of a finished run.
fn check_finished(run: &RunDirectory, record: &RunRecord, experiment: &Experiment) -> Vec<Finding> {
    let mut findings = Vec::new();
    let has_unchecked_weights = run.model_path().exists() && !record.files.contains_key(WEIGHTS);
    if has_unchecked_weights && let Err(error) = Predictor::open(run) {
        let advice = "restore it from a backup, or retrain as a new run";
        findings.push(Finding::of(Severity::Damaged, WEIGHTS, error.to_string(), advice));
    }
    if !experiment.checkpoint.keep && run.checkpoints_path().exists() {
        let problem = "the run is finished and should not keep them";
        let advice =
            format!("to remove them: kiln resume {}", quoted(&run.path().to_string_lossy()));
        findings.push(Finding::of(Severity::Stale, "checkpoints", problem, advice));
    }
    findings
}

/// Checks whether an unfinished run can be resumed from its newest checkpoint. `is_reported` is whether the
/// doctor already reports a changed `config.toml`.
fn check_checkpoint(
    run: &RunDirectory,
    experiment: &Experiment,
    is_reported: bool,
) -> Option<Finding> {
    // Without an intact state there is nothing to compare. The doctor reports damaged checkpoints itself.
    let state = newest_state(run)?;
    let Some(ResumeError { problem, kind }) = resume_error(&state, experiment) else {
        let history = Checkpoint::history(&state, experiment).ok()?;
        let error = history_damage(run, &history)?;
        let advice = "kiln resume restores it from the checkpoint";
        return Some(Finding::of_error("history.csv", &error, advice));
    };
    match kind {
        ResumeErrorKind::LaterKiln => {
            let advice = "check it with a newer version of Kiln";
            Some(Finding::of(Severity::Unchecked, "checkpoints", problem, advice))
        }
        ResumeErrorKind::Program => {
            let advice = if run.is_of_sweep() {
                "resume with that program; with this one, the sweep restarts the run from scratch"
            } else {
                "resume with that program; with this one, kiln resume refuses"
            };
            Some(Finding::of(Severity::Note, "checkpoints", problem, advice))
        }
        ResumeErrorKind::Run if is_reported => None,
        ResumeErrorKind::Run => {
            let advice = "undo the change, or train it as another run: kiln resume refuses";
            Some(Finding::of(Severity::Damaged, CONFIG, problem, advice))
        }
    }
}

/// The `state.json` of the newest checkpoint in which it is intact.
fn newest_state(run: &RunDirectory) -> Option<Vec<u8>> {
    let checkpoints = Checkpoints::of(run);
    let read = |position| checkpoints.read_file(position, STATE, MAX_STATE_BYTES).ok().flatten();
    checkpoints.positions().ok()?.into_iter().find_map(read)
}

/// Why the run cannot be resumed from the checkpoint with this `state.json`, as far as this can be determined without
/// the dataset.
fn resume_error(state: &[u8], experiment: &Experiment) -> Option<ResumeError> {
    // First the version, because a state of another version cannot be parsed.
    Checkpoint::other_version(state).or_else(|| {
        let then = Checkpoint::origin(state).ok()?;
        let config = experiment.to_toml().ok()?;
        // Dataset, backend and engine are only known after reading the data, so they count as unchanged here.
        let now = Origin { config, versions: versions(), ..then.clone() };
        difference(&then, &now)
    })
}
