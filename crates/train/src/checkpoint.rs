//! A checkpoint's content, out and in: `state.json`, and `tensors.safetensors` with all that is made of 32-bit
//! floats. The module of the same name in the store crate says how it lies on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use kiln_model::{Architecture, WeightTensor, Weights};
use kiln_store::{CheckpointFiles, Checkpoints, History, Position, StoreError, versioned};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::TrainError;
use crate::config::CheckpointConfig;
use crate::course::{Course, Kept, UnderWay};
use crate::engine::{Engine, OptimizerState};
use crate::epoch::extra_columns;
use crate::experiment::Experiment;
use crate::metrics::MetricSums;
use crate::monitor::Seen;
use crate::optimizers::OptimizerKind;
use crate::origin::{Cause, Origin, Refusal};
use crate::run::Hold;

/// The version of `state.json` that this build writes, and the newest that it reads.
const STATE_VERSION: u32 = 2;

pub(crate) const STATE: &str = "state.json";
/// The largest `state.json` that is read: with the longest history.
pub(crate) const MOST_STATE_BYTES: u64 = kiln_store::history::MOST_BYTES + (8 << 20);

const TENSORS: &str = "tensors.safetensors";

/// The parts of `tensors.safetensors`; a tensor's name has its part's in front.
const WEIGHTS: &str = "weights/";
const OPTIMIZER: &str = "optimizer/";
const LAST: &str = "last/";
const BEST: &str = "best/";

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    position: Position,
    /// In the midst of an epoch.
    under_way: Option<UnderWayState>,
    keeper: KeeperState,
    patience: Option<Seen>,
    stopped_early: Option<String>,
    seconds: f64,
    /// The text of `history.csv` with the epochs completed.
    history: String,
    /// What the optimiser counts.
    optimizer: BTreeMap<String, u64>,
    origin: Origin,
}

#[derive(Debug, Serialize, Deserialize)]
struct UnderWayState {
    /// How many words dropout's generator has given.
    masks: u64,
    metrics: MetricSums,
    seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeeperState {
    monitor: Seen,
    best: usize,
    /// The epoch of the weights under [`BEST`], where they are kept.
    kept: Option<usize>,
}

/// Writes checkpoints as training goes on.
pub(crate) struct Saver<'a> {
    checkpoints: Checkpoints,
    origin: &'a Origin,
    minutes: f64,
    last: Option<Position>,
    hold: &'a Hold,
    /// When the last one was written.
    written: Instant,
}

impl<'a> Saver<'a> {
    /// `last` is the one that training goes on from.
    pub(crate) fn new(
        checkpoints: Checkpoints,
        config: CheckpointConfig,
        origin: &'a Origin,
        last: Option<Position>,
        hold: &'a Hold,
    ) -> Self {
        Self { checkpoints, origin, minutes: config.minutes, last, hold, written: Instant::now() }
    }

    /// Whether it is time for another one within an epoch.
    pub(crate) fn is_due(&self) -> bool {
        self.minutes > 0.0 && self.written.elapsed() > Duration::from_secs_f64(60.0 * self.minutes)
    }

    /// Writes a checkpoint; then removes all but this one, the one before it, in case this one is found
    /// damaged, and that of the best epoch.
    ///
    /// # Errors
    ///
    /// It cannot be written, or another process has taken the run over.
    pub(crate) fn save(
        &mut self,
        engine: &Engine,
        course: &Course,
        under_way: Option<&UnderWay>,
        history: &History,
    ) -> Result<(), TrainError> {
        let step = under_way.map_or(0, |under_way| under_way.step);
        let position = Position { epochs: course.epochs, step };
        let files = self.files(engine, course, under_way, position, history)?;
        let content: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        self.hold.check()?;
        self.checkpoints.write(position, &content)?;
        let best = Position { epochs: course.keeper.best, step: 0 };
        let retained: Vec<Position> = self.last.into_iter().chain([position, best]).collect();
        self.checkpoints.retain(&retained)?;
        if under_way.is_some() {
            info!(epochs = position.epochs, step, "checkpoint");
        }
        (self.last, self.written) = (Some(position), Instant::now());
        Ok(())
    }

