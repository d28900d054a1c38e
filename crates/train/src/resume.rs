//! Going on with a run that was interrupted, from its last checkpoint that is whole.

use std::path::Path;

use kiln_store::{
    Checkpoints, History, Position, Resumption, RunDirectory, RunRecord, Status, StoreError, files,
};

use crate::TrainError;
use crate::checkpoint::{Checkpoint, STATE};
use crate::course::Course;
use crate::engine::Engine;
use crate::epoch::extra_columns;
use crate::experiment::Declaration;
use crate::material::Material;
use crate::origin::{Cause, Origin, Refusal, dataset_difference, difference};
use crate::run::{Hold, Run};

/// What a run goes on from.
pub(crate) struct Restored {
    /// The epochs completed.
    pub(crate) history: History,
    /// The checkpoint; `None` where there is none to be used, and the run begins anew.
    pub(crate) position: Option<Position>,
}

/// What [`Run::resume`] found.
pub struct Resumed {
    /// The run, ready to go on.
    pub run: Run,
    /// Where it goes on; `None` is from its beginning.
    pub from: Option<Position>,
    /// What is damaged and was passed over, in a sentence each.
    pub damage: Vec<String>,
}

impl Run {
    /// Makes a run ready to go on from its last checkpoint that is whole, or from its beginning where
    /// there is none. What comes of it is what would have come of it without the interruption, byte for byte but
    /// for times. `data` is the directory of the named datasets.
    ///
    /// Nobody else may be at work on it, and `hold` sees to that.
    ///
    /// # Errors
    ///
    /// [`TrainError::Resume`] where the run is over, or its experiment, data or program is no longer what
    /// the checkpoint was written with; those of [`prepare`](Self::prepare); a file cannot be read.
    pub fn resume(directory: RunDirectory, data: &Path, hold: Hold) -> Result<Resumed, TrainError> {
        let record = directory.read_record()?;
        let run = directory.path().display().to_string();
        let refused = |Refusal { problem, cause }: Refusal| TrainError::Resume {
            run: run.clone(),
            problem,
            is_program: cause == Cause::Program,
        };
        match record.status {
            Status::Finished => return Err(refused("it is finished".into())),
            Status::Diverged => {
                return Err(refused("it has diverged, and would diverge again".into()));
            }
            Status::Running | Status::Interrupted | Status::Failed | Status::Pruned => {}
        }
        if !files::exists(&directory.config_path())? {
            let problem = if Checkpoints::of(&directory).positions()?.is_empty() {
                "it has no config.toml, so it never began; run its experiment anew"
            } else {
                "its config.toml is missing: restore it from a copy"
            };
            return Err(refused(problem.into()));
        }
        let declaration = Declaration::of_run(&directory)?;
        let material = Material::read(&declaration, data)?;
        if let Some(difference) = dataset_difference(&record, &material.origin) {
            return Err(refused(difference.into()));
        }
        let checkpoints = Checkpoints::of(&directory);
        // Looked at first: what cannot be looked at is not missing.
        checkpoints.positions()?;
        directory.remove_partial()?;

        let mut damage = Vec::new();
        let found = find(&checkpoints, &declaration, &material, &mut damage, refused)?;
        match (&found, record.files.get("config.toml")) {
            (Some(found), _) => damage.extend(history_remark(&directory, &found.history)),
            // No checkpoint tells what it was.
            (None, Some(sum)) => sum.check(&directory.config_path())?,
            (None, None) => {}
        }
        let from = found.as_ref().map(|found| found.position);
        let mut run = Self::restored(declaration, material, directory, record, found, hold)?;
        match run.go_on(from) {
            Ok(()) => Ok(Resumed { run, from, damage }),
            Err(error) => {
                run.fail(&error.to_string());
                Err(error)
            }
        }
    }

    fn restored(
        declaration: Declaration,
        material: Material,
        directory: RunDirectory,
        mut record: RunRecord,
        found: Option<Found>,
        hold: Hold,
    ) -> Result<Self, TrainError> {
        let (engine, course, history, position) = match found {
            Some(Found { engine, course, history, position }) => {
                (engine, course, history, Some(position))
            }
            None => {
                let weights = material.initial_weights(&declaration.experiment);
                let engine =
                    Engine::new(&material.settings, &weights).map_err(TrainError::Engine)?;
                // Another program may begin it anew.
                let Origin { versions, backend, engine: implementation, .. } =
                    material.origin.clone();
                record.seed = declaration.experiment.seed;
                (record.versions, record.backend, record.engine) =
                    (versions, backend, implementation);
                let extra_columns = extra_columns(&declaration.experiment);
                let history = History { extra_columns, ..History::default() };
                (engine, Course::new(&declaration.experiment, weights), history, None)
            }
        };
        let restored = Some(Restored { history, position });
        Ok(Self { declaration, material, engine, directory, record, course, restored, hold })
    }

