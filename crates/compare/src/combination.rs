use kiln_store::{Annotations, Optimism, RunDirectory, Status, Timestamp};

use crate::column::Column;
use crate::metric::{AtEpoch, EpochValue, MetricSummary};
use crate::verdict::Verdict;
use kiln_statistics::{Spread, Standing};

/// The runs of one combination of settings; they differ only in their seeds.
///
/// Unlike a point of a sweep, a combination has only runs that exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// One value per column of the comparison, as text without quotes; `None` if the runs do not have the setting.
    pub settings: Vec<Option<String>>,
    /// One for each seed, in the order of the seeds; at least one.
    pub runs: Vec<RunSummary>,
    /// Further runs with the settings, seed and data of one of `runs`. The seed decides everything in a run, so they
    /// count for nothing.
    pub copies: Vec<RunSummary>,
    /// Where the combination stands among all; `None` if it was not judged: the notes of the comparison say why.
    pub standing: Option<Standing>,
    /// The comparison with the given baseline; `None` for the baseline itself and if it was not judged.
    pub verdict: Option<Verdict>,
}

/// The part of a run that a comparison keeps. Histories, reports and predictions stay in the run's directory.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The run's directory.
    pub directory: RunDirectory,
    /// The experiment's name.
    pub name: String,
    /// The run's id.
    pub id: String,
    /// The run's seed.
    pub seed: u64,
    /// When the run was started.
    pub started: Timestamp,
    /// The status in `run.json`.
    pub status: Status,
    /// Why the run ended: "all epochs done".
    pub stop_reason: Option<String>,
    /// The metrics of the history, in the order of its columns.
    pub metrics: Vec<MetricSummary>,
    /// The result on the test set; `None` unless the run finished.
    pub test: Option<TestSummary>,
    /// How much too high the validation accuracy of the kept epoch is, because the epoch was chosen with the same images.
    /// See [`RunRecord::optimism`](kiln_store::RunRecord::optimism).
    pub optimism: Option<Optimism>,
    /// Seconds spent in training and validation.
    pub training_seconds: Option<f64>,
    /// Values in all parameters of the model.
    pub parameters: u64,
    /// Completed epochs.
    pub epochs: usize,
    /// Rows of the validation set.
    pub validation_rows: usize,
    /// The name of the dataset.
    pub dataset: String,
    /// The digest of the dataset. Runs on different datasets are not compared.
    pub fingerprint: String,
    /// The digest of the validation rows; `None` without any, and for runs of earlier versions of Kiln. See
    /// [`RunRecord::validation_fingerprint`](kiln_store::RunRecord::validation_fingerprint).
    pub validation_fingerprint: Option<String>,
    /// The note and the tags that the user gave the run; `None` if they cannot be read.
    pub annotations: Option<Annotations>,
}

/// A run's result on the test set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestSummary {
    /// Mean loss; `None` if it was not finite.
    pub loss: Option<f64>,
    /// Share of images that were classified correctly.
    pub accuracy: f64,
    /// Images in the test set.
    pub examples: usize,
}

impl Combination {
    /// How many of its runs are finished.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.runs.iter().filter(|run| run.status == Status::Finished).count()
    }

    /// Whether any of its runs was tested.
    pub(crate) fn is_tested(&self) -> bool {
        self.runs.iter().any(|run| run.test.is_some())
    }

    /// The statuses of its runs as text: "finished", "2 finished, 1 diverged", "pruned at epoch 4".
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

    /// The settings that differ, as text: "learning_rate 0.1, hidden.repeat 2". Settings that the combination does not
    /// have, or that its optimizer or another type implies, are skipped; without any setting it is the experiment's name.
    #[must_use]
    pub fn label(&self, columns: &[Column]) -> String {
        self.label_with(columns, &self.settings)
    }

    /// The label with other texts for the values of the settings.
    pub(crate) fn label_with(&self, columns: &[Column], values: &[Option<String>]) -> String {
        let settings = columns.iter().zip(values);
        let words: Vec<_> = settings
            .filter(|(column, _)| !column.is_implied_in(&self.settings))
            .filter_map(|(column, value)| Some(format!("{} {}", column.label, value.as_ref()?)))
            .collect();
        match self.runs.first() {
            Some(run) if words.is_empty() => run.name.clone(),
            _ => words.join(", "),
        }
    }

    /// Mean and deviation of a number over the runs that count: the finished ones, or all if none is finished.
    #[must_use]
    pub fn spread(&self, value: impl Fn(&RunSummary) -> Option<f64>) -> Option<Spread> {
        let any_finished = self.finished() > 0;
        let counts = |run: &&RunSummary| !any_finished || run.status == Status::Finished;
        Spread::of(self.runs.iter().filter(counts).filter_map(value))
    }
}

impl RunSummary {
    /// The tags that the user gave the run.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        self.annotations.as_ref().map_or(&[], |annotations| &annotations.tags)
    }

    /// Why the note and the tags cannot be read.
    pub(crate) fn notes_problem(&self) -> Option<String> {
        if self.annotations.is_some() {
            return None;
        }
        self.directory.read_annotations().err().map(|error| error.to_string())
    }

    /// The user's note about the run.
    pub(crate) fn note(&self) -> Option<&str> {
        self.annotations.as_ref()?.note.as_deref()
    }

    /// A metric of the history at one epoch; `None` if the history does not have it.
    #[must_use]
    pub fn metric(&self, name: &str, at: AtEpoch) -> Option<EpochValue> {
        self.metrics.iter().find(|metric| metric.name == name)?.at(at)
    }

    /// The status as text: "finished", "pruned at epoch 4".
    #[must_use]
    pub fn status_words(&self) -> String {
        match self.status {
            Status::Pruned => format!("pruned at epoch {}", self.epochs),
            status => status.to_string(),
        }
    }
}
