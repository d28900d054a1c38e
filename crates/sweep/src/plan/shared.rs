//! The runs of a plan that have their training in common.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use kiln_config::ConfigError;
use kiln_store::hidden;

use crate::plan::{Plan, PlannedRun};

/// Keys that may differ between runs with the same training steps: see [`Experiment::training_identity`].
///
/// [`Experiment::training_identity`]: kiln_train::Experiment::training_identity
const KEYS: [&str; 9] = [
    "training.epochs",
    "training.weights",
    "training.monitor",
    "training.save_initial",
    "training.evaluate_training_set",
    "training.top_k",
    "training.metrics",
    "early_stopping",
    "test",
];

/// The most bytes that the states after all epochs of a group may take. Runs of larger networks train alone.
const MAX_BYTES: u64 = 4 << 30;

/// The groups of runs with the same training steps, of two runs or more.
#[derive(Debug, Default)]
pub(crate) struct SharedGroups {
    groups: Vec<Group>,
    /// The group of each run that is in one.
    places: HashMap<usize, usize>,
}

#[derive(Debug)]
struct Group {
    /// Identifies the steps.
    key: String,
    /// The run with the most epochs comes first.
    runs: Vec<usize>,
}

impl SharedGroups {
    pub(super) fn new(runs: &[PlannedRun]) -> Result<Self, ConfigError> {
        // Most sweeps vary no such key, and hashing all experiments takes a while.
        let is_key = |path: &str| {
            KEYS.iter().any(|key| {
                path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let settings = runs.iter().flat_map(|run| &run.settings);
        if !settings.into_iter().any(|setting| is_key(&setting.path)) {
            return Ok(Self::default());
        }
        let mut by_key: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            let key = run.experiment.training_identity(&run.dataset.fingerprint)?;
            let place = *by_key.entry(key.clone()).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.runs.push(index),
                None => groups.push(Group { key, runs: vec![index] }),
            }
        }
        groups.retain(|group| group.runs.len() > 1);
        for group in &mut groups {
            group.runs.sort_by_key(|run| std::cmp::Reverse(first_to_train(&runs[*run])));
        }
        groups.retain(|group| size(&runs[group.runs[0]]) <= MAX_BYTES);
        let places = groups.iter().enumerate();
        let places =
            places.flat_map(|(place, group)| group.runs.iter().map(move |run| (*run, place)));
        Ok(Self { places: places.collect(), groups })
    }

    /// The place of a run in its group: others use the epochs of the first one.
    pub(crate) fn rank(&self, run: usize) -> usize {
        let group = self.places.get(&run).map(|place| &self.groups[*place]);
        group.and_then(|group| group.runs.iter().position(|it| *it == run)).unwrap_or_default()
    }

    /// The other runs with the training of a run.
    pub(crate) fn others(&self, run: usize) -> impl Iterator<Item = usize> {
        let group = self.places.get(&run).map(|place| &self.groups[*place]);
        group.into_iter().flat_map(|group| &group.runs).copied().filter(move |other| *other != run)
    }
}

/// Orders the runs of a group: the later a run ends and the more metrics it computes, the more epochs of it can others use.
fn first_to_train(run: &PlannedRun) -> (usize, bool, usize) {
    let experiment = &run.experiment;
    let columns = experiment.training.top_k.len() + experiment.training.metrics.len();
    (run.epochs, experiment.early_stopping.is_none(), columns)
}

/// The bytes of the states after all epochs of a run: at most the weights, their average, and two numbers of an optimizer for
/// each parameter.
fn size(run: &PlannedRun) -> u64 {
    (run.parameters as u64).saturating_mul(16).saturating_mul(run.epochs as u64)
}

/// What runs with the same training save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedTraining {
    /// The runs that need not train all their epochs themselves.
    pub runs: usize,
    /// The epochs that they need not train.
    pub epochs: usize,
    /// The epochs of all runs.
    pub all: usize,
}

impl Plan {
    /// What runs with the same training save, if these runs are trained: at most, because early stopping may end a run before
    /// the others. `None` if no two of them have the same training.
    #[must_use]
    pub fn shared_training(&self, runs: &[usize]) -> Option<SharedTraining> {
        let mut shared = SharedTraining { runs: 0, epochs: 0, all: 0 };
        let set: HashSet<usize> = runs.iter().copied().collect();
        for run in runs {
            let epochs = self.epochs_of_others(*run, &set);
            shared.all += self.runs[*run].epochs;
            shared.epochs += epochs;
            shared.runs += usize::from(epochs > 0);
        }
        (shared.epochs > 0).then_some(shared)
    }

    /// How many epochs of a run others train, if these runs are trained.
    pub(crate) fn epochs_of_others(&self, run: usize, runs: &HashSet<usize>) -> usize {
        let Some(place) = self.shared.places.get(&run) else { return 0 };
        let mut members = self.shared.groups[*place].runs.iter().filter(|it| runs.contains(it));
        match members.next() {
            Some(first) if *first != run => self.runs[run].epochs.min(self.runs[*first].epochs),
            _ => 0,
        }
    }

    /// The directory in which a run and others with its training store epochs; `None` if there are none.
    pub(crate) fn shared_directory(&self, run: usize) -> Option<PathBuf> {
        Some(hidden(&self.directory).join("shared").join(self.shared_key(run)?))
    }

    /// The name of the lock that a process holds while it starts a run or another with its training; `None` if there are
    /// none.
    pub(crate) fn shared_lock(&self, run: usize) -> Option<String> {
        Some(format!("shared-{}", self.shared_key(run)?))
    }

    fn shared_key(&self, run: usize) -> Option<&str> {
        let place = *self.shared.places.get(&run)?;
        Some(&self.shared.groups[place].key)
    }
}
