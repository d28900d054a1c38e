//! Encodes and decodes a checkpoint: `state.json`, and `tensors.safetensors` with everything that consists of 32-bit
//! floats. The module of the same name in the store crate describes the directory that holds them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use kiln_model::{Architecture, WeightTensor, Weights};
use kiln_store::{CheckpointFiles, History, Position, StoreError, versioned};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::origin::{Origin, ResumeError, ResumeErrorKind};
use crate::engine::{Engine, OptimizerState};
use crate::experiment::Experiment;
use crate::metrics::{MonitorState, extra_columns};
use crate::optimizers::OptimizerKind;
use crate::training_loop::cross_fit::{CrossFit, HalfState};
use crate::training_loop::state::{PartialEpoch, TrainingState};
use crate::training_loop::{Stopwatch, WeightsSnapshot};

/// The version of `state.json` that this build writes, and the only one that it reads.
const STATE_VERSION: u32 = 2;

pub(crate) const STATE: &str = "state.json";
/// The largest `state.json` that is read: one with the longest history.
pub(crate) const MAX_STATE_BYTES: u64 = kiln_store::history::MAX_BYTES + (8 << 20);

const TENSORS: &str = "tensors.safetensors";

/// The parts of `tensors.safetensors`. The name of a tensor begins with that of its part.
pub(crate) const WEIGHTS: &str = "weights/";
pub(crate) const OPTIMIZER: &str = "optimizer/";
const LAST: &str = "last/";
pub(crate) const AVERAGE: &str = "average/";
const BEST: &str = "best/";

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
struct StateFile {
    #[serde(flatten)]
    position: Position,
    /// Present within an epoch.
    #[serde(rename = "under_way")]
    partial_epoch: Option<PartialEpochState>,
    #[serde(rename = "keeper")]
    best: BestWeightsState,
    #[serde(rename = "patience")]
    early_stopping: Option<MonitorState>,
    stopped_early: Option<String>,
    seconds: f64,
    /// The text of `history.csv` with the completed epochs.
    history: String,
    /// The counters of the optimizer.
    optimizer: BTreeMap<String, u64>,
    origin: Origin,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartialEpochState {
    /// How many 32-bit words the dropout generator has produced.
    #[serde(rename = "masks")]
    dropout_position: u64,
    /// See [`Metrics::counters`](crate::metrics::Metrics::counters).
    metrics: Map<String, Value>,
    seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct BestWeightsState {
    monitor: MonitorState,
    #[serde(rename = "best")]
    epoch: usize,
    /// The epoch of the weights in [`BEST`], if there are any.
    #[serde(rename = "kept")]
    snapshot: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cross_fit: Option<[HalfState; 2]>,
}

/// The files of a checkpoint of this state.
///
/// # Errors
///
/// The text says what cannot be encoded, and why.
pub(crate) fn encode(
    engine: &Engine,
    state: &TrainingState,
    history: &History,
    origin: &Origin,
) -> Result<CheckpointFiles, String> {
    let position = state.position();
    let is_partial = position.step > 0;
    let OptimizerState { tensors: optimizer, counters } = engine.optimizer_state()?;
    let file = StateFile {
        position,
        partial_epoch: is_partial.then(|| partial_epoch(&state.partial_epoch)).transpose()?,
        best: BestWeightsState {
            monitor: state.best.monitor.state,
            epoch: state.best.epoch,
            snapshot: state.best.snapshot.as_ref().map(|snapshot| snapshot.epoch),
            cross_fit: state.best.cross_fit.as_ref().map(CrossFit::state),
        },
        early_stopping: state.early_stopping.as_ref().map(|stopping| stopping.state()),
        stopped_early: state.stopped_early.clone(),
        seconds: state.stopwatch.seconds(),
        history: history.to_csv(),
        optimizer: counters,
        origin: origin.clone(),
    };
    let last = &*state.last.weights;
    let average = engine.average();
    // Between two epochs the current weights, or their running average, are those after the last epoch.
    let weights = if is_partial || average.is_some() {
        Cow::Owned(engine.weights())
    } else {
        Cow::Borrowed(last)
    };
    let mut tensors: Vec<WeightTensor> = prefixed(WEIGHTS, &weights.tensors).collect();
    if let Some(average) = &average {
        tensors.extend(prefixed(AVERAGE, &average.tensors));
    }
    tensors.extend(prefixed(OPTIMIZER, &optimizer));
    if let Some(snapshot) = &state.best.snapshot {
        tensors.extend(prefixed(BEST, &snapshot.weights.tensors));
    }
    // Between two epochs they are stored already.
    if is_partial {
        tensors.extend(prefixed(LAST, &last.tensors));
    }
    let file = versioned::to_json(STATE_VERSION, &file).map_err(|error| error.to_string())?;
    let tensors = Weights { tensors }.to_safetensors("{}".to_owned());
    let tensors = tensors.map_err(|error| error.to_string())?;
    Ok(BTreeMap::from([(STATE.to_owned(), file.into_bytes()), (TENSORS.to_owned(), tensors)]))
}

fn partial_epoch(partial: &PartialEpoch) -> Result<PartialEpochState, String> {
    let dropout_position = u64::try_from(partial.dropout_rng.get_word_pos())
        .map_err(|_| "the position of the dropout generator exceeds 64 bits".to_owned())?;
    let seconds = partial.stopwatch.seconds();
    Ok(PartialEpochState { dropout_position, metrics: partial.metrics.counters(), seconds })
}

pub(crate) fn prefixed(
    prefix: &str,
    tensors: &[WeightTensor],
) -> impl Iterator<Item = WeightTensor> {
    tensors.iter().map(move |tensor| {
        let name = format!("{prefix}{}", tensor.name);
        WeightTensor { name, ..tensor.clone() }
    })
}

/// The tensors of a part, without its prefix.
pub(crate) fn part(tensors: &[WeightTensor], prefix: &str) -> Vec<WeightTensor> {
    let own = tensors.iter().filter_map(|tensor| {
        let name = tensor.name.strip_prefix(prefix)?.to_owned();
        Some(WeightTensor { name, ..tensor.clone() })
    });
    own.collect()
}

/// A decoded checkpoint.
pub(crate) struct Checkpoint {
    pub(crate) state: TrainingState,
    pub(crate) weights: Weights,
    pub(crate) optimizer: OptimizerState,
    /// The running average of the weights, if the run keeps one.
    pub(crate) average: Option<Weights>,
    /// The completed epochs.
    pub(crate) history: History,
}

impl Checkpoint {
    /// The size limit for a file of a checkpoint, in bytes.
    pub(crate) fn max_bytes(architecture: &Architecture, optimizer: &OptimizerKind) -> u64 {
        // `tensors.safetensors` contains the current weights, their running average, those after the last epoch, those of
        // the best epoch, and the state of the optimizer. Burn's record of the state may contain some tensors twice.
        let numbers = 4 + 2 * optimizer.slots() as u64;
        (architecture.parameters() as u64)
            .saturating_mul(4 * numbers)
            .saturating_add(MAX_STATE_BYTES)
    }

    /// The reason why this Kiln cannot resume from a checkpoint with this `state.json`, if its format has another
    /// version.
    pub(crate) fn other_version(state: &[u8]) -> Option<ResumeError> {
        let text = std::str::from_utf8(state).ok()?;
        let version = versioned::version(Path::new(STATE), text).ok()?;
        let problem = format!(
            "its checkpoints have format version {version}, but this version of Kiln reads {STATE_VERSION}: another version of Kiln wrote them"
        );
        let is_later = version > STATE_VERSION;
        let kind = if is_later { ResumeErrorKind::LaterKiln } else { ResumeErrorKind::Program };
        (version != STATE_VERSION).then_some(ResumeError { problem, kind })
    }

    /// The origin in this `state.json`.
    ///
    /// # Errors
    ///
    /// The text says what is wrong with the file.
    pub(crate) fn origin(state: &[u8]) -> Result<Origin, String> {
        StateFile::parse(state).map(|state| state.origin)
    }

    /// The history in this `state.json`.
    ///
    /// # Errors
    ///
    /// The text says what is wrong with the file.
    pub(crate) fn history(state: &[u8], experiment: &Experiment) -> Result<History, String> {
        StateFile::parse(state)?.history(experiment)
    }

    /// Decodes the files of a checkpoint of this experiment.
    ///
    /// # Errors
    ///
    /// The text says what is wrong with the files.
    pub(crate) fn decode(
        position: Position,
        mut files: CheckpointFiles,
        experiment: &Experiment,
        architecture: &Architecture,
        classes: usize,
    ) -> Result<Self, String> {
        let mut file = |name: &str| files.remove(name).ok_or_else(|| format!("it has no {name}"));
        let state_file = StateFile::parse(&file(STATE)?)?;
        if state_file.position != position {
            return Err(format!("{STATE} was written {}", state_file.position));
        }
        // Checksums are right at this point. But a checkpoint may have been made by anyone, so every part is checked.
        let tensors = file(TENSORS)?;
        let (Weights { tensors }, _) =
            Weights::from_safetensors(&tensors).map_err(|error| format!("{TENSORS}: {error}"))?;
        let part = |prefix: &str| part(&tensors, prefix);
        let checked = |prefix: &str| {
            let weights = Weights { tensors: part(prefix) };
            let checked = weights.check(architecture);
            checked.map(|()| weights).map_err(|error| format!("{TENSORS}, {prefix}: {error}"))
        };
        let weights = checked(WEIGHTS)?;
        let optimizer =
            OptimizerState { tensors: part(OPTIMIZER), counters: state_file.optimizer.clone() };
        // A run that is interrupted again within this epoch keeps the weights of the last completed one.
        let averages = experiment.training.average_decay.is_some();
        let average = averages.then(|| checked(AVERAGE)).transpose()?;
        let last = match &average {
            _ if position.step > 0 => checked(LAST)?,
            Some(average) => average.clone(),
            None => weights.clone(),
        };
        let mut state = TrainingState::new(experiment, classes, last);
        state.last.epoch = position.epochs;
        if let Some(epoch) = state_file.best.snapshot {
            state.best.snapshot = Some(WeightsSnapshot::new(checked(BEST)?, epoch));
        }
        state_file.restore(&mut state, experiment, classes)?;
        let history = state_file.history(experiment)?;
        Ok(Self { state, weights, optimizer, average, history })
    }
}

impl StateFile {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("{STATE}: {error}"))?;
        versioned::parse(Path::new(STATE), text, STATE_VERSION)
            .map_err(|error: StoreError| error.to_string())
    }

