//! What a report says in words, before it is dressed for Markdown or a terminal.

use kiln_store::number::{decimals, significant};
use kiln_store::{
    ConfusedPair, EpochRow, History, RunRecord, Status, TestReport, Weights, duration, grouped,
    history,
};

/// The most epochs that a table shows all of.
pub(crate) const MOST_EPOCHS: usize = 20;
/// How many confused pairs are told.
pub(crate) const MOST_PAIRS: usize = 5;

/// What is said in place of a test's result.
pub(crate) const UNTESTED: &str =
    "The run has not come to the end of its test; there are no test results.";

/// A line about a run.
pub(crate) struct Fact {
    pub(crate) label: &'static str,
    pub(crate) text: String,
}

/// How the run ended, in a phrase.
pub(crate) fn ending(record: &RunRecord) -> String {
    match (record.status, &record.stop_reason) {
        (Status::Running, None) => "running, or ended without a word".to_owned(),
        (status, None) => status.to_string(),
        (status, Some(reason)) => format!("{status}: {reason}"),
    }
}

/// What was run, on what.
pub(crate) fn facts(record: &RunRecord) -> Vec<Fact> {
    let fact = |label, text| Fact { label, text };
    let dataset = &record.dataset;
    let rows = format!(
        "{}: {} training rows, {} validation, {} test",
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
        fact("data", rows),
        fact("fingerprint", dataset.fingerprint.clone()),
        fact("parameters", grouped(record.parameters)),
        fact("seed", record.seed.to_string()),
        fact(
            "computed by",
            format!("{} ({}), {} {threads}", record.backend, record.engine, record.threads),
        ),
        fact("versions", versions),
        fact("started", record.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
    ];
    // Until a run ends its record does not know how far it came; its history does.
    if record.status != Status::Running {
        let epochs = if record.epochs == 1 { "epoch" } else { "epochs" };
        let seconds = record.training_seconds.map(|seconds| format!(" in {}", duration(seconds)));
        let trained = format!("{} {epochs}{}", record.epochs, seconds.unwrap_or_default());
        facts.push(fact("trained", trained));
    }
    facts
}

/// The test's result, in a sentence.
pub(crate) fn result(report: &TestReport) -> String {
    let mut numbers = vec![format!("accuracy {:.4}", report.accuracy)];
    numbers.extend(report.loss.map(|loss| format!("loss {loss:.4}")));
    numbers.extend(report.top_k.iter().map(|top| format!("top-{} {:.4}", top.k, top.accuracy)));
    let weights = match report.weights {
        Weights::Last => "the last",
        Weights::Best => "the best by the monitor",
    };
    format!(
        "{} on {} test images, with the weights of epoch {} ({weights})",
        numbers.join(", "),
        grouped(report.examples as u64),
        report.epoch
    )
}

/// The heads of the columns of an epochs table.
pub(crate) fn epoch_columns(history: &History) -> Vec<&str> {
    let extra = history.extra_columns.iter().map(String::as_str);
    history::COLUMNS.into_iter().chain(extra).collect()
}

/// A row of an epochs table; what is not there is empty.
pub(crate) fn epoch_cells(row: &EpochRow, columns: &[&str]) -> Vec<String> {
    let cell = |column: &&str| match *column {
        "epoch" => row.epoch.to_string(),
        "learning_rate" => significant(row.learning_rate),
        "seconds" => format!("{:.1}", row.seconds),
        _ => decimals(row.metric(column), 4),
    };
    columns.iter().map(cell).collect()
}

/// What a table of epochs leaves out, where it does.
pub(crate) fn left_out(history: &History, shown: usize) -> Option<String> {
    let all = history.rows.len();
    (shown < all).then(|| format!("{shown} of {all} epochs; history.csv has them all."))
}

/// Which epoch validation likes best, where there is validation.
pub(crate) fn best_epoch(history: &History) -> Option<String> {
    let best = history.best().filter(|row| row.metric("val_loss").is_some())?;
    Some(format!("The lowest validation loss was reached in epoch {}.", best.epoch))
}

/// The heads of the columns of a table of classes.
pub(crate) const CLASS_COLUMNS: [&str; 5] = ["class", "precision", "recall", "f1", "support"];

/// The rows of a table of classes: each class, then both averages.
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
    let classes = report
        .per_class
        .iter()
        .map(|class| row(&class.class, class.precision, class.recall, class.f1, class.support));
    let averages =
        [("macro average", &report.macro_average), ("weighted average", &report.weighted_average)];
    let averages = averages.into_iter().map(|(name, average)| {
        row(name, average.precision, average.recall, average.f1, report.examples as u64)
    });
    classes.chain(averages).collect()
}

/// What was taken for what how often, in words.
pub(crate) fn confused(report: &TestReport, pair: ConfusedPair) -> String {
    let [label, predicted] = [pair.label, pair.predicted]
        .map(|class| report.per_class.get(class).map_or("?", |class| class.class.as_str()));
    let support = report.per_class.get(pair.label).map_or(0, |class| class.support);
    format!("{} of {} {label} taken for {predicted}", grouped(pair.count), grouped(support))
}