    fn files(
        &self,
        engine: &Engine,
        course: &Course,
        under_way: Option<&UnderWay>,
        position: Position,
        history: &History,
    ) -> Result<CheckpointFiles, TrainError> {
        let failed = |message: String| TrainError::Checkpoint {
            place: self.checkpoints.path(position).display().to_string(),
            message,
        };
        let OptimizerState { tensors: optimizer, counters } =
            engine.optimizer_state().map_err(failed)?;
        let kept = course.keeper.kept.as_ref();
        let state = State {
            position,
            under_way: under_way.map(UnderWayState::new).transpose().map_err(failed)?,
            keeper: KeeperState {
                monitor: course.keeper.monitor.seen,
                best: course.keeper.best,
                kept: kept.map(|kept| kept.epoch),
            },
            patience: course.patience.as_ref().map(|patience| patience.monitor.seen),
            stopped_early: course.stopped_early.clone(),
            seconds: course.seconds,
            history: history.to_csv(),
            optimizer: counters,
            origin: self.origin.clone(),
        };
        let mut tensors: Vec<WeightTensor> = prefixed(WEIGHTS, engine.weights().tensors).collect();
        tensors.extend(prefixed(OPTIMIZER, optimizer));
        if let Some(kept) = kept {
            tensors.extend(prefixed(BEST, kept.weights.tensors.clone()));
        }
        if under_way.is_some() {
            tensors.extend(prefixed(LAST, course.last.weights.tensors.clone()));
        }
        let state = versioned::to_json(STATE_VERSION, &state).map_err(|e| failed(e.to_string()))?;
        let tensors = Weights { tensors }
            .to_safetensors("{}".to_owned())
            .map_err(|error| failed(error.to_string()))?;
        Ok(BTreeMap::from([(STATE.to_owned(), state.into_bytes()), (TENSORS.to_owned(), tensors)]))
    }
}

impl UnderWayState {
    fn new(under_way: &UnderWay) -> Result<Self, String> {
        let masks = u64::try_from(under_way.masks.get_word_pos())
            .map_err(|_| "dropout's generator is beyond counting".to_owned())?;
        let UnderWay { metrics, seconds, .. } = under_way;
        Ok(Self { masks, metrics: metrics.sums(), seconds: *seconds })
    }
}

fn prefixed(prefix: &str, tensors: Vec<WeightTensor>) -> impl Iterator<Item = WeightTensor> {
    tensors.into_iter().map(move |tensor| {
        let name = format!("{prefix}{}", tensor.name);
        WeightTensor { name, ..tensor }
    })
}

/// A checkpoint, read and understood.
pub(crate) struct Checkpoint {
    pub(crate) course: Course,
    pub(crate) weights: Weights,
    pub(crate) optimizer: OptimizerState,
    /// The epochs completed.
    pub(crate) history: History,
}

impl Checkpoint {
    /// The largest size in bytes that a file of a checkpoint may have.
    pub(crate) fn most_bytes(architecture: &Architecture, optimizer: &OptimizerKind) -> u64 {
        // `tensors.safetensors`: the weights now, after the last epoch and of the best epoch, and the
        // optimizer's state, of which Burn's record may hold some tensors twice.
        let numbers = 3 + 2 * optimizer.slots() as u64;
        (architecture.parameters() as u64)
            .saturating_mul(4 * numbers)
            .saturating_add(MOST_STATE_BYTES)
    }

    /// Why a checkpoint with this `state.json` is not gone on with, where its format is another than this Kiln's.
    pub(crate) fn other_version(state: &[u8]) -> Option<Refusal> {
        let text = std::str::from_utf8(state).ok()?;
        let version = versioned::version(Path::new(STATE), text).ok()?;
        let problem = format!(
            "its checkpoints have format version {version}, and this Kiln reads {STATE_VERSION}: another Kiln wrote them"
        );
        let cause = if version > STATE_VERSION { Cause::LaterKiln } else { Cause::Program };
        (version != STATE_VERSION).then_some(Refusal { problem, cause })
    }