    /// The completed epochs; there must be as many as the position says.
    fn history(&self, experiment: &Experiment) -> Result<History, String> {
        let place = Path::new(STATE).join("history");
        let history = History::parse(&place, &self.history).map_err(|error| error.to_string())?;
        if history.cut || history.rows.len() != self.position.epochs {
            let rows = history.rows.len();
            return Err(format!(
                "{STATE} has a history of {rows} epochs, but was written {}",
                self.position
            ));
        }
        // Otherwise the first row that training appends would not fit the header.
        if history.extra_columns != extra_columns(experiment) {
            return Err(format!("{STATE} has a history with other columns than this run"));
        }
        Ok(history)
    }

    /// Sets everything in `state` except weights.
    fn restore(
        &self,
        state: &mut TrainingState,
        experiment: &Experiment,
        classes: usize,
    ) -> Result<(), String> {
        let Position { epochs, step } = self.position;
        let limit = experiment.training.epochs.get();
        // The checkpoint is of the same experiment, so Kiln did not write such a file.
        if epochs > limit {
            return Err(format!(
                "it was written {}, but the run has {limit} epochs",
                self.position
            ));
        }
        state.epochs = epochs;
        state.stopwatch = Stopwatch::stopped_at(self.seconds);
        state.stopped_early.clone_from(&self.stopped_early);
        state.best.monitor.state = self.best.monitor;
        state.best.epoch = self.best.epoch;
        match (&mut state.best.cross_fit, self.best.cross_fit) {
            (Some(cross_fit), Some(halves)) => cross_fit.set_state(halves),
            // An earlier version of Kiln wrote the checkpoint. A number that ignores the first epochs would be wrong.
            (cross_fit, _) => *cross_fit = None,
        }
        match (&mut state.early_stopping, self.early_stopping) {
            (Some(stopping), Some(monitor)) => stopping.set_state(monitor),
            (None, None) => {}
            _ => return Err(format!("{STATE} and config.toml disagree about early stopping")),
        }
        // `TrainingState::new` began with epoch 1, and each epoch has its own dropout generator.
        state.partial_epoch = PartialEpoch::new(experiment, classes, epochs + 1);
        match (&self.partial_epoch, step) {
            (None, 0) => {}
            (Some(saved), 1..) => {
                let partial = &mut state.partial_epoch;
                partial.step = step;
                partial.stopwatch = Stopwatch::stopped_at(saved.seconds);
                // ChaCha can seek, so a position is enough to restore the generator.
                partial.dropout_rng.set_word_pos(saved.dropout_position.into());
                partial.metrics.restore(saved.metrics.clone())?;
            }
            _ => return Err(format!("{STATE} is both within an epoch and between two")),
        }
        Ok(())
    }
}
