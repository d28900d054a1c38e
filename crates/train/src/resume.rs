//! Going on with a run that was interrupted, from its last checkpoint that is whole.

use std::io::ErrorKind;
use std::path::Path;

use kiln_config::Document;
use kiln_report::{
    Checkpoints, Claim, History, Position, ReportError, Resumption, RunDirectory, RunRecord, Status,
};

use crate::TrainError;
use crate::checkpoint::{Checkpoint, MOST_STATE_BYTES, Origin, STATE};
use crate::course::Course;
use crate::engine::Engine;
use crate::epoch::extra_columns;
use crate::experiment::{Declaration, Experiment};
use crate::material::{Material, versions};
use crate::run::Run;

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
    /// Nobody else may be at work on it, and so there is a [`Claim`] to give, unless the caller holds it.
    ///
    /// # Errors
    ///
    /// [`TrainError::Resume`] where the run is over, or its experiment, data or program is no longer what
    /// the checkpoint was written with; those of [`prepare`](Self::prepare); a file cannot be read.
    pub fn resume(
        directory: RunDirectory,
        data: &Path,
        claim: Option<Claim>,
    ) -> Result<Resumed, TrainError> {
        let record = directory.read_record()?;
        let run = directory.path().display().to_string();
        let refused = |Refusal { problem, is_program }: Refusal| TrainError::Resume {
            run: run.clone(),
            problem,
            is_program,
        };
        match record.status {
            Status::Finished => return Err(refused("it is finished".into())),
            Status::Diverged => {
                return Err(refused("it has diverged, and would diverge again".into()));
            }
            Status::Running | Status::Interrupted | Status::Failed | Status::Pruned => {}
        }
        if !directory.config_path().exists() {
            let problem = "it has no config.toml, so it never began; run its experiment anew";
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
            (Some(found), _) => damage.extend(history_damage(&directory, &found.history)),
            // No checkpoint tells what it was.
            (None, Some(sum)) => sum.check(&directory.config_path())?,
            (None, None) => {}
        }
        let from = found.as_ref().map(|found| found.position);
        let mut run = Self::restored(declaration, material, directory, record, found)?;
        run.claim = claim;
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
        let (claim, held) = (None, None);
        Ok(Self { declaration, material, engine, directory, record, course, restored, claim, held })
    }

    /// Notes that the run goes on, and takes away what was written at its interruption.
    fn go_on(&mut self, from: Option<Position>) -> Result<(), TrainError> {
        let from = from.unwrap_or(Position { epochs: 0, step: 0 });
        self.record.status = Status::Running;
        self.record.stop_reason = None;
        self.record.ended = None;
        self.record.training_seconds = None;
        self.record.epochs = from.epochs;
        self.record.files.clear();
        self.record.resumed.push(Resumption { at: kiln_report::now(), from });
        self.directory.write_record(&self.record)?;
        self.directory.remove_report();
        kiln_report::files::remove(&self.directory.model_path())?;
        if !self.directory.initial_path().exists() {
            self.write_initial()?;
        }
        Ok(())
    }
}

/// Why a run may not go on.
struct Refusal {
    problem: String,
    /// Whether it is another program that would go on with it.
    is_program: bool,
}

