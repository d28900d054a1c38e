use kiln_store::Status;
use kiln_store::number::{decimals, grouped};

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::known::KnownRuns;
use crate::metric::AtEpoch;

use super::table::TableKind;
use super::text::{counted, unbroken};

/// The largest number of runs in progress that the page lists.
const MAX_IN_PROGRESS: usize = 50;
/// The largest number of runs of a combination to which its row in the table leads.
const MAX_LINKS: usize = 10;

/// What the live page has in addition to the file.
pub struct LivePage<'a> {
    /// The state of the page, by which the browser asks whether it has changed.
    pub state: String,
    /// All runs, which say whether a process works on them.
    pub known: &'a KnownRuns,
    /// The address of a run's own page.
    pub address: &'a dyn Fn(&RunSummary) -> Option<String>,
    /// The parts of the runs that the reader can choose.
    pub choices: Vec<Choice>,
    /// What the reader has to know about the runs as a whole, as sentences.
    pub notes: Vec<String>,
    /// What the reader has to know about the charts.
    pub charts_note: Option<String>,
    /// The largest number of rows of a table.
    pub max_rows: usize,
    /// The address that sends the other rows of a table, with a query; see [`live_rows`](super::live_rows).
    pub rows: &'a dyn Fn(TableKind) -> String,
    /// The address of the page with all rows.
    pub all_rows: String,
}

/// Links of which one is the current page.
pub struct Choice {
    /// What is chosen.
    pub title: String,
    /// The links.
    pub links: Vec<Link>,
}

/// A link.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its text.
    pub text: String,
    /// Its address.
    pub address: String,
    /// Whether it leads to the page that it is on.
    pub is_current: bool,
}

/// The runs on which processes work.
pub(super) struct InProgress {
    pub(super) runs: Vec<RunInProgress>,
    pub(super) notes: Vec<String>,
}

/// A run on which a process works.
pub(super) struct RunInProgress {
    pub(super) label: String,
    pub(super) address: Option<String>,
    pub(super) epochs: usize,
    /// The epochs that the experiment asks for; as long as `epochs` if that is not known.
    pub(super) planned: usize,
    /// The completed epochs as text: "epoch 3 of 10".
    pub(super) epoch: String,
    /// The metric that ranks after the last epoch.
    pub(super) value: String,
}

impl InProgress {
    /// What replaces the first section before the first epoch of the first run; `None` if another sentence says more.
    pub(super) fn no_answer(&self, comparison: &Comparison) -> Option<&'static str> {
        if comparison.combinations.is_empty() {
            Some("Runs appear here when they start.")
        } else if !self.runs.is_empty() {
            Some("No run has completed an epoch yet.")
        } else {
            None
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.notes.is_empty()
    }
}

impl LivePage<'_> {
    /// The address of the only run of a combination, or links to its runs.
    pub(super) fn links(&self, combination: &Combination) -> (Option<String>, Vec<Link>) {
        if let [run] = combination.runs.as_slice() {
            return ((self.address)(run), Vec::new());
        }
        // "seed 1 2 3": the word once, so that the column stays narrow.
        let link = |(index, run): (usize, &RunSummary)| {
            let word = if index == 0 { "seed " } else { "" };
            let text = format!("{word}{}", run.seed);
            Some(Link { text, address: (self.address)(run)?, is_current: false })
        };
        let runs = combination.runs.iter().enumerate().take(MAX_LINKS);
        (None, runs.filter_map(link).collect())
    }

    pub(super) fn in_progress(&self, comparison: &Comparison) -> InProgress {
        let (mut runs, mut more, mut killed) = (Vec::new(), 0, 0);
        for combination in &comparison.combinations {
            let seeds_differ = combination.runs.len() > 1;
            for run in combination.runs.iter().filter(|run| run.status == Status::Running) {
                let known = self.known.get(run.directory.path());
                if !known.is_some_and(|known| known.is_alive()) {
                    killed += 1;
                } else if runs.len() == MAX_IN_PROGRESS {
                    more += 1;
                } else {
                    let planned = known.and_then(|known| known.planned_epochs());
                    let mut label = combination.label(&comparison.columns);
                    if seeds_differ {
                        label.push_str(&format!(", seed {}", run.seed));
                    }
                    runs.push(RunInProgress {
                        label: unbroken(&label),
                        address: (self.address)(run),
                        epochs: run.epochs,
                        planned: planned.unwrap_or(run.epochs).max(run.epochs),
                        epoch: epoch(run.epochs, planned),
                        value: value(comparison, run),
                    });
                }
            }
        }
        let mut notes = Vec::new();
        if more > 0 {
            notes.push(format!("{} more runs are in progress.", grouped(more as u64)));
        }
        if killed > 0 {
            let (verb, them) = if killed == 1 { ("is", "it") } else { ("are", "them") };
            notes.push(format!(
                "{} {verb} marked as running, but no process works on {them}: the process was killed. To resume: kiln resume DIRECTORY",
                counted(killed, "run")
            ));
        }
        InProgress { runs, notes }
    }
}

fn epoch(epochs: usize, planned: Option<usize>) -> String {
    match planned {
        Some(planned) => format!("epoch {} of {}", grouped(epochs as u64), grouped(planned as u64)),
        None => format!("epoch {}", grouped(epochs as u64)),
    }
}

/// `val_accuracy 0.8810`; empty before the first epoch, and if the run is not validated.
fn value(comparison: &Comparison, run: &RunSummary) -> String {
    let metric = comparison.ranking.metric();
    run.metric(metric, AtEpoch::Last)
        .map_or_else(String::new, |found| format!("{metric} {}", decimals(Some(found.value), 4)))
}
