//! The sentences and numbers of a report, before they are formatted for Markdown or a terminal.

use kiln_store::number::{decimals, significant};
use kiln_store::{
    Annotations, ClassCounts, ConfusedPair, Continuation, EpochRow, History, MAX_MATRIX_CLASSES,
    MostFrequentClass, Optimism, RunRecord, Status, TestReport, TestedWeights, duration, grouped,
    history,
};

/// The number of epochs up to which a table shows all of them.
pub(crate) const MAX_EPOCHS: usize = 20;
/// The number of confused pairs to list.
pub(crate) const MAX_PAIRS: usize = 5;

/// Shown instead of a test result.
pub(crate) const UNTESTED: &str = "The run was not tested; there are no test results.";

/// A labeled fact about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about: "data", "warning".
    pub label: &'static str,
    /// The fact, not escaped.
    pub text: String,
}

/// The tags and the lines of the note that the user gave a run; none if there are neither.
pub(crate) fn annotations(annotations: &Annotations) -> Vec<Fact> {
    let tags = (!annotations.tags.is_empty())
        .then(|| Fact { label: "tags", text: annotations.tags.join(", ") });
    let lines = annotations.note.iter().flat_map(|note| note.lines());
    let labels = std::iter::once("note").chain(std::iter::repeat(""));
    let note = labels.zip(lines).map(|(label, line)| Fact { label, text: line.to_owned() });
    tags.into_iter().chain(note).collect()
}

/// How the run ended, as a phrase.
pub(crate) fn ending(record: &RunRecord) -> String {
    match (record.status, &record.stop_reason) {
        // A killed process cannot change the status, and only the lock shows whether the process still runs.
        (Status::Running, None) => "running, or its process was killed".to_owned(),
        _ => record.ending(),
    }
}

/// The facts about a run: data, model, seed, versions and duration.
pub(crate) fn facts(record: &RunRecord) -> Vec<Fact> {
    let fact = |label, text| Fact { label, text };
    let dataset = &record.dataset;
    let images = format!(
        "{}: {} training, {} validation and {} test images",
        dataset.name,
        grouped(dataset.training_rows as u64),
        grouped(dataset.validation_rows as u64),
        grouped(dataset.test_rows as u64)
    );
    let threads = if record.threads == 1 { "thread" } else { "threads" };
    let mut versions = format!("Kiln {}, Burn {}", record.versions.kiln, record.versions.burn);
    if let Some(commit) = &record.git_commit {
        versions.push_str(&format!(", commit {commit}"));
    }
    let mut facts = vec![
        fact("data", images),
        fact("dataset sha256", dataset.fingerprint.clone()),
        fact("parameters", grouped(record.parameters)),
        fact("seed", record.seed.to_string()),
        fact(
            "backend",
            format!("{} ({}), {} {threads}", record.backend, record.engine, record.threads),
        ),
    ];
    if let Some(unsupported) = &record.unsupported_by_fused {
        let reason = format!("{unsupported} is not supported by the fused engine");
        facts.push(fact("engine", format!("{} ({reason})", record.engine)));
    }
    facts.extend([
        fact("versions", versions),
        fact("started", record.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
    ]);
    if let Some(Continuation { from, epochs }) = &record.continued {
        let text = format!("{}/{} after epoch {epochs}", from.name, from.id);
        facts.push(fact("continues", text));
    }
    // The record of a running run does not count epochs yet.
    if record.status != Status::Running {
        let epochs = if record.epochs == 1 { "epoch" } else { "epochs" };
        let seconds = record.training_seconds.map(|seconds| format!(" in {}", duration(seconds)));
        let trained = format!("{} {epochs}{}", record.epochs, seconds.unwrap_or_default());
        facts.push(fact("trained", trained));
    }
    facts.extend(record.warnings.iter().map(|text| fact("warning", text.clone())));
    facts.extend(record.data_warnings.iter().map(|text| fact("data warning", text.clone())));
    facts
}

/// The test result as a sentence.
pub(crate) fn result(report: &TestReport) -> String {
    let mut numbers = vec![format!("accuracy {:.4}", report.accuracy)];
    numbers.extend(report.loss.map(|loss| format!("loss {loss:.4}")));
    numbers.extend(report.smoothed_loss.map(|loss| format!("with label smoothing {loss:.4}")));
    numbers.extend(report.top_k.iter().map(|top| format!("top-{} {:.4}", top.k, top.accuracy)));
    let weights = match report.weights {
        TestedWeights::Last | TestedWeights::Average => "the last",
        TestedWeights::Best | TestedWeights::BestAverage => "the best by the monitored metric",
    };
    let averaged = match report.weights {
        TestedWeights::Last | TestedWeights::Best => "the weights of",
        TestedWeights::Average | TestedWeights::BestAverage => "the average of the weights after",
    };
    let flipped = if report.flip { ", each averaged with its horizontal mirror image" } else { "" };
    format!(
        "{} on {} test images{flipped}, with {averaged} epoch {} ({weights})",
        numbers.join(", "),
        grouped(report.examples as u64),
        report.epoch
    )
}

/// The result of a model without any skill on the test images.
pub(crate) fn most_frequent(report: &TestReport) -> Option<String> {
    let MostFrequentClass { class, accuracy } = report.most_frequent.as_ref()?;
    Some(format!(
        "Always answering \"{class}\", the most frequent class of the training images, has accuracy {accuracy:.4}."
    ))
}

/// How much too high the validation accuracy is, because the epoch was chosen with the same rows.
pub(crate) fn optimism(record: &RunRecord) -> Option<String> {
    let Optimism { epochs, val_accuracy, cross_fitted, difference } = record.optimism?;
    let consequence = if difference >= 0.000_05 {
        format!("so about {difference:.4} too high")
    } else {
        "but not too high".to_owned()
    };
    Some(format!(
        "val_accuracy of the kept epoch: {val_accuracy:.4}, chosen among {epochs} epochs by the same images, {consequence} \
         (cross-fitting: {cross_fitted:.4})."
    ))
}

/// The headings of the table of epochs.
pub(crate) fn epoch_columns(history: &History) -> Vec<&str> {
    let extra = history.extra_columns.iter().map(String::as_str);
    history::COLUMNS.into_iter().chain(extra).collect()
}

/// A row of the table of epochs; missing values are empty.
pub(crate) fn epoch_cells(row: &EpochRow, columns: &[&str]) -> Vec<String> {
    let cell = |column: &&str| match *column {
        "epoch" => row.epoch.to_string(),
        "learning_rate" => significant(row.learning_rate),
        "seconds" => format!("{:.1}", row.seconds),
        _ => decimals(row.metric(column), 4),
    };
    columns.iter().map(cell).collect()
}

/// A note that the table does not show all epochs, if so.
pub(crate) fn left_out(history: &History, shown: usize) -> Option<String> {
    let all = history.rows.len();
    (shown < all).then(|| format!("{shown} of {all} epochs; history.csv has them all."))
}

/// A note that names the epoch with the lowest validation loss, if there is validation.
pub(crate) fn best_epoch(history: &History) -> Option<String> {
    let best = history.best().filter(|row| row.metric("val_loss").is_some())?;
    Some(format!("The lowest validation loss was reached in epoch {}.", best.epoch))
}

/// The headings of the table of classes.
pub(crate) const CLASS_COLUMNS: [&str; 5] = ["class", "precision", "recall", "f1", "support"];

/// The largest number of rows of the table of classes, if there are too many classes for a matrix.
const MAX_CLASS_ROWS: usize = 20;

/// The indices of the classes in the table of classes: all, or of many classes those with the lowest recall.
fn shown_classes(report: &TestReport) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..report.per_class.len()).collect();
    if classes.len() > MAX_MATRIX_CLASSES {
        let recall = |class: &usize| report.per_class[*class].recall.unwrap_or(f64::INFINITY);
        // The sort is stable: classes with equal recall stay in order.
        classes.sort_by(|a, b| recall(a).total_cmp(&recall(b)));
        classes.truncate(MAX_CLASS_ROWS);
    }
    classes
}