    /// Notes that the run goes on, and takes away what was written at its interruption.
    fn go_on(&mut self, from: Option<Position>) -> Result<(), TrainError> {
        self.hold.check()?;
        let from = from.unwrap_or(Position { epochs: 0, step: 0 });
        self.record.status = Status::Running;
        self.record.stop_reason = None;
        self.record.ended = None;
        self.record.training_seconds = None;
        self.record.epochs = from.epochs;
        self.record.files.clear();
        self.record.resumed.push(Resumption { at: kiln_store::now(), from });
        self.directory.write_record(&self.record)?;
        self.directory.remove_report();
        files::remove(&self.directory.model_path())?;
        if !files::exists(&self.directory.initial_path())? {
            self.write_initial()?;
        }
        Ok(())
    }
}

/// A checkpoint that can be used.
struct Found {
    engine: Engine,
    course: Course,
    history: History,
    position: Position,
}

/// The newest checkpoint that is whole; what is wrong with newer ones goes to `damage`. An error is why
/// the run may not go on at all, which `refused` puts into words.
fn find(
    checkpoints: &Checkpoints,
    declaration: &Declaration,
    material: &Material,
    damage: &mut Vec<String>,
    refused: impl Fn(Refusal) -> TrainError,
) -> Result<Option<Found>, TrainError> {
    let most = Checkpoint::most_bytes(&material.architecture, &material.settings.optimizer.kind);
    for position in checkpoints.positions()? {
        let place = checkpoints.path(position).display().to_string();
        let files = match checkpoints.read(position, most) {
            Ok(files) => files,
            Err(error) if is_damage(&error) => {
                damage.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Some(state) = files.get(STATE) else {
            damage.push(format!("{place}: it has no {STATE}"));
            continue;
        };
        if let Some(refusal) = Checkpoint::other_version(state) {
            return Err(refused(refusal));
        }
        let origin = match Checkpoint::origin(state) {
            Ok(origin) => origin,
            Err(problem) => {
                damage.push(format!("{place}: {problem}"));
                continue;
            }
        };
        if let Some(difference) = difference(&origin, &material.origin) {
            return Err(refused(difference));
        }
        match restore(position, files, declaration, material) {
            Ok(found) => return Ok(Some(found)),
            Err(problem) => damage.push(format!("{place}: {problem}")),
        }
    }
    Ok(None)
}

/// Whether a checkpoint was read and found wrong, rather than out of reach.
fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::Malformed { .. }) || error.is_missing()
}

fn restore(
    position: Position,
    files: kiln_store::CheckpointFiles,
    declaration: &Declaration,
    material: &Material,
) -> Result<Found, String> {
    let Material { architecture, settings, split, .. } = material;
    let experiment = &declaration.experiment;
    let steps = split.training.len().div_ceil(experiment.training.batch_size.get());
    if position.step >= steps {
        return Err(format!("an epoch has {steps} steps, and it is {position}"));
    }
    let Checkpoint { course, weights, optimizer, history } =
        Checkpoint::decode(position, files, experiment, architecture)?;
    let engine = Engine::restore(settings, &weights, &optimizer)
        .map_err(|problem| format!("its optimizer's state: {problem}"))?;
    Ok(Found { engine, course, history, position })
}

/// What is wrong with `history.csv`, where it is not what was written up to the checkpoint that holds `history`, and
/// perhaps some rows more.
pub(crate) fn history_damage(run: &RunDirectory, history: &History) -> Option<StoreError> {
    let path = run.history_path();
    let read = match History::read(&path) {
        Ok(read) if read.rows.starts_with(&history.rows) => return None,
        Ok(read) => read,
        Err(error) => return Some(error),
    };
    let (whole, epochs) = (read.rows.len(), history.rows.len());
    let problem = if history.rows.starts_with(&read.rows) {
        format!("it ends after epoch {whole} of {epochs}")
    } else {
        "it is not what was written".to_owned()
    };
    Some(StoreError::Damaged { path, problem })
}

/// The same in words, and a last row that is cut off.
fn history_remark(run: &RunDirectory, history: &History) -> Option<String> {
    match history_damage(run, history) {
        Some(error) => Some(format!("{error}; it is written again from the checkpoint")),
        // A process was killed while it wrote.
        None => run.read_history().is_ok_and(|read| read.cut).then(|| {
            let path = run.history_path();
            format!(
                "{}: its last row is incomplete, and its epoch is computed again",
                path.display()
            )
        }),
    }
}