impl From<&str> for Refusal {
    fn from(problem: &str) -> Self {
        problem.to_owned().into()
    }
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Self { problem, is_program: false }
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
    let most = Checkpoint::most_bytes(&material.architecture);
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
        if let Some(version) = Checkpoint::newer_version(state) {
            let problem = format!("{place} has version {version}, which a later Kiln wrote");
            return Err(refused(problem.into()));
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

/// What `kiln resume` would come upon, as far as that shows without the data.
pub(crate) enum Obstacle {
    /// It begins anew: this is wrong with the newest checkpoint.
    BeginsAnew(String),
    /// It refuses, since the experiment is another.
    Config(String),
    /// It refuses, since the program is another.
    Program(String),
}

/// What is in the way of going on from the checkpoints of a run, where something is. Those whose sums are wrong are passed
/// over: that is told where sums are checked.
pub(crate) fn obstacle(run: &RunDirectory, experiment: &Experiment) -> Option<Obstacle> {
    let checkpoints = Checkpoints::of(run);
    let mut first = None;
    for position in checkpoints.positions().ok()? {
        let Ok(Some(state)) = checkpoints.read_file(position, STATE, MOST_STATE_BYTES) else {
            continue;
        };
        let place = checkpoints.path(position).display().to_string();
        if Checkpoint::newer_version(&state).is_some() {
            return Some(Obstacle::Program(format!("a later Kiln wrote {place}")));
        }
        match Checkpoint::origin(&state) {
            Err(problem) => first = first.or(Some(problem)),
            Ok(then) => {
                let now = Origin {
                    config: experiment.to_toml().ok()?,
                    versions: versions(),
                    ..then.clone()
                };
                return difference(&then, &now).map(|Refusal { problem, is_program }| {
                    match is_program {
                        true => Obstacle::Program(problem),
                        false => Obstacle::Config(problem),
                    }
                });
            }
        }
    }
    first.map(Obstacle::BeginsAnew)
}

/// Whether a checkpoint was read and found wrong, rather than out of reach.
fn is_damage(error: &ReportError) -> bool {
    match error {
        ReportError::Damaged { .. } | ReportError::Malformed { .. } => true,
        ReportError::Io { cause, .. } => cause.kind() == ErrorKind::NotFound,
        _ => false,
    }
}

fn restore(
    position: Position,
    files: kiln_report::CheckpointFiles,
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
        .map_err(|problem| format!("its optimiser's state: {problem}"))?;
    Ok(Found { engine, course, history, position })
}

/// What is wrong with `history.csv`, where it is not what was written up to the checkpoint that holds `history`, and
/// perhaps some rows more.
fn history_damage(directory: &RunDirectory, history: &History) -> Option<String> {
    let path = directory.history_path();
    let problem = match History::read(&path) {
        Err(ReportError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
            format!("{} is missing", path.display())
        }
        Err(error) => error.to_string(),
        Ok(read) if !read.rows.starts_with(&history.rows) => {
            let (epochs, whole) = (history.rows.len(), read.rows.len());
            if whole < epochs && history.rows.starts_with(&read.rows) {
                format!("{} ends after epoch {whole} of {epochs}", path.display())
            } else {
                format!("{} is not what was written", path.display())
            }
        }
        Ok(read) if read.cut => {
            let problem = "its last row is cut off, and its epoch is computed again";
            return Some(format!("{}: {problem}", path.display()));
        }
        Ok(_) => return None,
    };
    Some(format!("{problem}; it is written again from the checkpoint"))
}

/// What is no longer as it was when a checkpoint was written, where something is.
fn difference(then: &Origin, now: &Origin) -> Option<Refusal> {
    if let Some(difference) = config_difference(&then.config, &now.config) {
        return Some(format!("its configuration has changed: {difference}").into());
    }
    if then.dataset.fingerprint != now.dataset.fingerprint {
        let (then, now) = (&then.dataset.fingerprint, &now.dataset.fingerprint);
        return Some(format!("its dataset has changed: it was {then} and is {now}").into());
    }
    let pairs = [
        ("Kiln", &then.versions.kiln, &now.versions.kiln),
        ("Burn", &then.versions.burn, &now.versions.burn),
        ("the engine", &then.engine, &now.engine),
        ("the backend", &then.backend, &now.backend),
    ];
    let (what, then, now) = pairs.into_iter().find(|(_, then, now)| then != now)?;
    let problem = format!(
        "{what} was {then} and is {now}, and the rest of the run would not be what it would have been"
    );
    Some(Refusal { problem, is_program: true })
}

/// The data of a run that is no longer what its record says.
fn dataset_difference(record: &RunRecord, now: &Origin) -> Option<String> {
    let (then, now) = (&record.dataset, &now.dataset);
    (then.fingerprint != now.fingerprint).then(|| {
        format!(
            "its dataset has changed: {} was {} and is {}",
            then.name, then.fingerprint, now.fingerprint
        )
    })
}

/// The keys that differ between two resolved experiments, but for those that no result depends on.
fn config_difference(then: &str, now: &str) -> Option<String> {
    if then == now {
        return None;
    }
    let (Ok(then), Ok(now)) = (Document::parse("then", then), Document::parse("now", now)) else {
        return Some("the checkpoint's cannot be read".to_owned());
    };
    let mut paths = then.paths();
    paths.extend(now.paths());
    paths.sort_unstable();
    paths.dedup();
    let text = |document: &Document, path: &str| {
        document.get(path).map_or_else(|| "not there".to_owned(), ToString::to_string)
    };
    let differing: Vec<String> = paths
        .iter()
        .filter(|path| !path.starts_with("checkpoint."))
        .map(|path| (path, text(&then, path), text(&now, path)))
        .filter(|(_, then, now)| then != now)
        .map(|(path, then, now)| format!("{path} was {then} and is {now}"))
        .collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}
