use kiln_report::Terminal;
use kiln_statistics::AccuracyDifference;
use kiln_store::escape::control;
use kiln_store::grouped;
use kiln_store::number::decimals;

use crate::cells::outward;
use crate::combination::RunSummary;
use crate::pair::{ClassAgreement, Pair};
use crate::text_table::{self, TextColumn};

/// Two runs in detail as text for a terminal: the settings and the images on which they differ, and whether one is
/// better.
#[must_use]
pub fn show_pair(pair: &Pair, terminal: Terminal) -> String {
    let mut text = String::new();
    let mut line = |words: &str| text.push_str(&format!("{}\n", control(words)));
    line(&run("first", &pair.first));
    line(&run("second", &pair.second));
    for setting in &pair.settings {
        let value =
            |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".to_owned());
        line(&format!(
            "{}: {} in the first, {} in the second",
            setting.column.label,
            value(&setting.first),
            value(&setting.second)
        ));
    }
    if pair.settings.is_empty() {
        line("The runs have the same settings and the same seed.");
    }
    for note in &pair.notes {
        line(note);
    }
    if !pair.classes.is_empty() {
        text.push('\n');
        text.push_str(&classes(pair, terminal));
    }
    if let Some(difference) = &pair.difference {
        text.push_str(&format!("{}\n", sentence(difference, pair.level)));
    }
    text
}

fn run(role: &str, run: &RunSummary) -> String {
    let accuracy = run.test.map(|test| format!(", test accuracy {:.4}", test.accuracy));
    format!(
        "{role:<6}  {} {}, {}{}",
        run.name,
        run.id,
        run.status_words(),
        accuracy.unwrap_or_default()
    )
}

fn classes(pair: &Pair, terminal: Terminal) -> String {
    let total = pair.total();
    let rows: Vec<&ClassAgreement> = pair.classes.iter().chain([&total]).collect();
    let numbers = |heading, number: fn(&ClassAgreement) -> String| {
        TextColumn::numbers(heading, rows.iter().map(|row| number(row)))
    };
    let count = |count: usize| grouped(count as u64);
    let mut columns = vec![
        TextColumn::words("class", rows.iter().map(|row| row.class.clone())),
        numbers("images", |row| grouped(row.support() as u64)),
        numbers("both right", |row| grouped(row.both_right as u64)),
        numbers("only first right", |row| grouped(row.only_first as u64)),
        numbers("only second right", |row| grouped(row.only_second as u64)),
        numbers("both wrong", |row| grouped(row.both_wrong as u64)),
        numbers("recall first", |row| decimals(row.first_recall(), 4)),
        numbers("recall second", |row| decimals(row.second_recall(), 4)),
        numbers("change", change),
    ];
    columns.iter_mut().for_each(TextColumn::narrow_heading);
    // The number of images can go, because it is the sum of the next four columns.
    if text_table::width(&columns) > usize::from(terminal.width) {
        columns.remove(1);
    }
    let mut text = text_table::draw(&columns.iter().collect::<Vec<_>>(), terminal);
    text.push_str(&format!(
        "The runs disagree on {} of {} images.\n",
        count(total.only_first + total.only_second),
        count(total.support())
    ));
    text
}

/// The second run's recall minus the first's; empty if the class has no image.
fn change(row: &ClassAgreement) -> String {
    match (row.first_recall(), row.second_recall()) {
        (Some(first), Some(second)) => format!("{:+.4}", second - first),
        _ => String::new(),
    }
}

/// The meaning of the test over the images, and its limits.
fn sentence(found: &AccuracyDifference, level: f64) -> String {
    let interval = found.interval.map(|(low, high)| {
        let [low, high] = outward(low, high);
        format!(", interval [{low}, {high}]")
    });
    let words = if found.p_value < level {
        "Predictions differ on these images"
    } else {
        "The accuracies on these images are not distinguishable"
    };
    format!(
        "{words} ({}, McNemar's exact test): the second run's accuracy minus the first's is {:+.4}{}. One seed each, so this says nothing about the settings.",
        p_value(found.p_value),
        found.difference,
        interval.unwrap_or_default()
    )
}

/// A p-value with three decimals, or an upper bound if these would be zeros.
fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}
