//! Continues a finished run as a new one, with more epochs or another schedule.

use std::path::Path;

use kiln_model::Weights;
use kiln_store::number::significant;
use kiln_store::{
    CheckpointFiles, Checkpoints, Continuation, History, Position, RunDirectory, RunName, Status,
    quoted,
};

use crate::TrainError;
use crate::engine::{Engine, OptimizerState};
use crate::experiment::{Declaration, EarlierPhase, EarlierPhases, Experiment, PreparedExperiment};
use crate::initial_weights::{SourceWeights, Transfer};
use crate::resume::checkpoint::{Checkpoint, STATE};
use crate::resume::origin::differing_keys;
use crate::run::{Run, StartingPoint};
use crate::schedules::ScheduleConfig;
use crate::training_loop::WeightsSnapshot;
use crate::training_loop::epoch::TrainingData;
use crate::training_loop::state::{PartialEpoch, TrainingState};

/// A new run that continues another one.
pub struct Continued {
    /// The run, ready to train.
    pub run: Run,
    /// The run that it continues.
    pub from: RunName,
    /// How many epochs that run had completed.
    pub epochs: usize,
    /// How the learning rate is affected, as a sentence without a final full stop.
    pub effect: String,
}

/// What a new run may change, for messages.
const MAY_CHANGE: &str = "a run that continues another one can change training.epochs, schedule, optimizer.learning_rate, \
                          early_stopping, training.weights, training.monitor and test";

/// Whether a run that continues another one may have another value of this key: training of the earlier epochs does not
/// depend on it, except for the learning rates, which `[[earlier]]` records.
fn may_differ(path: &str) -> bool {
    let table = path.split_once('.').map_or(path, |(table, _)| table);
    let is_free = ["name", "earlier", "schedule", "early_stopping", "test"].contains(&table);
    // The checksum identifies the initial weights, not the path.
    let keys = ["optimizer.learning_rate", "model.initial_weights"];
    let training = ["training.epochs", "training.weights", "training.monitor"];
    is_free || keys.contains(&path) || training.contains(&path)
}

impl Run {
    /// Creates a run of an experiment under `runs` that begins with the last epoch of a finished run. The other run is not
    /// changed. `data` is the directory of the named datasets.
    ///
    /// The result is a function of the new run's `config.toml` alone. It is that of a run from scratch if the epochs
    /// of the other run had the learning rates that the new experiment gives them; otherwise `[[earlier]]` is added to it.
    ///
    /// # Errors
    ///
    /// [`TrainError::Continue`] if the other run is not finished, or has no usable checkpoint, or another program trained it;
    /// [`TrainError::Config`] if the experiment differs in other keys than those that may; the errors of
    /// [`prepare`](Self::prepare).
    pub fn continue_from(
        mut declaration: Declaration,
        data: &Path,
        runs: &Path,
        source: &RunDirectory,
    ) -> Result<Continued, TrainError> {
        let source = Source::read(source)?;
        let weights = SourceWeights::read(&mut declaration)?;
        let mut prepared = PreparedExperiment::read(&mut declaration, data)?;
        source.check_same_data(&prepared)?;
        source.check_keys(&declaration, &prepared)?;
        source.check_program(&prepared)?;
        let start = source.last_checkpoint(&prepared)?;
        let epochs = start.state.epochs;
        source.check_epochs(&declaration, epochs)?;

        let (earlier, effect) = source.earlier(&declaration.experiment, &prepared, &start.history);
        declaration.experiment.earlier = earlier;
        prepared.origin.config = declaration.experiment.to_toml()?;
        let training = source.start(&declaration, &prepared, start)?;
        prepared.check_data(&declaration)?;
        let transfer = weights.map(|source| Transfer::new(source, &declaration, &prepared));
        prepared.transfer = transfer.transpose()?;

        let from = source.name.clone();
        let continuation = Continuation { from: from.clone(), epochs };
        let run = Self::create(declaration, prepared, runs, None, Some((training, continuation)))?;
        Ok(Continued { run, from, epochs, effect })
    }
}

/// The run to continue.
struct Source {
    directory: RunDirectory,
    name: RunName,
    declaration: Declaration,
}