    /// What the run was when the checkpoint with this `state.json` was written.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn origin(state: &[u8]) -> Result<Origin, String> {
        State::parse(state).map(|state| state.origin)
    }

    /// The epochs completed when the checkpoint with this `state.json` was written.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn history(state: &[u8], experiment: &Experiment) -> Result<History, String> {
        State::parse(state)?.history(experiment)
    }

    /// Understands the files of a checkpoint of this experiment.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(crate) fn decode(
        position: Position,
        mut files: CheckpointFiles,
        experiment: &Experiment,
        architecture: &Architecture,
    ) -> Result<Self, String> {
        let mut file = |name: &str| files.remove(name).ok_or_else(|| format!("it has no {name}"));
        let state = State::parse(&file(STATE)?)?;
        if state.position != position {
            return Err(format!("{STATE} was written {}", state.position));
        }
        let tensors = file(TENSORS)?;
        let (Weights { tensors }, _) =
            Weights::from_safetensors(&tensors).map_err(|error| format!("{TENSORS}: {error}"))?;
        let part = |prefix: &str| -> Vec<WeightTensor> {
            let own = tensors.iter().filter_map(|tensor| {
                let name = tensor.name.strip_prefix(prefix)?.to_owned();
                Some(WeightTensor { name, ..tensor.clone() })
            });
            own.collect()
        };
        let whole = |prefix: &str| {
            let weights = Weights { tensors: part(prefix) };
            let checked = weights.check(architecture);
            checked.map(|()| weights).map_err(|error| format!("{TENSORS}, {prefix}: {error}"))
        };
        let weights = whole(WEIGHTS)?;
        let optimizer =
            OptimizerState { tensors: part(OPTIMIZER), counters: state.optimizer.clone() };
        let last = if position.step > 0 { whole(LAST)? } else { weights.clone() };
        let mut course = Course::new(experiment, last);
        course.last.epoch = position.epochs;
        if let Some(epoch) = state.keeper.kept {
            course.keeper.kept = Some(Kept { weights: whole(BEST)?, epoch });
        }
        state.give(&mut course, experiment)?;
        let history = state.history(experiment)?;
        Ok(Self { course, weights, optimizer, history })
    }
}

impl State {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let in_words = |error: StoreError| error.to_string();
        let path = Path::new(STATE);
        let text = std::str::from_utf8(bytes).map_err(|error| format!("{STATE}: {error}"))?;
        versioned::parse(path, text, STATE_VERSION).map_err(in_words)
    }

    /// The epochs completed, which must be as many as the position says.
    fn history(&self, experiment: &Experiment) -> Result<History, String> {
        let place = Path::new(STATE).join("history");
        let history = History::parse(&place, &self.history).map_err(|error| error.to_string())?;
        if history.cut || history.rows.len() != self.position.epochs {
            let rows = history.rows.len();
            return Err(format!(
                "{STATE} has a history of {rows} epochs, and it is {}",
                self.position
            ));
        }
        if history.extra_columns != extra_columns(experiment) {
            return Err(format!("{STATE} has a history with other columns than this run"));
        }
        Ok(history)
    }

    /// Gives the course what the state holds of it beside weights.
    fn give(&self, course: &mut Course, experiment: &Experiment) -> Result<(), String> {
        let Position { epochs, step } = self.position;
        if epochs > experiment.training.epochs.get() {
            return Err(format!("it was written {}, and there are not so many", self.position));
        }
        course.epochs = epochs;
        course.seconds = self.seconds;
        course.stopped_early.clone_from(&self.stopped_early);
        course.keeper.monitor.seen = self.keeper.monitor;
        course.keeper.best = self.keeper.best;
        match (&mut course.patience, self.patience) {
            (Some(patience), Some(seen)) => patience.monitor.seen = seen,
            (None, None) => {}
            _ => return Err(format!("{STATE} is not of a run with this early stopping")),
        }
        match (&self.under_way, step) {
            (None, 0) => {}
            (Some(state), 1..) => {
                let mut under_way = UnderWay::new(experiment, epochs + 1);
                under_way.step = step;
                under_way.seconds = state.seconds;
                under_way.masks.set_word_pos(state.masks.into());
                under_way.metrics.set_sums(state.metrics.clone())?;
                course.under_way = Some(under_way);
            }
            _ => return Err(format!("{STATE} is both in the midst of an epoch and between two")),
        }
        Ok(())
    }
}