/// A note that the table of classes does not have all classes, if so.
pub(crate) fn classes_left_out(report: &TestReport) -> Option<String> {
    let (shown, all) = (shown_classes(report).len(), report.per_class.len());
    (shown < all).then(|| {
        format!(
            "The {shown} of {} classes with the lowest recall; report.json has them all.",
            grouped(all as u64)
        )
    })
}

/// The rows of the table of classes: each of [`shown_classes`], then both averages.
pub(crate) fn class_rows(report: &TestReport) -> Vec<Vec<String>> {
    let row = |name: &str, precision, recall, f1, support| {
        vec![
            name.to_owned(),
            decimals(precision, 4),
            decimals(recall, 4),
            decimals(f1, 4),
            grouped(support),
        ]
    };
    let classes = shown_classes(report).into_iter().map(|class| {
        let class = &report.per_class[class];
        row(&class.class, class.precision, class.recall, class.f1, class.support)
    });
    let averages =
        [("macro average", &report.macro_average), ("weighted average", &report.weighted_average)];
    let averages = averages.into_iter().map(|(name, average)| {
        row(name, average.precision, average.recall, average.f1, report.examples as u64)
    });
    classes.chain(averages).collect()
}

/// The headings of the table of classes with intervals.
pub(crate) const INTERVAL_COLUMNS: [&str; 7] =
    ["class", "precision", "95 % interval", "recall", "95 % interval", "f1", "support"];

/// A sentence that defines the intervals in the table of classes.
pub(crate) const INTERVAL_NOTE: &str = "The intervals are Wilson score intervals. They are about the choice of the test \
                                        images, not about the seed of the training.";

/// Like [`class_rows`], with the intervals of precision and recall.
pub(crate) fn class_rows_with_intervals(report: &TestReport) -> Vec<Vec<String>> {
    let mut rows = class_rows(report);
    let classes = shown_classes(report).into_iter().map(Some).chain(std::iter::repeat(None));
    for (class, row) in classes.zip(rows.iter_mut()) {
        let counts = class.and_then(|class| report.counts(class));
        let interval = |trials: fn(&ClassCounts) -> u64| {
            let interval = counts.and_then(|counts| wilson(&counts, trials(&counts)));
            interval.map_or_else(String::new, |(low, high)| format!("{low:.4} to {high:.4}"))
        };
        // The averages have no counts and get no intervals.
        row.insert(2, interval(|counts| counts.predicted));
        row.insert(4, interval(|counts| counts.support));
    }
    rows
}

fn wilson(counts: &ClassCounts, trials: u64) -> Option<(f64, f64)> {
    let [hits, trials] = [counts.hits, trials].map(|count| usize::try_from(count).ok());
    kiln_statistics::wilson(hits?, trials?, 0.05)
}

/// How often one class was predicted for another, as a phrase.
pub(crate) fn confused(report: &TestReport, pair: ConfusedPair) -> String {
    let [label, predicted] = [pair.label, pair.predicted]
        .map(|class| report.per_class.get(class).map_or("?", |class| class.class.as_str()));
    let support = report.per_class.get(pair.label).map_or(0, |class| class.support);
    format!("{} of {} {label} predicted as {predicted}", grouped(pair.count), grouped(support))
}