impl Source {
    fn read(directory: &RunDirectory) -> Result<Self, TrainError> {
        let record = directory.read_record()?;
        directory.check(&record, &["config.toml"])?;
        let declaration = Declaration::of_run(directory)?;
        let name = RunName { name: record.name, id: record.id };
        let source = Self { directory: directory.clone(), name, declaration };
        let path = source.quoted_path();
        let (problem, help) = match record.status {
            Status::Finished => return Ok(source),
            Status::Diverged => {
                let help = "lower optimizer.learning_rate, or set optimizer.global_clipnorm";
                ("it has diverged", help.to_owned())
            }
            Status::Running => {
                ("it is not finished", format!("if no process trains it: kiln resume {path}"))
            }
            Status::Interrupted | Status::Failed | Status::Pruned => {
                ("it is not finished", format!("to train it to its end: kiln resume {path}"))
            }
        };
        Err(source.refused(problem, help))
    }

    fn quoted_path(&self) -> String {
        quoted(&self.directory.path().display().to_string())
    }

    fn refused(&self, problem: impl Into<String>, help: impl Into<Option<String>>) -> TrainError {
        let run = self.directory.path().display().to_string();
        TrainError::Continue { run, problem: problem.into(), help: help.into() }
    }

    fn check_same_data(&self, prepared: &PreparedExperiment) -> Result<(), TrainError> {
        let (then, now) = (&self.directory.read_record()?.dataset, &prepared.origin.dataset);
        if then.fingerprint == now.fingerprint {
            return Ok(());
        }
        let help = "train the experiment from scratch, or start from its weights with model.initial_weights";
        let problem = format!(
            "it was trained on other data: {} {}, not {} {}",
            then.name,
            short(&then.fingerprint),
            now.name,
            short(&now.fingerprint)
        );
        Err(self.refused(problem, help.to_owned()))
    }

    fn check_keys(
        &self,
        declaration: &Declaration,
        prepared: &PreparedExperiment,
    ) -> Result<(), TrainError> {
        let then = self.declaration.experiment.to_toml()?;
        let Some(keys) = differing_keys(&then, &prepared.origin.config) else {
            return Err(self.refused("its config.toml cannot be compared", None));
        };
        let wrong: Vec<_> = keys.into_iter().filter(|key| !may_differ(&key.path)).collect();
        let Some(first) = wrong.first() else { return Ok(()) };
        let RunName { name, id } = &self.name;
        let mut message =
            format!("{} is {}, but {} in {name}/{id}", first.path, first.now, first.then);
        if wrong.len() > 1 {
            let others: Vec<&str> = wrong[1..].iter().map(|key| key.path.as_str()).collect();
            message.push_str(&format!("; these keys differ, too: {}", others.join(", ")));
        }
        Err(declaration.error_at(&first.path, message).help(MAY_CHANGE).into())
    }

    fn check_program(&self, prepared: &PreparedExperiment) -> Result<(), TrainError> {
        let record = self.directory.read_record()?;
        let then = crate::resume::origin::Program::of_record(&record);
        let Some(change) = prepared.origin.program().changes_since(then).into_iter().next() else {
            return Ok(());
        };
        let problem = format!("{change}; its epochs would not be those of the new run");
        let help = "train the experiment from scratch, or start from its weights with model.initial_weights";
        Err(self.refused(problem, help.to_owned()))
    }

    /// Reads the checkpoint after the last epoch.
    fn last_checkpoint(&self, prepared: &PreparedExperiment) -> Result<Checkpoint, TrainError> {
        let checkpoints = Checkpoints::of(&self.directory);
        let record = self.directory.read_record()?;
        let position = checkpoints.positions()?.into_iter().next();
        let Some(position) = position.filter(|position| position.epochs == record.epochs) else {
            let problem = "it has no checkpoint of its last epoch: kiln clean removed it, or checkpoint.keep is false";
            let config = quoted(&self.directory.config_path().display().to_string());
            let help = format!(
                "train it again, and its checkpoint stays: kiln run {config} checkpoint.keep=true"
            );
            return Err(self.refused(problem, help));
        };
        self.checkpoint(position, prepared)
    }

