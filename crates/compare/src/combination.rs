use std::sync::Arc;

use kiln_store::{RunDirectory, Status};

use crate::column::Column;
use crate::metric_summary::MetricSummary;
use crate::statistics::Spread;
use crate::verdict::Verdict;

/// The runs of one combination of settings: they differ in nothing but their seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// One for each of the comparison's columns, as text without quotes; `None` where the runs have no such setting.
    pub settings: Vec<Option<String>>,
    /// Ordered by seed, then by id. There is at least one.
    pub runs: Vec<RunSummary>,
    /// Against the baseline; `None` for the baseline itself and where nothing was tested.
    pub verdict: Option<Verdict>,
}

/// What a comparison knows of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Where everything else of it lies.
    pub directory: RunDirectory,
    /// The experiment's name.
    pub name: String,
    /// The run's id.
    pub id: String,
    /// Its seed.
    pub seed: u64,
    /// How it stands.
    pub status: Status,
    /// Why it ended as it did.
    pub stop_reason: Option<String>,
    /// The epoch with the highest `val_accuracy`, the earliest of equals.
    pub best: Option<EpochValue>,
    /// The last epoch's `val_accuracy`.
    pub last: Option<EpochValue>,
    /// The metrics of its history, in the order of the columns.
    pub metrics: Vec<MetricSummary>,
    /// Its test, where it came to one.
    pub test: Option<TestSummary>,
    /// Seconds spent in training and validation.
    pub training_seconds: Option<f64>,
    /// Epochs completed.
    pub epochs: usize,
    /// Rows held out to choose by.
    pub validation_rows: usize,
    /// The digest of its data: tests on different data are not compared.
    pub fingerprint: Arc<str>,
}

/// A metric's value in one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochValue {
    /// Counted from 1.
    pub epoch: usize,
    /// The value.
    pub value: f64,
}

/// How a run did on the test set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestSummary {
    /// Mean loss; `None` where it was not finite.
    pub loss: Option<f64>,
    /// Share of images classified rightly.
    pub accuracy: f64,
    /// Images tested.
    pub examples: usize,
}

impl Combination {
    /// Best `val_accuracy`, over the runs that count: the finished ones, or all where none is finished.
    #[must_use]
    pub fn best(&self) -> Option<Spread> {
        self.spread(|run| run.best.map(|best| best.value))
    }

    /// The epochs, counted from 1, in which those were reached.
    #[must_use]
    pub fn best_epoch(&self) -> Option<Spread> {
        self.spread(|run| run.best.map(|best| best.epoch as f64))
    }

    /// The last epoch's `val_accuracy`, over the same runs.
    #[must_use]
    pub fn last(&self) -> Option<Spread> {
        self.spread(|run| run.last.map(|last| last.value))
    }

    /// Test loss over the runs that were tested.
    #[must_use]
    pub fn test_loss(&self) -> Option<Spread> {
        self.spread(|run| run.test.and_then(|test| test.loss))
    }

    /// Test accuracy over the runs that were tested.
    #[must_use]
    pub fn test_accuracy(&self) -> Option<Spread> {
        self.spread(|run| run.test.map(|test| test.accuracy))
    }

    /// Seconds in training and validation, over the runs that count.
    #[must_use]
    pub fn training_seconds(&self) -> Option<Spread> {
        self.spread(|run| run.training_seconds)
    }

    /// How many of its runs are finished.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.runs.iter().filter(|run| run.status == Status::Finished).count()
    }

    /// How its runs stand, in words: "finished", "2 finished, 1 diverged", "pruned at epoch 4".
    #[must_use]
    pub fn status(&self) -> String {
        let mut counts: Vec<(String, usize)> = Vec::new();
        let mut runs: Vec<&RunSummary> = self.runs.iter().collect();
        runs.sort_by_key(|run| run.status != Status::Finished);
        for run in runs {
            let words = run.status_words();
            match counts.iter_mut().find(|(known, _)| *known == words) {
                Some((_, count)) => *count += 1,
                None => counts.push((words, 1)),
            }
        }
        match counts.as_slice() {
            [(words, _)] => words.clone(),
            _ => {
                let parts: Vec<_> =
                    counts.iter().map(|(words, count)| format!("{count} {words}")).collect();
                parts.join(", ")
            }
        }
    }

    /// What sets it apart, in words: "learning_rate 0.1, hidden.repeat 2". Settings that it does not have are passed
    /// over; without any it is the experiment's name.
    #[must_use]
    pub fn label(&self, columns: &[Column]) -> String {
        let settings = columns.iter().zip(&self.settings);
        let words: Vec<_> = settings
            .filter_map(|(column, value)| Some(format!("{} {}", column.label, value.as_ref()?)))
            .collect();
        match self.runs.first() {
            Some(run) if words.is_empty() => run.name.clone(),
            _ => words.join(", "),
        }
    }

    /// Over the runs that count, one of each seed: a second one is the same run again.
    fn spread(&self, value: impl Fn(&RunSummary) -> Option<f64>) -> Option<Spread> {
        let any_finished = self.finished() > 0;
        let counts = |run: &&RunSummary| !any_finished || run.status == Status::Finished;
        let mut counting: Vec<&RunSummary> = self.runs.iter().filter(counts).collect();
        counting.dedup_by_key(|run| run.seed);
        Spread::of(counting.into_iter().filter_map(value))
    }
}

impl RunSummary {
    /// How it stands, in words: "finished", "pruned at epoch 4".
    #[must_use]
    pub fn status_words(&self) -> String {
        match self.status {
            Status::Pruned => format!("pruned at epoch {}", self.epochs),
            status => status.to_string(),
        }
    }
}