    fn checkpoint(
        &self,
        position: Position,
        prepared: &PreparedExperiment,
    ) -> Result<Checkpoint, TrainError> {
        let checkpoints = Checkpoints::of(&self.directory);
        let PreparedExperiment { architecture, settings, .. } = prepared;
        let max_bytes = Checkpoint::max_bytes(architecture, &settings.optimizer.kind);
        let files: CheckpointFiles = checkpoints.read(position, max_bytes)?;
        if let Some(error) = files.get(STATE).and_then(|state| Checkpoint::other_version(state)) {
            return Err(self.refused(error.problem, None));
        }
        let experiment = &self.declaration.experiment;
        let place = checkpoints.path(position).display().to_string();
        Checkpoint::decode(position, files, experiment, architecture, prepared.classes())
            .map_err(|problem| self.refused(format!("{place}: {problem}"), None))
    }

    fn check_epochs(&self, declaration: &Declaration, trained: usize) -> Result<(), TrainError> {
        let epochs = declaration.experiment.training.epochs.get();
        if epochs >= trained {
            return Ok(());
        }
        let RunName { name, id } = &self.name;
        let message = format!("{name}/{id} has {trained} epochs already, more than {epochs}");
        let help = format!("set it to more than {trained}; it counts the epochs of both runs");
        Err(declaration.error_at("training.epochs", message).help(help).into())
    }

    /// The phases that the new experiment needs to describe the earlier epochs, and a sentence about the learning rate.
    fn earlier(
        &self,
        experiment: &Experiment,
        prepared: &PreparedExperiment,
        history: &History,
    ) -> (EarlierPhases, String) {
        let then = &self.declaration.experiment;
        let trained = history.rows.len();
        let mut all = then.earlier.0.clone();
        if let Some(until) = std::num::NonZeroUsize::new(trained) {
            all.push(EarlierPhase {
                until,
                // Early stopping may have ended the run before.
                epochs: then.training.epochs,
                learning_rate: then.optimizer.learning_rate,
                schedule: then.schedule,
            });
        }
        let rates_of = |phases: &[EarlierPhase]| {
            let now = Experiment { earlier: EarlierPhases(phases.to_vec()), ..experiment.clone() };
            has_same_rates(then, &now, prepared, history).then_some(now.earlier)
        };
        // As few as possible: two runs with the same results have the same experiment.
        let own = rates_of(&[]).or_else(|| rates_of(&then.earlier.0));
        let earlier = own.unwrap_or(EarlierPhases(all));
        let epochs = experiment.training.epochs.get();
        if epochs == trained {
            let effect = "no epoch is left to train".to_owned();
            return (earlier, effect);
        }
        let now = Experiment { earlier: earlier.clone(), ..experiment.clone() };
        let next = data(&now, prepared).schedule(&history.rows).step(0).learning_rate;
        let last = history.rows.last().map_or(next, |row| row.learning_rate);
        let effect = if earlier.is_empty() {
            format!(
                "the schedule gives the earlier epochs the learning rates that they had, so the result is that of a new run of {epochs} epochs"
            )
        } else {
            format!(
                "the learning rate was {} at the end of epoch {trained} ({}) and continues with {} ({}); a new run of {epochs} epochs would have had other rates from the start, so config.toml records the earlier ones in [[earlier]]",
                significant(last),
                described(&then.schedule, then.training.epochs.get()),
                significant(next),
                described(&now.schedule, epochs)
            )
        };
        (earlier, effect)
    }

    /// The state of training after the earlier epochs, as if the new experiment had trained them.
    fn start(
        &self,
        declaration: &Declaration,
        prepared: &PreparedExperiment,
        checkpoint: Checkpoint,
    ) -> Result<StartingPoint, TrainError> {
        let experiment = &declaration.experiment;
        let Checkpoint { state: then, weights, optimizer, average, history } = checkpoint;
        let epochs = then.epochs;
        let last: Weights = (*then.last.weights).clone();
        let mut state = TrainingState::new(experiment, prepared.classes(), last);
        state.last.epoch = epochs;
        state.epochs = epochs;
        state.partial_epoch = PartialEpoch::new(experiment, prepared.classes(), epochs + 1);
        for row in &history.rows {
            if state.best.monitor.observe(row) {
                state.best.epoch = row.epoch;
            }
            let stopping = state.early_stopping.as_mut();
            if let Some(reason) = stopping.and_then(|stopping| stopping.observe(row))
                && row.epoch < experiment.training.epochs.get()
            {
                let message =
                    format!("it would have ended the run after epoch {}: {reason}", row.epoch);
                let help = "raise early_stopping.patience, or remove the table";
                return Err(declaration.error_at("early_stopping", message).help(help).into());
            }
        }
        let best = &mut state.best;
        let is_same_choice = then.best.monitor.metric == best.monitor.metric
            && then.best.monitor.min_delta.total_cmp(&best.monitor.min_delta).is_eq();
        match (&mut best.cross_fit, &then.best.cross_fit) {
            (Some(now), Some(then)) if is_same_choice => now.set_state(then.state()),
            // The earlier epochs were not evaluated for it.
            (now, _) => *now = None,
        }
        if best.restores_best && best.epoch > 0 {
            let found = if best.epoch == epochs {
                Some(state.last.clone())
            } else {
                self.weights_of(best.epoch, &then, prepared)?
            };
            let Some(snapshot) = found else {
                let message = format!(
                    "epoch {} is the best by {}, but {}/{} no longer has its weights",
                    best.epoch, best.monitor.metric, self.name.name, self.name.id
                );
                let help = "choose another training.monitor, or set training.weights to \"last\"";
                return Err(declaration.error_at("training.weights", message).help(help).into());
            };
            best.snapshot = Some(snapshot);
        }
        state.stopwatch = then.stopwatch;
        let engine = restored(prepared, &weights, &optimizer, average.as_ref())
            .map_err(|problem| self.refused(problem, None))?;
        Ok(StartingPoint { engine, state, history, checkpoint: None })
    }

    /// The weights after an epoch, if the run still has them.
    fn weights_of(
        &self,
        epoch: usize,
        state: &TrainingState,
        prepared: &PreparedExperiment,
    ) -> Result<Option<WeightsSnapshot>, TrainError> {
        if let Some(snapshot) = state.best.snapshot.as_ref().filter(|kept| kept.epoch == epoch) {
            return Ok(Some(snapshot.clone()));
        }
        let position = Position { epochs: epoch, step: 0 };
        if !Checkpoints::of(&self.directory).positions()?.contains(&position) {
            return Ok(None);
        }
        Ok(Some(self.checkpoint(position, prepared)?.state.last))
    }
}

fn restored(
    prepared: &PreparedExperiment,
    weights: &Weights,
    optimizer: &OptimizerState,
    average: Option<&Weights>,
) -> Result<Engine, String> {
    Engine::restore(&prepared.settings, weights, optimizer, average)
        .map_err(|problem| format!("the state of the optimizer: {problem}"))
}

fn data<'a>(experiment: &'a Experiment, prepared: &'a PreparedExperiment) -> TrainingData<'a> {
    let PreparedExperiment { dataset, split, normalizer, class_weights, .. } = prepared;
    TrainingData { experiment, dataset, split, normalizer, class_weights }
}

/// Whether two experiments give all steps of the epochs in a history the same learning rates.
fn has_same_rates(
    then: &Experiment,
    now: &Experiment,
    prepared: &PreparedExperiment,
    history: &History,
) -> bool {
    let (then, now) = (data(then, prepared), data(now, prepared));
    let steps = now.steps_per_epoch();
    (0..history.rows.len()).all(|epochs| {
        let rows = &history.rows[..epochs];
        let (then, now) = (then.schedule(rows), now.schedule(rows));
        (0..steps).all(|step| then.step(step) == now.step(step))
    })
}

/// `cosine over 20 epochs`
fn described(schedule: &ScheduleConfig, epochs: usize) -> String {
    let unit = if epochs == 1 { "epoch" } else { "epochs" };
    format!("{} over {epochs} {unit}", schedule.kind.name())
}

/// The beginning of a fingerprint.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}
